"""The likelihood of mean and covariance on real movies: does it fit both, and what does it say of the fluctuations?"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time

import torch
from tables import DATA, Table, store

import fluosr
from fluosr.io.movie import open_movie
from fluosr.quality.judge import Quality, judge

WIDEFIELD = {"pixel_size_nm": 80.0, "na": 1.4}
DECONSTORM = "fluctuation/deconstorm_microtubule_626f.tif"
WIDTHS_NM = (300.0, 380.0, 470.0, 530.0)
MOVIES = {
    f"deconSTORM microtubule (blinking), FWHM {width:.0f}": (DECONSTORM, {"pixel_size_nm": 160.0, "fwhm_nm": width})
    for width in WIDTHS_NM
} | {
    "MusiJ mitochondria": ("fluctuation/musij_014_mito_50f.tif", WIDEFIELD | {"wavelength_nm": 525.0}),
    "MusiJ cardiomyoblast": ("fluctuation/musij_cardiomyoblast_mito_100f.tif", WIDEFIELD | {"wavelength_nm": 510.0}),
    "ARGO video, 210 nm": ("fluogan/argo_video_210nm_500f.tif", {"pixel_size_nm": 103.0, "fwhm_nm": 318.0}),
    "MusiJ, nothing there": ("fluctuation/musij_008_diffuse_200f.tif", WIDEFIELD | {"wavelength_nm": 525.0}),
}  # fmt: skip


def resolution_of(quality: Quality) -> str:
    """The figure, or why there is none."""
    ring = quality.resolution
    if ring is None:
        return str(quality.resolution_reason)
    return str(ring.reason) if ring.resolution_nm is None else f"{ring.resolution_nm:.0f}"


def main() -> None:
    """Measure and store."""
    torch.set_num_threads(1)
    table = Table(
        "Mean and covariance of real movies",
        ("movie", "fell back", "kappa of neighbours (95 %)", "kappa fitted", "residual of the mean / noise",
         "residual of the covariance / noise", "resolution, nm", "CPU, s"),
        "All defaults, halves included. Residuals: rms over the noise of camera and light (mean), over that of as many "
        "Gaussian frames (covariance); where the method fell back to FluoGAN no covariance was fitted. The deconSTORM "
        "movie's pixel and PSF are not published with it: pixels of 160 nm are assumed, and several widths. Its "
        "brightest molecules are 340 to 380 nm wide, and what neighbours at one and two pixels share speaks for 530.",
    )  # fmt: skip
    for name, (path, optics) in MOVIES.items():
        acquisition = open_movie(DATA / path, **optics)
        began = time.process_time()
        made = fluosr.reconstruct(acquisition, "covariance", device="cpu")
        took = time.process_time() - began
        quality = judge(made)
        choices = made.choices
        back = "fell_back" in choices
        neighbours = choices.get("fano_of_neighbours")
        told = f"{neighbours['value']:.3g} ({str(neighbours['why']).split('; ')[-1]})" if neighbours else "not known"
        table.rows.append(
            [
                name,
                back,
                told,
                "" if back else f"{choices['fano']['value']:.3g}",
                "not known" if quality.residuals.rms is None else f"{quality.residuals.rms:.2f}",
                "" if back else f"{choices['covariance_misfit']['value']:.2f}",
                resolution_of(quality),
                f"{took:.0f}",
            ]
        )
        print(table.rows[-1], *made.warnings, sep="\n  ", flush=True)
    store("covariance_real", "The covariance of real movies", [table], version=fluosr.__version__)


if __name__ == "__main__":
    main()
