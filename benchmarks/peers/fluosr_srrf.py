"""SRRF and eSRRF by fluosr, without its corrections and judges: frames.npy result.npy settings."""

import json
import sys

import numpy as np
from measured import measured

from fluosr.methods.base import Run
from fluosr.methods.radial_fluctuations.convergence import Convergence
from fluosr.methods.radial_fluctuations.esrrf import EsrrfParameters
from fluosr.methods.radial_fluctuations.maker import RadialMaker
from fluosr.methods.radial_fluctuations.radiality import Radiality
from fluosr.methods.radial_fluctuations.srrf import SrrfParameters

frames, settings = np.load(sys.argv[1]).astype(np.float32), json.loads(sys.argv[3])
method = settings.pop("method")
parameters = (SrrfParameters if method == "srrf" else EsrrfParameters)(**settings)
factor, radius = settings["factor"], settings["radius"]


def work(frames: np.ndarray) -> np.ndarray:
    transform = (
        Radiality(factor, radius, 12, True) if method == "srrf" else Convergence(factor, radius, 1.0, "catmull-rom")
    )
    maker = RadialMaker(transform, "mean", parameters, factor)
    maker.add(np.arange(len(frames)), frames)
    return maker.image(Run(), "image")


work(frames[:2, :32, :32])
with measured():
    image = work(frames)
np.save(sys.argv[2], image)
