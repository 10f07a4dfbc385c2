"""Auto-cumulants at lag 0 by pysofi, of a TIFF: frames.npy result.npy settings."""

import json
import sys
from pathlib import Path

import numpy as np
import tifffile
from measured import measured
from pysofi.pysofi import PysofiData

frames, orders = np.load(sys.argv[1]), json.loads(sys.argv[3])["orders"]
folder = str(Path(sys.argv[1]).parent)
tifffile.imwrite(Path(folder) / "movie.tif", frames, metadata={"axes": "TYX"})
with measured():
    found = PysofiData(folder, "movie.tif").cumulants_images(highest_order=max(orders))
np.save(sys.argv[2], np.stack([found[order] for order in orders]))
