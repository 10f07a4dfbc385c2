"""Curves: convergence, trials of a chosen value, the ring correlation, light along a line, figures of a sweep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from fluosr.quality.resolution import RingCorrelation
from fluosr.report.drawing import BLUE, CRISP, FIGURE_WIDTH, GREEN, INK, ORANGE, Drawing, dress, png_of
from fluosr.report.pieces import finite_number

LINE_COLOURS = (BLUE, ORANGE, GREEN, "#b45cc9", "#c9a400", "#d6456b", "#5b6ee1", "#8a6a4a")
LINE_STYLES = ("-", (0, (5, 2)), (0, (1, 1.5)))
MOST_CURVES = 12
MOST_STEPS = 200  # of a curve over the frames
SHOWN = 99.5  # percentile at which the axis of a histogram ends


def history(curves: Mapping[str, Sequence[float]]) -> Drawing:
    """Convergence: one small plot for each named curve, on a logarithmic axis where all values are positive.

    Args:
        curves: name -> values, one for each time the method noted them. Values that are not finite are left out.
    """
    names = list(curves)[:MOST_CURVES]
    figure, cells = _grid(len(names), height=210)
    for name, axes in zip(names, cells, strict=True):
        values = np.asarray(curves[name], float).ravel()
        steps = np.arange(1, values.size + 1)
        good = np.isfinite(values)
        axes.plot(steps[good], values[good], color=BLUE, **_line(int(good.sum())))
        if good.any() and values[good].min() > 0 and values[good].max() > 3 * values[good].min():
            _logarithmic(axes, "y")
        dress(axes, name, "iteration noted", "")
    note = "" if len(curves) <= MOST_CURVES else f"{len(curves) - MOST_CURVES} more curves are in run.json."
    return Drawing(png_of(figure), _css_width(figure), note)


def choices(chosen: Mapping[str, Mapping[str, Any]]) -> Drawing | None:
    """How automatic values were chosen: each trial's score, the chosen value marked.

    Args:
        chosen: name -> {"value", "x", "y", optional "x_label", "y_label"}; entries without a usable curve are left out.

    Returns:
        The picture, or None where no entry has a curve.
    """
    usable = {name: _curve(choice) for name, choice in list(chosen.items())[:MOST_CURVES]}
    names = [name for name, curve in usable.items() if curve is not None]
    if not names:
        return None
    figure, cells = _grid(len(names), height=240)
    for name, axes in zip(names, cells, strict=True):
        x, y = usable[name]  # type: ignore[misc]
        axes.plot(x, y, color=BLUE, **{**_line(x.size), "marker": "o", "markersize": 4})
        value = finite_number(chosen[name].get("value"))
        if value is not None:
            axes.axvline(value, color=ORANGE, linewidth=1.2, linestyle=(0, (4, 2)))
            inside = x.min() <= value <= x.max()
            if inside:
                height = np.interp(value, x, y)
                axes.plot([value], [height], "o", color=ORANGE, markersize=8, markeredgecolor="none", zorder=5)
            axes.annotate(
                f"chosen: {value:.3g}", (value, 1), xycoords=("data", "axes fraction"), xytext=(0, 4),
                textcoords="offset points", ha="center", color=ORANGE, fontsize=8.5, fontweight="bold",
                annotation_clip=False,
            )  # fmt: skip
        if x.min() > 0 and x.max() > 30 * x.min() and (value is None or value > 0):
            _logarithmic(axes, "x")
        if y.min() > 0 and y.max() > 30 * y.min():
            _logarithmic(axes, "y")
        dress(axes, name, str(chosen[name].get("x_label", name)), str(chosen[name].get("y_label", "score")), pad=20)
    return Drawing(png_of(figure), _css_width(figure), "")


def ring_correlation(resolution: RingCorrelation) -> Drawing | None:
    """The Fourier ring correlation with its threshold and the resolution read from it; None where there is no curve."""
    if resolution.frequency_per_nm.size == 0:
        return None
    figure = Figure(figsize=(8.2, 3.5), dpi=100 * CRISP)
    axes = figure.add_axes((0.08, 0.16, 0.9, 0.66))
    f = resolution.frequency_per_nm * 1000
    axes.plot(f, resolution.correlation, color=BLUE, linewidth=0.9, alpha=0.45, label="each ring")
    axes.plot(f, resolution.smoothed, color=BLUE, linewidth=2.0, label="smoothed")
    axes.plot(
        f, np.minimum(resolution.threshold, 1.05), color=ORANGE, linewidth=1.4, linestyle=(0, (5, 2)),
        label=f"threshold {resolution.criterion}",
    )  # fmt: skip
    axes.set(xlim=(0, f[-1]), ylim=(min(-0.1, float(resolution.smoothed.min()) - 0.05), 1.05))
    axes.axhline(0, color=INK, linewidth=0.6)
    if resolution.resolution_nm is not None:
        at = 1000 / resolution.resolution_nm
        axes.axvline(at, color=GREEN, linewidth=1.4)
        right = at < 0.7 * f[-1]
        axes.annotate(
            f"{resolution.resolution_nm:.0f} nm", (at, 0.9), xytext=(7 if right else -7, 0), textcoords="offset points",
            ha="left" if right else "right", color=GREEN, fontsize=15, fontweight="bold",
        )  # fmt: skip
    dress(axes, "", "spatial frequency (1/µm)", "correlation of the halves")
    periods = [p for p in _periods(1000 / f[-1]) if 1000 / p <= f[-1]]
    top = axes.secondary_xaxis("top")
    top.set_xticks([1000 / p for p in periods], [f"{p:g}" for p in periods])
    top.tick_params(colors=INK, labelsize=8.5, width=0.7)
    top.set_xlabel("detail size (nm)", color=INK, fontsize=9, loc="right")
    top.spines["top"].set_color(INK)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="upper right", bbox_to_anchor=(1, 0.98))
    return Drawing(png_of(figure), 820, "")


def profiles(distance_nm: np.ndarray, curves: Mapping[str, np.ndarray]) -> Drawing:
    """Light along one line, all images in one plot; the first curve, the mean frame, as a filled shape behind them.

    Args:
        distance_nm: (N,) place along the line, nm.
        curves: name -> (N,) values.
    """
    figure = Figure(figsize=(10.4, 3.7), dpi=100 * CRISP)
    axes = figure.add_axes((0.075, 0.15, 0.7, 0.8))
    for number, (name, values) in enumerate(curves.items()):
        if number == 0:
            axes.fill_between(distance_nm, values, color=INK, alpha=0.3, linewidth=0, label=name)
            continue
        colour = LINE_COLOURS[(number - 1) % len(LINE_COLOURS)]
        style = LINE_STYLES[(number - 1) // len(LINE_COLOURS) % len(LINE_STYLES)]
        axes.plot(distance_nm, values, color=colour, linestyle=style, linewidth=1.6, label=name)
    axes.set(xlim=(float(distance_nm[0]), float(distance_nm[-1])), ylim=(0, None))
    dress(axes, "", "place along the line (nm)", "light, all areas equal (1/µm)")
    legend = axes.legend(
        frameon=False, fontsize=9, labelcolor=INK, loc="upper left", bbox_to_anchor=(1.01, 1.02), borderaxespad=0
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return Drawing(png_of(figure), 1040, "")


def molecules(per_frame: np.ndarray, photons: np.ndarray, uncertainty_nm: np.ndarray) -> Drawing:
    """Molecules found over the frames, and histograms of their photons and uncertainties, where these are known.

    Args:
        per_frame: (T,) molecules in each frame.
        photons, uncertainty_nm: (N,) of each molecule; NaN where not known.
    """
    columns = {"Photons": (photons, "photons"), "Uncertainty": (uncertainty_nm, "standard deviation (nm)")}
    known = {name: (v[np.isfinite(v)], label) for name, (v, label) in columns.items() if np.isfinite(v).any()}
    figure, (first, *others) = _grid(1 + len(known), height=230)
    together = max(1, -(-len(per_frame) // MOST_STEPS))
    starts = np.arange(0, len(per_frame), together)
    ends = np.minimum(starts + together, len(per_frame))
    means = np.add.reduceat(per_frame, starts) / (ends - starts)
    first.stairs(means, [*starts, len(per_frame)], baseline=None, color=BLUE, linewidth=1.2)
    first.set(xlim=(0, len(per_frame)), ylim=(0, None))
    dress(
        first,
        "Molecules in a frame",
        "frame, from the first used" + (f"; means of {together}" if together > 1 else ""),
        "",
    )
    notes = []
    for (name, (values, label)), axes in zip(known.items(), others, strict=True):
        low, high = float(min(0.0, values.min())), float(np.percentile(values, SHOWN))
        bins = min(60, max(6, round(math.sqrt(values.size))))
        counts, edges = np.histogram(values, bins, (low, high if high > low else low + 1.0))
        axes.stairs(counts, edges, color=BLUE, fill=True, alpha=0.75)
        axes.axvline(float(np.median(values)), color=ORANGE, linewidth=1.4, linestyle=(0, (4, 2)))
        axes.set(xlim=(edges[0], edges[-1]), ylim=(0, None))
        dress(axes, name, label, "")
        beyond = int((values > edges[-1]).sum())
        if beyond:
            notes.append(f"{name}: {beyond:,} lie beyond the axis.")
    return Drawing(png_of(figure), _css_width(figure), " ".join(notes))


def sweep_curves(
    labels: Sequence[str], curves: Mapping[str, Sequence[float | None]], name: str, best: int | None
) -> Drawing:
    """Figures over one parameter, one small plot each, the best value marked.

    Args:
        labels: the parameter's values; numbers are drawn to scale, texts one after the other.
        curves: what is shown -> one value for each label; None where there is none.
        name: the parameter.
        best: which value to mark.
    """
    numbers = [finite_number(label) for label in labels]
    places = np.asarray(range(len(labels)) if None in numbers else numbers, float)
    figure, cells = _grid(len(curves), height=250)
    for (title, values), axes in zip(curves.items(), cells, strict=True):
        y = np.array([np.nan if value is None else value for value in values], float)
        good = np.isfinite(y)
        axes.plot(places[good], y[good], color=BLUE, **{**_line(int(good.sum())), "marker": "o", "markersize": 4})
        if best is not None:
            axes.axvline(places[best], color=ORANGE, linewidth=1.2, linestyle=(0, (4, 2)))
            if good[best]:
                axes.plot([places[best]], [y[best]], "o", color=ORANGE, markersize=8, zorder=5)
        if None in numbers:
            axes.set_xticks(places, list(labels))
            for label in axes.get_xticklabels():
                label.set_parse_math(False)
        reach = float(np.ptp(places)) or 1.0
        axes.set_xlim(places.min() - 0.06 * reach, places.max() + 0.06 * reach)
        dress(axes, title, name, "")
    return Drawing(png_of(figure), _css_width(figure), "")


def _periods(finest_nm: float) -> list[float]:
    """Round detail sizes for the top axis, sparse enough to be read: each at least 1.25 times finer than the last."""
    steps: list[float] = []
    for power in range(6, -3, -1):
        for step in (8, 6, 5, 4, 3, 2.5, 2, 1.5, 1.2, 1):
            period = step * 10.0**power
            # On a linear frequency axis coarse sizes crowd at the left: keep ticks 6 % of the axis apart.
            coarser = 1 / steps[-1] if steps else 0.0
            if finest_nm <= period and 1 / period - coarser >= 0.06 / finest_nm:
                steps.append(period)
    return steps


def _curve(choice: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
    if choice.get("x") is None or choice.get("y") is None:
        return None
    try:
        x, y = np.asarray(choice["x"], float).ravel(), np.asarray(choice["y"], float).ravel()
    except (TypeError, ValueError):
        return None
    if x.size != y.size:
        return None
    good = np.isfinite(x) & np.isfinite(y)
    order = np.argsort(x[good], kind="stable")
    return (x[good][order], y[good][order]) if good.any() else None


def _line(points: int) -> dict[str, Any]:
    return {"linewidth": 1.8} if points > 1 else {"marker": "o", "linestyle": "none", "markersize": 6}


def _grid(count: int, *, height: int) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` plots, three to a row, each ``height`` CSS pixels high."""
    columns = min(3, count)
    rows = math.ceil(count / columns)
    width = FIGURE_WIDTH if columns == 3 else 360 * columns
    figure = Figure(figsize=(width / 100, rows * height / 100), dpi=100 * CRISP)
    cells = []
    for number in range(count):
        row, column = divmod(number, columns)
        x0 = (column * width / columns + 62) / width
        y0 = ((rows - 1 - row) * height + 46) / (rows * height)
        cells.append(figure.add_axes((x0, y0, (width / columns - 86) / width, (height - 46 - 46) / (rows * height))))
    return figure, cells


def _logarithmic(axes: Axes, direction: Literal["x", "y"]) -> None:
    """A logarithmic axis with few, readable numbers; minor ticks would take most of the drawing time."""
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter, NullLocator

    axis: Axis = axes.xaxis if direction == "x" else axes.yaxis
    (axes.set_xscale if direction == "x" else axes.set_yscale)("log")
    low, high = axis.get_view_interval()
    # Where the axis spans under two decades, powers of ten alone would leave it without a number to read.
    axis.set_major_locator(LogLocator(subs=(1.0,) if high > 100 * low else (1.0, 2.0, 5.0), numticks=6))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    if high <= 100 * low:
        axis.set_major_formatter(FormatStrFormatter("%g"))


def _css_width(figure: Figure) -> int:
    return round(figure.get_figwidth() * 100)
