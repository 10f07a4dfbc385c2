"""How often classifiers are right on wells that they have not seen, and one oftener than another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fluosr.errors import UsageError
from fluosr.phenotypes.classification import TreatmentClassifier
from fluosr.phenotypes.figures import Figure, area, balanced, by_well, less
from fluosr.phenotypes.wells import WellFigure, over_wells


@dataclass(frozen=True)
class Accuracy:
    """How often a classifier is right.

    Args:
        balanced: mean of the shares of control and of treated cells that are told rightly: .5 by guessing, whatever
            the classes' sizes.
        auc: chance that a treated cell gets a higher probability than a control cell.
        cells: of control and treated.
    """

    balanced: WellFigure
    auc: WellFigure
    cells: tuple[int, int]

    def describe(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {
            "balanced_accuracy": self.balanced.describe(),
            "auc": self.auc.describe(),
            "cells": list(self.cells),
        }


@dataclass(frozen=True)
class AccuracyDifference:
    """How much oftener one classifier is right than another, on the same cells.

    Args:
        balanced, auc: those of the one less those of the other, with intervals over the wells that both saw.
    """

    balanced: WellFigure
    auc: WellFigure

    def describe(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {"balanced_accuracy": self.balanced.describe(), "auc": self.auc.describe()}


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a classifier says of cells that it has not learnt from.

    Args:
        classes: (control, treated).
        told: (N,) its probabilities of "treated".
        treatments, wells: (N,) names; cells of other treatments do not count.

    Raises:
        UsageError: a class without cells.
    """

    classes: tuple[str, str]
    told: np.ndarray
    treatments: np.ndarray
    wells: np.ndarray

    def __post_init__(self) -> None:
        for name in self.classes:
            if not (np.asarray(self.treatments) == name).any():
                raise UsageError(
                    f"there is no cell of {name} to judge a classifier on: put wells of it in the test split."
                )

    def accuracy(self, generator: np.random.Generator) -> Accuracy:
        """The accuracy, with its interval over wells."""
        figures, counts, (controls, treated) = self._figures()
        return Accuracy(
            over_wells(figures[0], counts, generator, least=1 / (4 * max(controls, treated))),
            over_wells(figures[1], counts, generator, least=1 / (2 * controls * treated)),
            (controls, treated),
        )

    def less(self, other: Verdict, generator: np.random.Generator) -> AccuracyDifference:
        """This one's accuracy less another's on the same cells: wells are drawn once for both.

        Raises:
            UsageError: other cells.
        """
        for mine, theirs in ((self.wells, other.wells), (self.treatments, other.treatments)):
            if len(mine) != len(theirs) or (mine != theirs).any() or self.classes != other.classes:
                raise UsageError("two classifiers can be compared on the same cells only, in the same order.")
        figures, counts, _ = self._figures()
        found = [
            over_wells(less(one, another), counts, generator, limits=(-1.0, 1.0))
            for one, another in zip(figures, other._figures()[0], strict=True)
        ]
        return AccuracyDifference(*found)

    def _figures(self) -> tuple[tuple[Figure, Figure], tuple[int, int], tuple[int, int]]:
        """(balanced accuracy and AUC; wells, cells of control and treated)."""
        right, scores = [], []  # of each class, for each well
        for number, name in enumerate(self.classes):
            mine = np.asarray(self.treatments) == name
            told, wells = self.told[mine], np.asarray(self.wells)[mine]
            names = np.unique(wells)
            right.append(by_well(((told > 0.5) == bool(number)).astype(float), wells, names))
            scores.append(by_well(told, wells, names))
        cells = (sum(map(len, scores[0])), sum(map(len, scores[1])))
        return (balanced(*right), area(*scores)), (len(right[0]), len(right[1])), cells


def judge_classifier(
    classifier: TreatmentClassifier,
    features: np.ndarray,
    treatments: np.ndarray,
    wells: np.ndarray,
    *,
    generator: np.random.Generator,
) -> Accuracy:
    """The accuracy on cells of wells that it has not seen, with its interval over wells.

    Args:
        classifier: trained.
        features, treatments, wells: as for :func:`train_classifier`.
        generator: of the draws.

    Raises:
        UsageError: a class without cells.
    """
    told = classifier.probability(features)
    return Verdict(classifier.classes, told, np.asarray(treatments), np.asarray(wells)).accuracy(generator)
