"""Images side by side at one physical scale, with colour bars and a scale bar."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from fluosr.report.drawing import CRISP, FIGURE_WIDTH, INK, Drawing, png_of

TALLEST = 760  # CSS pixels
MOST_BYTES = 1_000_000  # of one picture; a page has four at most
Z_LIMIT = 4.0
RING = "#2fd0ff"  # on grey pictures


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
        rings: (N, 2) (y, x) of rings to draw over it, likewise; ``ring_nm`` is their diameter, nm.
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
    rings: np.ndarray | None = None
    ring_nm: float = 0.0


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
    return Drawing(png_of(figure), math.ceil(total_w / crisp), " ".join(dict.fromkeys(notes)))


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
    if panel.rings is not None:
        y_nm, x_nm = np.asarray(panel.rings, float).reshape(-1, 2).T
        points = 0.72 * panel.ring_nm * scale  # at 100 screen pixels an inch
        axes.plot(x_nm, y_nm, "o", mfc="none", mec=RING, mew=1.1 * crisp, markersize=points, clip_on=True)
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
