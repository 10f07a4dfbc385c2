"""CPU time and memory beside the programs that people use for the same work, with equal settings.

    python benchmarks/peers_speed.py [--frames 100] [--repeats 3] [--only srrf,sofi,colorme]

Each peer is installed into an environment of its own under ``benchmarks/.peers``; one that cannot be is told and left
out. A family of methods enters with one function in :data:`FAMILIES` that gives its tables.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import colorme_speed
import peers_sofi
import peers_srrf
from peer_environment import PeerUnavailable, environment
from tables import Table, store

import fluosr

COLUMNS = ("task", "peer", "peer CPU s", "fluosr CPU s", "ratio", "peer memory MB", "fluosr memory MB", "least ratio")
NOTE = (
    "Same frames, same settings, processes of their own that run in turn on one thread each; CPU time of all threads "
    "without imports and compiling, memory by which the process grew at its peak."
)


def srrf(options: argparse.Namespace) -> list[Table]:
    """SRRF and eSRRF beside NanoPyx."""
    python = environment(peers_srrf.REQUIREMENTS)
    frames = peers_srrf.filaments(options.frames)
    rows = [
        [*peers_srrf.speed_row(python, method, frames, options.repeats), peers_srrf.LEAST_SPEEDUP]
        for method in ("srrf", "esrrf")
    ]
    return [Table("SRRF and eSRRF", COLUMNS, NOTE, rows)]


def sofi(options: argparse.Namespace) -> list[Table]:
    """Cumulants beside pysofi."""
    python = environment(peers_sofi.REQUIREMENTS)
    movies = [peers_sofi.bright_movie(count) for count in (500, 2000)]
    rows = [[*peers_sofi.speed_row(python, movie, options.repeats), peers_sofi.LEAST_SPEEDUP] for movie in movies]
    return [Table("SOFI", COLUMNS, NOTE, rows)]


def colorme(options: argparse.Namespace) -> list[Table]:
    """COL0RME by itself: the published program does not end on fields of this size."""
    return colorme_speed.tables()


FAMILIES: dict[str, Callable[[argparse.Namespace], list[Table]]] = {"srrf": srrf, "sofi": sofi, "colorme": colorme}


def main() -> None:
    """Print and store the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default=",".join(FAMILIES))
    options = parser.parse_args()
    tables: list[Table] = []
    for family in options.only.split(","):
        try:
            tables += FAMILIES[family](options)
        except PeerUnavailable as error:
            tables.append(Table(family, ("what happened",), "", [[f"the peer could not be installed: {error}"]]))
    store("peers_speed", "Beside other programs: cost", tables, version=fluosr.__version__)


if __name__ == "__main__":
    main()
