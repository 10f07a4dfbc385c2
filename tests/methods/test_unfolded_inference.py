"""The fast steps against the differentiable ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fluosr.methods.unfolded.compiled_step import step
from fluosr.methods.unfolded.matrices import grid_for
from fluosr.methods.unfolded.network import Architecture, UnfoldedGradient, Units
from fluosr.methods.unfolded.physics import Physics
from fluosr.methods.unfolded.smoothing import smoothed_projection
from fluosr.optics.banded import BandedMatrix, multiply
from fluosr.optics.operators import SeparableOperator
from fluosr.optics.psf import GaussianPSF

FIELD = (37, 50)  # several bands along each axis, of unequal lengths
KINDS = [
    pytest.param({}, id="least squares"),
    pytest.param({"data_term": "kullback-leibler"}, id="Kullback-Leibler"),
    pytest.param({"semi_blind": True}, id="variances"),
]


def network_of(**changes: Any) -> UnfoldedGradient:
    facts = {"fwhm_nm": 260.0, "pixel_size_nm": 100.0, "factor": 3, "background_photons": 4.0}
    network = UnfoldedGradient(Physics(**(facts | changes)), Architecture(40), Units(200.0, 800.0, 20.0))
    network.sparsity.data.fill_(1e-4)
    network.steps.data.copy_(torch.linspace(0.02, 0.2, 40))
    return network


def frames_of(count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(3)
    frames = torch.as_tensor(random.poisson(random.uniform(0, 40, (count, *FIELD))), dtype=torch.float32)
    return frames, torch.linspace(3.0, 5.0, count)


@pytest.mark.parametrize("changes", KINDS)
def test_images_are_those_of_the_differentiable_steps(changes: dict[str, Any]) -> None:
    network, (frames, background) = network_of(**changes), frames_of()
    wanted = network(frames.double(), background.double()).detach()
    with torch.no_grad():
        found = network(frames, background)
    assert found.dtype == torch.float32 and wanted.max() > 1
    torch.testing.assert_close(found.double(), wanted, rtol=1e-3, atol=1e-4 * float(wanted.max()))


def test_frames_do_not_see_each_other() -> None:
    network, (frames, background) = network_of(), frames_of()
    with torch.no_grad():
        together = network(frames, background)
        alone = [network(frames[i : i + 1], background[i : i + 1]) for i in range(len(frames))]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.filterwarnings("ignore:overflow")
def test_what_diverges_is_seen() -> None:
    network, (frames, background) = network_of(), frames_of()
    network.steps.data.fill_(300.0)
    with torch.no_grad():
        assert not network(frames, background).isfinite().all()


def test_one_compiled_step() -> None:
    random = np.random.default_rng(5)
    before, z, slope = (random.normal(0.0, 1.0, 999).astype(np.float32) for _ in range(3))
    z[:2], slope[0] = np.nan, np.inf
    single = np.float32
    u = torch.as_tensor(z - single(0.3) * (slope + single(0.1)))
    wanted = smoothed_projection(u, 0.2).numpy()
    x, ahead = before.copy(), z.copy()
    step(x, ahead, slope, single(0.1), single(0.3), single(0.2), single(0.9))
    np.testing.assert_allclose(x, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ahead, wanted + 0.9 * (wanted - before), rtol=1e-5, atol=1e-6)
    assert np.isnan(x[:2]).all()


def test_products_kept_follow_what_they_multiply() -> None:
    physics = network_of().physics
    grid = grid_for(physics, FIELD)
    operator = SeparableOperator(grid, GaussianPSF(physics.fwhm_nm), 100.0, dtype=torch.float64, banded=True)
    matrix = operator._bands[0][0]
    dense = torch.as_tensor(matrix.dense())
    x, out = torch.rand((dense.shape[1], 5), dtype=torch.float64), torch.empty((dense.shape[0], 5), dtype=torch.float64)
    y, back = torch.rand_like(out), torch.empty_like(x)
    kept, kept_back = matrix.products(x, out), matrix.products_adjoint(y, back)
    for value in (x, 2.0 - x):
        x.copy_(value)
        multiply(kept)
        multiply(kept_back)
        torch.testing.assert_close(out, dense @ x)
        torch.testing.assert_close(back, dense.T @ y)


def test_a_banded_matrix_is_the_matrix() -> None:
    matrix = np.triu(np.tril(np.random.default_rng(2).uniform(1.0, 2.0, (50, 50)), 6), -6)
    np.testing.assert_array_equal(BandedMatrix(matrix, torch.float64, "cpu").dense(), matrix)
