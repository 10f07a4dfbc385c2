"""What fluosr and the programs that people use for the same work make of the same frames with equal settings.

    python benchmarks/peers_agreement.py [--only srrf,sofi]

Each peer is installed into an environment of its own under ``benchmarks/.peers``; one that cannot be is told and left
out. A family of methods enters with one function in :data:`FAMILIES` that gives its tables.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import peers_sofi
import peers_srrf
from peer_environment import PeerUnavailable, environment
from tables import Table, store

import fluosr


def srrf() -> list[Table]:
    """SRRF and eSRRF beside NanoPyx."""
    python = environment(peers_srrf.REQUIREMENTS)
    agreement = Table(
        "SRRF and eSRRF",
        ("quantity", "peer", "correlation", "least"),
        "Blinking filaments, 8 frames of 128 x 128, x5, mean over time, Catmull-Rom; Pearson's correlation of the fine "
        f"images without {peers_srrf.BORDER_PX} camera pixels at the borders. 'moved back': by half a camera pixel.",
    )
    agreement.rows = peers_srrf.agreement_rows(python)
    displaced = Table(
        "Where a point lies",
        ("method", "peer", "peer, camera pixels", "fluosr, camera pixels"),
        "By how much the image of a point in the middle of a pixel lies too low, without intensity weighting.",
    )
    displaced.rows = peers_srrf.displacement_rows(python)
    return [agreement, displaced]


def sofi() -> list[Table]:
    """Cumulants beside pysofi."""
    table = Table("SOFI", ("quantity", "peer", "largest relative difference", "bar"))
    table.rows = peers_sofi.agreement_rows(environment(peers_sofi.REQUIREMENTS))
    return [table]


FAMILIES: dict[str, Callable[[], list[Table]]] = {"srrf": srrf, "sofi": sofi}


def main() -> None:
    """Print and store the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(FAMILIES))
    options = parser.parse_args()
    tables: list[Table] = []
    for family in options.only.split(","):
        try:
            tables += FAMILIES[family]()
        except PeerUnavailable as error:
            tables.append(Table(family, ("what happened",), "", [[f"the peer could not be installed: {error}"]]))
    store("peers_agreement", "Beside other programs: agreement", tables, version=fluosr.__version__)


if __name__ == "__main__":
    main()
