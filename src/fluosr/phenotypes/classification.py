"""Classifiers of treatments, trained on the cells of some wells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fluosr.errors import UsageError

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # tried on wells left out
FOLDS = 4
CLIP = 6.0  # standard deviations: a cell further out counts as if it were there


@dataclass(frozen=True, eq=False)
class TreatmentClassifier:
    """A logistic regression of standardised features.

        P(treated) = 1 / (1 + exp(-(b + w . z))),  z = (x - mean) / spread, not measured counts as the mean

    Args:
        classes: (control, treated).
        mean, spread: (F,) of the cells learnt from.
        weights: (F,).
        bias: b.
        penalty: on |w|^2, chosen on wells left out.
    """

    classes: tuple[str, str]
    mean: np.ndarray
    spread: np.ndarray
    weights: np.ndarray
    bias: float
    penalty: float

    def probability(self, features: np.ndarray) -> np.ndarray:
        """(N, F) -> (N,) probability of "treated".

        Raises:
            UsageError: another number of features than it learnt from.
        """
        features = np.asarray(features, float)
        if features.ndim != 2 or features.shape[1] != len(self.mean):
            raise UsageError(f"this classifier takes {len(self.mean)} features a cell, got shape {features.shape}.")
        return _logistic(_standard(features, self.mean, self.spread) @ self.weights + self.bias)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """(N, F) -> (N,) names of classes."""
        return np.where(self.probability(features) > 0.5, self.classes[1], self.classes[0])


def train_classifier(
    features: np.ndarray,
    treatments: np.ndarray,
    wells: np.ndarray,
    classes: tuple[str, str],
    *,
    generator: np.random.Generator,
) -> TreatmentClassifier:
    """Learn to tell two treatments apart.

        min_(w, b)  mean over classes of the mean of -log P over the class' cells + penalty |w|^2 / (2 F)

    Both classes weigh the same, however many cells they have. Of the penalties .001 to 10 the one of least loss on
    wells left out, fold by fold, is taken; with fewer than two wells of a class it is 1.

    Args:
        features: (N, F), NaN where a cell could not be measured.
        treatments, wells: (N,) names.
        classes: (control, treated); cells of others are left out.
        generator: of the folds.

    Raises:
        UsageError: a class without cells, or no feature that was measured.
    """
    features, treatments, wells = np.asarray(features, float), np.asarray(treatments), np.asarray(wells)
    used = np.isin(treatments, classes)
    features, wells, treated = features[used], wells[used], treatments[used] == classes[1]
    for name, count in zip(classes, ((~treated).sum(), treated.sum()), strict=True):
        if not count:
            raise UsageError(
                f"there is no cell of {name} to learn from: a classifier needs wells of both {classes[0]} and "
                f"{classes[1]} in the training split."
            )
    if not np.isfinite(features).any(0).all():
        raise UsageError("a feature was measured in none of the cells: leave it out, or see whether crops show cells.")
    folds = _folds(wells, treated, generator)
    penalty = 1.0
    if folds:
        losses = [sum(_left_out(features, treated, fold, p) for fold in folds) for p in PENALTIES]
        penalty = PENALTIES[int(np.argmin(losses))]
    mean, spread = _scale(features)
    weights, bias = _fit(_standard(features, mean, spread), treated, penalty)
    return TreatmentClassifier(classes, mean, spread, weights, bias, penalty)


def _standard(features: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    z = np.clip((features - mean) / spread, -CLIP, CLIP)
    return np.where(np.isfinite(z), z, 0.0)


def _scale(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    spread = np.nanstd(features, axis=0)
    return np.nanmean(features, axis=0), np.where(spread > 0, spread, 1.0)


def _logistic(score: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    return np.asarray(expit(score))


def _balance(treated: np.ndarray) -> np.ndarray:
    """(N,) weights: half to each class, of sum 1."""
    return np.where(treated, 0.5 / max(treated.sum(), 1), 0.5 / max((~treated).sum(), 1))


def _fit(z: np.ndarray, treated: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    from scipy.optimize import minimize

    weights, sign = _balance(treated), np.where(treated, 1.0, -1.0)
    count = z.shape[1]

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        w, bias = parameters[:-1], parameters[-1]
        score = sign * (z @ w + bias)
        pull = -weights * sign * _logistic(-score)
        value = float((weights * np.logaddexp(0, -score)).sum()) + penalty * float(w @ w) / (2 * count)
        return value, np.append(z.T @ pull + penalty * w / count, pull.sum())

    found = minimize(loss, np.zeros(count + 1), jac=True, method="L-BFGS-B", options={"maxiter": 2000}).x
    return found[:-1], float(found[-1])


def _folds(wells: np.ndarray, treated: np.ndarray, generator: np.random.Generator) -> list[np.ndarray]:
    """(N,) masks of the cells left out: whole wells, of either class in each fold; none where there are too few."""
    groups = [generator.permutation(np.unique(wells[treated == side])) for side in (False, True)]
    count = min(FOLDS, *(len(group) for group in groups))
    if count < 2:
        return []
    return [np.isin(wells, np.concatenate([group[fold::count] for group in groups])) for fold in range(count)]


def _left_out(features: np.ndarray, treated: np.ndarray, fold: np.ndarray, penalty: float) -> float:
    mean, spread = _scale(features[~fold])
    weights, bias = _fit(_standard(features[~fold], mean, spread), treated[~fold], penalty)
    score = (_standard(features[fold], mean, spread) @ weights + bias) * np.where(treated[fold], 1.0, -1.0)
    return float((_balance(treated[fold]) * np.logaddexp(0, -score)).sum())
