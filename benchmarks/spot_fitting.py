"""Spot fitting: speed and error of the fit beside Picasso and the bound; what is found at which density; hot pixels.

python benchmarks/spot_fitting.py [--spots 20000] [--frames 100] [--only fits,density,camera,movies]
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from peer_environment import PeerUnavailable, environment, measure
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from tables import DATA, Table, store

import fluosr
from fluosr.acquisition import Acquisition, ArrayFrames
from fluosr.camera import Camera
from fluosr.io.movie import open_movie
from fluosr.localisations import Localisations
from fluosr.optics.psf import GaussianPSF
from fluosr.solvers.spot_fit import profile

REQUIREMENTS = ("picassosr==0.11.3",)
SIDE, SIGMA_PX, BACKGROUND = 7, 1.0, 20.0
PHOTONS = (100.0, 300.0, 1000.0, 5000.0)
LEAST_RATE, LARGEST_EXCESS = 30_000.0, 1.03
OUTLIER_PX = 1.5
PIXEL_NM, FWHM_NM = 100.0, 260.0
DENSITIES = (0.02, 0.1, 0.3, 1.0, 3.0)  # molecules per square micrometre and frame
HOT_E, STORM_SIDE = 15.0, 256
PROGRAMS: dict[str, tuple[str, dict[str, Any]]] = {
    "fluosr, x y N b": ("fluosr_fits", {"sigma_px": SIGMA_PX, "fit_width": False}),
    "fluosr, x y N b s": ("fluosr_fits", {"sigma_px": SIGMA_PX, "fit_width": True}),
    "Picasso 0.11.3 MLE, x y N b s": ("picasso_fits", {"engine": "mle"}),
    "Picasso 0.11.3 LQ, x y N b sx sy": ("picasso_fits", {"engine": "lq"}),
}


def spots(n: int, photons: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, 2) x and y anywhere in the middle pixel, from the patch's corner, and (n, 7, 7) counts."""
    random = np.random.default_rng(seed)
    places = SIDE / 2 + random.uniform(-0.5, 0.5, (n, 2))
    clean = [np.outer(profile(SIDE, y, SIGMA_PX)[0], profile(SIDE, x, SIGMA_PX)[0]) for x, y in places]
    return places, random.poisson(photons * np.array(clean) + BACKGROUND).astype(np.float32)


def bound_px(places: np.ndarray, photons: float) -> float:
    """Root of the mean Cramér-Rao variance of x at the truth; x, y, photons and background unknown."""
    variances = []
    for x, y in places[:500]:
        (ex, dx, _), (ey, dy, _) = profile(SIDE, x, SIGMA_PX), profile(SIDE, y, SIGMA_PX)
        slopes = [photons * np.outer(ey, dx), photons * np.outer(dy, ex), np.outer(ey, ex), np.ones((SIDE, SIDE))]
        model = photons * np.outer(ey, ex) + BACKGROUND
        variances.append(np.linalg.inv([[(a * b / model).sum() for a in slopes] for b in slopes])[0, 0])
    return float(np.sqrt(np.mean(variances)))


def fits(options: argparse.Namespace) -> list[Table]:
    """Speed and error of the fit alone."""
    table = Table(
        "Fits of 7 x 7 pixels",
        (
            "photons",
            "program and what it fits",
            "fits/s",
            "RMSE of x, px",
            "bound, px",
            "RMSE / bound",
            "within 1.5 px",
        ),
        f"{options.spots} spots of standard deviation 1 px on {BACKGROUND:g} photons per pixel, anywhere in the middle "
        "pixel; the programs in turn, one thread, CPU time without imports and compiling, median of three. RMSE of the "
        "fits that ended within 1.5 px of the truth, whose share is the last column; below the bound where that cuts. "
        f"Wanted of fluosr at 1000 photons: {LEAST_RATE:.0f} fits/s, RMSE at most {LARGEST_EXCESS} times the bound.",
    )
    interpreters = {"fluosr_fits": Path(sys.executable)}
    try:
        interpreters["picasso_fits"] = environment(REQUIREMENTS)
    except PeerUnavailable as error:
        table.note += f" Picasso could not be installed: {error}"
    for photons in PHOTONS:
        places, patches = spots(options.spots, photons, int(photons))
        bound = bound_px(places, photons)
        for name, (program, settings) in PROGRAMS.items():
            if program not in interpreters:
                continue
            runs = [measure(interpreters[program], program, patches, **settings) for _ in range(3)]
            miss = runs[0].image[:, :2] - places
            good = (runs[0].image[:, 2] > 0) & (np.abs(np.nan_to_num(miss, nan=np.inf)).max(1) < OUTLIER_PX)
            rmse = float(np.sqrt((miss[good, 0] ** 2).mean()))
            rate = options.spots / float(np.median([run.cpu_s for run in runs]))
            table.rows.append([int(photons), name, round(rate), rmse, bound, f"{rmse / bound:.3f}", float(good.mean())])
    return [table]


@dataclass(frozen=True, eq=False)
class Scene:
    """Frames of molecules at random places, and where these are.

    Args:
        acquisition: the movie.
        truth: its molecules, nm.
    """

    acquisition: Acquisition
    truth: Localisations


def scene(density_um2: float, n_frames: int, camera: Camera, *, side: int = 64, seed: int = 0) -> Scene:
    """Molecules of 300 to 3000 photons (even in the logarithm) on 10 photons per pixel, (T, 64, 64)."""
    random, sigma = np.random.default_rng(seed), GaussianPSF(FWHM_NM).sigma_nm / PIXEL_NM
    tables, frames = [], []
    for number in range(n_frames):
        n = random.poisson(density_um2 * (side * PIXEL_NM / 1000.0) ** 2)
        y, x = random.uniform(0.0, side, (2, n))
        photons = np.exp(random.uniform(np.log(300.0), np.log(3000.0), n))
        rows, columns = (np.array([profile(side, c, sigma)[0] for c in axis]).reshape(n, side) for axis in (y, x))
        frames.append(camera.expose(np.einsum("n,ni,nj->ij", photons, rows, columns) + 10.0, random))
        tables.append(Localisations(np.full(n, number), x * PIXEL_NM, y * PIXEL_NM, photons))
    psf, source = GaussianPSF(FWHM_NM), ArrayFrames(np.stack(frames))
    return Scene(Acquisition(source, PIXEL_NM, psf, camera, name="simulated"), Localisations.joined(tables))


@dataclass(frozen=True)
class Score:
    """Molecules found and true, one to one within a radius.

    Args:
        recall, precision: shares of the true ones and of the found ones that are matched.
        rmse_nm: of one coordinate of the matched.
        over_bound: root mean square of errors over their stated uncertainties.
    """

    recall: float
    precision: float
    rmse_nm: float
    over_bound: float


def score(found: Localisations, truth: Localisations, radius_nm: float) -> Score:
    """Match frame by frame, the nearest first over all, and count."""
    misses, stated = [], []
    for number in np.unique(truth.frame):
        here, there = found.in_frame(number), truth.in_frame(number)
        away = np.stack([here.x_nm[:, None] - there.x_nm, here.y_nm[:, None] - there.y_nm], -1)
        distance = np.hypot(away[..., 0], away[..., 1])
        one, other = linear_sum_assignment(np.minimum(distance, radius_nm))
        near = distance[one, other] < radius_nm
        misses.append(away[one[near], other[near]])
        stated.append(here.uncertainty_nm[one[near]])
    miss, error = np.concatenate(misses), np.concatenate(stated)
    return Score(
        len(miss) / max(1, len(truth)),
        len(miss) / max(1, len(found)),
        float(np.sqrt((miss**2).mean())),
        float(np.sqrt((miss**2 / error[:, None] ** 2).mean())),
    )


def localised(acquisition: Acquisition, **parameters: Any) -> tuple[Localisations, float]:
    """The molecules and the CPU seconds per frame."""
    began = time.process_time()
    made = fluosr.reconstruct(acquisition, "spot-fitting", halves=False, factor=4, **parameters)
    if made.localisations is None:
        raise RuntimeError("spot-fitting gave no table")
    return made.localisations, (time.process_time() - began) / acquisition.n_frames


def density(options: argparse.Namespace) -> list[Table]:
    """Recall, precision and error over density."""
    table = Table(
        "Molecules found, by density",
        ("per um2 and frame", "true", "recall", "precision", "Jaccard", "RMSE, nm", "RMSE / stated", "CPU ms/frame"),
        f"{options.frames} frames of 64 x 64 pixels of 100 nm, FWHM 260 nm, 300 to 3000 photons, background 10; all "
        "defaults. A match lies within 150 nm. Errors over their stated uncertainty: 1 is the bound; single molecules "
        "that overlap look like one and are off by more.",
    )
    for per_um2 in DENSITIES:
        made = scene(per_um2, options.frames, Camera(1.0, 100.0, 1.0), seed=round(100 * per_um2))
        found, seconds = localised(made.acquisition)
        got = score(found, made.truth, 150.0)
        jaccard = got.recall * len(made.truth) / (len(made.truth) + len(found) - got.recall * len(made.truth))
        table.rows.append(
            [per_um2, len(made.truth), got.recall, got.precision, jaccard, got.rmse_nm, got.over_bound, 1e3 * seconds]
        )
    return [table]


def camera(options: argparse.Namespace) -> list[Table]:
    """Hot pixels with and without the camera's map."""
    table = Table(
        "Hot pixels",
        ("the camera is given as", "bad pixels left out", "true", "found", "recall", "precision", "RMSE / stated"),
        f"{options.frames} frames as above, .1 molecules per um2; 2 % of the pixels have a read noise of {HOT_E:g} e, "
        "the others 1.2 e.",
    )
    random = np.random.default_rng(3)
    noise = np.where(random.random((64, 64)) < 0.02, HOT_E, 1.2)
    made = scene(0.1, options.frames, Camera.of(1.0, 100.0, noise), seed=3)
    blind = Acquisition(made.acquisition.frames, PIXEL_NM, made.acquisition.psf, Camera(1.0, 100.0, 1.2), name="blind")
    for name, acquisition in (("a map of its read noise", made.acquisition), ("one read noise", blind)):
        for bad_pixels in (True, False):
            found, _ = localised(acquisition, bad_pixels=bad_pixels)
            got = score(found, made.truth, 150.0)
            table.rows.append(
                [name, bad_pixels, len(made.truth), len(found), got.recall, got.precision, got.over_bound]
            )
    return [table]


def storm_truth(path: Path, pixel_nm: float) -> Localisations:
    """Molecules of an Insight3 file (M425): a header of 16 bytes, then records of 72.

    A record is 11 float32 (x, y first, pixel centres being whole numbers from 1), 5 int32 (frame from 1 the third), and
    two float32.
    """
    content = path.read_bytes()
    n = int.from_bytes(content[12:16], "little")
    records = np.frombuffer(content, np.dtype([("real", "<f4", 11), ("whole", "<i4", 5), ("z", "<f4", 2)]), n, 16)
    x, y = ((records["real"][:, i].astype(float) - 0.5) * pixel_nm for i in (0, 1))
    return Localisations(records["whole"][:, 2] - 1, x, y)


def movies(_: argparse.Namespace) -> list[Table]:
    """Public movies: one with its truth, one of an sCMOS camera with its maps."""
    folder = DATA / "smlm"
    if not folder.is_dir():
        return [Table("Public movies", ("what happened",), "", [["the reference data are not here"]])]
    pixel_nm = 160.0
    truth = storm_truth(folder / "SIMULATED_storm_test_olist.bin", pixel_nm)
    acquisition = open_movie(
        folder / "SIMULATED_storm_test_10f.tif", pixel_size_nm=pixel_nm, fwhm_nm=377.0, gain=1.0, offset=100.0,
        read_noise=0.0,
    )  # fmt: skip
    found, _ = localised(acquisition)
    alone = [cKDTree(np.stack([here.x_nm, here.y_nm], 1)) for here in map(truth.in_frame, range(10))]
    far = np.concatenate([tree.query(tree.data, k=2)[0][:, 1] > 6 * pixel_nm for tree in alone])
    known = Table(
        "STORM test movie (simulated by storm-analysis)",
        ("molecules", "true", "recall", "precision", "RMSE, nm", "RMSE / stated"),
        f"10 frames of 256 x 256, 200 molecules each, {len(found)} found; matches within 1.5 pixels of 160 nm. Gain 1, "
        "offset 100 and FWHM 377 nm were read off the movie. Alone: none other within 6 pixels.",
    )
    for name, rows in (("all", truth), ("alone", truth.where(far))):
        got = score(found, rows, 1.5 * pixel_nm)
        precision = got.precision if name == "all" else "-"
        known.rows.append([name, len(rows), got.recall, precision, got.rmse_nm, got.over_bound])
    return [known, _scmos(folder, pixel_nm)]


def _scmos(folder: Path, pixel_nm: float) -> Table:
    table = Table(
        "sCMOS movie (storm-analysis sample, 11 frames)",
        (
            "the camera is given as",
            "bad pixels left out",
            "molecules",
            "on a hot pixel",
            "by chance",
            "hot pixels with any",
        ),
        "Hot: a variance over 200 ADU2 (417 of 65536 pixels). The calibration lies transposed to the frames, holds "
        "electrons per ADU as gain, and its offset lacks the 100 ADU of the file: so the variances of frames and map "
        "agree (ratio 1.01 over hot pixels). Pixels of 160 nm and FWHM 400 nm are assumed.",
    )
    offset, variance, e_per_adu = (
        page.T.astype(float) for page in tifffile.imread(folder / "storm_scmos_sample_calib_offset_var_gain.tif")
    )
    maps = {"gain": 1 / e_per_adu, "offset": 100.0 + offset, "read_noise": np.sqrt(variance) * e_per_adu}
    plain = {name: float(np.median(value)) for name, value in maps.items()}
    hot = variance > 200.0
    for name, given in (("maps", maps), ("three numbers", plain)):
        acquisition = open_movie(folder / "storm_scmos_sample_11f.tif", pixel_size_nm=pixel_nm, fwhm_nm=400.0, **given)
        for bad_pixels in (True, False):
            found, _ = localised(acquisition, bad_pixels=bad_pixels)
            y, x = (np.clip(c / pixel_nm, 0, STORM_SIDE - 1).astype(int) for c in (found.y_nm, found.x_nm))
            struck = np.flatnonzero(hot[y, x])
            pixels = len(np.unique(STORM_SIDE * y[struck] + x[struck]))
            table.rows.append([name, bad_pixels, len(found), len(struck), float(hot.mean() * len(found)), pixels])
    return table


PARTS: dict[str, Callable[[argparse.Namespace], list[Table]]] = {
    "fits": fits,
    "density": density,
    "camera": camera,
    "movies": movies,
}


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spots", type=int, default=20_000)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--only", default=",".join(PARTS))
    options = parser.parse_args()
    tables = [table for part in options.only.split(",") for table in PARTS[part](options)]
    store("spot_fitting", "Spot fitting", tables, version=fluosr.__version__)


if __name__ == "__main__":
    main()
