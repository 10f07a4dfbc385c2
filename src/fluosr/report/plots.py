"""The report's pictures: images at one physical scale, curves, and the ring correlation, as PNG bytes.

Every figure is drawn on a transparent ground in mid-grey ink: one PNG reads on a light page, a dark page and paper.
Figures are plain objects: nothing here touches pyplot or any global state.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from fluosr.quality.resolution import RingCorrelation

# After Okabe and Ito: colours that people with any colour vision tell apart, toned to read on white and on black.
BLUE, ORANGE, GREEN = "#2f8fd0", "#e0751a", "#12a67c"
INK = "#7b8490"  # contrast of 3.8 on white and 4.7 on the page's dark ground
LINE_COLOURS = (BLUE, ORANGE, GREEN, "#b45cc9", "#c9a400", "#d6456b", "#5b6ee1", "#8a6a4a")
LINE_STYLES = ("-", (0, (5, 2)), (0, (1, 1.5)))
FIGURE_WIDTH = 1080  # CSS pixels
CRISP = 2  # pixels drawn for each CSS pixel where the image is small enough to be shown pixel by pixel
TALLEST = 760  # CSS pixels
MOST_BYTES = 1_000_000  # of one picture; a page has four at most
MOST_CURVES = 12
Z_LIMIT = 4.0


@dataclass(frozen=True, eq=False)
class Panel:
    """One image of a row.

    Args:
        image: (Y, X); pixels that are not finite are drawn in grey.
        pixel_size_nm: size of its pixel, nm. All panels of a row are drawn at one physical scale.
        title: above the image, in one or more lines.
        label: of the colour bar, with the unit.
        colours: name of a matplotlib colour map.
        percentiles: (low, high) percentiles of the finite values that set the contrast.
        limits: fixed contrast instead, in the image's unit.
        reduce: how blocks of pixels are merged where the image is larger than the page: "mean" keeps the light,
            "extreme" keeps the value farthest from zero.
        scale_bar: draw the row's scale bar in this panel.
        line: (y0, x0, y1, x1) of a line to draw over it, nm from the field's upper left corner.
    """

    image: np.ndarray
    pixel_size_nm: float
    title: str
    label: str
    colours: str = "inferno"
    percentiles: tuple[float, float] = (0.5, 99.8)
    limits: tuple[float, float] | None = None
    reduce: Literal["mean", "extreme"] = "mean"
    scale_bar: bool = False
    line: tuple[float, float, float, float] | None = None


def contrast(panel: Panel) -> tuple[float, float]:
    """(low, high) in the image's unit; never equal, and finite for any image."""
    if panel.limits is not None:
        return panel.limits
    finite = panel.image[np.isfinite(panel.image)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(finite, panel.percentiles))
    if high - low <= 1e-6 * max(abs(low), abs(high)):
        # A sparse image may hold all its light in fewer pixels than the percentile leaves out.
        low, high = float(finite.min()), float(finite.max())
    if high - low <= 1e-6 * max(abs(low), abs(high)):
        high = low + max(1.0, abs(low))
    return low, high


def round_length_nm(longest_nm: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not above ``longest_nm``, nm."""
    power = 10.0 ** math.floor(math.log10(longest_nm))
    return next(step * power for step in (5.0, 2.0, 1.0) if step * power <= longest_nm * (1 + 1e-9))


def length_text(length_nm: float) -> str:
    """A length in the unit a reader expects: nm below one micrometre, µm above."""
    return f"{length_nm / 1000:.4g} µm" if length_nm >= 1000 else f"{length_nm:.4g} nm"


def shrink(image: np.ndarray, block: int, how: Literal["mean", "extreme"]) -> np.ndarray:
    """(ceil(Y / block), ceil(X / block)) image of block means or extremes, without the pixels that are not finite."""
    if block == 1:
        return image
    ny, nx = image.shape
    padded = np.full((-(-ny // block) * block, -(-nx // block) * block), np.nan)
    padded[:ny, :nx] = np.where(np.isfinite(image), image, np.nan)
    rows, columns = padded.shape[0] // block, padded.shape[1] // block
    blocks = padded.reshape(rows, block, columns, block).swapaxes(1, 2).reshape(rows, columns, block * block)
    finite = np.isfinite(blocks)
    if how == "mean":
        count = finite.sum(-1)
        total = np.where(finite, blocks, 0.0).sum(-1)
        return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    size = np.where(finite, np.abs(blocks), -1.0)
    return np.take_along_axis(blocks, size.argmax(-1)[..., None], -1)[..., 0]


@dataclass(frozen=True, eq=False)
class Drawing:
    """A finished picture: PNG bytes, the width it is meant to be shown at (CSS pixels), a note on how it was made."""

    png: bytes
    width: int
    note: str


def images(panels: Sequence[Panel], *, columns: int | None = None, one_bar: str = "") -> Drawing:
    """Panels at one physical scale, side by side, or one above the other where the field is wide.

    Pixels are drawn by nearest neighbour at a whole number of screen pixels wherever the finest panel fits; larger
    images are merged in blocks first. A picture that would still weigh too much (noise does not compress) is drawn
    smaller, so that the page's size does not follow the field's.

    Args:
        panels: the first sets the field (their physical sizes should agree).
        columns: panels in a row; without it all stand in one.
        one_bar: what the panels are called together where they share limits, colours and unit: one colour bar below
            the first then stands for all.

    Returns:
        The picture; its note states contrast limits and any merging, in plain words.
    """
    for crisp, share in ((CRISP, 1.0), (1, 1.0), (1, 0.7), (1, 0.5)):
        drawing = _draw_panels(panels, crisp, share, columns, one_bar)
        if len(drawing.png) <= MOST_BYTES:
            break
    return drawing


def _draw_panels(
    panels: Sequence[Panel], crisp: int, share: float, wanted_columns: int | None, one_bar: str
) -> Drawing:
    """``crisp`` screen pixels for a CSS pixel, in ``share`` of the page's width."""
    height_nm, width_nm = (n * panels[0].pixel_size_nm for n in panels[0].image.shape)
    wide = width_nm > 1.8 * height_nm
    if wanted_columns is None:
        columns = 1 if wide else len(panels)
    else:
        fitting = round(1.5 * wanted_columns * height_nm / width_nm) if wide else wanted_columns
        columns = max(1, min(fitting, len(panels)))
    gap = 26
    room = (FIGURE_WIDTH - gap * (columns - 1)) / columns * share
    if columns == 1 and not wide:
        room /= 2
    room_nm = max(width_nm, height_nm * room / (TALLEST * share))  # tall fields are bound by their height
    finest = min(panel.pixel_size_nm for panel in panels)
    per_pixel = room * crisp * finest / room_nm  # screen pixels for one pixel of the finest panel
    scale = math.floor(per_pixel + 1e-9) / finest if per_pixel >= 1 else 1 / (math.ceil(1 / per_pixel - 1e-9) * finest)
    box_w, box_h = max(8, round(width_nm * scale)), max(4, round(height_nm * scale))

    lines = 1 + max(panel.title.count("\n") for panel in panels)
    head, foot, bar_foot = (
        (30 + 15 * (lines - 1)) * crisp,
        (8 if one_bar else 62) * crisp,
        (58 if one_bar else 0) * crisp,
    )
    cell_w = max(box_w, (120 if one_bar else 230) * crisp)
    rows = math.ceil(len(panels) / columns)
    total_w = max(columns * cell_w + (columns - 1) * gap * crisp, 230 * crisp)
    total_h = rows * (head + box_h + foot) + bar_foot
    figure = Figure(figsize=(total_w / 100, total_h / 100), dpi=100)
    notes = [_contrast_note(panels[0], one_bar)] if one_bar else []
    shrunk: dict[str, list[str]] = {}  # how -> panels
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        x0 = column * (cell_w + gap * crisp)
        y0 = total_h - row * (head + box_h + foot) - head - box_h
        axes = figure.add_axes((x0 / total_w, y0 / total_h, box_w / total_w, box_h / total_h))
        if not one_bar:
            notes.append(_contrast_note(panel, panel.title))
        how = _draw_panel(axes, panel, scale, width_nm, height_nm, crisp)
        if how:
            shrunk.setdefault(how, []).append(panel.title)
        bad = int((~np.isfinite(panel.image)).sum())
        if bad:
            notes.append(f"{panel.title}: {bad} pixel(s) without a value are grey.")
        axes.text(
            0, 1 + 9 * crisp / box_h, panel.title, transform=axes.transAxes, color=INK, fontsize=10.5 * crisp,
            fontweight="bold", parse_math=False,
        )  # fmt: skip
        if one_bar and number:
            continue
        bar_w = max(min(box_w, 420 * crisp), (230 if one_bar else 160) * crisp)
        bar_y = bar_foot - 18 * crisp if one_bar else y0 - 20 * crisp
        bar = figure.add_axes((x0 / total_w, bar_y / total_h, bar_w / total_w, 8 * crisp / total_h))
        _draw_colour_bar(bar, panel, crisp)
    for how, titles in shrunk.items():
        notes.append(f"Larger than the page, so that each point shows {how}: {', '.join(titles)}.")
    return Drawing(_png(figure), math.ceil(total_w / crisp), " ".join(dict.fromkeys(notes)))


def _contrast_note(panel: Panel, name: str) -> str:
    low, high = contrast(panel)
    if panel.limits is not None:
        return f"{name}: contrast from {low:.4g} to {high:.4g}."
    return (
        f"{name}: contrast from {low:.3g} to {high:.3g} "
        f"({panel.percentiles[0]:g} % to {panel.percentiles[1]:g} % percentile)."
    )


def _draw_panel(axes: Axes, panel: Panel, scale: float, width_nm: float, height_nm: float, crisp: int) -> str:
    """Draw one panel, ``scale`` screen pixels for a nanometre; returns what a point shows where it is several."""
    low, high = contrast(panel)
    block = max(1, math.floor(1 / (panel.pixel_size_nm * scale) + 1e-9))
    shown = shrink(np.asarray(panel.image, float), block, panel.reduce)
    colours = colormaps[panel.colours].with_extremes(bad="#8d949e")
    size_nm = panel.pixel_size_nm * block
    extent = (0.0, shown.shape[1] * size_nm, shown.shape[0] * size_nm, 0.0)
    axes.imshow(
        np.ma.masked_invalid(shown), cmap=colours, vmin=low, vmax=high, interpolation="nearest", extent=extent,
        aspect="auto", resample=False,
    )  # fmt: skip
    axes.set(xlim=(0, width_nm), ylim=(height_nm, 0))
    axes.axis("off")
    if panel.line is not None:
        _draw_line(axes, panel.line, crisp)
    if panel.scale_bar:
        _draw_scale_bar(axes, scale, width_nm, height_nm, crisp)
    if block == 1:
        return ""
    kind = "the mean" if panel.reduce == "mean" else "the value farthest from zero"
    return f"{kind} of {block} x {block} pixels"


def _draw_line(axes: Axes, line: tuple[float, float, float, float], crisp: int) -> None:
    y0, x0, y1, x1 = line
    outline = [withStroke(linewidth=2.6 * crisp, foreground="#000000a0")]
    axes.plot([x0, x1], [y0, y1], color="white", linewidth=1.1 * crisp, path_effects=outline, clip_on=True)


def _draw_scale_bar(axes: Axes, scale: float, width_nm: float, height_nm: float, crisp: int) -> None:
    length = round_length_nm(0.3 * width_nm)
    point = crisp / scale  # nanometres for one CSS pixel
    inset = min(14 * point, 0.08 * width_nm, 0.12 * height_nm)
    thick = min(4 * point, 0.05 * height_nm)
    right, bottom = width_nm - inset, height_nm - inset
    outline = withStroke(linewidth=2.2 * crisp, foreground="#000000b0")
    bar = axes.fill_between([right - length, right], bottom - thick, bottom, color="white", linewidth=0)
    bar.set_path_effects([withStroke(linewidth=1.6 * crisp, foreground="#00000090")])
    narrow = length < 60 * point  # the text is wider than the bar: it must not run out of the picture
    axes.text(
        right if narrow else right - length / 2, bottom - thick - 3 * point, length_text(length), color="white",
        ha="right" if narrow else "center", va="bottom",
        fontsize=9.5 * crisp, fontweight="bold", path_effects=[outline], clip_on=False,
    )  # fmt: skip


def _draw_colour_bar(axes: Axes, panel: Panel, crisp: int) -> None:
    from matplotlib.ticker import MaxNLocator

    low, high = contrast(panel)
    axes.imshow(np.linspace(0, 1, 256)[None], cmap=panel.colours, extent=(low, high, 0, 1), aspect="auto")
    axes.set_yticks([])
    ticks = np.asarray(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))
    ticks = ticks[(ticks >= low) & (ticks <= high)]
    axes.set_xticks(ticks)
    for tick, label in zip(ticks, axes.get_xticklabels(), strict=True):
        place = (tick - low) / (high - low)
        # A label centred on the bar's very end would be cut off at the figure's edge.
        label.set_horizontalalignment("left" if place < 0.04 else "right" if place > 0.96 else "center")
    axes.tick_params(colors=INK, labelsize=8.5 * crisp, length=2.5 * crisp, width=0.7 * crisp, pad=2 * crisp)
    axes.set_xlabel(panel.label, color=INK, fontsize=8.5 * crisp, labelpad=2 * crisp, loc="left", parse_math=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def brightest_window(image: np.ndarray, factor: int, side: int) -> tuple[int, int, int, int] | None:
    """(y, x, height, width) in camera pixels of the ``side`` x ``side`` window that holds most light.

    Args:
        image: (L Y, L X) reconstruction.
        factor: L.
        side: of the window, camera pixels; cut to the field.

    Returns:
        The window, or None where the image holds no light or the window is the field.
    """
    from scipy.ndimage import uniform_filter

    ny, nx = (n // factor for n in image.shape)
    height, width = min(side, ny), min(side, nx)
    if (height, width) == (ny, nx):
        return None
    light = shrink(np.nan_to_num(np.asarray(image, float), nan=0.0, posinf=0.0, neginf=0.0), factor, "mean")[:ny, :nx]
    if not light.max() > light.min():
        return None
    sums = uniform_filter(light, size=(height, width), mode="constant")
    # uniform_filter centres an even window half a pixel up: index i covers i - size // 2 .. i - size // 2 + size - 1.
    inside = sums[height // 2 : ny - height + height // 2 + 1, width // 2 : nx - width + width // 2 + 1]
    y, x = np.unravel_index(int(inside.argmax()), inside.shape)
    return int(y), int(x), height, width


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
        _dress(axes, name, "iteration noted", "")
    note = "" if len(curves) <= MOST_CURVES else f"{len(curves) - MOST_CURVES} more curves are in run.json."
    return Drawing(_png(figure), _css_width(figure), note)


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
        _dress(axes, name, str(chosen[name].get("x_label", name)), str(chosen[name].get("y_label", "score")), pad=20)
    return Drawing(_png(figure), _css_width(figure), "")


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
    _dress(axes, "", "spatial frequency (1/µm)", "correlation of the halves")
    periods = [p for p in _periods(1000 / f[-1]) if 1000 / p <= f[-1]]
    top = axes.secondary_xaxis("top")
    top.set_xticks([1000 / p for p in periods], [f"{p:g}" for p in periods])
    top.tick_params(colors=INK, labelsize=8.5, width=0.7)
    top.set_xlabel("detail size (nm)", color=INK, fontsize=9, loc="right")
    top.spines["top"].set_color(INK)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="upper right", bbox_to_anchor=(1, 0.98))
    return Drawing(_png(figure), 820, "")


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
    _dress(axes, "", "place along the line (nm)", "light, all areas equal (1/µm)")
    legend = axes.legend(
        frameon=False, fontsize=9, labelcolor=INK, loc="upper left", bbox_to_anchor=(1.01, 1.02), borderaxespad=0
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return Drawing(_png(figure), 1040, "")


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
        _dress(axes, heat.title, columns[0], rows[0])
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    return Drawing(_png(figure), FIGURE_WIDTH, "")


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
        _dress(axes, title, name, "")
    return Drawing(_png(figure), _css_width(figure), "")


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


def finite_number(value: Any) -> float | None:
    """The value as a float, or None where it is none or not finite."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


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


def _dress(axes: Axes, title: str, x_label: str, y_label: str, *, pad: float = 7) -> None:
    axes.set_facecolor("none")
    # A plain annotation: a title proper measures every tick label to find its place, a third of the page's whole time.
    axes.annotate(
        title, (0, 1), xycoords="axes fraction", xytext=(0, pad), textcoords="offset points", color=INK, fontsize=10,
        fontweight="bold", parse_math=False,
    )  # fmt: skip
    axes.set_xlabel(x_label, color=INK, fontsize=9, parse_math=False)
    axes.set_ylabel(y_label, color=INK, fontsize=9, parse_math=False)
    axes.tick_params(which="both", colors=INK, labelsize=8.5, width=0.7)
    axes.grid(True, color=INK, alpha=0.22, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", transparent=True, pil_kwargs={"compress_level": 5})
    return buffer.getvalue()
