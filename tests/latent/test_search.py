"""The regularised search: its terms, its gradient, its ablations, and that it finds what the generator can make."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fluosr.errors import UsageError
from fluosr.generation.model import TrainedGenerator
from fluosr.latent.degradation import Bicubic
from fluosr.latent.descent import Problem, descend
from fluosr.latent.flow import LatentFlow
from fluosr.latent.parameters import ABLATIONS, SearchParameters
from fluosr.latent.result import PlausibleImages
from fluosr.latent.search import cross_distance, name_of, search, search_losses, start_of
from fluosr.methods.base import Run, StopRequested
from tests.latent.small import made_generator, quick_flow
from tests.restorers import seeded

FOUR = Bicubic(32, 4)
SHORT = SearchParameters(iterations=12, learning_rate=0.1, start_codes=500)


def doubled() -> tuple[TrainedGenerator, LatentFlow]:
    made = made_generator()
    flow = quick_flow().model.of(made)
    made.network.double()
    return made, flow.double()


def coarse_of(made: TrainedGenerator, count: int, seed: int = 7) -> np.ndarray:
    return FOUR(made.samples(count, seeded(seed)).double()).numpy()


def test_the_terms_are_those_of_the_paper() -> None:
    made, flow = doubled()
    codes = torch.randn(3, 8, 6, generator=seeded(), dtype=torch.float64)
    observed = torch.rand(3, 2, 8, 8, generator=seeded(1), dtype=torch.float64)
    given = SearchParameters(weight_w=0.03, weight_cross=0.2)
    found = search_losses(codes, made, FOUR, observed, flow, given)
    for n in range(3):
        misfit = (observed[n] - FOUR(made.network.synthesis(codes[n : n + 1]))[0]).abs().mean()
        density = sum(flow.log_prob(w) for w in codes[n]) / 8
        cross = sum((codes[n, i] - codes[n, j]).square().sum() for i in range(8) for j in range(i + 1, 8))
        torch.testing.assert_close(found["loss"][n], misfit - 0.03 * density + 0.2 * cross)
        torch.testing.assert_close(cross_distance(codes)[n], cross)
    summed = search_losses(codes, made, FOUR, observed, flow, given.model_copy(update={"misfit": "sum"}))
    torch.testing.assert_close(summed["misfit"], found["misfit"] * 2 * 8 * 8)


def test_the_gradient_is_that_of_differences() -> None:
    made, flow = doubled()
    observed = torch.rand(1, 2, 8, 8, generator=seeded(1), dtype=torch.float64)
    given = SearchParameters(weight_w=0.03, weight_cross=0.2)
    likely = made.network.styles(torch.randn(1, 6, generator=seeded(), dtype=torch.float64))
    codes = (likely + 0.02 * torch.randn(1, 8, 6, generator=seeded(2), dtype=torch.float64)).requires_grad_()
    search_losses(codes, made, FOUR, observed, flow, given)["loss"].sum().backward()
    assert codes.grad is not None
    for place in ((0, 0, 0), (0, 3, 5), (0, 7, 2)):
        ends = []
        for step in (-1e-6, 1e-6):
            moved = codes.detach().clone()
            moved[place] += step
            ends.append(float(search_losses(moved, made, FOUR, observed, flow, given)["loss"]))
        assert float(codes.grad[place]) == pytest.approx((ends[1] - ends[0]) / 2e-6, rel=1e-4, abs=1e-7)


def test_each_image_of_a_batch_ends_as_it_would_alone() -> None:
    made, flow = doubled()
    coarse = coarse_of(made, 3)
    together = search(made, flow, FOUR, coarse, SHORT.model_copy(update={"batch": 2}))
    for n in range(3):
        alone = search(made, flow, FOUR, coarse[n : n + 1], SHORT)
        assert alone.codes is not None and together.codes is not None
        np.testing.assert_allclose(together.codes[n], alone.codes[0], atol=1e-5)
        np.testing.assert_allclose(together.images[n], alone.images[0], rtol=1e-5)
        np.testing.assert_allclose(together.misfit[n], alone.misfit[0], atol=1e-5)


def test_it_comes_near_an_image_of_the_generator_and_regularised_it_stays_likely() -> None:
    made, flow = doubled()
    coarse = coarse_of(made, 4)
    given = SearchParameters(iterations=60, learning_rate=0.05, weight_w=3e-3, start_codes=500)
    free = search(made, flow, FOUR, coarse, given.model_copy(update=ABLATIONS["w/o regularisation"]))
    bound = search(made, flow, FOUR, coarse, given)
    for found in (free, bound):
        assert found.history is not None
        assert (found.misfit < 0.5 * found.history["misfit"][0]).all()
    assert bound.terms is not None and free.terms is not None
    assert (bound.terms["log_density"] > free.terms["log_density"]).all()
    assert (bound.terms["cross"] < free.terms["cross"]).all()
    again = FOUR(torch.from_numpy(bound.images).double()).numpy()  # the misfit is that of the images handed back
    np.testing.assert_allclose(np.abs(again - coarse).mean((2, 3)), bound.misfit_grey, rtol=1e-4)
    spans = made.levels.spans / 2
    np.testing.assert_allclose(bound.misfit, (bound.misfit_grey / spans).mean(1))


@pytest.mark.parametrize("name", ABLATIONS)
def test_what_an_ablation_turns_off_is_off(name: str) -> None:
    made, flow = doubled()
    given = SHORT.model_copy(update=ABLATIONS[name] | {"iterations": 2})
    found = search(made, flow, FOUR, coarse_of(made, 1), given)
    assert found.method == name == name_of(given) and found.history is not None
    terms = found.history.keys() - {"misfit", "loss"}
    assert terms == {"RLS": {"log_density", "cross"}, "w/o p_w": {"cross"}, "w/o p_cross": {"log_density"}}.get(
        name, set()
    )
    codes = torch.randn(1, 8, 6, generator=seeded(), dtype=torch.float64)
    observed = torch.zeros(1, 2, 8, 8, dtype=torch.float64)
    lost = search_losses(codes, made, FOUR, observed, flow, given)
    expected = lost["misfit"]
    if "weight_w" not in ABLATIONS[name]:
        expected = expected - given.weight_w * flow.log_prob(codes).mean(1)
    if "weight_cross" not in ABLATIONS[name]:
        expected = expected + given.weight_cross * cross_distance(codes)
    torch.testing.assert_close(lost["loss"], expected)


def test_the_start_is_the_mean_code_and_the_rate_may_count_in_its_spread() -> None:
    made, flow = doubled()
    start, spread = start_of(made, 500, Run())
    coarse = coarse_of(made, 1)
    steps = {}
    for relative in (False, True):
        given = SHORT.model_copy(update={"iterations": 1, "relative_rate": relative, "keep": "last"})
        codes = search(made, flow, FOUR, coarse, given).codes
        assert codes is not None
        steps[relative] = np.abs(codes[0] - start.numpy()).max()  # Adam's first step is the rate
    assert steps[False] == pytest.approx(0.1, rel=1e-3) and steps[True] == pytest.approx(0.1 * spread, rel=1e-3)


def test_the_best_is_never_worse_than_the_last() -> None:
    made, flow = doubled()
    rough = SearchParameters(iterations=15, learning_rate=2.0, start_codes=500)
    coarse, losses = coarse_of(made, 3), {}
    observed = made.to_range(made.samples(3, seeded(7)))
    for keep in ("best", "last"):
        found = search(made, flow, FOUR, coarse, rough.model_copy(update={"keep": keep}))
        codes = torch.from_numpy(found.codes)
        losses[keep] = search_losses(codes, made, FOUR, FOUR(observed), flow, rough)["loss"].numpy()
        assert found.history is not None and found.history["loss"].shape == (15, 3)
    assert (losses["best"] <= losses["last"] + 1e-9).all() and (losses["best"] < losses["last"]).any()


def test_a_cosine_ends_at_rest() -> None:
    made, flow = doubled()
    given = SHORT.model_copy(update={"schedule": "cosine", "keep": "last", "iterations": 40})
    history = search(made, flow, FOUR, coarse_of(made, 1), given).history
    assert history is not None
    changes = np.abs(np.diff(history["loss"][:, 0]))
    assert changes[-1] < 0.05 * changes[:5].max()


def test_it_tells_progress_and_stops_when_asked() -> None:
    made, flow = doubled()
    told: list[tuple[int, int]] = []
    run = Run(on_progress=lambda stage, done, total: told.append((done, total)))
    given = SHORT.model_copy(update={"iterations": 3, "batch": 2})
    search(made, flow, FOUR, coarse_of(made, 3), given, run)
    assert told == [(done, 9) for done in (2, 4, 6, 7, 8, 9)]
    run.stop_requested = True
    with pytest.raises(StopRequested):
        search(made, flow, FOUR, coarse_of(made, 3), given, run)
    assert len(told) == 7


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda coarse: coarse[:, :1], r"\(N, 2, 8, 8\), channels DNA, GFP"),
        (lambda coarse: coarse[..., :4], r"\(N, 2, 8, 8\)"),
        (lambda coarse: coarse[:0], r"\(N, 2, 8, 8\)"),
        (lambda coarse: np.where(coarse > coarse.mean(), np.nan, coarse), "image 0 has values that are not finite"),
        (lambda coarse: np.stack([coarse[:, 0], np.full_like(coarse[:, 0], 70)], 1), "channel 'GFP' is empty"),
    ],
    ids=["channels", "size", "none", "nan", "empty"],
)
def test_coarse_images_that_do_not_fit_are_refused(change, words: str) -> None:
    made, flow = doubled()
    with pytest.raises(UsageError, match=words):
        search(made, flow, FOUR, change(coarse_of(made, 2)), SHORT)


def test_a_search_that_diverges_says_so() -> None:
    with pytest.raises(UsageError, match="diverges"):
        descend(
            Problem(torch.zeros(2, 1, 1), lambda w: {"loss": (120 - w).log().sum((1, 2))}),
            iterations=9,
            learning_rate=50.0,
        )


def test_no_image_goes_without_its_misfit() -> None:
    images = np.zeros((2, 1, 4, 4), np.float32)
    good = PlausibleImages("RLS", images, np.ones(2), np.ones((2, 1)))
    assert good.caution == "plausible, not measured"
    for misfit in (np.ones(1), np.array([1.0, math.nan])):
        with pytest.raises(UsageError, match="never shown without"):
            PlausibleImages("RLS", images, misfit, np.ones((2, 1)))
