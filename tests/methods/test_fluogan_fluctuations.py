"""A generator whose emitters fluctuate: its gradient against enumeration of all draws, its frames, its parameters."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad

import fluosr
from fluosr.acquisition import Acquisition, ArrayFrames
from fluosr.emitters import BlinkingEmitters, CompoundPoissonEmitters, Emitters, GammaEmitters, PoissonEmitters
from fluosr.errors import UsageError
from fluosr.forward import ForwardModel
from fluosr.methods.base import Run
from fluosr.methods.fluogan import fluctuations
from fluosr.methods.fluogan.adversarial import AdversarialFit
from fluosr.methods.fluogan.emission import FluctuatingLight, draw
from fluosr.methods.fluogan.parameters import FluoganParameters
from fluosr.methods.fluogan.setup import Setup, prepare
from fluosr.methods.registry import get_method
from fluosr.optics.operators import imaging_operator
from fluosr.optics.psf import GaussianPSF
from fluosr.simulate.filaments import FilamentPhantom
from fluosr.simulate.movie import SimulatedMovie
from fluosr.statistics import gather
from tests.movies import cross_movie

PSF = GaussianPSF(150.0)
MEAN, BACKGROUND = np.array([1.2, 0.7]), 0.3  # photons in each of two fine pixels; in each of two camera pixels
BURSTS = np.array(list(itertools.product(range(14), repeat=2)), float)
COUNTS = np.array(list(itertools.product(range(34), repeat=2)), float)


def two_pixels() -> Setup:
    """Two fine pixels before two camera pixels, on a torus: A is 2 x 2."""
    operator = imaging_operator((1, 2), 1, PSF, 100.0, periodic=True, dtype=torch.float64)
    acquisition = SimpleNamespace(field_shape=(1, 2), psf=PSF, pixel_size_nm=100.0)
    parameters = SimpleNamespace(borders="periodic")
    setup = SimpleNamespace(
        operator=operator, acquisition=acquisition, parameters=parameters, factor=1, shifts=[(0.0, 0.0)]
    )
    return setup  # type: ignore[return-value]


def matrix() -> np.ndarray:
    operator = imaging_operator((1, 2), 1, PSF, 100.0, periodic=True, dtype=torch.float64)
    columns = [operator.forward(torch.eye(2, dtype=torch.float64)[i].reshape(1, 2))[0].numpy().ravel() for i in (0, 1)]
    return np.stack(columns, axis=1)


A = matrix()


class Judge:
    """f(y) = sum a_p s tanh((y_p - 1) / s), as bounded as a discriminator; the wider s the straighter."""

    slope = np.array([1.0, -0.6])

    def __init__(self, width: float) -> None:
        self.width = width

    def value(self, y: np.ndarray) -> np.ndarray:
        return self.width * np.tanh((y - 1) / self.width) @ self.slope

    def gradient(self, y: np.ndarray) -> np.ndarray:
        return self.slope / np.cosh((y - 1) / self.width) ** 2


class Square(Judge):
    """f(y) = sum a_p y_p^2 / 2."""

    def __init__(self) -> None:
        super().__init__(1.0)

    def value(self, y: np.ndarray) -> np.ndarray:
        return 0.5 * y**2 @ self.slope

    def gradient(self, y: np.ndarray) -> np.ndarray:
        return self.slope * y


def over_frames(emission: np.ndarray, values: np.ndarray) -> np.ndarray:
    """E of ``values`` (one for each of COUNTS) over the outer draw, for each row of emissions."""
    expected = emission @ A.T + BACKGROUND
    chance = stats.poisson.pmf(COUNTS[None, :, 0], expected[:, :1]) * stats.poisson.pmf(
        COUNTS[None, :, 1], expected[:, 1:]
    )
    return chance @ values


def over_all(mean: np.ndarray, kappa: float, values: np.ndarray) -> np.ndarray:
    """E over both draws."""
    chance = np.prod(stats.poisson.pmf(BURSTS, mean / kappa), axis=1)
    return chance @ over_frames(kappa * BURSTS, values)


def exact(judge: Judge, kappa: float) -> np.ndarray:
    """d/dx E f(y), by differences of the enumerated expectation."""
    step = 1e-4
    return np.array(
        [
            over_all(MEAN + step * unit, kappa, judge.value(COUNTS))
            - over_all(MEAN - step * unit, kappa, judge.value(COUNTS))
            for unit in np.eye(2)
        ]
    ) / (2 * step)


def straight_through(judge: Judge, kappa: float) -> np.ndarray:
    """What the estimator A^T df/dy is in the mean, enumerated."""
    return over_all(MEAN, kappa, judge.gradient(COUNTS) @ A)


@pytest.mark.parametrize("kappa", [0.5, 1.0, 2.0])
def test_the_exact_gradient_is_the_expected_gain_of_one_burst(kappa: float) -> None:
    """d/dx_i E g(e) = E[g(e + kappa 1_i) - g(e)] / kappa, with g(e) = E f(Poisson(A e + b))."""
    judge = Judge(2.0)
    chance = np.prod(stats.poisson.pmf(BURSTS, MEAN / kappa), axis=1)
    values = judge.value(COUNTS)
    gain = [
        chance @ (over_frames(kappa * (BURSTS + unit), values) - over_frames(kappa * BURSTS, values)) / kappa
        for unit in np.eye(2)
    ]
    np.testing.assert_allclose(gain, exact(judge, kappa), atol=1e-5)


@pytest.mark.parametrize("kappa", [0.5, 1.0, 2.0])
def test_the_bias_of_the_rule_is_half_the_curvature_of_a_photon_and_of_a_burst(kappa: float) -> None:
    """For f = sum a y^2 / 2: estimator - exact = - 1/2 sum_p a_p (A_pi + kappa A_pi^2)."""
    judge = Square()
    bias = straight_through(judge, kappa) - exact(judge, kappa)
    np.testing.assert_allclose(bias, -0.5 * judge.slope @ (A + kappa * A**2), atol=2e-4)


@pytest.mark.parametrize(
    ("kappa", "width", "most"), [(1.0, 3.0, 0.105), (1.0, 10.0, 0.017), (2.0, 10.0, 0.029), (1.0, 30.0, 0.002)]
)
def test_the_bias_falls_where_the_judge_is_straighter(kappa: float, width: float, most: float) -> None:
    judge = Judge(width)
    wanted, found = exact(judge, kappa), straight_through(judge, kappa)
    assert np.abs(found - wanted).max() < most * np.abs(wanted).max()
    assert (np.sign(found) == np.sign(wanted)).all()


@pytest.mark.parametrize("kappa", [1.0, 2.0])
def test_what_is_drawn_is_the_enumerated_estimator(kappa: float) -> None:
    judge, count = Judge(2.0), 20_000
    emitters: Emitters = PoissonEmitters() if kappa == 1 else CompoundPoissonEmitters(kappa)
    light = FluctuatingLight(two_pixels(), emitters)
    generator = torch.Generator().manual_seed(0)
    drawn = light.sample(
        torch.as_tensor(MEAN).reshape(1, 2), torch.zeros(count, dtype=torch.long), torch.ones(count, 1, 1), generator
    )
    frames = torch.poisson(drawn.expected + BACKGROUND, generator=generator)
    pull = judge.gradient(frames.numpy().reshape(count, 2)) @ A
    error = pull.std(0) / math.sqrt(count)
    assert (np.abs(pull.mean(0) - straight_through(judge, kappa)) < 4.5 * error).all()
    assert light.beyond_straight_through(drawn, torch.zeros(count, dtype=torch.long), frames) is None


@pytest.mark.parametrize(("mean", "kappa"), [(3.0, 1.0), (2.0, 4.0), (0.5, 5.0)])
def test_the_derivative_of_a_gamma_draw_has_no_bias(mean: float, kappa: float) -> None:
    """E[g'(e) de/dx] = d/dx E g(e), for g far from straight."""
    n, step = 400_000, 1e-4

    def expectation(x: float) -> float:
        density = stats.gamma(x / kappa, scale=kappa).pdf
        parts = ((0, 1e-6), (1e-6, 1e-2), (1e-2, 1), (1, 60 * kappa))
        return sum(quad(lambda e: math.tanh(e - 1) * density(e), *ends, limit=200)[0] for ends in parts)

    wanted = (expectation(mean + step) - expectation(mean - step)) / (2 * step)
    e, slope = draw(GammaEmitters(kappa), torch.full((n,), mean, dtype=torch.float64), torch.Generator().manual_seed(1))
    assert slope is not None
    samples = (slope / torch.cosh(e - 1) ** 2).numpy()
    assert abs(samples.mean() - wanted) < 4.5 * samples.std() / math.sqrt(n) + 1e-4
    assert abs(float(slope.mean()) - 1.0) < 4.5 * float(slope.std()) / math.sqrt(n)


def test_the_pathwise_gradient_leaves_only_the_bias_of_the_outer_draw() -> None:
    """For f = sum a y^2 / 2: - 1/2 sum_p a_p A_pi, without the burst's part."""
    kappa, count, judge = 2.0, 30_000, Square()
    light = FluctuatingLight(two_pixels(), GammaEmitters(kappa))
    generator, groups = torch.Generator().manual_seed(0), torch.zeros(count, dtype=torch.long)
    drawn = light.sample(torch.as_tensor(MEAN).reshape(1, 2), groups, torch.ones(count, 1, 1), generator)
    frames = torch.poisson(drawn.expected + BACKGROUND, generator=generator)
    pull = torch.as_tensor(judge.gradient(frames.numpy().reshape(count, 2))).reshape(count, 1, 2)
    more = light.beyond_straight_through(drawn, groups, pull)
    assert more is not None
    found = (pull.numpy().reshape(count, 2) @ A).mean(0) + more.numpy().ravel() / count
    expected = A @ MEAN + BACKGROUND
    wanted = 0.5 * judge.slope @ (A + kappa * A**2) + (judge.slope * expected) @ A
    np.testing.assert_allclose(found, wanted - 0.5 * judge.slope @ A, atol=0.05)


def fitted(emitters: Emitters | None, batch: int = 8) -> AdversarialFit:
    movie = cross_movie(60, read_noise=0.4)
    setup = prepare(movie, FluoganParameters(factor=2, batch=batch, drift=False), Run(), gather(movie))
    problem = setup.problem(0.7, 1.0)
    return AdversarialFit(setup, problem, problem.start(), Run(seed=3), emitters)


BLINKING = BlinkingEmitters.of_fano_factor(40.0, 0.02, 0.06, 0.01)


@pytest.mark.parametrize(
    "emitters",
    [PoissonEmitters(), CompoundPoissonEmitters(40.0), GammaEmitters(40.0), BLINKING],
    ids=["double", "fano", "gamma", "blinking"],
)
def test_simulated_frames_have_the_mean_and_covariance_of_their_emitters(emitters: Emitters) -> None:
    fit, count = fitted(emitters), 1500
    frames = (fit.simulate(torch.zeros(count, dtype=torch.long)) * fit._scale + fit._centre).double()
    phi = fit.problem.expected(fit.state.point)[0].double()
    fine = fit.problem.operator.spread(fit.state.point[0])
    model = ForwardModel(fit._light._fine, fit.setup.acquisition.camera, emitters)  # type: ignore[union-attr]
    background = fit.problem.basis.image(fit.state.point[1])
    probe = torch.zeros(1, 16, 18)
    probe[0, 8, 9] = 1.0
    covariance = model.covariance_product(fine, background, probe)[0].double()
    deviation = frames - phi
    found = (deviation * deviation[:, 8:9, 9:10]).mean(0)
    # Of as many values as the field has pixels the furthest lies about three errors away; variances are skewed.
    sd = deviation.std(0)
    error = sd * sd[8, 9] * math.sqrt(2 / count)
    near = (slice(6, 11), slice(7, 12))
    assert (((found - covariance) / error)[near].abs() < 4.5).all()
    assert float(((frames.mean(0) - phi) / (sd / math.sqrt(count))).square().mean()) < 2.0
    assert float(covariance[8, 10]) > 0


def test_bleached_groups_are_simulated_at_their_own_brightness() -> None:
    fit = fitted(CompoundPoissonEmitters(5.0))
    fit._brightness = torch.full((1, 1, 1), 0.25)
    frames = fit.simulate(torch.zeros(1500, dtype=torch.long)) * fit._scale + fit._centre
    phi = fit.problem.expected(fit.state.point)[0]
    assert float((frames.mean(0) - phi).abs().max()) < 6 * float(frames.std(0).max()) / math.sqrt(1500)


@pytest.mark.parametrize("emitters", [CompoundPoissonEmitters(40.0), GammaEmitters(40.0), BLINKING], ids=repr)
def test_its_state_goes_on_bit_for_bit(emitters: Emitters) -> None:
    whole, first, second = (fitted(emitters, 3) for _ in range(3))
    for _ in range(3):
        whole.run_round()
    first.run_round()
    second.restore({name: tensor.clone() for name, tensor in first.tensors().items()})
    for _ in range(2):
        second.run_round()
    kept = second.tensors()
    for name, tensor in whole.tensors().items():
        assert torch.equal(tensor, kept[name]), name
    assert all(bool(torch.isfinite(block).all()) for block in whole.state.point)


def film(emitters: Emitters, n_frames: int = 300, interval_s: float | None = 0.01) -> Acquisition:
    phantom = FilamentPhantom((24, 24), count=5, seed=3)
    movie = SimulatedMovie(phantom, factor=2, n_frames=n_frames, emitters=emitters, bleaching_time_s=None)
    frames = np.stack(list(movie.frames()))
    return Acquisition(ArrayFrames(frames), 100.0, movie.psf, movie.camera, frame_interval_s=interval_s)


def chosen(acquisition: Acquisition, **values: object) -> fluctuations.Chosen:
    parameters = FluoganParameters(factor=2, discriminator=True, **values)
    setup = SimpleNamespace(acquisition=acquisition, parameters=parameters, used=np.ones((24, 24), bool))
    return fluctuations.choose(setup)  # type: ignore[arg-type]


def test_what_is_not_given_is_measured() -> None:
    movie = film(BlinkingEmitters.of_fano_factor(40.0, 0.02, 0.08, 0.01))
    found = chosen(movie, fluctuations="blinking")
    assert isinstance(found.emitters, BlinkingEmitters)
    assert found.emitters.fano_factor == pytest.approx(40.0, rel=0.3)
    assert 1 / found.emitters.molecule.switching_rate == pytest.approx(0.016, rel=0.4)
    assert set(found.choices()) == {"fano", "on_time_s", "off_time_s"}
    half = chosen(movie, fluctuations="blinking", on_time_s=0.02, fano=40.0)
    assert set(half.reasons) == {"off_time_s"}
    rate = 1 / half.values["on_time_s"] + 1 / half.values["off_time_s"]
    assert rate == pytest.approx(found.emitters.molecule.switching_rate)  # one memory, whatever is given beside it
    given = chosen(movie, fluctuations="blinking", on_time_s=0.02, off_time_s=0.5, fano=7.0)
    assert given.reasons == {} and given.emitters == BlinkingEmitters.of_fano_factor(7.0, 0.02, 0.5, 0.01)
    with pytest.raises(UsageError, match=r"--on-time-s 0\.001 is shorter than the memory"):
        chosen(movie, fluctuations="blinking", on_time_s=0.001)
    assert isinstance(chosen(movie, fluctuations="gamma").emitters, GammaEmitters)


def test_where_the_movie_does_not_tell_the_generator_says_so() -> None:
    steady = chosen(cross_as_field(), fluctuations="fano")
    assert steady.emitters is None and "do not fluctuate beyond chance" in steady.warnings[0]
    bursts = film(CompoundPoissonEmitters(40.0))
    found = chosen(bursts, fluctuations="blinking")
    assert isinstance(found.emitters, CompoundPoissonEmitters) and "no memory" in found.warnings[0]
    with pytest.raises(UsageError, match=r"too few.*--fano"):
        chosen(film(PoissonEmitters(), 30), fluctuations="fano")
    with pytest.raises(UsageError, match="--frame-interval"):
        chosen(film(PoissonEmitters(), 30, None), fluctuations="blinking", fano=3.0, on_time_s=0.1, off_time_s=0.1)


def cross_as_field() -> Acquisition:
    from fluosr.emitters import SteadyEmitters

    return film(SteadyEmitters())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"fano": 30.0}, "--fano goes with"),
        ({"on_time_s": 0.1, "fluctuations": "fano"}, "--on-time-s goes with --fluctuations blinking"),
        ({"fano": -1.0, "fluctuations": "fano"}, "greater than 0"),
        ({"fluctuations": "wild"}, "double-poisson"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        get_method("fluogan").build(discriminator=True, **values)


def test_the_default_is_model_4_bit_for_bit_and_others_differ() -> None:
    movie = film(CompoundPoissonEmitters(40.0), 60)
    quick = {"factor": 2, "iterations": 30, "discriminator": True, "adversarial_iterations": 3, "batch": 4}
    quick |= {"halves": False, "sparsity": 0.7, "smoothness": 0.3, "discriminator_weight": 1000.0}
    images = {}
    for kind, more in (("poisson", {}), ("double-poisson", {}), ("fano", {"fano": 40.0})):
        images[kind] = fluosr.reconstruct(movie, seed=1, **quick, fluctuations=kind, **more).image
    plain = fluosr.reconstruct(movie, seed=1, **quick).image
    assert np.array_equal(plain, images["poisson"])
    assert not np.array_equal(plain, images["double-poisson"])
    assert not np.array_equal(images["fano"], images["double-poisson"])


def test_the_plain_operator_and_the_grains_are_the_fit_s_operator() -> None:
    setup: Setup = fitted(None).setup
    light = FluctuatingLight(setup, PoissonEmitters())
    sources = torch.rand(setup.operator.shape, generator=torch.Generator().manual_seed(0))
    found = light._fine.forward(setup.operator.spread(sources))
    torch.testing.assert_close(found, setup.operator.forward(sources), rtol=1e-4, atol=1e-4)
