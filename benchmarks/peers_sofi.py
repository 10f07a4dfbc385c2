"""SOFI against pysofi 0.1.1a0 (MIT): CPU time, memory and agreement of zero-lag auto-cumulants of orders 1 to 4.

The interpreter asked for is that of an environment that holds :data:`REQUIREMENTS`. Both programs read the same TIFF in a
process of their own, on one thread; time is that of the processor, memory what the process grew by at its peak (looked
at every 5 ms, on Linux), both without imports and without compiling. pysofi casts moments to whole numbers: the movie
is bright enough to survive that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from tables import Table, store

REQUIREMENTS = ("pysofi==0.1.1a0", "numpy<2", "scipy", "tifffile", "matplotlib")
ORDERS = (2, 3, 4)
LARGEST_DIFFERENCE = 1e-4  # between the two, relative
LEAST_SPEEDUP = 5.0

_MEASURED = """
import json, os, sys, threading, time
import numpy as np
folder, name, result = sys.argv[1:]
{prepare}

def resident():
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

def watch():
    global peak
    while not over.wait(0.005):
        peak = max(peak, resident())

before = peak = resident()
over = threading.Event()
watcher = threading.Thread(target=watch)
watcher.start()
began = time.process_time()
{work}
seconds = time.process_time() - began
over.set()
watcher.join()
np.savez(result, **{{str(n): found[n] for n in (2, 3, 4)}})
print()
print(json.dumps({{"cpu_s": seconds, "memory_mb": peak - before}}))
"""
PYSOFI = _MEASURED.format(
    prepare="from pysofi.pysofi import PysofiData",
    work="found = PysofiData(folder, name).cumulants_images(highest_order=4)",
)
FLUOSR = _MEASURED.format(
    prepare="""
import fluosr
from fluosr.methods.sofi.auto import AutoSums, auto_cumulants
auto_cumulants(np.ones((2, 4, 4), np.float32), 4)
""",
    work="""
movie = fluosr.open_movie(f"{folder}/{name}", pixel_size_nm=100.0, fwhm_nm=300.0, gain=1.0, offset=0.0, read_noise=0.0)
sums = AutoSums(movie.field_shape, 4)
for where, frames in movie.chunks():
    sums.add(np.arange(movie.n_frames)[where], frames)
found = {int(n): image for n, image in sums.cumulants().items()}
""",
)


@dataclass(frozen=True, eq=False)
class Measured:
    """What one program took, and its cumulants: order -> (Y, X)."""

    cpu_s: float
    memory_mb: float
    cumulants: dict[int, np.ndarray]


def bright_movie(n_frames: int = 500, side: int = 128, seed: int = 0) -> np.ndarray:
    """(T, Y, X) uint16: pixels that fluctuate by a gamma law, a thousand photons each, with shot noise."""
    rng = np.random.default_rng(seed)
    return rng.poisson(rng.gamma(2.0, 500.0, (n_frames, side, side))).astype(np.uint16)


def measure(python: str | Path, program: str, frames: np.ndarray) -> Measured:
    """Run one of :data:`PYSOFI` and :data:`FLUOSR` on (T, Y, X) frames.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        tifffile.imwrite(Path(folder) / "movie.tif", frames, metadata={"axes": "TYX"})
        result = Path(folder) / "cumulants.npz"
        source = str(Path(__file__).resolve().parents[1] / "src")
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        environment.pop("PYTHONPATH", None)
        if program == FLUOSR:
            environment["PYTHONPATH"] = source
        done = subprocess.run(
            [str(python), "-c", program, folder, "movie.tif", str(result)],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
        )
        figures = json.loads(done.stdout.strip().splitlines()[-1])
        with np.load(result) as found:
            return Measured(**figures, cumulants={order: found[str(order)] for order in ORDERS})


def speed_row(python: str | Path, frames: np.ndarray | None = None) -> list[Any]:
    """Task, CPU seconds of the peer and of fluosr, their ratio, and the memory of both, MB."""
    frames = bright_movie() if frames is None else frames
    peer, ours = measure(python, PYSOFI, frames), measure(sys.executable, FLUOSR, frames)
    task = f"SOFI, orders 1-4, {' x '.join(map(str, frames.shape))}"
    return [task, "pysofi 0.1.1a0", peer.cpu_s, ours.cpu_s, peer.cpu_s / ours.cpu_s, peer.memory_mb, ours.memory_mb]


def agreement_rows(python: str | Path, frames: np.ndarray | None = None) -> list[list[Any]]:
    """For each order: quantity, peer, the largest difference over the largest value, and the bar."""
    frames = bright_movie(side=64) if frames is None else frames
    peer, ours = measure(python, PYSOFI, frames), measure(sys.executable, FLUOSR, frames)
    rows: list[list[Any]] = []
    for order in ORDERS:
        theirs, mine = peer.cumulants[order], ours.cumulants[order]
        difference = float(np.abs(theirs - mine).max() / np.abs(theirs).max())
        rows.append([f"auto-cumulant of order {order}", "pysofi 0.1.1a0", difference, LARGEST_DIFFERENCE])
    return rows


SPEED_COLUMNS: Sequence[str] = (
    "task", "peer", "peer CPU s", "fluosr CPU s", "ratio", "peer memory MB", "fluosr memory MB"
)  # fmt: skip
AGREEMENT_COLUMNS: Sequence[str] = ("quantity", "peer", "largest relative difference", "bar")
