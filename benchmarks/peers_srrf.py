"""SRRF and eSRRF beside NanoPyx 2.1.5 with equal settings: magnification 5, Catmull-Rom, mean over time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from peer_environment import NANOPYX, measure
from scipy.ndimage import gaussian_filter, shift

REQUIREMENTS = NANOPYX
PEER = "NanoPyx 2.1.5"
FACTOR, RADIUS = 5, {"srrf": 0.5, "esrrf": 1.5}
BORDER_PX = 6  # camera pixels left out: NanoPyx leaves them dark
DISPLACED_PX = 0.5  # by which NanoPyx's eSRRF lies to the lower right, camera pixels
LEAST_CORRELATION, LEAST_SPEEDUP = 0.99, 10.0


def filaments(n_frames: int, side: int = 128, seed: int = 0) -> np.ndarray:
    """(T, Y, X) float32 photons: curved lines that blink, on 20 photons of background, FWHM of 3 pixels."""
    rng = np.random.default_rng(seed)
    fine = np.zeros((side * FACTOR, side * FACTOR))
    for _ in range(25):
        y, x = rng.uniform(0, side * FACTOR, 2)
        angle = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.02, 2000))
        rows, columns = y + np.cumsum(0.3 * np.sin(angle)), x + np.cumsum(0.3 * np.cos(angle))
        inside = (np.minimum(rows, columns) >= 0) & (np.maximum(rows, columns) < side * FACTOR)
        np.add.at(fine, (rows[inside].astype(int), columns[inside].astype(int)), 30.0)
    frames = np.empty((n_frames, side, side), np.float32)
    for frame in frames:
        light = gaussian_filter(fine * rng.binomial(1, 0.3, fine.shape), 1.27 * FACTOR)
        frame[:] = rng.poisson(light.reshape(side, FACTOR, side, FACTOR).sum((1, 3)) + 20.0)
    return frames


def settings(method: str, *, weighted: bool = True, corrected: bool = True) -> dict[str, Any]:
    """What both programs are told."""
    return {
        "method": method,
        "factor": FACTOR,
        "radius": RADIUS[method],
        "intensity_weighting": weighted,
        "macro_pixel_correction": corrected,
    }


def speed_row(python: str | Path, method: str, frames: np.ndarray | None = None, repeats: int = 3) -> list[Any]:
    """Task, peer, CPU seconds per frame of the peer and of fluosr, their ratio, and the memory of both, MB.

    Both run in turn ``repeats`` times; medians.
    """
    frames = filaments(20) if frames is None else frames
    pairs = [
        (
            measure(python, "nanopyx_srrf", frames, **settings(method)),
            measure(sys.executable, "fluosr_srrf", frames, **settings(method)),
        )
        for _ in range(repeats)
    ]
    peer, ours = (float(np.median([pair[i].cpu_s for pair in pairs])) / len(frames) for i in (0, 1))
    ratio = float(np.median([p.cpu_s / o.cpu_s for p, o in pairs]))
    memory = [float(np.median([pair[i].memory_mb for pair in pairs])) for i in (0, 1)]
    task = f"{'SRRF' if method == 'srrf' else 'eSRRF'} x{FACTOR}, {' x '.join(map(str, frames.shape))}, per frame"
    return [task, PEER, peer, ours, ratio, *memory]


def inner_correlation(image: np.ndarray, other: np.ndarray) -> float:
    """Pearson's, without the borders."""
    inside = (slice(BORDER_PX * FACTOR, -BORDER_PX * FACTOR),) * 2
    return float(np.corrcoef(image[inside].ravel(), other[inside].ravel())[0, 1])


def figure(image: np.ndarray, other: np.ndarray) -> str:
    """The correlation with as many digits as tell 0.999 from 1."""
    return f"{inner_correlation(image, other):.4f}"


def moved_back(image: np.ndarray) -> np.ndarray:
    """NanoPyx's eSRRF where the sample is."""
    back: np.ndarray = shift(image, -DISPLACED_PX * FACTOR, order=3, mode="nearest")
    return back


def agreement_rows(python: str | Path, frames: np.ndarray | None = None) -> list[list[Any]]:
    """Quantity, peer, correlation inside the field, and the bar it has to reach (none for what is only told)."""
    frames = filaments(8) if frames is None else frames
    rows: list[list[Any]] = []

    def pair(**told: Any) -> tuple[np.ndarray, np.ndarray]:
        peer = measure(python, "nanopyx_srrf", frames, **told).image
        return peer, measure(sys.executable, "fluosr_srrf", frames, **told).image

    for corrected in (True, False):
        peer, ours = pair(**settings("srrf", corrected=corrected))
        what = "SRRF" + (", macro-pixel correction" if corrected else "")
        rows.append([what, PEER, figure(peer, ours), LEAST_CORRELATION])
    peer, ours = pair(**settings("esrrf", weighted=False, corrected=False))
    rows.append(["eSRRF, convergence as it lies", PEER, figure(peer, ours), "none"])
    rows.append(["eSRRF, convergence moved back", PEER, figure(moved_back(peer), ours), LEAST_CORRELATION])
    # No bar: their convergence is multiplied with a frame that lies elsewhere, which no moving undoes.
    peer, ours = pair(**settings("esrrf"))
    rows.append(["eSRRF, weighted, as it lies", PEER, figure(peer, ours), "none"])
    rows.append(["eSRRF, weighted, moved back", PEER, figure(moved_back(peer), ours), "none"])
    return rows


def displacement_rows(python: str | Path) -> list[list[Any]]:
    """Method, peer, and how far a point in the middle of a pixel is moved down, camera pixels: the peer's, ours."""
    side = 33
    y, x = np.mgrid[:side, :side] - side // 2
    point = (1000.0 * np.exp(-(y**2 + x**2) / (2 * 1.3**2)) + 1.0).astype(np.float32)
    rows: list[list[Any]] = []
    for method in ("srrf", "esrrf"):
        told = settings(method, weighted=False, corrected=False)
        moved = []
        for python_of, program in ((python, "nanopyx_srrf"), (sys.executable, "fluosr_srrf")):
            image = measure(python_of, program, np.stack([point] * 2), **told).image
            middle, reach = image.shape[0] // 2, 2 * FACTOR
            top = int(image.sum(1)[middle - reach : middle + reach + 1].argmax()) + middle - reach
            part = image[top - FACTOR : top + FACTOR + 1, middle - 3 * FACTOR : middle + 3 * FACTOR + 1].sum(1)
            part = part - part.min()
            place = top + float(np.arange(-FACTOR, FACTOR + 1) @ part / part.sum())
            moved.append((place - middle) / FACTOR)
        rows.append([method, PEER, *moved])
    return rows
