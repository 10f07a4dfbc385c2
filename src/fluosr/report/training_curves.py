"""The log of a training as files beside its model: a line for each look, and a picture of the losses over the steps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from fluosr.report.drawing import BLUE, CRISP, GREEN, INK, ORANGE, dress, is_drawn_here, png_of

LOG_FILES = (".log.jsonl", ".log.png")  # after the model's name
MARKS = ({"step", "stage"}, {"step", "images"})  # what the entries of a restorer's log say, and of the others'

Panel = tuple[str, str, tuple[tuple[str, str, str], ...]]

RESTORER: tuple[Panel, ...] = (  # title, unit, and for each curve its name in the log, its name here and its colour
    (
        "Error of the image",
        "standard deviations of the bad image",
        (
            ("absolute_error", "patches learnt from", INK),
            ("validation_error", "validation fields", BLUE),
            ("validation_rms", "the same, root mean square", GREEN),
        ),
    ),
    (
        "Restorer against discriminator",
        "loss",
        (
            ("restorer", "restorer", ORANGE),
            ("discriminator", "discriminator", INK),
            ("perceptual", "perceptual", GREEN),
        ),
    ),
    (
        "What the discriminator takes for real",
        "probability",
        (("real", "good images", BLUE), ("fake", "restored ones", ORANGE)),
    ),
)
GENERATOR: tuple[Panel, ...] = (
    (
        "Generator against discriminator",
        "loss",
        (("generator", "generator", ORANGE), ("discriminator", "discriminator", INK)),
    ),
    (
        "How sure the discriminator is",
        "",
        (
            ("real_sign", "mean sign on real crops", BLUE),
            ("fake", "made ones taken for real", ORANGE),
            ("augmentation", "probability of augmentation", GREEN),
        ),
    ),
)
PIX2PIX: tuple[Panel, ...] = (
    (
        "Mean absolute difference from the crops",
        "half a channel's range",
        (("l1", "Pix2Pix", ORANGE), ("l1_of_bicubic", "bicubic", INK)),
    ),
    (
        "Generator against discriminator",
        "loss",
        (("generator", "generator", ORANGE), ("discriminator", "discriminator", INK)),
    ),
    (
        "What the discriminator takes for real",
        "probability",
        (("real", "crops", BLUE), ("fake", "made ones", ORANGE)),
    ),
)


def score_panels(entries: Sequence[dict[str, Any]]) -> list[Panel]:
    """A panel for each measure of a log's scores, a curve for each extractor; the names are "KID (extractor)"."""
    names = {name: None for entry in entries for name in entry if name.endswith(")")}
    measures = dict.fromkeys(name.partition(" (")[0] for name in names)
    count = next((entry["n"] for entry in entries if "n" in entry), 0)
    panels = []
    for measure in measures:
        own = [name for name in names if name.startswith(f"{measure} (")]
        colours = [(BLUE, ORANGE, GREEN, INK)[number % 4] for number in range(len(own))]
        curves = tuple((n, n.partition(" (")[2][:-1], colour) for n, colour in zip(own, colours, strict=True))
        panels.append((f"{measure} of samples from crops", f"n = {count:.0f}", curves))
    return panels


def log_lines(entries: Sequence[dict[str, Any]]) -> bytes:
    """A log as lines of JSON."""
    return "".join(f"{json.dumps(entry)}\n" for entry in entries).encode()


def is_log(path: Path) -> bool:
    """Whether a file is a log or the picture of one, which may then be replaced by a newer one."""
    if path.suffix == ".png":
        return is_drawn_here(path)
    try:
        with path.open("rb") as file:
            first = json.loads(file.readline(1024))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(first, dict) and any(keys <= first.keys() for keys in MARKS)


def draw_log(entries: Sequence[dict[str, Any]], panels: Sequence[Panel] = RESTORER, *, along: str = "step") -> bytes:
    """PNG: the curves of a training's log; panels of which the log says nothing are left out.

    Args:
        entries: of the log, in their order.
        panels: title, unit and curves of each; a curve is its name in the log, its name here and its colour.
        along: what of the log the curves are drawn over.
    """
    names = {name for entry in entries for name in entry}
    shown = [panel for panel in panels if any(name in names for name, _, _ in panel[2])]
    figure = Figure(figsize=(5.4 * len(shown), 3.6), dpi=100 * CRISP)
    for number, (title, unit, curves) in enumerate(shown):
        axes = figure.add_subplot(1, len(shown), number + 1)
        for name, label, colour in curves:
            points = [(entry[along], entry[name]) for entry in entries if name in entry]
            if points:
                axes.plot(
                    *zip(*points, strict=True), color=colour, linewidth=1.6, marker="o", markersize=2.5, label=label
                )
        dress(axes, title, along, unit)
        axes.legend(frameon=False, fontsize=8.5, labelcolor=INK)
        switch = next((entry[along] for entry in entries if entry.get("stage") != entries[0].get("stage")), None)
        if switch is not None:
            axes.axvline(switch, color=INK, linewidth=0.8, linestyle=":")
    figure.tight_layout()
    return png_of(figure)
