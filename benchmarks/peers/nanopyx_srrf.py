"""SRRF and eSRRF by NanoPyx, on its compiled threaded path: frames.npy result.npy settings."""

import json
import sys

import numpy as np
from measured import measured
from nanopyx.methods import SRRF, eSRRF

frames, settings = np.load(sys.argv[1]).astype(np.float32), json.loads(sys.argv[3])
common = {
    "magnification": settings["factor"],
    "doIntensityWeighting": settings["intensity_weighting"],
    "macro_pixel_correction": settings["macro_pixel_correction"],
    "_force_run_type": "threaded",
}


def work(frames: np.ndarray) -> np.ndarray:
    if settings["method"] == "srrf":
        return np.asarray(SRRF(frames, ringRadius=settings["radius"], **common)).mean(0)
    own = {"radius": settings["radius"], "sensitivity": 1, "temporal_correlation": "AVG"}
    return np.squeeze(np.asarray(eSRRF(frames, **own, **common)))


work(frames[:2, :32, :32])
with measured():
    image = work(frames)
np.save(sys.argv[2], image)
