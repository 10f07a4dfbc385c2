"""Small simulated wells, and plates in memory and on disk."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import tifffile

from fluosr.io.write import write_ome_channels, write_text
from fluosr.phenotypes.crops import CropSet
from fluosr.phenotypes.ground import Ground
from fluosr.phenotypes.levels import Levels
from fluosr.simulate.assays import AssayWell
from fluosr.simulate.culture import CellCulture


@functools.cache
def well(assay: str, strength: float = 0.0, side: int = 96, seed: int = 4) -> AssayWell:
    """One well of 400-nm pixels; made once for all tests."""
    return AssayWell(assay, CellCulture((side, side), 400.0, seed), strength=strength, seed=seed)


def cell(ratio: float, size: int = 32, brightness: float = 200.0, seed: int = 0) -> np.ndarray:
    """(2, size, size) nuclei and protein: a round cell on a background of 100; nucleus of 10 pixels in the middle."""
    y, x = np.indices((size, size))
    away = np.hypot(y - size // 2, x - size // 2)
    generator = np.random.default_rng(seed)
    nuclei = 100 + 400 * (away <= 5)
    protein = 100 + brightness * np.where(away <= 5, ratio, 1.0) * (away <= 12)
    return np.stack([nuclei, protein]) + generator.normal(0, 1.0, (2, size, size))


def crop_set(ratios: dict[str, list[float]], cells: int = 6, seed: int = 0) -> CropSet:
    """A set of crops of round cells: a well for each ratio of each treatment, every second well for tests."""
    generator = np.random.default_rng(seed)
    pixels, wells, treatments, splits = [], [], [], []
    for treatment, of_wells in ratios.items():
        for number, ratio in enumerate(of_wells):
            for _ in range(cells):
                own = ratio * generator.lognormal(0, 0.2)
                pixels.append(cell(own, brightness=200 * generator.lognormal(0, 0.3), seed=len(pixels)))
                wells.append(f"{treatment}-{number}")
                treatments.append(treatment)
                splits.append("test" if number % 2 else "train")
    count = len(pixels)
    places = np.stack([np.arange(count) * 3.0, np.arange(count) + 20.0], axis=1)
    return CropSet(
        np.stack(pixels).astype(np.float32),
        np.array(wells),
        np.array(treatments),
        np.array(splits),
        np.array([f"{name}.tif" for name in wells]),
        places,
        np.full(count, 80.0),
        ("DNA", "protein"),
        1000.0,
        Levels(np.array([100.0, 100.0]), np.array([600.0, 900.0])),
        0,
        1,
        10.0,
        Ground(np.array([100.0, 100.0]), np.array([500.0, 800.0]), 1),
    )


def field(ratio: float, seed: int, shape: tuple[int, int] = (80, 96)) -> np.ndarray:
    """(2, Y, X) uint16: six round cells."""
    image = np.full((2, *shape), 100.0)
    generator = np.random.default_rng(seed)
    for y in (0, 40):
        for x in (0, 32, 64):
            image[:, y : y + 32, x : x + 32] = cell(ratio * generator.lognormal(0, 0.1), seed=seed * 10 + y + x)
    return np.clip(np.rint(image), 0, 65535).astype(np.uint16)


def plate_folder(folder: Path, ratios: dict[str, list[float]], splits: list[str] | None = None) -> Path:
    """A folder with plate.csv: a well for each ratio."""
    rows, number = ["file,well,treatment" + (",split" if splits else "")], 0
    for treatment, of_wells in ratios.items():
        for ratio in of_wells:
            name = f"W{number:02d}"
            write_ome_channels(folder / f"{name}.tif", field(ratio, number), None, ("DNA", "protein"))
            rows.append(f"{name}.tif,{name},{treatment}" + (f",{splits[number]}" if splits else ""))
            number += 1
    write_text(folder / "plate.csv", "\n".join(rows) + "\n")
    return folder


def stack(path: Path, ratios: list[float]) -> Path:
    """A TIFF (N, C, Y, X) of wells, without labels of its axes."""
    tifffile.imwrite(path, np.stack([field(r, n) for n, r in enumerate(ratios)]), photometric="minisblack")
    return path
