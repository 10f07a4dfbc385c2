"""The unfolded algorithm against what it unfolds, its derivatives against differences."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fluosr.errors import UsageError
from fluosr.methods.unfolded.losses import loss_of, loss_of_nothing
from fluosr.methods.unfolded.matrices import axis_matrix, curvature_bound, grid_for, operator_for
from fluosr.methods.unfolded.network import Architecture, UnfoldedGradient, Units, inertia
from fluosr.methods.unfolded.physics import Physics
from fluosr.methods.unfolded.smoothing import binarised, huber, smoothed_projection, smoothed_step
from fluosr.optics.operators import SeparableOperator
from fluosr.optics.psf import GaussianPSF
from fluosr.optics.sampling import Grid
from fluosr.solvers.fista import Fista, FistaState

FIELD, FACTOR, BACKGROUND = (7, 6), 3, 4.0
TERMS = ("least-squares", "kullback-leibler")
KINDS = [
    pytest.param({}, id="least squares"),
    pytest.param({"data_term": "kullback-leibler"}, id="Kullback-Leibler"),
    pytest.param({"semi_blind": True}, id="variances"),
]


def physics_of(**changes: Any) -> Physics:
    facts = {"fwhm_nm": 260.0, "pixel_size_nm": 100.0, "factor": FACTOR, "background_photons": BACKGROUND}
    return Physics(**(facts | changes))


def network_of(iterations: int = 7, projection_width: float = 1e-3, **changes: Any) -> UnfoldedGradient:
    architecture = Architecture(iterations, projection_width, transition=0.7)
    physics = physics_of(**changes)
    frames, _ = pairs_of(physics)
    operator = operator_for(physics, grid_for(physics, FIELD), torch.ones((), dtype=torch.float64), torch.float64)
    penalty = float(operator.adjoint(frames - BACKGROUND).max())
    return UnfoldedGradient(physics, architecture, Units(peak=200.0, penalty=penalty, level=20.0))


def pairs_of(physics: Physics, count: int = 2, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, Y, X) noisy frames of a few emitters, and these (B, L Y, L X)."""
    random = np.random.default_rng(seed)
    grid = grid_for(physics, FIELD)
    truth = np.zeros((count, *grid.fine_field_shape))
    for image in truth:
        image[random.integers(0, 21, 4), random.integers(0, 18, 4)] = random.uniform(80, 200, 4)
    operator = operator_for(physics, grid, torch.ones((), dtype=torch.float64), torch.float64)
    expected = operator.forward(grid.embed(torch.as_tensor(truth))) + BACKGROUND
    return torch.as_tensor(random.poisson(expected.numpy())).double(), torch.as_tensor(truth)


def background_of(frames: torch.Tensor) -> torch.Tensor:
    return torch.full((len(frames),), BACKGROUND, dtype=torch.float64)


@given(
    st.floats(-3, 3, allow_nan=False),
    st.floats(1e-3, 1.0, allow_nan=False),
)
def test_the_smoothed_projection_has_the_slopes_and_the_distance_it_promises(u: float, width: float) -> None:
    at = torch.tensor(u, dtype=torch.float64, requires_grad=True)
    value = smoothed_projection(at, width)
    (slope,) = torch.autograd.grad(value, at)
    t = u / width
    wanted = 0.0 if t <= 0 else u if t >= 1 else 2 * u * t - u * t * t
    assert value.item() == pytest.approx(wanted, abs=1e-12)
    assert -1e-12 <= slope.item() <= 4 / 3 + 1e-12
    assert abs(value.item() - max(0.0, u)) <= 4 * width / 27 + 1e-12
    step = 1e-6 * width
    ends = [float(smoothed_projection(torch.tensor(u + s, dtype=torch.float64), width)) for s in (-step, step)]
    assert slope.item() == pytest.approx((ends[1] - ends[0]) / (2 * step), abs=1e-4)


@given(st.floats(0.1, 50.0), st.floats(0.05, 1.0))
def test_tau_is_binarised_to_a_half_and_the_ends_of_the_rise_to_nothing_and_one(tau: float, share: float) -> None:
    threshold = torch.tensor(tau, dtype=torch.float64)
    x = tau * torch.tensor([0.0, 1 - share, 1.0, 1 + share, 9.0], dtype=torch.float64)
    found = binarised(x, threshold, share)
    np.testing.assert_allclose(found, [0.0, 0.0, 0.5, 1.0, 1.0], atol=1e-12)
    apart = torch.linspace(0, 0.5, 11, dtype=torch.float64)
    np.testing.assert_allclose(smoothed_step(0.5 + apart) + smoothed_step(0.5 - apart), 1.0, atol=1e-12)


def test_huber_is_a_parabola_inside_and_a_line_outside() -> None:
    t = torch.tensor([-2.0, -0.1, -0.05, 0.0, 0.1, 1.0], dtype=torch.float64)
    np.testing.assert_allclose(huber(t, 0.1), [1.95, 0.05, 0.0125, 0.0, 0.05, 0.95], atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_operator_and_its_adjoint_agree(kind: dict[str, Any]) -> None:
    physics = physics_of(**kind)
    grid = grid_for(physics, FIELD)
    operator = operator_for(physics, grid, torch.tensor(1.2, dtype=torch.float64), torch.float64)
    x, y = torch.randn(3, *grid.shape).double(), torch.randn(3, *FIELD).double()
    left, right = (operator.forward(x) * y).sum(), (x * operator.adjoint(y)).sum()
    assert float(left) == pytest.approx(float(right), rel=1e-10)


def test_the_operator_is_the_houses_own() -> None:
    physics = physics_of()
    grid = grid_for(physics, FIELD)
    x = torch.rand(2, *grid.shape).double()
    own = operator_for(physics, grid, torch.ones((), dtype=torch.float64), torch.float64)
    theirs = SeparableOperator(grid, GaussianPSF(physics.fwhm_nm), physics.pixel_size_nm, dtype=torch.float64)
    for image, seen in zip(x, own.forward(x), strict=True):
        np.testing.assert_allclose(seen, theirs.forward(image)[0], rtol=1e-10)
    variances = operator_for(
        physics_of(semi_blind=True), grid, torch.ones((), dtype=torch.float64), torch.float64
    ).forward(x[:1])[0]
    dense = torch.kron(own.rows, own.columns).square()
    np.testing.assert_allclose(variances.reshape(-1), dense @ x[0].reshape(-1), rtol=1e-10)


@pytest.mark.parametrize("factor", [1, 4])
@pytest.mark.parametrize("semi_blind", [False, True])
def test_the_curvature_bound_holds_for_every_field(factor: int, semi_blind: bool) -> None:
    physics = physics_of(factor=factor, semi_blind=semi_blind)
    bound = curvature_bound(physics)
    for field in ((5, 9), (40, 31)):
        grid = grid_for(physics, field)
        operator = operator_for(physics, grid, torch.ones((), dtype=torch.float64), torch.float64)
        norm = float(torch.linalg.matrix_norm(operator.rows, 2) * torch.linalg.matrix_norm(operator.columns, 2))
        assert norm**2 <= bound * (1 + 1e-9)
    assert norm**2 > 0.8 * bound


def test_the_derivative_of_the_factors_in_the_width_is_that_of_differences() -> None:
    grid = grid_for(physics_of(), FIELD)
    sigma = torch.tensor(1.3, dtype=torch.float64)
    _, slope = torch.autograd.functional.jvp(lambda s: axis_matrix(7, grid, s), sigma, torch.ones_like(sigma))
    difference = (axis_matrix(7, grid, sigma + 1e-6) - axis_matrix(7, grid, sigma - 1e-6)) / 2e-6
    np.testing.assert_allclose(slope, difference, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_the_slope_is_that_of_the_data_term(kind: dict[str, Any]) -> None:
    network = network_of(**kind)
    frames, _ = pairs_of(network.physics)
    grid = grid_for(network.physics, FIELD)
    operator = network.operator(grid, frames)
    x = torch.rand(2, *grid.shape).double().requires_grad_()
    seen = operator.forward(x) + BACKGROUND
    if kind.get("data_term") == "kullback-leibler":
        value = network.units.level * (seen - frames * seen.log()).sum()
    else:
        value = 0.5 * (seen - frames).square().sum()
    (wanted,) = torch.autograd.grad(value, x)
    found = network.slope(operator, x, frames, background_of(frames)[:, None, None])
    np.testing.assert_allclose(found.detach(), wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_step_is_one_projected_step_and_its_derivatives_are_those_of_the_paper(kind: dict[str, Any]) -> None:
    """d x_{k+1} / d alpha_k = -P'(u) grad f(z_k), and of grad f in lambda 1: d x_{k+1} / d lambda = -alpha_k P'(u)."""
    network = network_of(iterations=1, **kind)
    frames, _ = pairs_of(network.physics)
    grid = grid_for(network.physics, FIELD)
    made = network(frames, background_of(frames))
    zero = frames.new_zeros(2, *grid.shape)
    penalty = network.sparsity.item() * network.units.penalty
    slope = network.slope(network.operator(grid, frames), zero, frames, background_of(frames)[:, None, None]) + penalty
    alpha = network.steps.item() / network.curvature
    u = (-alpha * slope).detach().requires_grad_()
    projected = smoothed_projection(u, network.projection_width)
    np.testing.assert_allclose(made.detach(), grid.crop(projected.detach()), rtol=1e-9, atol=1e-12)
    (rise,) = torch.autograd.grad(projected.sum(), u)
    weights = torch.rand_like(made)
    by_step, by_sparsity = torch.autograd.grad((weights * made).sum(), [network.steps, network.sparsity])
    along_step = -(weights * grid.crop(rise * slope)).sum() / network.curvature
    along_penalty = -alpha * (weights * grid.crop(rise)).sum() * network.units.penalty
    assert float(by_step) == pytest.approx(along_step.item(), rel=1e-9)
    assert float(by_sparsity) == pytest.approx(along_penalty.item(), rel=1e-9)


@pytest.mark.parametrize("loss", ["localisation", "reconstruction"])
@pytest.mark.parametrize("kind", KINDS)
def test_autograd_equals_differences_for_every_weight(kind: dict[str, Any], loss: Any) -> None:
    network = network_of(iterations=6, projection_width=0.02, **kind)
    frames, truth = pairs_of(network.physics)
    with torch.no_grad():
        network.width.fill_(1.07)
        network.threshold.fill_(0.03)
        network.steps.mul_(torch.linspace(0.7, 1.3, 6))

    def value() -> torch.Tensor:
        return loss_of(network, network(frames, background_of(frames)), truth, loss).sum()

    value().backward()
    assert network.threshold.grad is not None or loss == "reconstruction"
    for name, weight in network.named_parameters():
        if weight.grad is None:
            continue
        for index in range(weight.numel()):
            place, before = weight.data.view(-1), float(weight.data.view(-1)[index])
            ends = []
            for step in (-1e-6, 1e-6):
                place[index] = before + step
                with torch.no_grad():
                    ends.append(value().item())
            place[index] = before
            found = float(weight.grad.view(-1)[index])
            assert found == pytest.approx((ends[1] - ends[0]) / 2e-6, rel=1e-4, abs=1e-3), (name, index)
            assert found != 0.0, (name, index)


@pytest.mark.parametrize("segments", [None, 1, 3, 6])
def test_gradients_from_segments_computed_anew_equal_those_from_all_steps_kept(segments: int | None) -> None:
    network = network_of(iterations=6)
    frames, truth = pairs_of(network.physics)
    network.requires_grad_()
    found = []
    for count in (0, segments):
        network.zero_grad()
        loss_of(network, network(frames, background_of(frames), count), truth, "localisation").sum().backward()
        found.append([weight.grad.clone() for weight in network.parameters() if weight.grad is not None])
    for whole, parts in zip(*found, strict=True):
        np.testing.assert_allclose(whole, parts, rtol=1e-12)


def test_memory_for_the_backward_pass_grows_slower_than_the_steps() -> None:
    def kept(iterations: int) -> int:
        network = network_of(iterations=iterations)
        frames, _ = pairs_of(network.physics)
        sizes: list[int] = []

        def note(tensor: torch.Tensor) -> torch.Tensor:
            sizes.append(tensor.nbytes if tensor.ndim == 3 else 0)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            network(frames, background_of(frames))
        return sum(sizes)

    assert kept(64) < 3 * kept(16)


class _Lower:
    """The lower problem (7) on the extended grid, as the house's own solver takes it."""

    def __init__(self, network: UnfoldedGradient, frames: torch.Tensor) -> None:
        self._network, self.frames = network, frames
        self.grid = grid_for(network.physics, FIELD)
        self.operator = network.operator(self.grid, frames)
        curvature = network.curvature
        if network.physics.data_term == "kullback-leibler":
            curvature *= network.units.level * float(frames.max()) / BACKGROUND**2
        self.majoriser = [torch.full((len(frames), *self.grid.shape), curvature).double()]
        self.penalty: list[float | torch.Tensor] = [network.sparsity.item() * network.units.penalty]

    def gradient(self, blocks: list[torch.Tensor]) -> list[torch.Tensor]:
        return [self._network.slope(self.operator, blocks[0], self.frames, background_of(self.frames)[:, None, None])]

    def value(self, x: torch.Tensor) -> float:
        seen = self.operator.forward(x) + BACKGROUND
        data = 0.5 * (seen - self.frames).square()
        if self._network.physics.data_term == "kullback-leibler":
            data = self._network.units.level * (seen - self.frames * seen.log())
        return float(data.sum() + self.penalty[0] * x.sum())


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_with_small_even_steps_and_many_of_them_it_is_the_minimiser(
    kind: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = network_of(iterations=4000, projection_width=1e-9, **kind)
    frames, _ = pairs_of(network.physics)
    network.sparsity.fill_(0.1)
    problem = _Lower(network, frames)
    network.steps.fill_(network.curvature / float(problem.majoriser[0].max()))
    state, fista = FistaState.start([torch.zeros_like(problem.majoriser[0])]), Fista(problem)
    for _ in range(6000):
        fista.advance(state)
    monkeypatch.setattr(Grid, "crop", lambda grid, fine: fine)  # the value counts the light beyond the field
    found, best, nothing = network(frames, background_of(frames)), state.point[0], torch.zeros_like(state.point[0])
    assert float(best.max()) > 5.0
    assert problem.value(found) - problem.value(best) < 1e-4 * (problem.value(nothing) - problem.value(best))
    # Neighbouring fine pixels hardly differ on the camera: what is determined is the light, not its every pixel.
    seen = problem.operator.forward(best)
    np.testing.assert_allclose(problem.operator.forward(found), seen, atol=1e-2 * float(seen.max()))


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_lambda_at_its_bound_gives_an_empty_image(kind: dict[str, Any]) -> None:
    network = network_of(iterations=20, **kind)
    frames, _ = pairs_of(network.physics)
    operator = network.operator(grid_for(network.physics, FIELD), frames)
    least = float(operator.adjoint(frames - BACKGROUND).max())
    if kind.get("data_term") == "kullback-leibler":
        least = network.units.level * float(operator.adjoint(frames / BACKGROUND - 1.0).max())
    network.sparsity.fill_(least / network.units.penalty * (1 + 1e-9))
    assert float(network(frames, background_of(frames)).max()) == 0.0
    network.sparsity.mul_(0.9)
    assert float(network(frames, background_of(frames)).max()) > 0.0


def test_inertia_is_that_of_chambolle_and_dossal() -> None:
    values = [inertia(k) for k in range(100)]
    assert values[:2] == [0.0, 0.0] and all(a < b for a, b in pairwise(values[1:])) and values[-1] < 1.0
    assert values[50] == pytest.approx(49 / 52.1)


@torch.no_grad()
def test_an_empty_image_has_the_loss_of_nothing() -> None:
    network = network_of()
    _, truth = pairs_of(network.physics)
    for kind in ("localisation", "reconstruction"):
        found = loss_of(network, torch.zeros_like(truth), truth, kind)  # type: ignore[arg-type]
        np.testing.assert_allclose(found, loss_of_nothing(truth, kind), rtol=1e-12)  # type: ignore[arg-type]


@settings(max_examples=10)
@given(st.sampled_from(["fwhm_nm", "pixel_size_nm", "factor", "read_noise_e", "semi_blind"]))
def test_other_physics_are_told_apart(name: str) -> None:
    own = physics_of()
    other = {"fwhm_nm": 300.0, "pixel_size_nm": 105.0, "factor": 4, "read_noise_e": 2.0, "semi_blind": True}[name]
    (said,) = own.differences(physics_of(**{name: other}))
    words = {"fwhm_nm": "FWHM", "pixel_size_nm": "pixels", "factor": "factor", "read_noise_e": "noise"}
    assert words.get(name, "variances") in said
    assert own.differences(physics_of()) == []


def test_a_learned_width_is_as_good_as_the_stated_one() -> None:
    own, other = physics_of(), physics_of(fwhm_nm=300.0)
    assert own.differences(other) and not own.differences(other, learned_fwhm_nm=302.0)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"data_term": "kullback-leibler", "background_photons": 0.0}, "--background"),
        ({"data_term": "l7"}, "least-squares"),
        ({"fwhm_nm": 0.3}, "nanometres"),
        ({"fwhm_nm": float("nan")}, "nanometres"),
        ({"pixel_size_nm": -1.0}, "nanometres"),
        ({"factor": 0}, "factor"),
        ({"background_photons": -1.0}, "background"),
        ({"read_noise_e": -1.0}, "read noise"),
    ],
)
def test_physics_that_cannot_be_are_refused(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        physics_of(**changes)
