"""Training: it learns, goes on bit for bit wherever it was stopped, and keeps what it promises to keep."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from fluosr.errors import UsageError
from fluosr.methods.base import Run, StopRequested
from fluosr.networks.restorers import build_restorer
from fluosr.restoration.examples import DegradedExamples, PairedExamples
from fluosr.restoration.fields import Field
from fluosr.restoration.lesson import STAGE, lesson_of
from fluosr.restoration.losses import discriminator_loss, restorer_loss
from fluosr.restoration.parameters import RestorationTraining
from fluosr.restoration.scale import GreyScale, on_scale_of
from fluosr.restoration.training import ERROR_STAGE, GAN_STAGE, Training
from tests.restoration.fields_at_hand import field, halved

TINY: dict[str, Any] = {"network": "span", "blocks": 2, "features": 4, "discriminator_features": 4}
TINY |= {"batch": 2, "patch": 8, "evaluation": 2}
FIELDS = [field(n) for n in range(4)]


def parameters(**changes: Any) -> RestorationTraining:
    return RestorationTraining(**(TINY | changes))


def training(**changes: Any) -> Training:
    given = parameters(**changes)
    network = build_restorer(given.network, torch.Generator().manual_seed(0), 2, options={"blocks": 2, "features": 4})
    looks = torch.Generator().manual_seed(1)
    validation = PairedExamples(FIELDS[:1], 2).whole(looks)
    steps = torch.Generator().manual_seed(2)
    return Training(network, PairedExamples(FIELDS[1:], 2), validation, given, steps)


def test_it_learns() -> None:
    made = training(iterations=120, evaluation=20, learning_rate=5e-3, ema=0.9)
    while not made.finished:
        made.step()
    errors = [entry["validation_error"] for entry in made.log.entries]
    assert min(errors) < 0.8 * errors[0]
    with torch.no_grad():
        low, high = made.validation[0]
        assert float((made.result()(low) - high).abs().mean()) == pytest.approx(min(errors), rel=1e-5)


@pytest.mark.parametrize("stop", [1, 4, 5, 7])
def test_stopped_and_resumed_is_as_never_stopped(stop: int) -> None:
    changes = {"iterations": 4, "gan_iterations": 4, "relativistic": True}
    whole = training(**changes)
    while not whole.finished:
        whole.step()
    begun = training(**changes)
    for _ in range(stop):
        begun.step()
    kept = {name: value.clone() for name, value in begun.tensors().items()}
    resumed = training(**changes)
    resumed.restore(kept)
    while not resumed.finished:
        resumed.step()
    assert resumed.log.entries == whole.log.entries
    for name, value in whole.tensors().items():
        torch.testing.assert_close(resumed.tensors()[name], value, rtol=0, atol=0, equal_nan=True, msg=name)


def test_the_second_stage_begins_with_the_best_and_keeps_the_last() -> None:
    made = training(iterations=3, gan_iterations=2)
    while made.stage == ERROR_STAGE:
        best = {name: value.clone() for name, value in made.best_weights.items()}
        made.step()
    assert made.stage == GAN_STAGE and made.steps == 4
    assert all(torch.equal(best[name], value) for name, value in made.best_weights.items())
    made.step()
    kept, average = made.result().state_dict(), made.average.state_dict()
    assert all(torch.equal(kept[name], average[name]) for name in kept)
    assert {"restorer", "discriminator", "real", "fake"} <= made.log.entries[-1].keys()


def test_the_first_stage_gives_up_without_gain() -> None:
    made = training(iterations=1000, patience=3, learning_rate=1e-30)
    while not made.finished:
        made.step()
    assert made.steps <= 8


def test_the_average_follows_the_weights() -> None:
    made = training(iterations=2, ema=0.999)
    before = {name: value.clone() for name, value in made.average.named_parameters()}
    made.step()
    decay = 2.0 / 11.0
    for name, now in made.network.named_parameters():
        wanted = decay * before[name] + (1 - decay) * now.detach()
        torch.testing.assert_close(dict(made.average.named_parameters())[name], wanted)


def test_a_training_that_diverges_says_so() -> None:
    made = training(iterations=50)
    with torch.no_grad():
        next(made.network.parameters()).fill_(torch.nan)
    with pytest.raises(UsageError, match="diverges"):
        made.step()


def test_bfloat16_learns_much_the_same() -> None:
    made = {kind: training(iterations=4, precision=kind) for kind in ("float32", "bfloat16")}
    for each in made.values():
        while not each.finished:
            each.step()
    errors = [each.log.entries[-1]["absolute_error"] for each in made.values()]
    assert errors[1] == pytest.approx(errors[0], rel=0.05) and errors[1] != errors[0]


def test_losses_against_their_formulas() -> None:
    fake, real = torch.randn((2, 3), generator=torch.Generator().manual_seed(0)), torch.ones(2, 3) * 0.4

    def log_likelihood(logits: torch.Tensor, label: float) -> torch.Tensor:
        p = torch.sigmoid(logits)
        return -(label * p.log() + (1 - label) * (1 - p).log()).mean()

    plain = log_likelihood(real, 1.0) + log_likelihood(fake, 0.0)
    torch.testing.assert_close(discriminator_loss(fake, real, relativistic=False), plain)
    torch.testing.assert_close(restorer_loss(fake, real, relativistic=False), log_likelihood(fake, 1.0))
    ahead, behind = real - fake.mean(), fake - real.mean()
    both = 0.5 * (log_likelihood(ahead, 1.0) + log_likelihood(behind, 0.0))
    torch.testing.assert_close(discriminator_loss(fake, real, relativistic=True), both)
    other = 0.5 * (log_likelihood(ahead, 0.0) + log_likelihood(behind, 1.0))
    torch.testing.assert_close(restorer_loss(fake, real, relativistic=True), other)


def test_patches_are_of_pairs_and_of_every_place() -> None:
    examples = PairedExamples(FIELDS, 2, augment=True)
    low, high = examples.draw(64, 8, torch.Generator().manual_seed(3))
    assert low.shape == (64, 1, 8, 8) and high.shape == (64, 1, 16, 16) and low.dtype == torch.float32
    small = functional.avg_pool2d(high, 2)
    alike = torch.corrcoef(torch.stack([low.flatten(), small.flatten()]))[0, 1]
    assert alike > 0.5


def test_each_frame_is_on_its_own_grey_scale_and_the_good_image_is_kept_once() -> None:
    one = field(1, repeats=40)
    assert one.low is not None
    one.low[::2] *= 3.0
    tracemalloc.start()
    examples = PairedExamples([one], 2)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 1.5 * (one.low.nbytes + one.high.nbytes)
    truth = on_scale_of(one.high, one.low.mean(0, dtype=float), 2)
    wholes = [(frame, GreyScale.of(frame)) for frame in one.low]
    for seed in range(4):
        ((low, high),) = examples.whole(torch.Generator().manual_seed(seed))
        (scale,) = [s for frame, s in wholes if np.allclose(s.apply(frame), low[0, 0], atol=1e-5)]
        np.testing.assert_allclose(high[0, 0], scale.apply(truth), atol=1e-5)
        patch, fine = examples.draw(1, 8, torch.Generator().manual_seed(seed))
        places = np.lib.stride_tricks.sliding_window_view(
            np.stack([s.apply(frame) for frame, s in wholes]), (8, 8), axis=(1, 2)
        )
        (found,) = np.argwhere(np.abs(places - patch[0, 0].numpy()).max((-2, -1)) < 1e-5)
        number, y, x = found
        wanted = wholes[number][1].apply(truth)[2 * y : 2 * y + 16, 2 * x : 2 * x + 16]
        np.testing.assert_allclose(fine[0, 0], wanted, atol=1e-5)


def test_degraded_fields_are_drawn_anew_each_time() -> None:
    high = np.pad(field(5).high, (0, 1))  # odd sides: the last row and column fill no pixel
    examples = DegradedExamples([Field("odd", high)], 2, halved, augment=False)
    generator = torch.Generator().manual_seed(0)
    one, other = examples.whole(generator)[0], examples.whole(generator)[0]
    assert one[0].shape == (1, 1, 24, 24) and one[1].shape == (1, 1, 48, 48)
    assert not torch.equal(one[0], other[0])
    torch.testing.assert_close(one[0].mean(), torch.tensor(0.0), atol=1e-5, rtol=0)


def test_a_patch_larger_than_the_image_is_refused() -> None:
    with pytest.raises(UsageError, match="--patch 32"):
        PairedExamples(FIELDS, 2).draw(1, 32, torch.Generator())


def test_a_lesson_is_one_for_all_seeds_and_stops_where_it_should() -> None:
    lesson = lesson_of(FIELDS, 2, parameters(iterations=30, evaluation=10))
    run = Run(seed=3)
    whole = lesson.learn(run)
    assert len(whole.log.entries) == 4 and whole.model.knowledge.fields == 3
    stopped = Run(seed=3)
    stopped.on_progress = lambda stage, done, total: setattr(stopped, "stop_requested", done >= 10)
    with pytest.raises(StopRequested):
        lesson.learn(stopped)
    assert lesson.kept(stopped.states) == "10 steps of training"
    resumed = lesson.learn(Run(seed=3, states={STAGE: dict(stopped.states[STAGE])}))
    weights = whole.model.network.state_dict()
    assert all(torch.equal(weights[n], v) for n, v in resumed.model.network.state_dict().items())
    json.dumps(dict(lesson.facts))


def test_fields_given_for_validation_are_not_learnt_from() -> None:
    made = lesson_of(FIELDS[:2], 2, parameters(iterations=2), validation=FIELDS[2:]).learn(Run())
    assert made.model.knowledge.fields == 2
    with pytest.raises(UsageError, match="both training and validation"):
        lesson_of(FIELDS, 2, parameters(), validation=FIELDS[:1])


def test_an_arm_needs_what_makes_its_images() -> None:
    for arm, degrade in (("paired", halved), ("physics", None)):
        with pytest.raises(UsageError, match="do not go together"):
            lesson_of(FIELDS, 2, parameters(arm=arm), degrade=degrade)
    made = lesson_of(FIELDS, 2, parameters(arm="physics", iterations=2), degrade=halved).learn(Run())
    assert made.model.knowledge.arm == "physics" and np.isfinite(made.log.entries[-1]["validation_error"])


def test_a_training_goes_on_from_a_model_of_its_kind() -> None:
    first = lesson_of(FIELDS, 2, parameters(iterations=4)).learn(Run()).model
    still = parameters(iterations=1, learning_rate=1e-30, ema=0.0)
    made = lesson_of(FIELDS, 2, still, start=first).learn(Run(seed=5)).model
    weights = first.network.state_dict()
    for name, value in made.network.state_dict().items():
        torch.testing.assert_close(value, weights[name])
    for wrong in ({"network": "nafnet"}, {"blocks": 3}):
        with pytest.raises(UsageError, match="model to begin with is span"):
            lesson_of(FIELDS, 2, parameters(**wrong), start=first)
