"""Bicubic enlargement, the baseline that invents nothing."""

from __future__ import annotations

import numpy as np
import torch

from fluosr.latent.degradation import Degradation
from fluosr.latent.result import CropModel, PlausibleImages, checked_coarse, with_misfit
from fluosr.restoration.baselines import bicubic

NAME = "bicubic"


def bicubic_images(made: CropModel, degradation: Degradation, coarse: np.ndarray) -> PlausibleImages:
    """Coarse images (N, C, r, r) enlarged to (N, C, R, R), channel by channel.

    Args:
        made: whose channels, levels and resolution they are compared in; its network is not asked.
        degradation: D, for the misfit.
        coarse: grey values.

    Raises:
        UsageError: coarse images that do not fit.
    """
    checked_coarse(made, degradation, coarse)
    channels = [bicubic(coarse[:, c], degradation.factor) for c in range(coarse.shape[1])]
    images = made.levels.to_range(torch.from_numpy(np.stack(channels, 1)))
    return with_misfit(NAME, made, degradation, coarse, images)
