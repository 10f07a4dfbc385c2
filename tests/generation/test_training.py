"""Training a generator: it learns dots, goes on bit for bit wherever it was stopped, and says when it diverges."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
import torch

from fluosr.errors import MemoryLimitError, UsageError
from fluosr.generation.judging import SampleJudge, made_of
from fluosr.generation.lesson import STAGE, LearntGenerator, bytes_needed, lesson_of
from fluosr.methods.base import Run, StopRequested
from fluosr.networks.resumable import weights_of
from fluosr.networks.stylegan2_generator import StyleGAN2Generator
from tests.generation.dots import dot_crops, dots, tiny, training
from tests.restorers import seeded


def statistics(images: np.ndarray) -> np.ndarray:
    """Of a set: mean, spread within an image, median, brightest pixel."""
    return np.array([images.mean(), images.std((1, 2, 3)).mean(), np.median(images), images.max((1, 2, 3)).mean()])


def test_it_learns_what_dots_look_like() -> None:
    made = training(features=4, batch=8, images=8 * 30, learning_rate=0.006)
    z, wanted = torch.randn(64, 6, generator=seeded(3)), statistics(made.crops.numpy())
    before = np.abs(statistics(made_of(made.average, z)) - wanted)
    while not made.finished:
        made.step()
    after = np.abs(statistics(made_of(made.average, z)) - wanted)
    assert after[:3].sum() < 0.5 * before[:3].sum()


def states_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("stop", [1, 4, 6])
def test_stopped_and_resumed_is_as_never_stopped(stop: int) -> None:
    changes: dict[str, Any] = {"r1_interval": 3, "path_interval": 2, "augment_target": -0.9, "augment_images": 40.0}
    changes["images"] = 32
    whole = training(**changes)
    kept = None
    while not whole.finished:
        if whole.steps == stop:
            whole.note({"kid": 0.1})
            kept = copy.deepcopy(whole.tensors())
        whole.step()
    again = training(**changes)
    assert kept is not None
    again.restore(kept)
    while not again.finished:
        again.step()
    assert whole.ada.probability > 0  # augmentation had its part in it
    assert states_equal(whole.tensors(), again.tensors())
    assert json.dumps(again.log) == json.dumps(whole.log)


def run_lesson(run: Run | None = None, **given: Any) -> LearntGenerator:
    return lesson_of(dot_crops(32, channels=2), tiny(**({"images": 24} | given))).learn(run or Run(seed=3))


def test_a_lesson_stopped_on_request_goes_on_bit_for_bit() -> None:
    whole = run_lesson()
    run = Run(seed=3, on_checkpoint=lambda states: None)
    asked = []

    def stop(stage: str, done: int, total: int) -> None:
        asked.append(done)
        run.stop_requested = done == 16

    run.on_progress = stop
    with pytest.raises(StopRequested):
        run_lesson(run)
    assert asked[-1] == 16
    on = run_lesson(Run(seed=3, states=run.states))
    assert states_equal(weights_of(on.model.network), weights_of(whole.model.network))
    assert on.log == whole.log
    assert not states_equal(weights_of(run_lesson(Run(seed=4)).model.network), weights_of(whole.model.network))


def test_looks_are_told_with_their_samples_and_scores() -> None:
    logs, sheets = [], []
    lesson = lesson_of(
        dot_crops(32, channels=2),
        tiny(images=24, look=8, score_images=10),
        on_log=lambda entries: logs.append(len(entries)),
        on_samples=lambda images, seen: sheets.append((images.shape, seen)),
    )
    made = lesson.learn(Run(seed=3))
    assert [entry["images"] for entry in made.log] == [0, 8, 16, 24] and logs == [1, 2, 3, 4]
    assert sheets == [((64, 2, 32, 32), seen) for seen in (0, 8, 16, 24)]
    names = [f"{score} (fluosr-{by})" for by in ("random-conv", "blocks-8x8") for score in ("KID", "FID")]
    assert all(np.isfinite(entry[name]) and entry["n"] == 10 for entry in made.log for name in names)
    assert {"generator", "discriminator", "r1", "path_penalty", "real_sign", "augmentation"} <= made.log[-1].keys()
    known = made.model.knowledge
    assert (known.resolution, known.channels, known.crops, known.images) == (32, ["channel 0", "channel 1"], 32, 24)


class Painter(StyleGAN2Generator):
    """Makes the images that it is given, whatever the codes."""

    def __init__(self, images: np.ndarray) -> None:
        super().__init__(seeded(), resolution=32, channels=1, latent_features=6, features=1)
        self.images = torch.from_numpy(images)

    def forward(self, z: torch.Tensor, **given: Any) -> torch.Tensor:
        made, self.images = self.images[: len(z)], self.images[len(z) :]
        return made


def test_scores_tell_dots_from_dimmer_dots_and_from_noise_and_not_from_dots() -> None:
    crops = dot_crops(400)
    data = crops.levels.to_range(crops.crops)
    others = crops.levels.to_range(dots(200, seed=5))
    noise = np.random.default_rng(0).normal(0, 1, (200, 1, 32, 32)).astype(np.float32)
    scores = [SampleJudge(data, 200, 6, seeded()).scores(Painter(made)) for made in (others, (others - 3) / 4, noise)]
    near, dim, far = ({name: abs(value) for name, value in found.items()} for found in scores)
    by_texture, by_blocks = "KID (fluosr-random-conv)", "KID (fluosr-blocks-8x8)"
    assert near[by_blocks] < 0.1 * dim[by_blocks] < dim[by_blocks] < far[by_blocks]
    assert near[by_texture] < 0.1 * far[by_texture]
    assert near["n"] == 200 and SampleJudge(data, 0, 6, seeded()).scores(Painter(others)) == {}


def test_each_regularisation_has_its_steps_and_no_others() -> None:
    made = training(images=4 * 9, r1_interval=4, path_interval=3, batch=4)
    asked: dict[str, list[int]] = {"path": [], "r1": []}
    paths, slope = made._regularise_paths, made._regularise_slope
    made._regularise_paths = lambda: (asked["path"].append(made.steps), paths())[1]  # type: ignore[method-assign,func-returns-value]
    made._regularise_slope = lambda: (asked["r1"].append(made.steps), slope())[1]  # type: ignore[method-assign,func-returns-value]
    while not made.finished:
        made.step()
    assert asked == {"path": [0, 3, 6], "r1": [0, 4, 8]}


def test_without_regularisation_and_augmentation_nothing_is_rescaled_nor_changed() -> None:
    made = training(images=8, r1_weight=0.0, path_weight=0.0, augment=False)
    while not made.finished:
        made.step()
    assert made.adam.param_groups[0]["lr"] == made.adam_of_discriminator.param_groups[0]["lr"] == 0.0025
    assert made.ada.batches == 0 and {"r1", "path_penalty"}.isdisjoint(made.means)


def test_the_log_leaves_out_what_was_not_measured() -> None:
    made = training(images=100, augment_interval=3)
    assert {"real_sign", "path_length"}.isdisjoint(made.note({}))
    for _ in range(2):
        made.step()
    entry = made.note({})
    assert "real_sign" not in entry and entry["path_length"] == float(made.path_mean) > 0
    made.step()
    assert made.note({})["real_sign"] == made.ada.last
    plain = training(images=4, path_weight=0.0, augment=False)
    plain.step()
    assert {"real_sign", "path_length"}.isdisjoint(plain.note({})) and "discriminator" in plain.log[-1]


@pytest.mark.parametrize(("probability", "leaks"), [(0.8, False), (0.81, True)])
def test_augmentation_that_leaks_is_said_in_the_log_and_at_the_end(probability: float, leaks: bool) -> None:
    made = training()
    made.ada.probability = 0.2
    made.note({})
    made.steps, made.ada.probability = 5, probability
    assert ("warning" in made.note({})) == leaks
    made.ada.probability = 0.3
    made.note({})
    assert ["warning" in entry for entry in made.log] == [False, leaks, False]
    learnt = LearntGenerator(run_lesson().model, made.log)
    said = f"rose to {probability:.2f} (above 0.8 from 20 crops on)"
    assert [said in warning for warning in learnt.warnings] == [True] * leaks


@pytest.mark.parametrize("mixing", [0.0, 0.5, 1.0])
def test_two_codes_are_mixed_as_often_as_said_and_cross_anywhere(mixing: float) -> None:
    made = training(mixing=mixing)
    ws = made._codes(2000).detach()
    assert ws.shape == (2000, 8, 6)
    changes = (ws[:, 1:] != ws[:, :-1]).any(2)  # between layers 1-2, ..., 7-8
    assert int(changes.sum(1).max()) <= 1
    assert float(changes.any(1).double().mean()) == pytest.approx(mixing, abs=0.04)
    shares = changes.double().mean(0)
    assert float((shares - mixing / 7).abs().max()) < 0.03


def test_the_average_follows_by_its_formula_and_takes_the_mean_code() -> None:
    made = training(images=1000, ema_half_life=100.0, ema_ramp=0.5)
    average = weights_of(made.average)
    for _ in range(2):
        made.step()
        decay = 0.5 ** (4 / min(100.0, 0.5 * made.seen))
        now = weights_of(made.network)
        for name, _ in made.network.named_parameters():
            average[name] = average[name] * decay + now[name] * (1 - decay)
            torch.testing.assert_close(weights_of(made.average)[name], average[name])
    assert torch.equal(made.average.mean_w, made.network.mean_w) and bool(made.average.mean_w.any())


def test_a_training_that_diverges_says_so() -> None:
    made = training(images=1000, learning_rate=1.0, r1_weight=0.0)
    with torch.no_grad():
        made.discriminator.logit.weight.fill_(torch.nan)
    with pytest.raises(UsageError, match=r"diverges \(after 0 crops: .*--learning-rate"):
        made.step()


def test_too_large_a_training_is_refused_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluosr.machine.available_memory_bytes", lambda: 10_000)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: {"cuda:1": (20_000, 2**40)}[device])
    with pytest.raises(MemoryLimitError, match=r"GiB of memory, and 9.3\d*e-06 GiB are free: lower --batch"):
        run_lesson()
    with pytest.raises(MemoryLimitError, match=r"and 1.86\d*e-05 GiB are free on cuda:1: lower --batch or --features"):
        run_lesson(Run(device="cuda:1"))
    assert bytes_needed(64, tiny(batch=8)) > bytes_needed(64, tiny(batch=4)) > bytes_needed(32, tiny(batch=4))


def test_a_stopped_training_says_how_far_it_was() -> None:
    lesson = lesson_of(dot_crops(32), tiny())
    assert lesson.kept({}) == "0 crops of training"
    assert lesson.kept({STAGE: {"steps": torch.tensor(7)}}) == "28 crops of training"
