"""Auto-cumulants at lag 0 by fluosr, of a TIFF: frames.npy result.npy settings."""

import json
import sys
from pathlib import Path

import numpy as np
import tifffile
from measured import measured

import fluosr
from fluosr.methods.sofi.auto import AutoSums, auto_cumulants

frames, orders = np.load(sys.argv[1]), json.loads(sys.argv[3])["orders"]
file = Path(sys.argv[1]).parent / "movie.tif"
tifffile.imwrite(file, frames, metadata={"axes": "TYX"})
auto_cumulants(np.ones((2, 4, 4), np.float32), 4)  # compiles
with measured():
    movie = fluosr.open_movie(file, pixel_size_nm=100.0, fwhm_nm=300.0, gain=1.0, offset=0.0, read_noise=0.0)
    sums = AutoSums(movie.field_shape, max(orders))
    for where, chunk in movie.chunks():
        sums.add(np.arange(movie.n_frames)[where], chunk)
    found = sums.cumulants()
np.save(sys.argv[2], np.stack([found[str(order)] for order in orders]))
