"""Spots fitted by Picasso: spots.npy result.npy settings; rows of x, y (pixels from the corner), 1 where it ended."""

import json
import sys
import warnings

warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
from measured import measured  # noqa: E402
from picasso import gausslq, gaussmle  # noqa: E402

CONVERGENCE, MOST_ITERATIONS = 0.001, 100  # its own defaults for localising
spots, engine = np.load(sys.argv[1]).astype(np.float32), json.loads(sys.argv[3])["engine"]


def fit(given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x, y as Picasso counts them, and whether the fit ended."""
    if engine == "lq":
        found = gausslq.fit_spots(given)
        return found[:, :2], np.isfinite(found).all(1)
    found, _, _, iterations = gaussmle.gaussmle(given, CONVERGENCE, MOST_ITERATIONS, method="sigma")
    return found[:, :2], iterations < MOST_ITERATIONS


fit(spots[:10])  # compiled
with measured():
    places, ended = fit(spots)
# Pixel centres are whole numbers there, from the first pixel (mle) or from the middle one (lq).
corner = places + 0.5 + (spots.shape[1] // 2 if engine == "lq" else 0.0)
np.save(sys.argv[2], np.column_stack([corner, ended]))
