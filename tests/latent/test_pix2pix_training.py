"""Training Pix2Pix: its losses by hand, whose weights a step moves, that it learns, and that it goes on bit for bit."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
import torch

from fluosr.errors import MemoryLimitError, UsageError
from fluosr.latent.bicubic import bicubic_images
from fluosr.latent.degradation import Bicubic, Degradation, Microscope
from fluosr.latent.pix2pix import pix2pix
from fluosr.latent.pix2pix_lesson import STAGE, LearntPix2Pix, bytes_needed, lesson_of
from fluosr.latent.pix2pix_parameters import Pix2PixTraining
from fluosr.latent.pix2pix_training import Pix2PixRun, input_of, judging_loss, making_losses, turned
from fluosr.methods.base import Run, StopRequested
from fluosr.networks.resumable import weights_of
from fluosr.optics.psf import GaussianPSF
from fluosr.restoration.baselines import bicubic
from tests.latent.pairs import EIGHT, disc_crops, discs, quick_pix2pix, tiny
from tests.restorers import seeded


def training(degradation: Degradation = EIGHT, **given: Any) -> Pix2PixRun:
    crops = disc_crops(32)
    return Pix2PixRun(torch.from_numpy(crops.levels.to_range(crops.crops)), degradation, tiny(**given), seeded(), 1)


def test_losses_and_their_slopes_are_those_of_the_formulas() -> None:
    draws = seeded()
    fake, real = torch.randn(2, 3, 1, 4, 4, generator=draws, dtype=torch.float64).requires_grad_()
    made, sharp = torch.randn(2, 3, 2, 5, 5, generator=draws, dtype=torch.float64).requires_grad_()
    patches, pixels = fake.numel(), made.numel()
    taken = {"fake": 1 / (1 + (-fake).exp()), "real": 1 / (1 + (-real).exp())}  # sigmoid
    judged = judging_loss(fake, real)
    torch.testing.assert_close(judged, -(taken["real"].log().mean() + (1 - taken["fake"]).log().mean()) / 2)
    slopes = torch.autograd.grad(judged, (fake, real))
    torch.testing.assert_close(slopes, (taken["fake"] / patches / 2, (taken["real"] - 1) / patches / 2))
    losses = making_losses(fake, made, sharp, 100.0)
    wanted = sum(abs(a - b) for a, b in zip(made.flatten().tolist(), sharp.flatten().tolist(), strict=True)) / pixels
    assert losses["l1"].item() == pytest.approx(wanted)
    torch.testing.assert_close(losses["loss"], -taken["fake"].log().mean() + 100 * losses["l1"])
    of_logits, of_pixels = torch.autograd.grad(losses["loss"], (fake, made))
    torch.testing.assert_close(of_logits, (taken["fake"] - 1) / patches)
    torch.testing.assert_close(of_pixels, 100 * torch.sign(made - sharp).detach() / pixels)


def test_crops_are_turned_in_all_eight_ways_alike() -> None:
    image = torch.arange(18.0).reshape(1, 2, 3, 3)
    ways = [torch.rot90(each, n, (2, 3)) for each in (image, image.flip(3)) for n in range(4)]
    found = turned(image.expand(4000, -1, -1, -1), seeded())
    counts = [int((found == way).all((1, 2, 3)).sum()) for way in ways]
    assert sum(counts) == 4000 and min(counts) > 400 and max(counts) < 600


def test_the_network_is_given_the_bicubic_enlargement() -> None:
    coarse = EIGHT(torch.from_numpy(discs(3)))
    given = input_of(coarse, 8)
    for channel in range(2):
        np.testing.assert_allclose(given[:, channel], bicubic(coarse[:, channel].numpy(), 8), rtol=1e-5)


class Mean:
    """A degradation that is none of the project's."""

    factor, name = 4, "means of 4 x 4 pixels"

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(images, 4)


def test_a_step_follows_each_loss_with_its_own_network_only() -> None:
    run = training(Mean(), dropout=0.3)
    network, judge = copy.deepcopy(run.network), copy.deepcopy(run.discriminator)
    draws = torch.Generator()
    draws.set_state(run.generator.get_state())
    run.step()
    picks = torch.randint(len(run.crops), (4,), generator=draws)
    sharp = turned(run.crops[picks], draws)
    given = input_of(Mean()(sharp), 4)
    made = network(given, network.noise(4, draws))
    judging_loss(judge(given, made.detach()), judge(given, sharp)).backward()
    for own, ours in zip(run.discriminator.parameters(), judge.parameters(), strict=True):
        torch.testing.assert_close(own.grad, ours.grad)
    judge.load_state_dict(run.discriminator.state_dict())  # the generator is judged by the one that has learnt
    making_losses(judge(given, made), made, sharp, 100.0)["loss"].backward()
    for own, ours in zip(run.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(own.grad, ours.grad, rtol=1e-3, atol=1e-5)
    for adam in (run.adam, run.adam_of_discriminator):
        assert adam.param_groups[0]["betas"] == (0.5, 0.999) and adam.param_groups[0]["lr"] == 2e-3
    given = Pix2PixTraining()
    assert (given.l1_weight, given.learning_rate, given.features, given.dropout) == (100, 2e-4, 64, 0.5)  # the paper's


def test_of_pairs_it_learns_what_bicubic_cannot_know() -> None:
    model, sharp = quick_pix2pix().model, discs(16, seed=1)  # others than it learnt from
    coarse = EIGHT(torch.from_numpy(sharp)).numpy()
    own, plain = (
        np.abs(found.images - sharp).mean()
        for found in (pix2pix(model, EIGHT, coarse), bicubic_images(model, EIGHT, coarse))
    )
    assert own < 0.8 * plain
    log = quick_pix2pix().log
    assert log[-1]["l1"] < log[-1]["l1_of_bicubic"] and log[-1]["images"] == 400


def states_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("stop", [1, 4])
def test_stopped_and_resumed_is_as_never_stopped(stop: int) -> None:
    whole, kept = training(images=24), None
    while not whole.finished:
        if whole.steps == stop:
            whole.note()
            kept = copy.deepcopy(whole.tensors())
        whole.step()
    again = training(images=24)
    assert kept is not None
    again.restore(kept)
    while not again.finished:
        again.step()
    assert states_equal(whole.tensors(), again.tensors())
    assert json.dumps(again.log) == json.dumps(whole.log)


def learnt(run: Run | None = None, **given: Any) -> LearntPix2Pix:
    return lesson_of(disc_crops(32), EIGHT, tiny(**({"images": 24} | given))).learn(run or Run(seed=3))


def test_a_lesson_stopped_on_request_goes_on_bit_for_bit() -> None:
    whole = learnt()
    run = Run(seed=3, on_checkpoint=lambda states: None)

    def stop(stage: str, done: int, total: int) -> None:
        run.stop_requested = done == 16

    run.on_progress = stop
    with pytest.raises(StopRequested):
        learnt(run)
    assert int(run.states[STAGE]["steps"]) == 4
    on = learnt(Run(seed=3, states=run.states))
    assert states_equal(weights_of(on.model.network), weights_of(whole.model.network)) and on.log == whole.log
    assert not states_equal(weights_of(learnt(Run(seed=4)).model.network), weights_of(whole.model.network))


def test_looks_are_told_with_what_is_given_made_and_sharp() -> None:
    logs: list[int] = []
    sheets: list[tuple[np.ndarray, int]] = []
    crops = disc_crops(32)
    lesson = lesson_of(
        crops,
        EIGHT,
        tiny(images=24, look=8),
        on_log=lambda entries: logs.append(len(entries)),
        on_samples=lambda images, seen: sheets.append((images, seen)),
    )
    made = lesson.learn(Run(seed=3))
    assert [entry["images"] for entry in made.log] == [0, 8, 16, 24] and logs == [1, 2, 3, 4]
    assert {"l1", "l1_of_bicubic", "generator", "discriminator", "real", "fake"} <= made.log[-1].keys()
    assert [seen for _, seen in sheets] == [0, 8, 16, 24]
    first, last = sheets[0][0], sheets[-1][0]
    assert first.shape == (48, 2, 32, 32)
    sharp = torch.from_numpy(last[2::3])
    np.testing.assert_allclose(input_of(EIGHT(sharp), 8), last[0::3], atol=1e-6)
    assert np.array_equal(first[2::3], last[2::3]) and not np.allclose(first[1::3], last[1::3])
    assert all(any(np.allclose(crop, one) for one in crops.levels.to_range(crops.crops)) for crop in sharp.numpy())
    known = made.model.knowledge
    assert (known.resolution, known.channels, known.factor, known.crops, known.images) == (
        32,
        ["DNA", "GFP"],
        8,
        32,
        24,
    )
    assert known.degradation == "bicubic reduction" and lesson.facts["crops"] == crops.fingerprint


def test_a_training_that_diverges_says_so() -> None:
    run = training()
    with torch.no_grad():
        assert run.network.last.bias is not None
        run.network.last.bias.fill_(torch.nan)
    with pytest.raises(UsageError, match=r"diverges \(after 0 pairs: .*l1.*--learning-rate"):
        run.step()


def test_too_large_a_training_and_another_resolution_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for other in (Bicubic(64, 8), Microscope(64, 8, GaussianPSF(2000.0), 645.0)):
        with pytest.raises(UsageError, match="another side than the crops' 32 pixels"):
            lesson_of(disc_crops(16), other, tiny())
    monkeypatch.setattr("fluosr.machine.available_memory_bytes", lambda: 10_000)
    with pytest.raises(MemoryLimitError, match="lower --batch or --features"):
        learnt()
    assert bytes_needed(64, 2, tiny(batch=8)) > bytes_needed(64, 2, tiny(batch=4)) > bytes_needed(32, 2, tiny(batch=4))


def test_a_stopped_training_says_how_far_it_was() -> None:
    lesson = lesson_of(disc_crops(16), EIGHT, tiny())
    assert lesson.kept({}) == "0 pairs of training"
    assert lesson.kept({STAGE: {"steps": torch.tensor(7)}}) == "28 pairs of training"
