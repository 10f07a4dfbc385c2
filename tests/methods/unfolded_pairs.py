"""Small training pairs of known molecules, made without the operator that is tested with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from fluosr.methods.unfolded.pairs import Pair
from fluosr.methods.unfolded.physics import Physics
from tests.movies import FWHM_NM, PIXEL_NM, light_of

FIELD, FACTOR, BACKGROUND = (12, 11), 3, 5.0


def physics_of(**changes: Any) -> Physics:
    facts: dict[str, Any] = {"fwhm_nm": FWHM_NM, "pixel_size_nm": PIXEL_NM, "factor": FACTOR}
    return Physics(**(facts | changes))


def pair_of(
    count: int = 6, *, molecules: int = 3, seed: int = 0, field: tuple[int, int] = FIELD, name: str = "pair"
) -> Pair:
    """``count`` frames of a few molecules each, in the middle of fine pixels, Poisson noise."""
    random = np.random.default_rng(seed)
    truth = np.zeros((count, field[0] * FACTOR, field[1] * FACTOR))
    frames = np.zeros((count, *field))
    for image, frame in zip(truth, frames, strict=True):
        places = np.stack([random.integers(3, n * FACTOR - 3, molecules) for n in field], axis=1)
        photons = random.uniform(300, 600, molecules)
        image[places[:, 0], places[:, 1]] = photons
        points = [(*((place + 0.5) / FACTOR), image[tuple(place)]) for place in np.unique(places, axis=0)]
        frame[:] = random.poisson(light_of(points, field, BACKGROUND))
    return Pair(name, frames, truth)


def written(folder: Path, pairs: dict[str, Pair], gain: float = 1.0, offset: float = 0.0) -> Path:
    """The pairs as files of a folder."""
    folder.mkdir(exist_ok=True)
    for name, pair in pairs.items():
        frames = (pair.frames * gain + offset).astype(np.float32)
        tifffile.imwrite(folder / f"{name}.tif", frames, photometric="minisblack")
        tifffile.imwrite(folder / f"{name}-truth.tif", pair.truth.astype(np.float32), photometric="minisblack")
    return folder
