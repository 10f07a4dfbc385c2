"""FluoGAN on real movies: the 210-nm ARGO phantom with its drift, a cardiomyoblast, and a field with nothing in it."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from pathlib import Path

import numpy as np
from tables import DATA, RESULTS, Table, mean_sd, store

import fluosr
from fluosr.io.movie import open_movie
from fluosr.methods.base import Run
from fluosr.methods.registry import get_method
from fluosr.pipeline import run_to_folder
from fluosr.quality.lines import PairVerdict, judge_profile

ARGO = DATA / "fluogan" / "argo_video_210nm_500f.tif"
MITOCHONDRION = DATA / "fluctuation" / "musij_cardiomyoblast_mito_100f.tif"
DIFFUSE = DATA / "fluctuation" / "musij_008_diffuse_200f.tif"
PAIR_NM = 1700.0  # where the middle pair lies, nm from the left edge; read off the mean frame
NOMINAL_NM = 210.0


def middle_pair(image: np.ndarray, fine_nm: float) -> tuple[PairVerdict, float]:
    """The pair in the column means, borders left out, and the distance of the centroids of its two sides."""
    trim = image.shape[0] // 10
    profile = image[trim:-trim].mean(0)
    position = (np.arange(len(profile)) + 0.5) * fine_nm
    near = np.abs(position - PAIR_NM) < 400.0
    centre = float(np.average(position[near], weights=profile[near]))
    sides = [near & (position < centre), near & (position >= centre)]
    left, right = (float(np.average(position[side], weights=profile[side])) for side in sides)
    return judge_profile(position - centre, profile, NOMINAL_NM, 400.0), right - left


def argo_table(seeds: int) -> Table:
    """The phantom with and without drift, lambda and discriminator."""
    table = Table(
        "ARGO phantom, middle pair nominally 210 nm",
        ("settings", "found, nm", "dip", "centroids apart, nm", "residual rms", "lambda chosen"),
        "103-nm pixels, FWHM 318 nm, L = 6. 'found' is the distance of the two maxima of the column means, 'centroids "
        "apart' that of the light left and right of the pair's middle. "
        f"{seeds} seeds: of the held-out pixels and of the discriminator.",
    )
    for label, parameters in (
        ("default", {}),
        ("drift ignored", {"drift": False}),
        ("sparsity 0.7", {"sparsity": 0.7}),
        ("with discriminator", {"discriminator": True}),
    ):
        found, dips, apart, rms, chosen = [], [], [], [], []
        for seed in range(seeds):
            made = fluosr.reconstruct(
                open_movie(ARGO, pixel_size_nm=103.0, fwhm_nm=318.0), seed=seed, factor=6, halves=False, **parameters
            )
            verdict, distance = middle_pair(made.image, made.pixel_size_nm)
            found.append(verdict.found_nm)
            dips.append(verdict.dip)
            apart.append(distance)
            rms.append(float(np.sqrt(np.mean(((made.mean - made.expected) / made.standard_error) ** 2))))
            chosen.append(made.parameters["sparsity"])
        values = ", ".join(sorted({f"{value:g}" for value in chosen}))
        table.rows.append([label, mean_sd(found, 0), mean_sd(dips), mean_sd(apart, 0), mean_sd(rms), values])
    return table


def report_table(output: Path) -> Table:
    """The whole command on every movie; reports are kept in ``output``."""
    table = Table(
        "Whole command, default settings",
        ("movie", "residual rms", "verdict", "resolution, nm", "significance, sd", "lambda"),
        "Significance under 4 means: nothing here. The last movie is a structureless control; its pixel and PSF are "
        "not known (100 and 300 nm assumed).",
    )
    for path, pixel, optics in (
        (ARGO, 103.0, {"fwhm_nm": 318.0}),
        (MITOCHONDRION, 80.0, {"na": 1.4, "wavelength_nm": 510.0}),
        (DIFFUSE, 100.0, {"fwhm_nm": 300.0}),
    ):
        result = run_to_folder(
            open_movie(path, pixel_size_nm=pixel, **optics),
            output / path.stem,
            parameters=get_method("fluogan").build(),
            run=Run(),
        )
        made, quality = result.reconstruction, result.quality
        resolution = quality.resolution.resolution_nm if quality.resolution else None
        table.rows.append(
            [path.stem, quality.residuals.rms, "noise level" if quality.residuals.at_noise_level else "structure left",
             resolution or "none", made.significance, made.parameters["sparsity"]]
        )  # fmt: skip
    return table


def main() -> None:
    """Run everything; about fifteen minutes."""
    missing = [path for path in (ARGO, MITOCHONDRION, DIFFUSE) if not path.exists()]
    if missing:
        print(f"skipped: {missing[0].name} is not there; set FLUOSR_DATA to the folder of the reference data")
        sys.exit(0)
    import torch

    torch.set_num_threads(1)
    tables = [report_table(RESULTS.parent.parent / "demo" / "real"), argo_table(seeds=2)]
    store("fluogan_real", "FluoGAN on real movies", tables, version=fluosr.__version__)


if __name__ == "__main__":
    main()
