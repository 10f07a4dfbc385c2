"""What tests of the command line share: a movie in a file, options that make a run quick, and the record of a run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

import fluosr as package
from fluosr.io.write import write_movie
from tests.movies import CROSS, frames_of, light_of

FACTS = ("--fwhm", "300", "--gain", "1", "--offset", "0", "--read-noise", "0")
QUICK = ("--factor", "3", "--iterations", "60", "--sparsity", "0.7", "--smoothness", "1", "--no-halves", "--no-report")


def cross_file(folder: Path) -> Path:
    """A movie of a cross, 100-nm pixels, 50 ms a frame, in a new folder."""
    folder.mkdir()
    frames = frames_of(light_of(CROSS, background=3.0))
    write_movie(folder / "cross.tif", frames, len(frames), np.uint16, 100.0, 0.05)
    return folder / "cross.tif"


def record_of(folder: Path) -> dict[str, Any]:
    """What run.json in a folder of results holds."""
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def environment() -> dict[str, str]:
    """Of a process of its own that finds this package."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(package.__file__).parents[1])}
