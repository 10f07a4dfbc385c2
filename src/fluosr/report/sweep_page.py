"""The page of a sweep: how resolution and fidelity depend on a method's parameters, and what each choice looks like."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

import numpy as np

from fluosr.acquisition import Acquisition
from fluosr.quality.judge import UNEXPLAINED
from fluosr.reconstruction import NOTHING_HERE
from fluosr.report import curves, frame, heat_maps, pictures, pieces
from fluosr.report.compare_page import BRIGHTEST, DENSITY, common_limits

COLUMNS, MOST_COLUMNS = 5, 8  # pictures in a row
LONGEST_LINE = 26  # characters above a picture
MOST_SHOWN = 60  # pictures on the sheet
MOST_DRAWN = 40  # values of a parameter on a heat map
State = Literal["finished", "failed", "not run"]


@dataclass(eq=False)
class Cell:
    """One choice of the varied parameters.

    Args:
        varied: parameter -> value.
        state: how it ended.
        reason: why there is no image, in plain words.
        resolution_nm: Fourier ring correlation of the halves, nm; None where there is none.
        resolution_reason: why there is none.
        rsp: Pearson correlation of the mean frame with what the image explains of it, SQUIRREL's.
        significance: as the reconstruction's.
        residual_rms: residuals in units of the noise.
        time_s: of this cell.
        warnings: the method's.
        nfrc, qnr: set by the sweep as a whole, 0 to 1.
    """

    varied: dict[str, Any]
    state: State = "not run"
    reason: str | None = None
    resolution_nm: float | None = None
    resolution_reason: str | None = None
    rsp: float | None = None
    significance: float | None = None
    residual_rms: float | None = None
    time_s: float | None = None
    warnings: list[str] = field(default_factory=list)
    nfrc: float | None = None
    qnr: float | None = None

    @property
    def title(self) -> str:
        """The choice in words."""
        return ", ".join(f"{name} {pieces.value_text(value)}" for name, value in self.varied.items())


@dataclass(frozen=True, eq=False)
class Sweep:
    """All choices.

    Args:
        method: the method's name.
        values: parameter -> its values, in order; the last varies fastest among the cells.
        cells: one for each combination.
        best: number of the cell with the highest QnR; None where none can be named.
        nothing_here: cells were judged, and none found evidence of structure.
        stopped: not all cells were run.
        best_run: what became of the best cell's full run, in plain words; None where there was none.
    """

    method: str
    values: Mapping[str, Sequence[Any]]
    cells: tuple[Cell, ...]
    best: int | None
    nothing_here: bool
    stopped: bool
    best_run: str | None = None


def render_sweep(
    sweep: Sweep,
    acquisition: Acquisition,
    images: Mapping[int, tuple[np.ndarray, float]],
    run: Mapping[str, Any],
    best_command: Sequence[str] | None,
) -> str:
    """One self-contained page; every text that comes from outside is escaped.

    Args:
        sweep: what came out.
        acquisition: what went in; its frames are not read.
        images: number of a cell -> ((Y, X) photons per µm² and frame, pixel size in nm).
        run: ``seed``, ``device`` and ``command``, as far as known.
        best_command: the command line that reconstructs the best cell.
    """
    parts = [_header(sweep, acquisition), _first_words(sweep, acquisition)]
    if sweep.best is not None:
        parts.append(pieces.section("best", "The best cell", _best(sweep, best_command)))
    if not sweep.nothing_here and any(cell.qnr is not None for cell in sweep.cells):
        parts.append(pieces.section("maps", "Over the parameters", _maps(sweep)))
    if images:
        parts.append(pieces.section("sheet", "All pictures", _sheet(sweep, images)))
    parts.append(pieces.section("cells", "All cells", _table(sweep)))
    parts.append(pieces.section("reproduce", "Reproduce", _reproduce(run)))
    return frame.page(f"{acquisition.name}: {sweep.method} swept", parts)


def _header(sweep: Sweep, acquisition: Acquisition) -> str:
    ny, nx = acquisition.field_shape
    sentence = (
        f"{len(sweep.cells):,} choices of {' and '.join(sweep.values)} on {acquisition.n_frames:,} frames of "
        f"{nx} × {ny} pixels ({acquisition.pixel_size_nm:.4g}\u00a0nm)."
    )
    return (
        f'<header>\n<p class="kicker">fluosr · sweep · {escape(sweep.method)}</p>\n'
        f"<h1>{escape(acquisition.name)}</h1>\n"
        f'<p class="lead">{escape(sentence)}</p>\n</header>'
    )


def _first_words(sweep: Sweep, acquisition: Acquisition) -> str:
    found: list[tuple[str, str]] = []
    finished = [cell for cell in sweep.cells if cell.state == "finished"]
    failed = sum(cell.state == "failed" for cell in sweep.cells)
    if sweep.nothing_here:
        text = (
            f"No choice gave evidence of structure in this movie (significance of at least {NOTHING_HERE:g}). Whatever "
            "the pictures show is noise, or cannot be told from it: no resolution is claimed, and no choice is better "
            "than another."
        )
        found.append(("Nothing here", text))
    elif sweep.best is None and finished:
        text = "No cell has both a resolution and an RSP above 0; why, the table says."
        found.append(("No best cell", text))
    elif not finished:
        found.append(("No picture", "No cell yielded a picture; why, the table says."))
    if sweep.stopped:
        done = len(finished) + failed
        text = f"{done:,} of {len(sweep.cells):,} cells were run. The same command with --resume goes on."
        found.append(("Stopped", text))
    if failed:
        found.append(("Failed", f"{failed:,} of {len(sweep.cells):,} cells; the reasons stand in the table."))
    found += [("The movie", pieces.sentence(str(warning))) for warning in acquisition.warnings]
    if not found:
        return ""
    items = "\n".join(f"<li><strong>{escape(head)}.</strong> {escape(text)}</li>" for head, text in found)
    title = "<h2>Before you choose</h2>"
    return f'<section id="warnings" class="warnings">\n{title}\n<ul>\n{items}\n</ul>\n</section>'


def _best(sweep: Sweep, command: Sequence[str] | None) -> str:
    assert sweep.best is not None
    cell = sweep.cells[sweep.best]
    words = (
        f"<p><strong>{escape(cell.title)}</strong>: QnR {pieces.number(cell.qnr)}, resolution not better than "
        f"{pieces.number(cell.resolution_nm)} nm, RSP {pieces.number(cell.rsp)}.</p>"
    )
    line = "" if command is None else f"<pre>{escape(shlex.join(map(str, command)))}</pre>"
    whole = "" if sweep.best_run is None else f"<p>{escape(sweep.best_run)}</p>"
    caution = (
        "<p>Best of these cells, not of all that might be: where it lies at the end of a range, sweep further. QnR "
        "ranks within this sweep only, and details finer than the PSF leave no trace in RSP: look at the pictures.</p>"
    )
    doubt = ""
    if cell.residual_rms is not None and cell.residual_rms > UNEXPLAINED:
        doubt = (
            f"<p><strong>Its residuals are {cell.residual_rms:.3g} times the noise:</strong> as a picture of light it "
            "does not explain the movie, and its own report gives no resolution. Patterns that come from pixels or "
            "from the method repeat in both halves, too, and count as resolution here.</p>"
        )
    return words + line + whole + doubt + caution


def _maps(sweep: Sweep) -> str:
    names = [name for name, values in sweep.values.items() if len(values) > 1]
    text = (
        "Resolution: Fourier ring correlation of two halves of the frames. RSP: correlation of the mean frame with "
        "what the image explains of it (SQUIRREL). QnR: their harmonic mean, 2 RSP nFRC / (RSP + nFRC), where nFRC is "
        "the logistic of the resolution between the finest and the coarsest of this sweep (Laine et al. 2023). "
        "Colours run from the worst to the best of this sweep, however little that is; the best cell is marked in "
        "orange."
    )
    figures = {
        "Resolution (nm)": [cell.resolution_nm for cell in sweep.cells],
        "RSP": [cell.rsp for cell in sweep.cells],
        "QnR": [cell.qnr for cell in sweep.cells],
    }
    drawable = len(names) in (1, 2) and all(len(values) <= MOST_DRAWN for values in sweep.values.values())
    if not drawable:
        return f"<p>{escape(text)} More than two parameters, or many values, are shown in the table only.</p>"
    labels = {name: [pieces.value_text(value) for value in sweep.values[name]] for name in names}
    if len(names) == 1:
        drawing = curves.sweep_curves(labels[names[0]], figures, names[0], sweep.best)
        return pieces.figure(drawing, text)
    shape = tuple(len(sweep.values[name]) for name in names)
    arrays = {
        title: np.array([np.nan if value is None else value for value in values], float).reshape(shape)
        for title, values in figures.items()
    }
    heats = [
        heat_maps.Heat(title, array, "low" if "nm" in title else "high", ".0f" if "nm" in title else ".3g")
        for title, array in arrays.items()
    ]
    best = None if sweep.best is None else divmod(sweep.best, shape[1])
    drawing = heat_maps.heat_maps(heats, (names[0], labels[names[0]]), (names[1], labels[names[1]]), best)
    return pieces.figure(drawing, text)


def _sheet(sweep: Sweep, images: Mapping[int, tuple[np.ndarray, float]]) -> str:
    limits = common_limits([image for image, _ in images.values()])
    panels = [
        pictures.Panel(
            image, pixel, _lines(sweep.cells[number], number == sweep.best),
            DENSITY, limits=limits, scale_bar=order == 0,
        )
        for order, (number, (image, pixel)) in enumerate(images.items())
    ]  # fmt: skip
    text = (
        "At one physical scale and one contrast: from nothing to the median of what is the brightest light (the "
        f"{BRIGHTEST:g} % percentile) of each picture."
    )
    finished = sum(cell.state == "finished" for cell in sweep.cells)
    if len(images) < finished:
        text += f" The {len(images)} of highest QnR out of {finished:,}; the others are in cells/."
    if sweep.nothing_here:
        text += " None of what they show is evidence of structure."
    # Where the last parameter has a handful of values, each row is one choice of the others.
    columns = len(list(sweep.values.values())[-1])
    columns = columns if 2 < columns <= MOST_COLUMNS else COLUMNS
    return pieces.figure(pictures.images(panels, columns=columns, one_bar="All"), text)


def _lines(cell: Cell, best: bool) -> str:
    lines = [f"{name} {pieces.value_text(value)}" for name, value in cell.varied.items()]
    lines = [line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…" for line in lines]
    return "\n".join([f"{lines[0]} (best)" if best else lines[0], *lines[1:]])


def _table(sweep: Sweep) -> str:
    units = [f"{name} ({unit})" if (unit := pieces.unit(name)) else name for name in sweep.values]
    head = (*units, "QnR", "nFRC", "RSP", "Resolution (nm)", "Residuals (× noise)", "Significance", "Time", "Notes")
    rows = []
    for number, cell in enumerate(sweep.cells):
        values = [pieces.value_text(value) for value in cell.varied.values()]
        notes = [cell.reason or ("" if cell.state == "finished" else cell.state)]
        notes.append("" if sweep.nothing_here or not cell.resolution_reason else cell.resolution_reason)
        if number == sweep.best:
            notes.insert(0, "best")
        scores = [pieces.number(value) for value in (cell.qnr, cell.nfrc, cell.rsp, cell.resolution_nm)]
        if sweep.nothing_here:
            scores = ["—", "—", scores[2], "—"]
        time = "—" if cell.time_s is None else pieces.duration(cell.time_s)
        rest = (pieces.number(cell.residual_rms), pieces.number(cell.significance), time)
        rows.append((*values, *scores, *rest, " ".join(pieces.sentence(note) for note in notes if note)))
    warnings = dict.fromkeys(warning for cell in sweep.cells for warning in cell.warnings)
    items = "".join(f"<li>{escape(pieces.sentence(warning))}</li>" for warning in warnings)
    said = f"<p>The method's own notes, of any cell:</p><ul>{items}</ul>" if items else ""
    return pieces.table(head, rows) + said


def _reproduce(run: Mapping[str, Any]) -> str:
    command = run.get("command")
    shown = f"<pre>{escape(shlex.join(map(str, command)))}</pre>" if command else "<p>Called from Python.</p>"
    rows = [(name, pieces.value_text(run[name])) for name in ("seed", "device") if run.get(name) is not None]
    return shown + pieces.table(("With", "Value"), rows) + "<p>sweep.json holds all figures for programs.</p>"
