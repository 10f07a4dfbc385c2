"""Box plots of features by method and treatment, each treatment with its effect size: after Fig. 5 of the paper."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from fluosr.corrections.intervals import Interval
from fluosr.phenotypes.comparison import PhenotypeComparison
from fluosr.phenotypes.features import Feature
from fluosr.report.drawing import BLUE, CRISP, GREEN, INK, ORANGE, dress, png_of

COLOURS = (BLUE, ORANGE, GREEN)
WIDTH = 0.8  # of a method's boxes together
FEW_BOXES = 12  # up to which two panels stand side by side
FEW_TREATMENTS = 3  # up to which effect sizes are written over the boxes
ROOM = 0.2  # for them, of a panel's height


def phenotype_plot(found: PhenotypeComparison) -> bytes:
    """PNG: a panel for each feature, a group of boxes for each method; solid for the control, dotted for treatments.

    Low-resolution bounds are grey and stand last.
    Boxes hold the middle half of the cells, whiskers the middle 90 %. Over each treated box, of up to two treatments,
    stands Hedges' g against the control with its 95 % interval over wells.
    """
    features = [feature for feature in found.features if _measured(found, feature)]
    boxes = len(found.sets) * len(found.treatments)
    columns = 2 if boxes <= FEW_BOXES else 1
    rows = -(-len(features) // columns)
    size = (max(5.2, 0.55 * boxes + 2.2) * columns, 3.4 * rows)
    figure = Figure(figsize=size, dpi=100 * CRISP)
    for number, feature in enumerate(features):
        _panel(figure.add_subplot(rows, columns, number + 1), found, feature)
    figure.tight_layout()
    return png_of(figure)


def _measured(found: PhenotypeComparison, feature: Feature) -> bool:
    return any(np.isfinite(table[feature.name]).any() for table in found.tables.values())


def _panel(axes: Axes, found: PhenotypeComparison, feature: Feature) -> None:
    step = WIDTH / len(found.treatments)
    ticks, labels = [], []
    logarithmic = feature.logarithmic and all(
        (values[np.isfinite(values)] > 0).mean() > 0.99
        for table in found.tables.values()
        if np.isfinite(values := table[feature.name]).any()
    )
    for place, (method, crops) in enumerate(found.sets.items()):
        values = found.tables[method][feature.name]
        for number, treatment in enumerate(found.treatments):
            mine = values[(crops.treatments == treatment) & np.isfinite(values)]
            mine = mine[mine > 0] if logarithmic else mine
            x = place + (number - (len(found.treatments) - 1) / 2) * step
            if not len(mine):
                continue
            style = "-" if number == 0 else ":"
            colour = INK if method in found.bounds else COLOURS[place % len(COLOURS)]
            line = {"color": colour, "linewidth": 1.6, "linestyle": style}
            _box(axes, x, 0.8 * step, mine, line)
            effect = found.effects[method][feature.name].get(treatment)
            if effect is not None and len(found.treatments) <= FEW_TREATMENTS:
                _say(axes, x, float(np.percentile(mine, 95)), effect.hedges_g.interval)
            if len(found.sets) == 1:
                ticks.append(x)
                labels.append(treatment)
        if len(found.sets) > 1:
            ticks.append(float(place))
            labels.append(method)
    if logarithmic:
        axes.set_yscale("log")
        # Room for the figures above the boxes.
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * (high / low) ** ROOM)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 10 * low else (1, 1.5, 2, 3, 4, 5, 6, 8)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + ROOM * (high - low))
    axes.set_xticks(ticks, labels, rotation=0 if len(labels) < 5 else 30)
    axes.set_xlim(-0.6, len(found.sets) - 0.4)
    treated = ", ".join(found.treatments[1:]) if len(found.treatments) < 4 else "treatments"
    dress(axes, feature.words, f"solid {found.control}, dotted {treated}", "")


def _box(axes: Axes, x: float, width: float, values: np.ndarray, line: dict[str, Any]) -> None:
    """Quartiles, and whiskers from the 5 % to the 95 % quantile; matplotlib's own reads settings that load pyplot."""
    low, first, middle, third, high = np.percentile(values, (5, 25, 50, 75, 95))
    left, right = x - width / 2, x + width / 2
    axes.plot([left, right, right, left, left], [first, first, third, third, first], **line)
    for end, side in ((low, first), (high, third)):
        axes.plot([x, x], [side, end], **line)
        axes.plot([x - width / 4, x + width / 4], [end, end], **{**line, "linestyle": "-"})
    axes.plot([left, right], [middle, middle], **{**line, "linestyle": "-"})


def _say(axes: Axes, x: float, y: float, interval: Interval) -> None:
    if not np.isfinite(interval.value):  # all cells are alike
        return
    ends = f"\n[{interval.low:.2f}, {interval.high:.2f}]" if np.isfinite([interval.low, interval.high]).all() else ""
    text = f"g {interval.value:.2f}{ends}"
    axes.annotate(
        text, (x, y), xytext=(0, 3), textcoords="offset points", ha="center", va="bottom", color=INK, fontsize=7.5
    )
