"""Figures over two parameters: each value written into a coloured cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fluosr.report.drawing import CRISP, FIGURE_WIDTH, INK, ORANGE, Drawing, dress, png_of


@dataclass(frozen=True, eq=False)
class Heat:
    """One figure over two parameters.

    Args:
        title: what is shown.
        values: (rows, columns); NaN where there is none.
        better: whether "high" or "low" values are the good ones: they are drawn bright.
        digits: format of the value written into each cell.
    """

    title: str
    values: np.ndarray
    better: Literal["high", "low"] = "high"
    digits: str = ".2f"


def heat_maps(
    heats: Sequence[Heat], rows: tuple[str, Sequence[str]], columns: tuple[str, Sequence[str]],
    best: tuple[int, int] | None,
) -> Drawing:  # fmt: skip
    """Figures over two parameters, side by side, each value written into its cell, the best cell framed.

    Args:
        heats: one to three.
        rows, columns: a parameter's name and its values as texts.
        best: (row, column) to frame.
    """
    n_rows, n_columns = len(rows[1]), len(columns[1])
    beside = len(heats) if n_columns <= 8 else 1
    width = FIGURE_WIDTH / beside
    left, right, head, foot = 74, 12, 30, 46
    cell = min(72.0, (width - left - right) / n_columns)
    high = min(46.0, max(20.0, cell))
    deep = math.ceil(len(heats) / beside)
    box_h = high * n_rows
    total_h = deep * (head + foot + box_h)
    figure = Figure(figsize=(FIGURE_WIDTH / 100, total_h / 100), dpi=100 * CRISP)
    for number, heat in enumerate(heats):
        down, across = divmod(number, beside)
        y0 = total_h - (down + 1) * (head + foot + box_h) + foot
        axes = figure.add_axes(
            (
                (across * width + left) / FIGURE_WIDTH, y0 / total_h,
                cell * n_columns / FIGURE_WIDTH, box_h / total_h,
            )
        )  # fmt: skip
        _draw_heat(axes, heat, cell, best)
        axes.set_xticks(range(n_columns), list(columns[1]))
        axes.set_yticks(range(n_rows), list(rows[1]))
        for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
            label.set_parse_math(False)
        dress(axes, heat.title, columns[0], rows[0])
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    return Drawing(png_of(figure), FIGURE_WIDTH, "")


def _draw_heat(axes: Axes, heat: Heat, cell: float, best: tuple[int, int] | None) -> None:
    from matplotlib.patches import Rectangle

    values = np.asarray(heat.values, float)
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    share = (values - low) / (high - low) if high > low else np.where(np.isfinite(values), 0.5, np.nan)
    if heat.better == "low":
        share = 1 - share
    colours = colormaps["viridis"].with_extremes(bad="#8d949e40")
    axes.imshow(np.ma.masked_invalid(share), cmap=colours, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    size = max(5.0, min(9.0, cell / 5.2))
    for (row, column), value in np.ndenumerate(values):
        text = format(value, heat.digits) if math.isfinite(value) else "none"
        colour = INK if not math.isfinite(value) else "black" if share[row, column] > 0.55 else "white"
        axes.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)
    if best is not None:
        frame = Rectangle((best[1] - 0.5, best[0] - 0.5), 1, 1, fill=False, edgecolor=ORANGE, linewidth=2.6, zorder=5)
        frame.set_clip_on(False)
        axes.add_patch(frame)
