"""The picture of a limit: bounds over separations, and the frames that tell each separation apart."""

from __future__ import annotations

import io
from typing import Any, Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from fluosr.limits.table import Limit
from fluosr.report.drawing import BLUE, CRISP, INK, ORANGE

BY_MEAN, BY_BOTH = "mean alone", "mean and covariance"
CURVE: dict[str, Any] = {"linewidth": 2.2, "marker": "o", "markersize": 4}
GAUSSIAN: dict[str, Any] = {"color": ORANGE, "linewidth": 1.1, "linestyle": (0, (1, 1.6))}
DASHED: dict[str, Any] = {"color": INK, "linewidth": 1.2, "linestyle": (0, (6, 3))}


def draw_limit(limit: Limit, kind: Literal["png", "svg"]) -> bytes:
    """Left the bounds and the line that they must lie under, right the frames needed and those that there are.

    Args:
        limit: with one row or more.
        kind: of the picture: PNG on a transparent ground, or SVG.
    """
    figure = Figure(figsize=(10.8, 4.7), dpi=100 * CRISP)
    left = figure.add_axes((0.06, 0.115, 0.42, 0.68))
    right = figure.add_axes((0.565, 0.115, 0.42, 0.68))
    _draw_bounds(left, limit)
    _draw_frames(right, limit)
    _write_head(figure, limit)
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    # Neither date nor version nor a random name goes in: the same limit gives the same bytes.
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with rc_context({"svg.hashsalt": "fluosr"}):
        figure.savefig(buffer, format=kind, transparent=True, metadata=metadata)
    return buffer.getvalue()


def _draw_bounds(axes: Axes, limit: Limit) -> None:
    bounds = [row.bound for row in limit.rows]
    separations = np.array([bound.separation_nm for bound in bounds])
    axes.plot(separations, [bound.mean_nm for bound in bounds], color=BLUE, label=BY_MEAN, **CURVE)
    axes.plot(separations, [bound.covariance_nm for bound in bounds], color=ORANGE, label=BY_BOTH, **CURVE)
    axes.plot(separations, [bound.gaussian_nm for bound in bounds], label="the same for Gaussian frames", **GAUSSIAN)
    axes.plot(separations, separations / limit.criterion.told_apart, **DASHED)
    axes.annotate(
        f"separation / {limit.criterion.told_apart:g}", (1, separations[-1] / limit.criterion.told_apart),
        xycoords=("axes fraction", "data"), xytext=(0, 5), textcoords="offset points", ha="right", color=INK,
        fontsize=9,
    )  # fmt: skip
    _dress(axes, separations, "Best that a measured separation can be", "standard deviation (nm)")
    axes.legend(
        frameon=False, fontsize=9, labelcolor=INK, loc="lower left", bbox_to_anchor=(-0.02, 1.09), ncols=3,
        columnspacing=1.5, borderaxespad=0,
    )  # fmt: skip


def _draw_frames(axes: Axes, limit: Limit) -> None:
    separations = np.array([row.bound.separation_nm for row in limit.rows])
    frames = limit.experiment.frames
    rows, found = limit.rows, limit.smallest
    for colour, needed, smallest, or_less, corner in (
        (BLUE, [row.mean_frames for row in rows], found.mean_nm, found.mean_or_less, (8, 7)),
        (ORANGE, [row.covariance_frames for row in rows], found.covariance_nm, found.covariance_or_less, (-8, -15)),
    ):
        x, y = separations, np.array(needed, float)
        # The curve goes through the point that is marked; where the search only ends, there is none.
        if separations[0] < smallest < separations[-1] and not or_less:
            place = int(np.searchsorted(x, smallest))
            axes.plot(np.insert(x, place, smallest), np.insert(y, place, frames), color=colour, linewidth=2.2)
            axes.plot(x, y, "o", color=colour, markersize=4)
            axes.plot([smallest], [frames], "o", color=colour, markersize=9, zorder=6)
            axes.annotate(
                f"{smallest:.0f} nm", (smallest, frames), xytext=corner, textcoords="offset points", color=colour,
                ha="left" if corner[0] > 0 else "right", fontsize=11, fontweight="bold",
            )  # fmt: skip
        else:
            axes.plot(x, y, color=colour, **CURVE)
    axes.axhline(frames, **DASHED)
    axes.annotate(
        f"{frames:,} frames", (1, frames), xycoords=("axes fraction", "data"), xytext=(0, 5),
        textcoords="offset points", ha="right", color=INK, fontsize=9,
    )  # fmt: skip
    _dress(axes, separations, "Frames that tell it apart", "")


def _dress(axes: Axes, separations: np.ndarray, title: str, y_label: str) -> None:
    reach = max(float(np.ptp(separations)), 1.0)
    axes.set_xlim(max(0.0, separations[0] - 0.25 * reach), separations[-1] + 0.04 * reach)
    axes.set_facecolor("none")
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 1000 * low else (1.0,), numticks=12))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:,.0f}" if 1 <= value < 1e7 else f"{value:g}")
    )
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.annotate(
        title, (0, 1), xycoords="axes fraction", xytext=(0, 7), textcoords="offset points", color=INK, fontsize=10,
        fontweight="bold",
    )  # fmt: skip
    axes.set_xlabel("separation (nm)", color=INK, fontsize=9.5)
    axes.set_ylabel(y_label, color=INK, fontsize=9.5)
    axes.tick_params(which="both", colors=INK, labelsize=9, width=0.7)
    axes.grid(True, which="major", color=INK, alpha=0.22, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)


def _write_head(figure: Figure, limit: Limit) -> None:
    experiment, pair = limit.experiment, limit.pair
    what = "Two points"
    if pair.shape == "lines":
        what = f"Two lines, {pair.length_nm:g} nm long and {pair.width_nm:g} nm wide"
    facts = (
        f"FWHM {experiment.psf.fwhm_nm:.4g} nm, pixel {experiment.pixel_size_nm:g} nm, {experiment.photons:g} photons "
        f"at the peak, Fano factor {experiment.fano_factor:g}, background {100 * experiment.background_fraction:g} %, "
        f"read noise {experiment.read_noise_e:g} e"
    )
    figure.text(0.012, 0.945, what, color=INK, fontsize=11.5, fontweight="bold")
    figure.text(0.985, 0.945, facts, color=INK, fontsize=9, ha="right")
