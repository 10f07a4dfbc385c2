"""Conditions compared in every feature, as several methods show the same cells, with classifiers beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fluosr.errors import UsageError
from fluosr.phenotypes.accuracy import Accuracy, AccuracyDifference
from fluosr.phenotypes.crops import CropSet, check_split
from fluosr.phenotypes.effects import CellValues, Effect, EffectDifference, effect_difference, effect_size
from fluosr.phenotypes.features import CellMeasure, Feature
from fluosr.phenotypes.low_resolution import coarse_values, low_resolution
from fluosr.phenotypes.matching import common_cells
from fluosr.phenotypes.verdicts import Shown, verdicts

Effects = dict[str, dict[str, dict[str, Effect]]]
EffectDifferences = dict[str, dict[str, dict[str, EffectDifference]]]


@dataclass(frozen=True, eq=False)
class PhenotypeComparison:
    """What was measured.

    Attributes:
        sets: method -> its crops, of the same cells; the reference first, the low-resolution bounds last.
        measure: how all of them were measured.
        control: name of the treatment that the others are held against.
        treatments: all, the control first.
        tables: method -> feature -> (N,) values.
        effects: method -> feature -> treatment -> effect; none where too few cells could be measured.
        effect_differences: likewise, each method's less the reference's on the same wells.
        accuracies: what the classifier saw ("features", "pixels"; of bounds "coarse pixels") -> method -> accuracy on
            the test wells.
        accuracy_differences: likewise, each method's less the reference's on the same cells.
        bounds: methods that are the reference at low resolution: their classifiers have learnt from such crops.
        notes: what the user should know, in plain words.
    """

    sets: dict[str, CropSet]
    measure: CellMeasure
    control: str
    treatments: tuple[str, ...]
    tables: dict[str, dict[str, np.ndarray]]
    effects: Effects
    effect_differences: EffectDifferences
    accuracies: dict[str, dict[str, Accuracy]]
    accuracy_differences: dict[str, dict[str, AccuracyDifference]]
    bounds: tuple[str, ...]
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
            "low_resolution_bounds": list(self.bounds),
            "effects": _described(self.effects),
            "effect_differences": _described(self.effect_differences),
            "classifiers": _described(self.accuracies),
            "classifier_differences": _described(self.accuracy_differences),
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
    reduce: Sequence[int] = (),
    generator: np.random.Generator,
) -> PhenotypeComparison:
    """Measure every cell, and say how far each treatment lies from the control.

    Background, what is faint and the nuclear diameter are the reference's for all. Classifiers learn on the reference's
    cells of the training wells, and are judged on every method's cells of the test wells; those of the low-resolution
    bounds learn from low-resolution cells of the same training wells.

    Args:
        reference: crops as they were taken.
        others: method -> crops of the same cells; cells that one of the sets lacks are left out.
        name: of the reference.
        split: "train" or "test" for effects of its cells alone; classifiers learn on the training wells all the same.
        control: treatment; the first of the reference's without.
        spot_threshold: grey values above the background; Otsu's in each cell without.
        classify: train and judge classifiers.
        reduce: factors by which the reference is reduced, each for a low-resolution bound.
        generator: of intervals and folds.

    Raises:
        UsageError: one treatment only, no such control, split or factor, methods without a common cell or of other
            channels or sizes.
    """
    given = {name: reference, **(others or {})}
    rows, notes = common_cells(given, name)
    factors = {f"{name} 1/{factor}": factor for factor in reduce}
    for bound, factor in factors.items():
        given[bound], rows[bound] = low_resolution(reference, factor), rows[name]
    if reference.ground is None:
        notes.append(
            "these crops do not say their background: the dark end of all pixels was taken off, which is too low. Make "
            "them anew with fluosr crops."
        )
    if split is not None:
        check_split(split)
        rows = {method: mine[given[method].splits[mine] == split] for method, mine in rows.items()}
        if not len(rows[name]):
            raise UsageError(
                f"there is no cell of the {split} split: measure all, or make crops with other wells in it."
            )
    treatments = _treatments(reference.treatments[rows[name]], control)
    measure = CellMeasure.of(reference, spot_threshold=spot_threshold)
    # Of what classifiers learn from the training wells are measured too.
    learning = (name, *factors)
    sets = {method: _rows_of(crops, rows[method]) for method, crops in given.items()}
    shown = {}
    for method, crops in given.items():
        measured = measure.measure((crops if method in learning else sets[method]).pixels)
        coarse = coarse_values(reference, factors[method]) if method in factors and classify else None
        shown[method] = Shown(crops, rows[method], measured, method in learning, coarse)
    tables = {method: found.measured for method, found in shown.items()}
    effects, differences = _effects(sets, tables, measure, treatments, generator)
    accuracies: dict[str, dict[str, Accuracy]] = {}
    accuracy_differences: dict[str, dict[str, AccuracyDifference]] = {}
    if classify:
        said, reasons = verdicts(shown, name, treatments, measure, generator)
        notes += reasons
        for kind, of_methods in said.items():
            accuracies[kind] = {m: verdict.accuracy(generator) for m, verdict in of_methods.items()}
            if name in of_methods:
                accuracy_differences[kind] = {
                    m: verdict.less(of_methods[name], generator) for m, verdict in of_methods.items() if m != name
                }
    notes += _floors(tables, measure)
    return PhenotypeComparison(
        sets, measure, treatments[0], treatments, tables, effects, differences, accuracies, accuracy_differences,
        tuple(factors), tuple(notes),
    )  # fmt: skip


def _rows_of(crops: CropSet, rows: np.ndarray) -> CropSet:
    """Not a copy where all are taken: sets are large."""
    return crops if np.array_equal(rows, np.arange(len(crops))) else crops.chosen(rows)


def _treatments(names: np.ndarray, control: str | None) -> tuple[str, ...]:
    """All, the control first."""
    present = list(dict.fromkeys(names.tolist()))
    chosen = present[0] if control is None else control
    if chosen not in present:
        raise UsageError(f"there is no treatment {chosen!r}: take one of {', '.join(present)}.")
    if len(present) < 2:
        raise UsageError(f"these crops have one treatment only ({present[0]}): nothing can be compared.")
    return (chosen, *(treatment for treatment in present if treatment != chosen))


def _effects(
    sets: dict[str, CropSet],
    tables: dict[str, dict[str, np.ndarray]],
    measure: CellMeasure,
    treatments: tuple[str, ...],
    generator: np.random.Generator,
) -> tuple[Effects, EffectDifferences]:
    """(effects, each method's less the first one's)."""
    effects: Effects = {}
    differences: EffectDifferences = {}
    reference = next(iter(sets))
    for method, crops in sets.items():
        effects[method] = {feature.name: {} for feature in measure.features}
        if method != reference:
            differences[method] = {feature.name: {} for feature in measure.features}
        for feature in measure.features:
            for treatment in treatments[1:]:
                mine, theirs = (
                    _cells(measure.as_compared(feature, tables[m][feature.name]), crops, treatments[0], treatment)
                    for m in (method, reference)
                )
                if not mine.enough:
                    continue
                effects[method][feature.name][treatment] = effect_size(
                    mine.control, mine.control_wells, mine.condition, mine.condition_wells, generator=generator
                )
                if method != reference and theirs.enough:
                    found = effect_difference(mine, theirs, generator=generator)
                    differences[method][feature.name][treatment] = found
    return effects, differences


def _cells(values: np.ndarray, crops: CropSet, control: str, treatment: str) -> CellValues:
    mine, other = crops.treatments == control, crops.treatments == treatment
    return CellValues(values[mine], crops.wells[mine], values[other], crops.wells[other])


def _floors(tables: dict[str, dict[str, np.ndarray]], measure: CellMeasure) -> list[str]:
    """What to say of cells whose ratio is a bound."""
    notes = []
    for method, table in tables.items():
        count = measure.floored(table)
        if count:
            of = int(np.isfinite(table["nucleus_to_ring"]).sum())
            notes.append(
                f"{method}: in {count} of {of} cells the protein in the nucleus or in the ring is less than "
                f"{measure.floor:.3g} grey values above the background, and counts as that: their ratios are bounds."
            )
    return notes


def _described(found: Any) -> Any:
    """Mappings of anything that describes itself."""
    return {k: _described(v) for k, v in found.items()} if isinstance(found, dict) else found.describe()
