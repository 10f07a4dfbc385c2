"""What all drawings of the report share: their ink, their size, and how they become PNG bytes.

Every figure is drawn on a transparent ground in mid-grey ink: one PNG reads on a light page, a dark page and paper.
Figures are plain objects: nothing here touches pyplot or any global state.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# After Okabe and Ito: colours that people with any colour vision tell apart, toned to read on white and on black.
BLUE, ORANGE, GREEN = "#2f8fd0", "#e0751a", "#12a67c"
INK = "#7b8490"  # contrast of 3.8 on white and 4.7 on the page's dark ground
FIGURE_WIDTH = 1080  # CSS pixels
SOFTWARE = "fluosr"  # what a picture says that it was made with
CRISP = 2  # pixels drawn for each CSS pixel where the image is small enough to be shown pixel by pixel


@dataclass(frozen=True, eq=False)
class Drawing:
    """A finished picture: PNG bytes, the width it is meant to be shown at (CSS pixels), a note on how it was made."""

    png: bytes
    width: int
    note: str


def dress(axes: Axes, title: str, x_label: str, y_label: str, *, pad: float = 7) -> None:
    """Axes in the report's ink, with a grid, a title ``pad`` points above them, and the axes' names."""
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


def png_of(figure: Figure) -> bytes:
    """The figure on a transparent ground."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format="png", transparent=True, metadata={"Software": SOFTWARE}, pil_kwargs={"compress_level": 5}
    )
    return buffer.getvalue()


def is_drawn_here(path: Path) -> bool:
    """Whether a file is a picture that :func:`png_of` made, which may then be replaced by a newer one."""
    try:
        with path.open("rb") as file:
            return f"tEXtSoftware\0{SOFTWARE}".encode() in file.read(1024)
    except OSError:
        return False
