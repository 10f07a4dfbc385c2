"""Restoring real single frames: W2S by fields, and what a network of W2S does to images of other microscopes.

Folds are run one by one and kept in a file of their own, so that a run can be stopped and taken up. The classical
denoisers need scikit-image and bm3d (``pip install scikit-image bm3d``); without them their rows are left out.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import tifffile
import torch
from scipy.ndimage import gaussian_filter
from tables import DATA, RESULTS, Cells, Table, store

import fluosr
from fluosr.learning import save_model
from fluosr.methods.base import Run
from fluosr.methods.trained_model import model_paths
from fluosr.quality.score_table import MethodScores
from fluosr.restoration.fields import Field
from fluosr.restoration.judging import Make, judged, restored_by, table_of
from fluosr.restoration.lesson import lesson_of
from fluosr.restoration.model import TrainedRestorer, load_restorer
from fluosr.restoration.parameters import RestorationTraining

MODELS = RESULTS / "restoration_real.models"
EDITION = 1  # of data and training: models of another one are trained anew
FOLDS = 4
TRAINING = {"iterations": 1500, "evaluation": 150, "patch": 64, "batch": 4, "validation_share": 0.0, "augment": True}
PAIRS = DATA / "pairs"
OTHERS = {
    "bacteria (16 bit)": "bacteria_noisy_avg_16bit.tif",
    "nuclei, migrating": "nuclei_migration_low_high_snr.tif",
    "BPAE cells, confocal": "fmd_confocal_bpae_3ch_noisy_avg50.tif",
    "zebrafish, confocal": "fmd_confocal_fish_noisy_avg50.tif",
}
Places = list[tuple[str, Field]]  # place of the sample, and one channel of it


def channels(name: str, stack: np.ndarray) -> Places:
    """Each channel of a (2, Y, X) or (2, C, Y, X) stack [bad, good] as a field of its own; one place for all."""
    stack = stack[:, None] if stack.ndim == 3 else stack
    low, high = stack.astype(np.float32)
    return [(name, Field(f"{name}, channel {c}", high[c], low[c][None])) for c in range(len(high))]


def w2s() -> list[Places]:
    """The eight places of W2S, three channels each."""
    return [channels(path.stem.split("_")[1], tifffile.imread(path)) for path in sorted(PAIRS.glob("w2s_*.tif"))]


def model_of(name: str, learnt: list[Places]) -> TrainedRestorer:
    """A network trained on places, from its file where it was trained before; no place is looked at on the way."""
    path = MODELS / f"{EDITION}-{name}"
    if not model_paths(path)[0].exists():
        fields = [field for places in learnt for _, field in places]
        made = lesson_of(fields, 1, RestorationTraining(arm="paired", **TRAINING)).learn(Run(seed=0))
        MODELS.mkdir(parents=True, exist_ok=True)
        save_model(model_paths(path), made.model.packed({"log": made.log.entries}))
    return load_restorer(path)


def classical() -> dict[str, Make]:
    """Denoisers of single images, each as strong as the image itself asks for; none where their packages are not there.

    The width of the blur and the strength of the non-local means are chosen on each frame, without the truth, by how
    well pixels are foretold from those around them (J-invariance; Batson & Royer 2019). BM3D, too slow for that, takes
    the noise from differences of neighbours: the noise is not Gaussian, and the median of wavelet coefficients, which
    is the usual way, finds half of it.
    """
    try:
        from bm3d import bm3d
        from skimage.restoration import calibrate_denoiser, denoise_nl_means
    except ImportError:
        return {}

    def noise_sd(frame: np.ndarray) -> float:
        return float(np.sqrt(0.5 * np.mean(np.diff(frame, axis=-1) ** 2)))

    def averaged(image: np.ndarray, h: float) -> np.ndarray:
        options = {"fast_mode": True, "patch_size": 7, "patch_distance": 11, "preserve_range": True}
        return np.asarray(denoise_nl_means(image, h=h, **options))

    def calibrated(frame: np.ndarray, denoise: Callable[..., np.ndarray], name: str, values: list[float]) -> np.ndarray:
        image = frame.astype(float)
        _, (tried, losses) = calibrate_denoiser(image, denoise, {name: values}, extra_output=True)
        return denoise(image, **tried[int(np.argmin(losses))])

    def blur(frame: np.ndarray) -> np.ndarray:
        return calibrated(frame, gaussian_filter, "sigma", [0.7, 1.0, 1.4, 2.0, 2.8, 4.0])

    def means(frame: np.ndarray) -> np.ndarray:
        return calibrated(frame, averaged, "h", [share * noise_sd(frame) for share in (0.4, 0.6, 0.8, 1.0, 1.4)])

    def by_blocks(frame: np.ndarray) -> np.ndarray:
        return np.asarray(bm3d(frame.astype(float), sigma_psd=noise_sd(frame)))

    def each(one: Callable[[np.ndarray], np.ndarray]) -> Make:
        return lambda frames: np.stack([one(frame) for frame in frames])

    return {"Gaussian blur": each(blur), "non-local means": each(means), "BM3D": each(by_blocks)}


def makers(model: TrainedRestorer) -> dict[str, Make]:
    """What is compared."""
    frame: dict[str, Make] = {"the frame itself": lambda frames: frames}
    return frame | classical() | {"network": restored_by(model.network)}


def run(model: TrainedRestorer, tested: Places) -> dict[str, Any]:
    """Every maker on some fields: for each the place, the field and the figures."""
    found: dict[str, Any] = {}
    for name, make in makers(model).items():
        started = time.process_time()
        scores, _ = judged(make, [field for _, field in tested])
        found[name] = {
            "places": [place for place, _ in tested],
            "fields": scores.fields.tolist(),
            "metrics": {metric: values.tolist() for metric, values in scores.metrics.items()},
            "seconds": time.process_time() - started,
        }
    return found


def table(title: str, note: str, cells: list[dict[str, Any]]) -> Table:
    """Means over places, with 95 % intervals; gains over the frame itself, place by place."""
    names = [name for name in cells[0] if all(name in cell for cell in cells)]
    scores = {
        name: MethodScores(
            np.array([place for cell in cells for place in cell[name]["places"]]),
            {
                metric: np.array([value for cell in cells for value in cell[name]["metrics"][metric]])
                for metric in cells[0][name]["metrics"]
            },
        )
        for name in names
    }
    made = table_of(scores, 0)
    gains = made.against(names[0], generator=np.random.default_rng(0))
    shown = Table(title, ("", *made.metrics, *(f"gain in {metric}" for metric in made.metrics), "CPU, s"), note)
    for name in names:
        row = [_text(made.cells[name][metric].interval) for metric in made.metrics]
        row += [_text(gains.cells[name][metric].interval) if name in gains.cells else "" for metric in made.metrics]
        shown.rows.append([name, *row, f"{sum(cell[name]['seconds'] for cell in cells):.0f}"])
    return shown


def _text(interval: Any) -> str:
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def fold(number: int) -> dict[str, Any]:
    """The places of one fold, by a network of the others."""
    places = w2s()
    learnt = [place for each, place in enumerate(places) if each % FOLDS != number]
    tested = [field for each, place in enumerate(places) if each % FOLDS == number for field in place]
    return run(model_of(f"fold-{number}", learnt), tested)


def other(name: str) -> dict[str, Any]:
    """Images of another microscope, by a network of all places."""
    return run(model_of("all", w2s()), channels(name, tifffile.imread(PAIRS / OTHERS[name])))


def main() -> None:
    """Run what is missing, then store the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.0, help="stop after so many; 0: run all")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = Cells("restoration_real", arguments.minutes)
    of_folds = {f"{EDITION} fold {number}": partial(fold, number) for number in range(FOLDS)}
    of_others = {f"{EDITION} {name}": partial(other, name) for name in OTHERS}
    found.fill(
        [*of_folds.items(), *of_others.items()],
        lambda cell: {name: np.mean(next(iter(own["metrics"].values()))) for name, own in cell.items()},
    )
    folds = [found[key] for key in of_folds if key in found]
    others = [(name, found[key]) for name, key in zip(OTHERS, of_others, strict=True) if key in found]
    made = []
    if folds:
        places = len(w2s())
        learnt_from = places - places // FOLDS
        note = (
            f"{len(folds)} of {FOLDS} folds: a network (the default, x1) that learnt from {learnt_from} of the places "
            "restores one frame of the others, each of three channels; the truth is the mean of 400 frames. After the "
            "best gain and offset of each picture, for each was scaled to 8 bits on its own. Means "
            "over places with 95 % intervals; channels of a place are one."
        )
        made.append(table("W2S, places unseen in training", note, folds))
    for name, cell in others:
        note = "Another microscope, sample and noise: the network of all W2S places as it is. One place: no interval."
        made.append(table(f"Zero-shot: {name}", note, [cell]))
    if made:
        store("restoration_real", "Restoration of real single frames", made, version=fluosr.__version__)


if __name__ == "__main__":
    main()
