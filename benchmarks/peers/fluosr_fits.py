"""Spots fitted by fluosr: spots.npy result.npy settings; rows of x, y (pixels from the corner), 1 where it ended."""

import json
import sys

import numpy as np
from measured import measured

from fluosr.solvers.spot_fit import fit_spots

spots, settings = np.load(sys.argv[1]), json.loads(sys.argv[3])
fit_spots(spots[:10], settings["sigma_px"], fit_width=settings["fit_width"])  # compiled
with measured():
    found = fit_spots(spots, settings["sigma_px"], fit_width=settings["fit_width"])
np.save(sys.argv[2], np.stack([found.x_px, found.y_px, found.converged], 1))
