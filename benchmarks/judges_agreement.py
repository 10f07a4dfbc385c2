"""The judges beside NanoPyx on real images: ring correlation, decorrelation analysis, error map, QnR."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from scipy.ndimage import gaussian_filter
from tables import DATA, Table, store

import fluosr
from fluosr.quality import decorrelation
from fluosr.quality.decorrelation import decorrelation_analysis
from fluosr.quality.error_map import error_map
from fluosr.quality.local_resolution import local_resolution
from fluosr.quality.qnr import resolution_and_fidelity
from fluosr.quality.resolution import fourier_ring_correlation

PEERS = Path(__file__).parent / ".peers"
SCRIPT = Path(__file__).parent / "peers" / "nanopyx_judges.py"
NANOPYX = ("nanopyx==2.1.5", "nd2==0.12.0")
MICROTUBULES, MICROTUBULES_NM = DATA / "smlm" / "imdecorr_microtubules_SR_image.tif", 15.3
CONFOCAL = DATA / "pairs" / "frc_nd2"
PAIRS = {f"{au[0]}.{au[1]} AU": (f"FRC_GaAsP_AU{au}", f"FRC_GaAsP_AU{au}_") for au in ("04", "12")}
BLUR_PX, PEAK_PHOTONS = 5.0, 500.0
SWEEP_FRC_NM = [[92.0, 80.5, 77.0], [101.0, 84.0, 118.0]]
SWEEP_RSP = [[0.91, 0.90, 0.86], [0.93, 0.88, 0.74]]
STRICTER_FALL = 2e-3


def environment() -> tuple[Path | None, str]:
    """NanoPyx's own Python, installed where it is missing; or None and why not."""
    folder = PEERS / NANOPYX[0].replace("==", "-")
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        base = shutil.which("python3.11") or sys.executable
        for command in ([base, "-m", "venv", str(folder)], [str(python), "-m", "pip", "install", "-q", *NANOPYX]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                return None, (done.stderr.strip().splitlines() or ["no message"])[-1]
        (folder / "complete").touch()
    return python, ""


def peer(python: Path, *arguments: str) -> None:
    done = subprocess.run([str(python), str(SCRIPT), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the peer stopped:\n{done.stderr[-2000:]}")


def ratio(ours: float | None, theirs: float | None) -> str:
    return "-" if ours is None or theirs is None else f"{100 * (ours / theirs - 1):+.1f} %"


def ring_correlations(images: dict[str, np.ndarray], pixel_nm: float, answers: dict[str, Any]) -> Table:
    table = Table(
        "Fourier ring correlation",
        ["pair", "fluosr 1/7, nm", "NanoPyx 1/7, nm", "difference", "fluosr 2-sigma, nm", "fluosr half-bit, nm",
         "median of 64-px blocks, nm", "blocks with structure"],
        "Repeated confocal images, pinhole as named, 51.8-nm pixels; both taper with the same Tukey window. What "
        "differs: NanoPyx samples each ring at points interpolated in the Fourier plane, smooths with a cubic over "
        "7 % of the rings where fluosr fits a local line over 3 % to either side, and stretches N / 2 - 1 rings "
        "over the axis to the Nyquist frequency, which alone reads .8 % finer in 512 pixels.",
    )  # fmt: skip
    for name, (first, second) in PAIRS.items():
        pair = images[first], images[second]
        found = [
            fourier_ring_correlation(*pair, pixel_nm, criterion=c).resolution_nm for c in ("1/7", "2-sigma", "half-bit")
        ]
        theirs = answers.get(f"frc {name}")
        blocks = local_resolution(*pair, pixel_nm).describe()
        share = f"{blocks['blocks_with_resolution']} of {blocks['blocks']}"
        table.rows.append(
            [name, _nm(found[0]), _nm(theirs), ratio(found[0], theirs), *map(_nm, found[1:]), _nm(blocks["median_nm"]),
             share]
        )  # fmt: skip
    return table


def decorrelations(images: dict[str, tuple[np.ndarray, float]], answers: dict[str, Any]) -> Table:
    table = Table(
        "Decorrelation analysis",
        ["image", "fluosr, nm", "NanoPyx, nm", "difference", f"fluosr, fall of {STRICTER_FALL}, nm", "fluosr, s"],
        "What differs: NanoPyx pads to a power of two with the first pixel's value (1001 to 1024 here) and takes "
        "Gaussians off in space; fluosr takes every shape as it is and filters in the Fourier plane. A peak counts "
        f"where its curve falls by {decorrelation.LEAST_FALL} or more after it; where a stricter fall gives another "
        "figure, the finest peak is a marginal one, and the figure is uncertain by as much: that is the difference "
        "in the second row.",
    )
    for name, (image, pixel_nm) in images.items():
        start = time.perf_counter()
        ours = decorrelation_analysis(image, pixel_nm).resolution_nm
        seconds = time.perf_counter() - start
        usual, decorrelation.LEAST_FALL = decorrelation.LEAST_FALL, STRICTER_FALL
        stricter = decorrelation_analysis(image, pixel_nm).resolution_nm
        decorrelation.LEAST_FALL = usual
        theirs = answers.get(f"decorrelation {name}")
        table.rows.append([name, _nm(ours), _nm(theirs), ratio(ours, theirs), _nm(stricter), f"{seconds:.2f}"])
    return table


def error_maps(pairs: dict[str, tuple[np.ndarray, np.ndarray, int]], answers: dict[str, Any]) -> Table:
    table = Table(
        "Error map (SQUIRREL)",
        ["reference", "sigma made, fine px", "fluosr", "NanoPyx", "RSP fluosr", "RSP NanoPyx",
         "RSP of NanoPyx's images", "RSE fluosr", "RSE NanoPyx", "fluosr, s"],
        f"The microtubules blurred by {BLUR_PX:g} pixels, with Poisson noise at a peak of {PEAK_PHOTONS:g} photons, "
        "against the microtubules themselves. On one grid only RSP differs: NumPy's correlation of NanoPyx's own "
        "two images is fluosr's figure, not the one NanoPyx gives. With 4 x 4 pixels binned, fluosr compares on the "
        "camera's grid and knows that its pixels integrate; NanoPyx interpolates the reference to the fine grid, so "
        "its sigma holds the pixel too and its errors the interpolation's.",
    )  # fmt: skip
    for name, (reference, image, factor) in pairs.items():
        start = time.perf_counter()
        found = error_map(reference, image, factor * MICROTUBULES_NM, most_sigma_nm=20 * MICROTUBULES_NM)
        seconds = time.perf_counter() - start
        theirs = answers.get(f"error map {name}", {})
        sigma = None if found.sigma_nm is None else found.sigma_nm / MICROTUBULES_NM
        table.rows.append(
            [name, BLUR_PX, _short(sigma, 3), _short(theirs.get("sigma_fine_px"), 3), _short(found.rsp, 4),
             _short(theirs.get("rsp"), 4), _short(theirs.get("pearson"), 4), _short(found.rse, 3),
             _short(theirs.get("rse"), 3), f"{seconds:.2f}"]
        )  # fmt: skip
    return table


def scores(answers: dict[str, Any]) -> Table:
    ours = resolution_and_fidelity(np.array(SWEEP_FRC_NM), np.array(SWEEP_RSP)).qnr
    theirs = answers.get("qnr")
    table = Table("QnR", ["FRC, nm", "RSP", "fluosr", "NanoPyx"], "A sweep of six, one logistic from its extremes.")
    for i, j in np.ndindex(ours.shape):
        peer_score = None if theirs is None else theirs[i][j]
        table.rows.append([SWEEP_FRC_NM[i][j], SWEEP_RSP[i][j], _short(ours[i, j], 4), _short(peer_score, 4)])
    return table


def main() -> None:
    python, why = environment()
    answers: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        microtubules = tifffile.imread(MICROTUBULES).astype(np.float32)
        np.save(folder / "microtubules.npy", microtubules)
        images: dict[str, tuple[np.ndarray, float]] = {"microtubules": (microtubules, MICROTUBULES_NM)}
        image = microtubules[:1000, :1000]
        generator = np.random.default_rng(0)
        blurred = gaussian_filter(image.astype(float), BLUR_PX, mode="nearest")
        pairs = {}
        for name, factor in (("one grid", 1), ("4 x 4 binned", 4)):
            binned = blurred.reshape(1000 // factor, factor, 1000 // factor, factor).mean((1, 3))
            pairs[name] = (generator.poisson(binned / binned.max() * PEAK_PHOTONS).astype(np.float32), image, factor)
            np.save(folder / f"reference {name}.npy", pairs[name][0])
        np.save(folder / "image.npy", image)
        tasks: dict[str, Any] = {"qnr": {"judge": "qnr", "rsp": SWEEP_RSP, "frc_nm": SWEEP_FRC_NM}}
        tables = []
        if python is not None:
            peer(python, "read", place, *(str(CONFOCAL / f"{stem}.nd2") for pair in PAIRS.values() for stem in pair))
            sizes = json.loads((folder / "pixel_sizes_nm.json").read_text())
            confocal = {stem: np.load(folder / f"{stem}.npy") for pair in PAIRS.values() for stem in pair}
            images |= {stem: (confocal[stem], sizes[stem]) for stem in confocal}
            for name, (first, second) in PAIRS.items():
                tasks[f"frc {name}"] = {
                    "judge": "frc", "first": first, "second": second, "pixel_size_nm": sizes[first]
                }  # fmt: skip
        for name, (_, pixel_nm) in images.items():
            tasks[f"decorrelation {name}"] = {"judge": "decorrelation", "image": name, "pixel_size_nm": pixel_nm}
        for name in pairs:
            tasks[f"error map {name}"] = {"judge": "error map", "reference": f"reference {name}", "image": "image"}
        if python is not None:
            (folder / "tasks.json").write_text(json.dumps(tasks))
            peer(python, "judge", place)
            answers = json.loads((folder / "answers.json").read_text())
            tables.append(ring_correlations(confocal, sizes[PAIRS["0.4 AU"][0]], answers))
        tables += [decorrelations(images, answers), error_maps(pairs, answers), scores(answers)]
    said = "NanoPyx 2.1.5" if python is not None else f"did not install ({why}); nd2 files were not read either"
    store("judges_agreement", "The judges beside a peer", tables, version=fluosr.__version__, peer=said)


def _nm(value: float | None) -> str:
    return _short(value, 1)


def _short(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    main()
