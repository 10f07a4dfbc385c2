"""Classifiers: at chance where nothing differs, sure where much does, whatever the classes' sizes."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy.special import expit

from fluosr.errors import UsageError
from fluosr.phenotypes.accuracy import judge_classifier
from fluosr.phenotypes.classification import train_classifier
from fluosr.phenotypes.pixel_features import pixel_features
from tests.plates import crop_set

CLASSES = ("control", "drug")


def cells(shift: float, sizes: tuple[int, int] = (80, 80), seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(features (N, 3), treatments, wells): the first feature of treated cells is moved."""
    generator = np.random.default_rng(seed)
    treatments = np.repeat(CLASSES, sizes)
    features = generator.normal(0, 1, (sum(sizes), 3)) * [1.0, 5.0, 0.1] + [0, 100, 3]
    features[treatments == "drug", 0] += shift
    wells = np.array([f"{name}-{number % 4}" for number, name in enumerate(treatments)])
    return features, treatments, wells


def test_it_reaches_what_the_best_rule_would() -> None:
    shift = 2.0
    generator = np.random.default_rng(0)
    model = train_classifier(*cells(shift, (300, 300)), CLASSES, generator=generator)
    judged = judge_classifier(model, *cells(shift, (400, 400), seed=1), generator=generator)
    assert judged.balanced.interval.value == pytest.approx(0.841, abs=0.03)  # Phi(shift / 2)
    assert abs(model.weights[0]) > 5 * np.abs(model.weights[1:]).max()


def test_where_nothing_differs_it_guesses_and_its_interval_holds_a_half() -> None:
    generator = np.random.default_rng(1)
    model = train_classifier(*cells(0.0), CLASSES, generator=generator)
    judged = judge_classifier(model, *cells(0.0, (300, 300), seed=5), generator=generator)
    assert judged.balanced.interval.holds(0.5) and judged.auc.interval.value == pytest.approx(0.5, abs=0.08)


def test_the_rare_class_weighs_as_much_as_the_common_one() -> None:
    generator = np.random.default_rng(2)
    model = train_classifier(*cells(2.0, (400, 40)), CLASSES, generator=generator)
    features, treatments, _ = cells(2.0, (400, 400), seed=9)
    shares = [(model.predict(features)[treatments == name] == name).mean() for name in CLASSES]
    assert abs(shares[0] - shares[1]) < 0.1


def test_the_penalised_loss_is_at_its_minimum() -> None:
    features, treatments, wells = cells(1.0)
    model = train_classifier(features, treatments, wells, CLASSES, generator=np.random.default_rng(0))
    treated = treatments == "drug"
    z = (features - model.mean) / model.spread
    weights = np.where(treated, 0.5 / treated.sum(), 0.5 / (~treated).sum())
    pull = weights * (expit(z @ model.weights + model.bias) - treated)
    assert z.T @ pull + model.penalty * model.weights / 3 == pytest.approx(np.zeros(3), abs=1e-4)
    assert pull.sum() == pytest.approx(0, abs=1e-4)


def test_what_was_not_measured_counts_as_the_mean() -> None:
    features, treatments, wells = cells(2.0)
    features[::7, 0] = np.nan
    model = train_classifier(features, treatments, wells, CLASSES, generator=np.random.default_rng(0))
    missing, mean = model.mean.copy(), model.mean.copy()
    missing[0] = np.nan
    assert model.probability(missing[None]) == pytest.approx(model.probability(mean[None]))


def test_pixels_alone_tell_cells_apart_in_wells_not_seen() -> None:
    crops = crop_set({"control": [0.3] * 4, "drug": [3.0] * 4}, cells=8)
    seen = pixel_features(crops.pixels)
    assert seen.shape == (64, 2 * 48 + 3)
    train, generator = crops.splits == "train", np.random.default_rng(0)
    model = train_classifier(seen[train], crops.treatments[train], crops.wells[train], CLASSES, generator=generator)
    judged = judge_classifier(model, seen[~train], crops.treatments[~train], crops.wells[~train], generator=generator)
    assert judged.balanced.interval.value > 0.9
    moved = pixel_features(3 * crops.pixels[:4] + 50)
    assert moved == pytest.approx(seen[:4], rel=1e-3, abs=1e-4)


def test_features_of_pixels_are_taken_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluosr.phenotypes.pixel_features.AT_ONCE", 4)
    few = crop_set({"control": [0.3] * 2, "drug": [3.0] * 2}, cells=2).pixels
    many = np.concatenate([few] * 12)
    peaks, seen = [], []
    for pixels in (few, few, many):  # the first time, filters are made
        tracemalloc.start()
        seen.append(pixel_features(pixels))
        peaks.append(tracemalloc.get_traced_memory()[1] - 2 * seen[-1].nbytes)
        tracemalloc.stop()
    assert peaks[2] < 1.25 * peaks[1]
    assert seen[2] == pytest.approx(np.concatenate([seen[0]] * 12), rel=1e-9)
    assert (pixel_features(many, np.array([9, 2])) == seen[2][[9, 2]]).all()
    with pytest.raises(UsageError, match="not empty"):
        pixel_features(many, np.array([], int))


def test_a_class_without_cells_is_refused() -> None:
    features, treatments, wells = cells(1.0)
    only = treatments == "control"
    with pytest.raises(UsageError, match="no cell of drug to learn from"):
        train_classifier(features[only], treatments[only], wells[only], CLASSES, generator=np.random.default_rng(0))
    model = train_classifier(features, treatments, wells, CLASSES, generator=np.random.default_rng(0))
    with pytest.raises(UsageError, match="no cell of drug to judge"):
        judge_classifier(model, features[only], treatments[only], wells[only], generator=np.random.default_rng(0))
    with pytest.raises(UsageError, match="takes 3 features"):
        model.predict(features[:, :2])
    features[:, 1] = np.nan
    with pytest.raises(UsageError, match="measured in none"):
        train_classifier(features, treatments, wells, CLASSES, generator=np.random.default_rng(0))
