"""Models of learned methods for tests that run every method: made by hand, for any microscope and grid."""

from __future__ import annotations

import pytest
import torch

from fluosr.acquisition import Acquisition
from fluosr.methods.deep_storm.examples import Instrument
from fluosr.methods.deep_storm.heatmap import HEIGHT
from fluosr.methods.deep_storm.model import TrainedDeepStorm
from fluosr.methods.deep_storm.parameters import DeepStormParameters
from fluosr.methods.unfolded.network import Architecture, UnfoldedGradient, Units
from fluosr.methods.unfolded.outer_problem import silver_steps
from fluosr.methods.unfolded.parameters import UnfoldedParameters
from fluosr.methods.unfolded.physics import Physics

ITERATIONS = 31
POISSON = "kullback-leibler"  # name of a model with this data term; any other name is one of least squares


class BrightParts(torch.nn.Module):
    """In the place of Deep-STORM's network, of which one that has learnt little would break laws by itself."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return HEIGHT * frames.clamp_min(0.0)


def give_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """A learned method's model knows one microscope and grid: from here on each movie gets one of its own."""

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

    def storming(acquisition: Acquisition, parameters: DeepStormParameters) -> TrainedDeepStorm:
        instrument = Instrument(acquisition.pixel_size_nm, acquisition.psf.fwhm_nm, parameters.factor or 3)
        return TrainedDeepStorm(BrightParts(), instrument, 1, "0" * 16)  # type: ignore[arg-type]

    monkeypatch.setattr("fluosr.methods.unfolded.fitting.fitting_model", fitting)
    monkeypatch.setattr("fluosr.methods.deep_storm.fitting.fitting_model", storming)
