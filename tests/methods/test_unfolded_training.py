"""Training: what comes in, what is learnt, what a stop leaves behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fluosr.errors import UsageError
from fluosr.methods.base import Run, StopRequested, build_parameters
from fluosr.methods.unfolded import outer_problem
from fluosr.methods.unfolded.background import background_levels
from fluosr.methods.unfolded.detection import LEVELS, _met, best_level, patches_found, pixels_found
from fluosr.methods.unfolded.losses import loss_of
from fluosr.methods.unfolded.matrices import grid_for, operator_for
from fluosr.methods.unfolded.outer_problem import CHOOSING, silver_steps
from fluosr.methods.unfolded.pairs import Pair, batches_of, examples_of, units_of
from fluosr.methods.unfolded.training import STAGE, Trained, train
from fluosr.methods.unfolded.training_parameters import TrainingParameters
from tests.methods.unfolded_pairs import BACKGROUND, FACTOR, FIELD, pair_of, physics_of


def parameters_of(**changes: Any) -> TrainingParameters:
    facts = {"iterations": 8, "rounds": 4, "first_step": 1.8, "batch": 4}
    return build_parameters("training", TrainingParameters, facts | changes)


JUDGED = {"localisation": "places missed or made up", "reconstruction": "loss judged by"}


def trained(run: Run | None = None, count: int = 4, **changes: Any) -> Trained:
    physics = physics_of(data_term=changes.get("data_term", "least-squares"))
    return train(examples_of([pair_of(count)], physics), physics, parameters_of(**changes), run or Run())


@pytest.mark.parametrize("optimiser", ["sgp", "adam"])
@pytest.mark.parametrize("loss", ["localisation", "reconstruction"])
@pytest.mark.parametrize("data_term", ["least-squares", "kullback-leibler"])
def test_training_lowers_the_loss_and_keeps_the_best_round(optimiser: str, loss: str, data_term: str) -> None:
    made = trained(optimiser=optimiser, loss=loss, data_term=data_term, validation_share=0.0)
    curve = made.history["loss"]
    judged = made.history[JUDGED[loss]]
    assert min(curve) < curve[0] and list(made.history) == ["loss", JUDGED[loss]]
    assert judged[made.best_round] == min(judged) and len(judged) == len(curve)
    assert ("threshold" in made.learned) == (loss == "localisation")
    assert "width" not in made.learned
    for name, weight in made.network.named_parameters():
        low, high = made.network.bounds()[name]
        assert bool(((weight >= low) & (weight <= high)).all()), name


def test_what_is_not_to_be_learnt_stays() -> None:
    made = trained(learn_steps=False, validation_share=0.0)
    assert made.learned == ("sparsity", "threshold")
    assert set(made.network.steps.tolist()) == {1.8} and made.network.width.item() == 1.0


def test_a_wrong_width_is_mended() -> None:
    physics = physics_of(fwhm_nm=345.0)  # 15 % wider than the frames' PSF
    facts = {"loss": "reconstruction", "iterations": 127, "rounds": 4, "validation_share": 0.0}
    parameters = parameters_of(learn_fwhm=True, learn_steps=False, **facts)
    made = train(examples_of([pair_of(3)], physics), physics, parameters, Run())
    assert abs(made.network.fwhm_nm - 300.0) < 0.3 * 45.0


def test_silver_steps_are_long_at_powers_of_two() -> None:
    root = np.sqrt(2.0)
    short, middle, long = root, 2.0, 2.0 + root
    np.testing.assert_allclose(silver_steps(7), [short, middle, short, long, short, middle, short])
    assert silver_steps(64).argmax() == 63


def test_the_same_seed_gives_the_same_bits_and_another_seed_keeps_others_aside() -> None:
    first, again, other = (trained(Run(seed=seed), optimiser="adam", count=5) for seed in (3, 3, 4))
    for one, two in zip(first.network.parameters(), again.network.parameters(), strict=True):
        assert one.detach().numpy().tobytes() == two.detach().numpy().tobytes()
    assert first.history == again.history != other.history


@pytest.mark.parametrize("optimiser", ["sgp", "adam"])
@pytest.mark.parametrize(("stop", "learn_steps"), [(1, True), (3, True), (1, False)])
def test_a_training_stopped_and_taken_up_again_equals_one_that_was_not(
    optimiser: str, stop: int, learn_steps: bool
) -> None:
    options: dict[str, Any] = {"optimiser": optimiser, "learn_steps": learn_steps, "first_step": None}
    whole = trained(**options)
    kept: dict[str, dict[str, torch.Tensor]] = {}

    def save(states: dict[str, dict[str, torch.Tensor]]) -> None:
        kept.update({stage: {n: v.clone() for n, v in named.items()} for stage, named in states.items()})

    run = Run(on_checkpoint=save)

    def stop_then(stage: str, done: int, total: int) -> None:
        run.stop_requested = stage == STAGE and done >= stop - 1

    run.on_progress = stop_then
    with pytest.raises(StopRequested):
        trained(run, **options)
    assert len(kept["training"]["losses"]) == stop + 1
    resumed = trained(Run(states=kept), **options)
    assert resumed.history == whole.history and resumed.best_round == whole.best_round
    for one, two in zip(resumed.network.parameters(), whole.network.parameters(), strict=True):
        assert one.detach().numpy().tobytes() == two.detach().numpy().tobytes()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"first_step": None, "data_term": "kullback-leibler"},
        {"first_sparsity": 0.02, "learn_fwhm": True},
        {"first_step": None, "learn_fwhm": True, "first_threshold": 0.3},
    ],
)
def test_the_search_for_a_start_tells_how_far_it_is(options: dict[str, Any]) -> None:
    told: list[tuple[int, int]] = []
    run = Run(on_progress=lambda stage, done, total: told.append((done, total)) if stage == CHOOSING else None)
    trained(run, count=1, iterations=3, rounds=1, **options)
    assert told and told == [(number, len(told)) for number in range(1, len(told) + 1)]


def test_the_search_for_a_start_stops_between_two_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    run, judged = Run(), []

    def judge(outer: Any, images: torch.Tensor, truth: torch.Tensor) -> float:
        run.stop_requested = True
        judged.append(len(images))
        return 0.0

    monkeypatch.setattr(outer_problem.OuterProblem, "judged", judge)
    with pytest.raises(StopRequested):
        trained(run, count=4, batch=1, validation_share=0.0, first_threshold=0.3)
    assert judged == [1] and not run.states


@pytest.mark.parametrize(("data_term", "highest"), [("least-squares", 1.0), ("kullback-leibler", 1.62)])
def test_the_search_for_a_start_goes_as_far_as_the_penalty_may(
    monkeypatch: pytest.MonkeyPatch, data_term: str, highest: float
) -> None:
    """An image of photons on little background is empty only far above the bound of least squares."""
    tried = []

    def starts(outer: Any, search: Any, parameters: Any, sparsities: Any, steps: Any, width: float) -> list[Any]:
        tried.extend(sparsities)
        return [outer_problem._Start(-value, value, 0.2, steps, width) for value in sparsities]

    monkeypatch.setattr(outer_problem, "SPARSITIES", (0.9,))
    monkeypatch.setattr(outer_problem, "FINER", ((1.8,),))
    monkeypatch.setattr(outer_problem.OuterProblem, "_starts", starts)
    trained(count=1, iterations=2, rounds=1, data_term=data_term)
    assert max(tried) == pytest.approx(highest)


@pytest.mark.parametrize("optimiser", ["sgp", "adam"])
def test_a_loss_without_gradient_is_said(monkeypatch: pytest.MonkeyPatch, optimiser: str) -> None:
    monkeypatch.setattr(outer_problem, "loss_of", lambda *given: loss_of(*given) * torch.nan)
    with pytest.raises(UsageError, match=r"diverges.*--learning-rate"):
        trained(optimiser=optimiser, count=1, rounds=1)


def test_training_stops_when_what_was_kept_aside_gains_no_more() -> None:
    made = trained(rounds=60, patience=2, iterations=4)
    assert len(made.history["loss"]) < 61
    assert len(made.history["loss"]) - 1 - made.best_round <= 2


def test_pairs_of_unequal_sizes_are_learnt_from_together() -> None:
    physics = physics_of()
    pairs = [pair_of(2), pair_of(2, field=(9, 14), seed=1, name="other")]
    examples = examples_of(pairs, physics)
    batches = batches_of(examples, 8)
    assert [len(batch) for batch in batches] == [2, 2]
    made = train(examples, physics, parameters_of(validation_share=0.0), Run())
    assert made.history["loss"][-1] < made.history["loss"][0]


def test_frames_without_light_or_molecules_are_learnt_from() -> None:
    physics, pair = physics_of(), pair_of(4)
    frames, truth = pair.frames.copy(), pair.truth.copy()
    frames[0], truth[0] = 0.0, 0.0  # a frame of nothing at all
    frames[1], truth[1] = BACKGROUND, 0.0  # one without a molecule
    made = train(
        examples_of([Pair("dark", frames, truth)], physics), physics, parameters_of(validation_share=0.0), Run()
    )
    assert np.isfinite(made.history["loss"]).all() and made.history["loss"][-1] < made.history["loss"][0]


def test_the_background_of_crowded_frames_is_found() -> None:
    random = np.random.default_rng(0)
    frames = random.poisson(20.0, (5, 40, 40)).astype(float)
    frames[:, :, :16] += random.exponential(60.0, (5, 40, 16))  # two pixels in five hold light
    np.testing.assert_allclose(background_levels(frames), 20.0, atol=1.5)
    np.testing.assert_array_equal(background_levels(np.full((2, 5, 5), 7.0)), [7.0, 7.0])


def test_units_are_those_of_the_training_data() -> None:
    physics = physics_of(background_photons=BACKGROUND)
    examples = examples_of([pair_of(3)], physics)
    units = units_of(examples, physics)
    one = torch.ones((), dtype=torch.float64)
    operator = operator_for(physics, grid_for(physics, FIELD), one, torch.float32)
    assert units.peak == max(float(e.truth.max()) for e in examples)
    assert units.penalty == max(float(operator.adjoint(e.frame[None] - BACKGROUND).max()) for e in examples)
    assert units.level == pytest.approx(np.mean([float(e.frame.mean()) for e in examples]), rel=1e-6)


def test_variances_of_movies_are_those_of_the_samples() -> None:
    pair = pair_of(7)
    (example,) = examples_of([pair], physics_of(semi_blind=True))
    np.testing.assert_allclose(example.frame, pair.frames.var(0, ddof=1), rtol=1e-5)
    np.testing.assert_allclose(example.truth, pair.truth.var(0, ddof=1), rtol=1e-5)
    (other,) = examples_of([Pair("image", pair.frames, pair.truth[0])], physics_of(semi_blind=True))
    np.testing.assert_array_equal(other.truth, pair.truth[0].astype(np.float32))


def _with(**changes: Any) -> Pair:
    pair = pair_of(3)
    return Pair("bad", changes.get("frames", pair.frames), changes.get("truth", pair.truth))


@pytest.mark.parametrize(
    ("pairs", "changes", "words"),
    [
        ([], {}, "nothing to learn from"),
        ([_with(frames=np.zeros((3, 5, 5)))], {}, "15 x 15 fine pixels; this one has 36 x 33. Check --factor"),
        ([_with()], {"factor": 4}, "48 x 44 fine pixels"),
        ([_with(truth=np.zeros((2, 36, 33)))], {}, "3 frames, but 2 images"),
        ([_with(truth=np.zeros((36, 33)))], {}, "every frame needs its own"),
        ([_with(truth=np.zeros((3, 36, 33)))], {}, "every truth is empty"),
        ([_with(truth=np.full((3, 36, 33), -1.0))], {}, "negative"),
        ([_with(frames=np.full((3, *FIELD), np.nan))], {}, "frames hold NaN"),
        ([_with(truth=np.full((3, 36, 33), np.inf))], {}, "truth hold NaN"),
        ([_with(frames=np.zeros((0, *FIELD)))], {}, "frames are"),
        ([_with(frames=pair_of(1).frames, truth=np.ones((36, 33)))], {"semi_blind": True}, "single frame"),
    ],
)
def test_pairs_that_do_not_fit_are_refused(pairs: list[Pair], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        examples_of(pairs, physics_of(**changes))


def test_frames_darker_than_their_background_are_refused() -> None:
    physics = physics_of(background_photons=1e4)
    with pytest.raises(UsageError, match="brighter than its background"):
        units_of(examples_of([pair_of(2)], physics), physics)


@pytest.mark.parametrize("name", ["rounds", "iterations", "batch"])
def test_numbers_that_cannot_be_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        parameters_of(**{name: 0})
    assert physics_of().factor == FACTOR


def test_the_level_of_detection_is_the_one_at_which_patches_are_the_molecules() -> None:
    network = trained(rounds=1, validation_share=0.0).network
    half = 0.5 * network.units.peak
    truth = np.zeros((2, 36, 33))
    truth[0, 5, 5], truth[0, 20, 9], truth[1, 11, 30] = 1.0, 1.0, 1.0
    images = 0.5 * half * truth
    images[0, 5, 6] = 0.1 * half  # touches a molecule
    images[0, 30, 30] = images[1, 3, 3] = 0.05 * half  # light where nothing is
    level = best_level(network, [(images, truth)])
    assert 0.05 < level < 0.5
    assert patches_found(images, truth, 0.07 * half) == 2.0
    assert pixels_found(images, truth, 0.07 * half) == pytest.approx(2 / 3 + 1)  # a pixel beside one of two is too many
    empty = np.zeros_like(truth)
    assert patches_found(empty, empty, half) == pixels_found(empty, empty, half) == 2.0  # nothing there, nothing found
    assert patches_found(images, empty, 0.07 * half) == pixels_found(images, empty, 0.07 * half) == 0.0
    assert best_level(network, [(images, empty)]) == LEVELS[LEVELS >= 0.5][0]  # above all light


def test_far_places_and_second_patches_are_no_molecules() -> None:
    there = np.array([[5.5, 5.5], [9.5, 9.5]])
    assert _met(there, there) == 2
    assert _met(np.array([[5.5, 5.5], [5.5, 6.5]]), there) == 1
    assert _met(np.array([[5.5, 7.6]]), there) == 0
    assert _met(np.zeros((0, 2)), there) == _met(there, np.zeros((0, 2))) == 0
