"""Who learns from what and is judged on what: a classifier of sharp cells for all methods, and of coarse ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fluosr.phenotypes.accuracy import Verdict
from fluosr.phenotypes.classification import TreatmentClassifier, train_classifier
from fluosr.phenotypes.crops import CropSet
from fluosr.phenotypes.features import CellMeasure, Feature
from fluosr.phenotypes.pixel_features import pixel_features


@dataclass(frozen=True, eq=False)
class Shown:
    """A method's crops with what was measured of them.

    Args:
        crops: all of its set.
        rows: (n,) those that are compared.
        table: feature -> (N,) values of all crops where a classifier learns from them, else (n,) of those compared.
        learns: whether a classifier learns from its training wells.
        coarse: (N, F) grey values of its coarse pixels, where it is a bound and they are few: a classifier learns from
            these, too.
    """

    crops: CropSet
    rows: np.ndarray
    table: dict[str, np.ndarray]
    learns: bool
    coarse: np.ndarray | None = None

    @property
    def measured(self) -> dict[str, np.ndarray]:
        """feature -> (n,) of those compared."""
        return {name: values[self.rows] for name, values in self.table.items()} if self.learns else self.table

    @property
    def training(self) -> np.ndarray:
        """Rows of the training wells' cells."""
        return np.flatnonzero(self.crops.splits == "train")

    @property
    def test(self) -> np.ndarray:
        """Which of the rows compared are of test wells, as numbers among them."""
        return np.flatnonzero(self.crops.splits[self.rows] == "test")


def verdicts(
    shown: Mapping[str, Shown],
    name: str,
    treatments: tuple[str, ...],
    measure: CellMeasure,
    generator: np.random.Generator,
) -> tuple[dict[str, dict[str, Verdict]], list[str]]:
    """Classifiers of features and of pixels, trained, and what they say of the test wells' cells.

    Those of pixels see texture and how channels agree, and no brightness. Those of coarse pixels see every grey value
    of a bound's coarse crops, and nothing else.

    Args:
        shown: method -> its crops, of the same cells in the same order.
        name: of the reference, from whose training wells all learn that do not learn from their own.
        treatments: the control first.
        measure: how features were measured.
        generator: of the folds.

    Returns:
        ("features", "pixels", "coarse pixels") -> method -> verdict; and what to say of those that there are none of.
    """
    reference = shown[name]
    tested = reference.crops.treatments[reference.rows[reference.test]]
    reason = _no_classifier(reference.crops.treatments[reference.training], tested, treatments)
    if reason is not None:
        return {}, [reason]
    classes, notes = (treatments[0], treatments[1]), []
    found: dict[str, dict[str, Verdict]] = {"features": {}, "pixels": {}, "coarse pixels": {}}
    for learner, own in shown.items():
        if not own.learns:
            continue
        judged = {m: s for m, s in shown.items() if m == learner or (learner == name and not s.learns)}
        usable, unseen = _usable(own, measure)
        prefix = "" if learner == name else f"{learner}: "
        if not usable:
            notes.append(f"{prefix}no classifier of features: none was measured in any cell of the training wells.")
        else:
            if unseen:
                notes.append(f"{prefix}the classifier does without {', '.join(unseen)}: measured in no training cell.")
            model = _learnt(own, measure.matrix(usable, own.table)[own.training], classes, generator)
            for method, one in judged.items():
                seen = measure.matrix(usable, one.measured)[one.test]
                found["features"][method] = _verdict(model, seen, one)
        model = _learnt(own, pixel_features(own.crops.pixels, own.training), classes, generator)
        for method, one in judged.items():
            found["pixels"][method] = _verdict(model, pixel_features(one.crops.pixels, one.rows[one.test]), one)
        if own.coarse is not None:
            model = _learnt(own, own.coarse[own.training], classes, generator)
            found["coarse pixels"][learner] = _verdict(model, own.coarse[own.rows[own.test]], own)
    return {kind: of_methods for kind, of_methods in found.items() if of_methods}, notes


def _learnt(
    shown: Shown, features: np.ndarray, classes: tuple[str, str], generator: np.random.Generator
) -> TreatmentClassifier:
    crops, rows = shown.crops, shown.training
    return train_classifier(features, crops.treatments[rows], crops.wells[rows], classes, generator=generator)


def _verdict(model: TreatmentClassifier, features: np.ndarray, shown: Shown) -> Verdict:
    crops, rows = shown.crops, shown.rows[shown.test]
    return Verdict(model.classes, model.probability(features), crops.treatments[rows], crops.wells[rows])


def _usable(shown: Shown, measure: CellMeasure) -> tuple[tuple[Feature, ...], list[str]]:
    """(features that training cells have, words of the others)."""
    there = {
        feature: bool(np.isfinite(measure.as_compared(feature, shown.table[feature.name])[shown.training]).any())
        for feature in measure.features
    }
    return tuple(f for f, has in there.items() if has), [f.words for f, has in there.items() if not has]


def _no_classifier(learnt: np.ndarray, judged: np.ndarray, treatments: tuple[str, ...]) -> str | None:
    if len(treatments) > 2:
        return f"no classifier: it tells two treatments apart, and there are {len(treatments)}."
    for split, present in (("training", learnt), ("test", judged)):
        missing = [treatment for treatment in treatments if treatment not in present]
        if missing:
            return f"no classifier: the {split} split has no cell of {missing[0]}."
    return None
