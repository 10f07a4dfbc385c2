"""Several plausible images: how they are drawn, what their spread does, and intervals that cover."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from fluosr.errors import UsageError
from fluosr.latent.bicubic import bicubic_images
from fluosr.latent.degradation import Bicubic
from fluosr.latent.parameters import SearchParameters, UncertaintyParameters
from fluosr.latent.result import PlausibleImages
from fluosr.latent.search import search
from fluosr.latent.uncertainty import PlausibleSamples, draw_plausible, feature_intervals, widening_for
from tests.latent.small import made_generator, quick_flow
from tests.restorers import seeded

FOUR = Bicubic(32, 4)
GIVEN = SearchParameters(iterations=15, learning_rate=0.05, start_codes=500)
FEW = UncertaintyParameters(iterations=20, samples=5, samples_a_step=3)


@functools.cache
def found_for(count: int) -> tuple[np.ndarray, PlausibleImages]:
    made = made_generator()
    coarse = FOUR(made.samples(count, seeded(7))).numpy()
    return coarse, search(made, quick_flow().model.of(made), FOUR, coarse, GIVEN)


def drawn(coarse: np.ndarray, found: PlausibleImages, **changes: float) -> PlausibleSamples:
    made = made_generator()
    few = FEW.model_copy(update=changes)
    return draw_plausible(made, quick_flow().model.of(made), FOUR, coarse, found, GIVEN, few)


def test_each_sample_has_its_misfit_and_a_batch_changes_nothing() -> None:
    coarse, found = found_for(3)
    samples = drawn(coarse, found, batch=3)
    assert samples.images.shape == (3, 5, 2, 32, 32) and samples.misfit.shape == (3, 5)
    assert samples.spread.shape == (3, 2, 32, 32) and (samples.spread > 0).any((1, 2, 3)).all()
    alone = drawn(coarse, found, batch=1)
    np.testing.assert_allclose(alone.sigma, samples.sigma, rtol=1e-3)
    np.testing.assert_allclose(alone.images, samples.images, rtol=2e-2)
    np.testing.assert_array_equal(
        samples.measured(lambda images: images[:, 0, 3, 4])[1], samples.images[1, :, 0, 3, 4].astype(float)
    )


def test_without_data_sigma_ends_where_its_prior_says() -> None:
    coarse, found = found_for(1)
    # It begins there and must stay: n log s + (a + 1) log s + b / s is least at b / (n + a + 1).
    samples = drawn(coarse, found, data_weight=0.0, prior_scale=3.0, iterations=40)
    assert samples.sigma[0] == pytest.approx(3.0 / (3 + 0.1 + 1), rel=1e-3)
    assert found.codes is not None
    np.testing.assert_allclose(samples.mean_codes, found.codes, atol=1e-6)


def test_the_more_the_data_count_the_nearer_samples_stay() -> None:
    coarse, found = found_for(2)
    loose, tight = (drawn(coarse, found, data_weight=weight, iterations=40) for weight in (0.0, 1000.0))
    assert (tight.sigma < 0.8 * loose.sigma).all()
    assert (tight.misfit.mean(1) < loose.misfit.mean(1)).all() and tight.spread.mean() < loose.spread.mean()


def test_images_without_codes_are_refused() -> None:
    coarse, _ = found_for(1)
    with pytest.raises(UsageError, match="bicubic found no codes"):
        drawn(coarse, bicubic_images(made_generator(), FOUR, coarse))


def test_intervals_of_gaussian_samples_cover_as_they_say() -> None:
    random = np.random.default_rng(0)
    centres, spreads = random.normal(size=4000), random.uniform(0.5, 2, 4000)
    values = centres[:, None] + spreads[:, None] * random.normal(size=(4000, 7))
    intervals = feature_intervals(values[:, :6], confidence=0.9)
    assert intervals.coverage(values[:, 6]) == pytest.approx(0.9, abs=0.015)
    assert feature_intervals(values[:, :6], widening=2).coverage(values[:, 6]) > 0.97


def test_widened_by_known_cells_they_cover_others_though_samples_are_too_narrow() -> None:
    random = np.random.default_rng(1)
    truth = random.standard_t(3, 3000)
    samples = truth[:, None] + random.normal(size=(3000, 1)) + 0.2 * random.normal(size=(3000, 6))
    known, other = slice(0, 500), slice(500, None)
    assert feature_intervals(samples[other]).coverage(truth[other]) < 0.6
    widening = widening_for(samples[known], truth[known])
    assert feature_intervals(samples[other], widening=widening).coverage(truth[other]) == pytest.approx(0.9, abs=0.03)


def test_too_few_are_refused() -> None:
    with pytest.raises(UsageError, match=r"8 cells are too few for a share of 0\.9: 9 are needed"):
        widening_for(np.random.default_rng(0).normal(size=(8, 5)), np.zeros(8))
    for measured, confidence in ((np.zeros((3, 1)), 0.9), (np.zeros(3), 0.9), (np.zeros((3, 4)), 1.0)):
        with pytest.raises(UsageError, match="at least 2"):
            feature_intervals(measured, confidence=confidence)
