"""Conditions compared in every feature, as several methods show the same cells, with a classifier beside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fluosr.errors import UsageError
from fluosr.phenotypes.classification import Accuracy, judge_classifier, pixel_features, train_classifier
from fluosr.phenotypes.crops import CropSet, check_split
from fluosr.phenotypes.effects import Effect, effect_size
from fluosr.phenotypes.features import CellMeasure, Feature, as_compared, feature_matrix


@dataclass(frozen=True, eq=False)
class PhenotypeComparison:
    """What was measured.

    Attributes:
        sets: method -> its crops, of the same cells.
        measure: how all of them were measured.
        control: name of the treatment that the others are held against.
        treatments: all, the control first.
        tables: method -> feature -> (N,) values.
        effects: method -> feature -> treatment -> effect; none where too few cells could be measured.
        accuracies: what the classifier saw ("features", "pixels") -> method -> accuracy on the test wells.
        notes: what the user should know, in plain words.
    """

    sets: dict[str, CropSet]
    measure: CellMeasure
    control: str
    treatments: tuple[str, ...]
    tables: dict[str, dict[str, np.ndarray]]
    effects: dict[str, dict[str, dict[str, Effect]]]
    accuracies: dict[str, dict[str, Accuracy]]
    notes: tuple[str, ...]

    @property
    def features(self) -> tuple[Feature, ...]:
        """Those measured."""
        return self.measure.features

    def describe(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {
            "control": self.control,
            "treatments": list(self.treatments),
            "measure": vars(self.measure),
            "effects": {
                method: {
                    feature: {name: effect.describe() for name, effect in found.items()}
                    for feature, found in of_method.items()
                }
                for method, of_method in self.effects.items()
            },
            "classifiers": {
                kind: {method: found.describe() for method, found in judged.items()}
                for kind, judged in self.accuracies.items()
            },
            "notes": list(self.notes),
        }


def compare_conditions(
    reference: CropSet,
    others: Mapping[str, CropSet] | None = None,
    *,
    name: str = "reference",
    control: str | None = None,
    split: str | None = None,
    spot_threshold: float | None = None,
    classify: bool = True,
    generator: np.random.Generator,
) -> PhenotypeComparison:
    """Measure every cell, and say how far each treatment lies from the control.

    Levels, background and nuclear diameter are the reference's for all. Classifiers learn on the reference's cells of
    the training wells, and are judged on every method's cells of the test wells.

    Args:
        reference: crops as they were taken.
        others: method -> crops of the same cells; cells that one of the sets lacks are left out.
        name: of the reference.
        split: "train" or "test" for effects of its cells alone; classifiers learn on the training wells all the same.
        control: treatment; the first of the reference's without.
        spot_threshold: grey values above the background; Otsu's in each cell without.
        classify: train and judge classifiers.
        generator: of intervals and folds.

    Raises:
        UsageError: one treatment only, no such control or split, methods without a common cell or of other channels or
            sizes.
    """
    given = {name: reference, **(others or {})}
    rows, notes = _common(given, name)
    if split is not None:
        check_split(split)
        rows = {method: mine[given[method].splits[mine] == split] for method, mine in rows.items()}
        if not len(rows[name]):
            raise UsageError(
                f"there is no cell of the {split} split: measure all, or make crops with other wells in it."
            )
    sets = {method: crops.chosen(rows[method]) for method, crops in given.items()}
    present = list(dict.fromkeys(sets[name].treatments.tolist()))
    chosen = present[0] if control is None else control
    if chosen not in present:
        raise UsageError(f"there is no treatment {chosen!r}: take one of {', '.join(present)}.")
    if len(present) < 2:
        raise UsageError(f"these crops have one treatment only ({present[0]}): nothing can be compared.")
    treatments = (chosen, *(treatment for treatment in present if treatment != chosen))
    measure = CellMeasure.of(reference, spot_threshold=spot_threshold)
    whole = measure.measure(reference.pixels)  # the training wells too, from which classifiers learn
    tables = {method: measure.measure(crops.pixels) for method, crops in sets.items() if method != name}
    tables = {name: {feature: values[rows[name]] for feature, values in whole.items()}, **tables}
    effects: dict[str, dict[str, dict[str, Effect]]] = {}
    for method, crops in sets.items():
        effects[method] = {
            feature.name: _effects(as_compared(feature, tables[method][feature.name]), crops, treatments, generator)
            for feature in measure.features
        }
    accuracies: dict[str, dict[str, Accuracy]] = {}
    if classify:
        reason = _no_classifier(reference.of_split("train"), sets[name].of_split("test"), treatments)
        learns = reference.splits == "train"
        usable = tuple(f for f in measure.features if np.isfinite(feature_matrix((f,), whole)[learns]).any())
        if reason is None and not usable:
            reason = "no classifier: no feature was measured in any cell of the training wells."
        if reason is None:
            unseen = [f.words for f in measure.features if f not in usable]
            if unseen:
                notes.append(f"the classifier does without {', '.join(unseen)}: measured in no training cell.")
            classes = (treatments[0], treatments[1])
            accuracies["features"] = _judged(
                _Seen(reference, feature_matrix(usable, whole)),
                {m: _Seen(crops, feature_matrix(usable, tables[m])) for m, crops in sets.items()},
                classes,
                generator,
            )
            learnt_from = reference.of_split("train")
            tested = {method: crops.of_split("test") for method, crops in sets.items()}
            accuracies["pixels"] = _judged(
                _Seen(learnt_from, pixel_features(learnt_from.pixels)),
                {m: _Seen(crops, pixel_features(crops.pixels)) for m, crops in tested.items()},
                classes,
                generator,
            )
        else:
            notes.append(reason)
    return PhenotypeComparison(sets, measure, chosen, treatments, tables, effects, accuracies, tuple(notes))


def _common(sets: dict[str, CropSet], name: str) -> tuple[dict[str, np.ndarray], list[str]]:
    """(rows of each set of the cells that all have, in the reference's order; what to say of it)."""
    reference = sets[name]
    places = {method: {key: row for row, key in enumerate(_keys(crops))} for method, crops in sets.items()}
    for method, crops in sets.items():
        if crops.pixels.shape[1:] != reference.pixels.shape[1:]:
            raise UsageError(
                f"{method} has crops of shape {crops.pixels.shape[1:]} and {name} of {reference.pixels.shape[1:]}: the "
                "same channels and size are needed."
            )
    shared = [key for key in places[name] if all(key in of_method for of_method in places.values())]
    if not shared:
        raise UsageError(f"{' and '.join(sets)} have no cell in common (well, field and place of its nucleus).")
    rows = {method: np.array([of_method[key] for key in shared]) for method, of_method in places.items()}
    for method, crops in sets.items():
        for what in ("splits", "treatments"):
            theirs, ours = getattr(crops, what)[rows[method]], getattr(reference, what)[rows[name]]
            differs = np.flatnonzero(theirs != ours)
            if len(differs):
                well = reference.wells[rows[name][differs[0]]]
                raise UsageError(
                    f"well {well} is {ours[differs[0]]} in {name} and {theirs[differs[0]]} in {method}: the same cells "
                    "must have the same treatment and split. Make all sets of crops from one plate with the same "
                    "--test-share and --seed."
                )
    notes = []
    if any(len(crops) != len(shared) for crops in sets.values()):
        notes.append(f"{len(shared)} cells are in all of {', '.join(sets)}; the others were left out.")
    return rows, notes


def _keys(crops: CropSet) -> list[tuple[str, str, float, float]]:
    return [
        (well, field, round(y, 1), round(x, 1))
        for well, field, (y, x) in zip(
            crops.wells.tolist(), crops.fields.tolist(), crops.places_px.tolist(), strict=True
        )
    ]


def _effects(
    values: np.ndarray, crops: CropSet, treatments: tuple[str, ...], generator: np.random.Generator
) -> dict[str, Effect]:
    found = {}
    control = crops.treatments == treatments[0]
    for treatment in treatments[1:]:
        mine = crops.treatments == treatment
        if min(np.isfinite(values[control]).sum(), np.isfinite(values[mine]).sum()) < 2:
            continue
        found[treatment] = effect_size(
            values[control], crops.wells[control], values[mine], crops.wells[mine], generator=generator
        )
    return found


def _no_classifier(learnt: CropSet, judged: CropSet, treatments: tuple[str, ...]) -> str | None:
    if len(treatments) > 2:
        return f"no classifier: it tells two treatments apart, and there are {len(treatments)}."
    for split, crops in (("training", learnt), ("test", judged)):
        missing = [treatment for treatment in treatments if treatment not in crops.treatments]
        if missing:
            return f"no classifier: the {split} split has no cell of {missing[0]}."
    return None


@dataclass(frozen=True, eq=False)
class _Seen:
    """Crops and (N, F) what a classifier sees of them."""

    crops: CropSet
    features: np.ndarray

    def of_split(self, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(features, treatments, wells) of its cells."""
        mine = self.crops.splits == split
        return self.features[mine], self.crops.treatments[mine], self.crops.wells[mine]


def _judged(
    learnt_from: _Seen, tested: dict[str, _Seen], classes: tuple[str, str], generator: np.random.Generator
) -> dict[str, Accuracy]:
    """Learnt on the training wells of the one, judged on the test wells of each."""
    model = train_classifier(*learnt_from.of_split("train"), classes, generator=generator)
    return {
        method: judge_classifier(model, *seen.of_split("test"), generator=generator) for method, seen in tested.items()
    }
