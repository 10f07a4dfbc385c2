"""The FluoGAN paper's Fig. 5 with every method: what each resolves, how true its light is, and how whole its lines."""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from tables import FLUCTUATION_METHODS as METHODS
from tables import RESULTS, Table, acquire, mean_sd, store

import fluosr
from fluosr.quality.fidelity import fidelity
from fluosr.quality.lines import judge_phantom, line_continuity
from fluosr.simulate.argo import ArgoPhantom
from fluosr.simulate.movie import SimulatedMovie

CACHE = RESULTS / "fluctuation_argo.cells.json"
ROOMS = ("optics", "solvers", "networks", "corrections", "emitters", "methods", "simulate", "quality")
PHOTONS = 30.0
LINE_NM = 100.0


@dataclass(frozen=True)
class Case:
    """One method on one movie."""

    method: str
    seed: int
    parameters: tuple[tuple[str, Any], ...] = ()
    label: str = ""

    @property
    def key(self) -> str:
        """What it is cached under."""
        return f"{code()} {self.method} {dict(self.parameters)} seed {self.seed}"

    @property
    def name(self) -> str:
        """As the table calls it."""
        return self.label or self.method


@cache
def code() -> str:
    """Of everything that a cell depends on: cells of other code are run anew."""
    source = Path(fluosr.__file__).parent
    files = sorted(path for room in ROOMS for path in (source / room).rglob("*.py"))
    files += [source / f"{name}.py" for name in ("camera", "forward", "acquisition", "statistics")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


def variants() -> list[tuple[str, tuple[tuple[str, Any], ...], str]]:
    """Every method at its defaults, and the variants that are published as methods of their own."""
    more = [
        ("sofi", (("order", 4),), "sofi, order 4"),
        ("colorme", (("penalty", "cel0"),), "colorme, CEL0"),
        ("colorme", (("penalty", "tv"),), "colorme, TV"),
        ("colorme", (("support_radius_nm", 0.0),), "colorme, support as found"),
    ]
    return [(name, (), "") for name in METHODS] + more


def run(case: Case) -> tuple[str, dict[str, Any]]:
    """Simulate, reconstruct, judge; a method that refuses says why."""
    import torch

    torch.set_num_threads(1)
    phantom = ArgoPhantom()
    movie = SimulatedMovie(phantom, peak_photons=PHOTONS, seed=case.seed)
    acquisition = acquire(movie)
    started = time.process_time()
    try:
        made = fluosr.reconstruct(
            acquisition,
            case.method,
            seed=case.seed,
            device="cpu",
            factor=movie.factor,
            halves=False,
            **dict(case.parameters),
        )
    except fluosr.errors.FluosrError as error:
        return case.key, {"error": str(error)}
    seconds = time.process_time() - started
    fine = phantom.pixel_size_nm / movie.factor
    verdict, true = judge_phantom(made.image, fine, phantom), fidelity(made.image, movie.truth)
    found = {f"{p.separation_nm:.0f}": p.found_nm for p in verdict.pairs if p.separation_nm is not None}
    return case.key, {
        "resolved_from_nm": verdict.resolved_from_nm,
        "error_nm": verdict.separation_error_nm,
        "false_split": bool(verdict.false_split),
        "correlation": true.correlation,
        "nrmse": true.nrmse,
        "continuity": line_continuity(made.image, fine, phantom),
        "seconds": seconds,
        "found_nm": found,
    }


def table(cells: dict[str, dict[str, Any]], seeds: int) -> Table:
    """One row a method, best resolution first."""
    made = Table(
        "Every method on the ARGO phantom (Fig. 5)",
        ("method", "seeds", "resolved from, nm", "edge to edge, nm", "found at 120, nm", "error of d, nm",
         "false splits", "correlation", "NRMSE", "continuity", "CPU, s"),
        f"14 sets d = 0 ... 390 nm and a single line; {PHOTONS:.0f} photons at the peak, 500 frames, model (3), "
        f"upright lines of {LINE_NM:.0f} nm; up to {seeds} seeds, mean ± sd. Every method at its defaults, L = 6, "
        "camera estimated from the movie. 'Resolved from' is the smallest d, centre to centre, from which on every "
        f"pair dips by 26 %; less the lines' {LINE_NM:.0f} nm it is edge to edge. 'Continuity' is the share of the "
        "lines' length along which the light is at least half its median. CPU seconds are of a busy machine and "
        "without halves.",
    )  # fmt: skip
    rows = []
    for method, values, label in variants():
        all_cells = [cells[k] for s in range(seeds) if (k := Case(method, s, values, label).key) in cells]
        good = [cell for cell in all_cells if "error" not in cell]
        if not good:
            rows.append((np.inf, [label or method, 0, "not run", *[""] * 8]))
            continue
        limits = [cell["resolved_from_nm"] for cell in good]
        reached = [value for value in limits if value is not None]
        never = "" if len(reached) == len(good) else f" ({len(good) - len(reached)} of {len(good)} never)"
        errors = [cell["error_nm"] for cell in good if cell["error_nm"] is not None]
        rows.append(
            (
                float(np.mean([value if value is not None else 1000.0 for value in limits])),
                [
                    label or method,
                    len(good),
                    (mean_sd(reached, 0) if reached else "none") + never,
                    f"{np.mean(reached) - LINE_NM:.0f}" if reached else "",
                    mean_sd([cell["found_nm"]["120"] for cell in good], 0),
                    mean_sd(errors, 1) if errors else "",
                    f"{sum(cell['false_split'] for cell in good)}/{len(good)}",
                    mean_sd([cell["correlation"] for cell in good], 3),
                    mean_sd([cell["nrmse"] for cell in good], 3),
                    mean_sd([cell["continuity"] for cell in good]),
                    mean_sd([cell["seconds"] for cell in good], 1),
                ],
            )
        )
    made.rows = [row for _, row in sorted(rows, key=lambda item: item[0])]
    return made


def published() -> Table:
    """What the papers say of this phantom, for comparison."""
    return Table(
        "Published, real phantom",
        ("method", "resolved from, nm", "counted"),
        "Cachia et al. 2023, section 5: distances for COL0RME and SRRF are edge to edge, for FluoGAN centre to centre.",
        [
            ["FluoGAN", "120", "centre to centre"],
            ["COL0RME", "80-110", "edge to edge"],
            ["SRRF", "about 200", "edge to edge"],
        ],
    )


def main() -> None:
    """Run what the cache lacks, then store the table; about an hour for everything on two cores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--fresh", action="store_true", help="forget what is cached")
    options = parser.parse_args()
    cells: dict[str, dict[str, Any]] = {}
    if CACHE.exists() and not options.fresh:
        cells = json.loads(CACHE.read_text())
    cases = [Case(m, s, values, label) for s in range(options.seeds) for m, values, label in variants()]
    cases.sort(key=lambda case: case.label)  # every method at its defaults comes first
    missing = [case for case in cases if case.key not in cells]
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        for key, cell in pool.imap_unordered(run, missing):
            cells[key] = cell
            if "error" in cell:
                print(key, cell["error"], flush=True)
                continue
            CACHE.write_text(json.dumps({k: c for k, c in cells.items() if "error" not in c}, indent=1) + "\n")
            print(key, {k: v for k, v in cell.items() if k != "found_nm"}, flush=True)
    store(
        "fluctuation_argo",
        "All methods on the ARGO phantom",
        [table(cells, options.seeds), published()],
        version=fluosr.__version__,
    )


if __name__ == "__main__":
    main()
