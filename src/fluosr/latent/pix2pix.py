"""Pix2Pix, a baseline: a network trained on pairs, which is asked once and searches nothing."""

from __future__ import annotations

import numpy as np
import torch

from fluosr.errors import UsageError
from fluosr.latent.degradation import Degradation
from fluosr.latent.pix2pix_model import TrainedPix2Pix
from fluosr.latent.pix2pix_training import input_of
from fluosr.latent.result import PlausibleImages, SeveralImages, checked_coarse, with_misfit
from fluosr.methods.base import Run

NAME = "Pix2Pix"
STAGE = "images"
AT_ONCE = 4  # images
SPREAD = "that of the network's dropout alone, which is no uncertainty"


def pix2pix(
    model: TrainedPix2Pix, degradation: Degradation, coarse: np.ndarray, run: Run | None = None
) -> PlausibleImages:
    """An image for each coarse one, by one draw of the network's dropout.

    Nothing holds it to the coarse image: what it makes of it when degraded again is the misfit.

    Args:
        model: trained for this degradation.
        degradation: D, for the misfit.
        coarse: y, (N, C, r, r) grey values.
        run: seed of the dropout, a draw of its own for each image; device, progress, stopping.

    Raises:
        UsageError: coarse images that do not fit, or another degradation.
        StopRequested: the user asked to stop.

    Source:
        P. Isola, J.-Y. Zhu, T. Zhou, A. A. Efros, Image-to-Image Translation with Conditional Adversarial Networks,
        CVPR (2017).
    """
    return _drawn(model, degradation, coarse, run or Run(), "dropout")


def pix2pix_samples(
    model: TrainedPix2Pix, degradation: Degradation, coarse: np.ndarray, samples: int, run: Run | None = None
) -> SeveralImages:
    """Several images for each coarse one, by draws of the network's dropout.

    WARNING: they differ little, as the paper says itself, and far less than images that fit the coarse one: their
    spread is no uncertainty.

    Args:
        model, degradation, coarse, run: as :func:`pix2pix` takes them.
        samples: images for each.

    Raises:
        UsageError: as :func:`pix2pix`; a network without dropout, or fewer than two samples.
        StopRequested: the user asked to stop.
    """
    check_samples(model, samples)
    repeated = np.repeat(coarse, samples, 0)
    return SeveralImages(_drawn(model, degradation, repeated, run or Run(), "samples"), samples)


def check_samples(model: TrainedPix2Pix, samples: int) -> None:
    """See that a network can make images that differ.

    Raises:
        UsageError: it has no dropout, or fewer than two are asked for.
    """
    if samples < 2:
        raise UsageError(f"samples: {samples}; it takes two at least to differ.")
    if not model.knowledge.dropout:
        raise UsageError(
            "this Pix2Pix was trained without dropout: it has one image for each coarse one and no spread. Train one "
            "with --dropout, or ask for that image alone in Python."
        )


@torch.no_grad()
def _drawn(
    model: TrainedPix2Pix, degradation: Degradation, coarse: np.ndarray, run: Run, purpose: str
) -> PlausibleImages:
    model.check(degradation)
    given = input_of(checked_coarse(model, degradation, coarse), degradation.factor)
    network = model.network.to(run.device)
    draws = run.generator(purpose)
    made = []
    for part in given.split(AT_ONCE):
        run.check()
        noises = [network.noise(1, draws) for _ in part]  # image by image: whatever the others, each has its own
        noise = [torch.cat(layer).to(run.device) for layer in zip(*noises, strict=True)]
        made.append(network(part.to(run.device), noise).cpu())
        run.progress(STAGE, sum(map(len, made)), len(given))
    model.network.cpu()
    return with_misfit(NAME, model, degradation, coarse, torch.cat(made))
