"""The README's picture: a simulated ARGO phantom as the camera sees it, as fluosr reconstructs it, and as it is."""

from __future__ import annotations

import argparse
import io
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib
import numpy as np
from tables import acquire

import fluosr
from fluosr.quality.lines import line_profile
from fluosr.simulate.argo import ArgoPhantom
from fluosr.simulate.movie import SimulatedMovie

matplotlib.use("Agg")

from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MultipleLocator

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "argo.png"
SEPARATIONS_NM = (120.0, 150.0, 180.0, 210.0)
SHOWN_NM = 1400.0  # of the lines' length
BLUE, ORANGE, INK = "#2f8fd0", "#e0751a", "#2b3038"
SCALE_BAR_UM = 0.5
DOTS = 160  # per inch


def main() -> None:
    """Simulate, reconstruct with the defaults, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=PICTURE)
    output = parser.parse_args().output
    phantom = ArgoPhantom(separations_nm=SEPARATIONS_NM, control=False, margin_nm=350.0)
    movie = SimulatedMovie(phantom)
    made = fluosr.reconstruct(acquire(movie))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(draw(movie, made.mean, made.image))
    print(f"{output}: {output.stat().st_size / 1024:.0f} KB")


def draw(movie: SimulatedMovie, mean: np.ndarray, image: np.ndarray) -> bytes:
    """PNG of three strips at one scale, and the light across the lines under them.

    Args:
        movie: what was simulated; its truth is the third strip.
        mean: (Y, X) mean frame.
        image: (L Y, L X) reconstruction.
    """
    pixel = movie.phantom.pixel_size_nm
    strips = [
        (f"Mean of {movie.n_frames} frames", mean, pixel),
        ("fluosr, default settings", image, pixel * mean.shape[0] / image.shape[0]),
        ("Truth", movie.truth, pixel / movie.factor),
    ]
    figure = Figure(figsize=(8.4, 5.6), dpi=DOTS, facecolor="white")
    axes = figure.subplots(4, 1, sharex=True, gridspec_kw={"height_ratios": [1, 1, 1, 1.15]})
    figure.subplots_adjust(left=0.012, right=0.988, top=0.945, bottom=0.085, hspace=0.07)
    for number, (title, strip, size) in enumerate(strips):
        _strip(axes[number], movie, title, strip, size, scale_bar=number == 2)
    for line_set in movie.phantom.sets:
        axes[0].text(
            line_set.centre_nm[1] / 1000, -0.07, f"{line_set.separation_nm:.0f} nm", ha="center", va="bottom", color=INK
        )
    _profiles(axes[3], movie, strips)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return _fewer_colours(buffer)


def _strip(axes: Any, movie: SimulatedMovie, title: str, strip: np.ndarray, size: float, *, scale_bar: bool) -> None:
    width = strip.shape[1] * size / 1000
    middle = movie.phantom.sets[0].centre_nm[0]
    rows = slice(round((middle - SHOWN_NM / 2) / size), round((middle + SHOWN_NM / 2) / size))
    shown = strip[rows]
    axes.imshow(
        shown,
        cmap="inferno",
        vmin=float(np.percentile(shown, 0.5)),
        vmax=float(np.percentile(shown, 99.7)),
        extent=(0, width, SHOWN_NM / 1000, 0),
        aspect="auto",
        interpolation="nearest",
    )
    outline = [withStroke(linewidth=2.5, foreground="black")]
    axes.text(0.06, 0.09, title, color="white", va="top", fontsize=10.5, path_effects=outline)
    axes.set_axis_off()
    if scale_bar:
        # In the dark between the last two sets.
        before, after = (line_set.centre_nm[1] / 1000 for line_set in movie.phantom.sets[-2:])
        left, low = (before + after - SCALE_BAR_UM) / 2, SHOWN_NM / 1000 - 0.12
        axes.plot([left, left + SCALE_BAR_UM], [low, low], color="white", lw=3, solid_capstyle="butt")
        label = f"{SCALE_BAR_UM * 1000:.0f} nm"
        axes.text(left + SCALE_BAR_UM / 2, low - 0.08, label, color="white", ha="center", path_effects=outline)


def _profiles(axes: Any, movie: SimulatedMovie, strips: list[tuple[str, np.ndarray, float]]) -> None:
    """Light across each set, along the shown length, each image against its own highest line."""
    colours = (INK, ORANGE, BLUE)
    reach = movie.phantom.pitch_nm / 2
    for (title, strip, size), colour, style in zip(strips, colours, ("--", "-", "-"), strict=True):
        parts = [
            line_profile(strip, size, movie.phantom, line_set, half_width_nm=reach, trim=0.25)
            for line_set in movie.phantom.sets
        ]
        highest = max(float(values.max()) for _, values in parts)
        for number, (line_set, (across, values)) in enumerate(zip(movie.phantom.sets, parts, strict=True)):
            place = (line_set.centre_nm[1] + across) / 1000
            label = {"label": title} if number == 0 else {}
            axes.plot(place, values / highest, style, color=colour, lw=1.1, **label)
    axes.set_ylim(0, 1.32)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MultipleLocator(1.0))
    axes.set_xlim(0, strips[0][1].shape[1] * strips[0][2] / 1000)
    axes.set_xlabel("across the lines, µm", labelpad=1)
    axes.legend(loc="upper center", ncols=3, frameon=False, fontsize=9, borderaxespad=0.1)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)


def _fewer_colours(png: io.BytesIO) -> bytes:
    """The picture with 256 colours: a third of the size, no difference to the eye."""
    from PIL import Image

    buffer = io.BytesIO()
    png.seek(0)
    Image.open(png).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(buffer, "png", optimize=True)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
