"""Figures of several methods on the same fields: means with intervals, and differences field by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fluosr.errors import UsageError
from fluosr.quality.bootstrap import RESAMPLES, FieldMean, Kind, field_draws, field_mean, means_of_fields


@dataclass(frozen=True, eq=False)
class MethodScores:
    """What a method scored, picture by picture.

    Args:
        fields: (n,) which field each picture belongs to.
        metrics: (n,) values for each name of a metric.
    """

    fields: np.ndarray
    metrics: Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Methods by metrics; a metric that a method was not given has no cell.

    Attributes:
        fields: (F,) names of the fields, the same for every method.
        field_means: method -> metric -> (F,) means of the fields.
        cells: method -> metric -> mean over the fields with its interval.
        kind: of the intervals, where there are fields enough.
        baseline: the method whose values were taken off, in a table of differences; None else.
    """

    fields: np.ndarray
    field_means: dict[str, dict[str, np.ndarray]]
    cells: dict[str, dict[str, FieldMean]]
    kind: Kind
    baseline: str | None = None

    @property
    def metrics(self) -> list[str]:
        """All metrics, in the order in which they first occur."""
        return list(dict.fromkeys(metric for row in self.cells.values() for metric in row))

    def against(self, baseline: str, *, generator: np.random.Generator, resamples: int = RESAMPLES) -> ScoreTable:
        """Every other method less ``baseline``, field by field: what fields have in common cancels.

        Raises:
            UsageError: there is no such method.
        """
        if baseline not in self.cells:
            raise UsageError(f"there is no method {baseline!r} in the table, only {', '.join(self.cells)}.")
        draws = field_draws(len(self.fields), generator, resamples)
        base = self.field_means[baseline]
        means = {
            method: {metric: own[metric] - base[metric] for metric in own if metric in base}
            for method, own in self.field_means.items()
            if method != baseline
        }
        cells = {
            method: {
                metric: field_mean(values, draws, self.cells[method][metric].n_values, self.kind)
                for metric, values in row.items()
            }
            for method, row in means.items()
        }
        return ScoreTable(self.fields, means, cells, self.kind, baseline)

    def describe(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {
            "baseline": self.baseline,
            "fields": self.fields.tolist(),
            "methods": {
                method: {
                    metric: cell.describe() | {"of_fields": self.field_means[method][metric].tolist()}
                    for metric, cell in row.items()
                }
                for method, row in self.cells.items()
            },
        }


def score_table(
    scores: Mapping[str, MethodScores],
    *,
    generator: np.random.Generator,
    kind: Kind = "percentile",
    resamples: int = RESAMPLES,
) -> ScoreTable:
    """Means over fields with their intervals, all from the same draws of fields.

    Args:
        scores: for each method what it scored; all on the same fields, each with any number of pictures a field.
        generator, kind, resamples: as for ``mean_over_fields``.

    Raises:
        UsageError: no methods, one that lacks fields of the others, or values as for ``mean_over_fields``.
    """
    names = next((np.unique(own.fields) for own in scores.values() if own.metrics), None)
    if names is None:
        raise UsageError("a table of scores needs at least one method with one metric.")
    means: dict[str, dict[str, np.ndarray]] = {}
    for method, own in scores.items():
        means[method] = {}
        for metric, values in own.metrics.items():
            try:
                found, means[method][metric] = means_of_fields(values, own.fields)
            except UsageError as error:
                raise UsageError(f"{method}, {metric}: {error}") from error
            if not np.array_equal(found, names):
                apart = sorted(map(str, set(found.tolist()) ^ set(names.tolist())))
                raise UsageError(
                    f"{method}, {metric}: methods can be compared on the same fields only, and these are not scored by "
                    f"all: {', '.join(apart)}."
                )
    draws = field_draws(len(names), generator, resamples)
    cells = {
        method: {metric: field_mean(values, draws, len(scores[method].fields), kind) for metric, values in row.items()}
        for method, row in means.items()
    }
    return ScoreTable(names, means, cells, kind)
