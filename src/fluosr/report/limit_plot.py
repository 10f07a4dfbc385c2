"""The picture of a limit: bounds over separations, and from where on a pair is told apart."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from fluosr.limits.table import Limit
from fluosr.report.plots import BLUE, CRISP, INK, ORANGE

FAINT = 0.4  # of a curve where the pair is not told apart


def draw_limit(limit: Limit, kind: Literal["png", "svg"]) -> bytes:
    """The bounds over the separations, the line that they must lie under, and the smallest separations told apart.

    A curve is faint where the pair is not told apart, and full where it is.

    Args:
        limit: with one row or more.
        kind: of the picture: PNG on a transparent ground, or SVG.
    """
    figure = Figure(figsize=(8.2, 4.9), dpi=100 * CRISP)
    axes = figure.add_axes((0.085, 0.115, 0.885, 0.745))
    separations = np.array([row.bound.separation_nm for row in limit.rows])
    axes.plot(
        separations, [row.bound.gaussian_nm for row in limit.rows], color=ORANGE, linewidth=1.0, linestyle=(0, (1, 2)),
        label="mean and covariance, if frames were Gaussian",
    )  # fmt: skip
    needed = separations / limit.criterion.told_apart
    axes.plot(
        separations, needed, color=INK, linewidth=1.2, linestyle=(0, (6, 3)),
        label=f"separation / {limit.criterion.told_apart:g}: bounds must lie under it",
    )  # fmt: skip
    for label, colour, spreads, smallest in (
        ("mean alone", BLUE, [row.bound.mean_nm for row in limit.rows], limit.smallest.mean_nm),
        ("mean and covariance", ORANGE, [row.bound.covariance_nm for row in limit.rows], limit.smallest.covariance_nm),
    ):
        _curve(axes, label, colour, separations, spreads, smallest)
    axes.set_xscale("linear")
    axes.set_yscale("log")
    reach = max(float(np.ptp(separations)), 1.0)
    axes.set_xlim(separations[0] - 0.03 * reach, separations[-1] + 0.03 * reach)
    _dress(axes)
    _title(figure, limit)
    axes.legend(frameon=False, fontsize=8.5, labelcolor=INK, loc="upper right", ncols=2, columnspacing=1.6)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * (high / low) ** 0.22)  # room for the legend
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    # Neither date nor version goes in: the same limit gives the same bytes.
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(buffer, format=kind, transparent=True, metadata=metadata)
    return buffer.getvalue()


def _curve(
    axes: Axes, label: str, colour: str, separations: np.ndarray, spreads: Sequence[float], smallest: float
) -> None:
    values = np.array(spreads)
    full = separations >= smallest * (1 - 1e-9)
    inside = separations[0] <= smallest <= separations[-1]
    x, y = separations[full], values[full]
    if inside:
        start = math.exp(np.interp(math.log(smallest), np.log(separations), np.log(values)))
        x, y = np.append(smallest, x), np.append(start, y)
        axes.plot(
            [smallest], [start], "o", color=colour, markersize=9, markerfacecolor="none", markeredgewidth=2, zorder=6
        )
        axes.annotate(
            f"{smallest:.3g} nm", (smallest, start), xytext=(7, 9), textcoords="offset points", color=colour,
            fontsize=11, fontweight="bold",
        )  # fmt: skip
    axes.plot(separations, values, color=colour, linewidth=1.6, alpha=FAINT, marker="o", markersize=3.5)
    axes.plot(x, y, color=colour, linewidth=2.4, label=label)
    axes.plot(separations[full], values[full], "o", color=colour, markersize=4)


def _dress(axes: Axes) -> None:
    axes.set_facecolor("none")
    axes.set_xlabel("separation (nm)", color=INK, fontsize=10)
    axes.set_ylabel("least standard deviation of the separation (nm)", color=INK, fontsize=10)
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 1000 * low else (1.0,), numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="both", colors=INK, labelsize=9, width=0.7)
    axes.grid(True, which="major", color=INK, alpha=0.22, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)


def _title(figure: Figure, limit: Limit) -> None:
    experiment, pair = limit.experiment, limit.pair
    what = "Two points"
    if pair.shape == "lines":
        what = f"Two lines {pair.length_nm:g} nm long and {pair.width_nm:g} nm wide"
    facts = (
        f"FWHM {experiment.psf.fwhm_nm:.4g} nm, pixel {experiment.pixel_size_nm:g} nm, {experiment.photons:g} photons "
        f"at the peak, {experiment.frames:,} frames, Fano factor {experiment.fano_factor:g}, background "
        f"{100 * experiment.background_fraction:g} %, read noise {experiment.read_noise_e:g} e"
    )
    figure.text(0.015, 0.95, what, color=INK, fontsize=11.5, fontweight="bold")
    figure.text(0.015, 0.905, facts, color=INK, fontsize=8.5)
