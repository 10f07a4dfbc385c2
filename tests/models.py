"""Models of learned methods for tests that run every method: made by hand, for any microscope and grid."""

from __future__ import annotations

import pytest
import torch

from fluosr.acquisition import Acquisition
from fluosr.methods.unfolded.network import Architecture, UnfoldedGradient, Units
from fluosr.methods.unfolded.parameters import UnfoldedParameters
from fluosr.methods.unfolded.physics import Physics
from fluosr.methods.unfolded.training import silver_steps

ITERATIONS = 31
POISSON = "kullback-leibler"  # name of a model with this data term; any other name is one of least squares


def give_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of ``unfolded`` knows one microscope and grid: from here on each movie gets one of its own."""

    def fitting(acquisition: Acquisition, parameters: UnfoldedParameters) -> tuple[UnfoldedGradient, str]:
        poisson = parameters.model == POISSON
        physics = Physics(
            acquisition.psf.fwhm_nm,
            acquisition.pixel_size_nm,
            parameters.factor or 3,
            "kullback-leibler" if poisson else "least-squares",
            semi_blind=parameters.semi_blind,
        )
        network = UnfoldedGradient(physics, Architecture(ITERATIONS), Units(peak=200.0, penalty=100.0, level=20.0))
        with torch.no_grad():
            network.steps.copy_(silver_steps(ITERATIONS) * (0.2 if poisson else 1.0))
            network.sparsity.fill_(0.02)
        return network.requires_grad_(False), "0" * 16

    monkeypatch.setattr("fluosr.methods.unfolded.fitting.fitting_model", fitting)
