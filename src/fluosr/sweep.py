"""One method over ranges of its parameters: each cell reconstructed with halves, judged, and the best one named."""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fluosr import __version__, checkpoint
from fluosr.acquisition import Acquisition
from fluosr.errors import CheckpointError, ReconstructionInterrupted, UsageError, in_words
from fluosr.io.lock import only_run_in
from fluosr.io.write import write_json, write_ome_tiff, write_text
from fluosr.machine import whole_megabytes
from fluosr.methods.base import Estimate, Run
from fluosr.methods.registry import get_method
from fluosr.pipeline import check_output, choose_device, facts_of, remove_result, run_to_folder, stop_on_signals
from fluosr.quality.judge import mean_frame_error_map, ring_resolution
from fluosr.quality.qnr import resolution_and_fidelity
from fluosr.quality.residuals import residual_map
from fluosr.reconstruction import NOTHING_HERE, Reconstruction
from fluosr.report.compare_page import as_density
from fluosr.report.pictures import shrink
from fluosr.report.sweep_page import MOST_SHOWN, Cell, Sweep, render_sweep
from fluosr.settings import Plan

OUTPUTS = ("sweep.html", "sweep.json", "cells", "best")
BEST = "best"
LONGEST_NAME = 100  # characters of an image's file name
SHEET_PIXELS = 480  # of a picture on the contact sheet, along its longer side
_SCORES = ("nfrc", "qnr")  # these depend on all cells and are computed anew


def sweep(
    acquisition: Acquisition,
    method: str,
    plan: Plan,
    output: Path,
    *,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    command: list[str] | None = None,
    command_of: Callable[[Mapping[str, Any]], list[str]] | None = None,
    run: Run | None = None,
    tell: Callable[[str], None] | None = None,
) -> Sweep:
    """Reconstruct every cell, and write ``sweep.html``, ``sweep.json``, all images, and the best cell's full run.

    A cell that fails does not stop the others. ``sweep.json`` is written after every cell.

    Args:
        acquisition: the movie.
        method: its name.
        plan: the cells, from :func:`fluosr.settings.plan_sweep`.
        output: folder; made where missing.
        seed: of every cell's random draws.
        device: "auto", "cpu" or a torch device.
        resume: take finished cells from ``output`` and go on.
        command: the command line, for the record.
        command_of: the command line that reconstructs with these values of the varied parameters.
        run: its progress is told cell by cell.
        tell: called with what the user should know at once, in plain words.

    Raises:
        UsageError: the cells have no halves to measure a resolution with.
        OutputError: the folder cannot be written.
        CheckpointError: nothing to resume, or a sweep that depends on something else.
    """
    chosen, device, tell = get_method(method), choose_device(device), tell or (lambda text: None)
    if not all(getattr(values, "halves", True) for values in plan.cells):
        raise UsageError("a sweep measures each cell's resolution on two halves of the frames: leave --no-halves out.")
    check_output(output, acquisition, names=OUTPUTS, marks=("sweep.json",))
    facts = facts_of(acquisition, method, plan.cells[0], seed, device)
    facts["parameters"] = {name: value for name, value in facts["parameters"].items() if name not in plan.names}
    cells = [Cell(plan.varied(number)) for number in range(len(plan.cells))]
    kept: dict[str, Any] = {}
    if resume:
        kept = _earlier(output, facts)
        _take_finished(cells, kept, output)
    left = [number for number, cell in enumerate(cells) if cell.state != "finished"]
    shape = " x ".join(f"{n} of {name}" for n, name in zip(plan.shape, plan.names, strict=True))
    tell(f"{len(cells)} cells ({shape})" + (f", {len(left)} of them left." if resume else "."))
    shared = Run(seed=seed, device=device)
    watched = run or Run()
    page = {"seed": seed, "device": device, "command": command}

    def record(found: Sweep, best_finished: bool = False) -> None:
        write_json(output / "sweep.json", _describe(found, acquisition, facts, page, command_of, best_finished))

    with only_run_in(output), stop_on_signals(shared):
        if not resume:
            _clear(output)
        record(score(method, plan, cells))  # first: it marks the folder as one of ours
        for done, number in enumerate(left):
            watched.progress("cells", len(cells) - len(left) + done, len(cells))
            shared.states = {}
            shared.on_estimate = _announce(len(left), tell) if done == 0 else None
            started = time.perf_counter()
            cell = cells[number]
            try:
                made = chosen.load()(acquisition, plan.cells[number], shared)
                if not made.finished:
                    break
                cells[number] = judge_cell(made, cell.varied)
                write_ome_tiff(_image_of(output, cell), made.image, made.pixel_size_nm, cell.title)
            except ReconstructionInterrupted:
                break
            except Exception as error:
                cells[number] = Cell(cell.varied, "failed", in_words(error))
                tell(f"{cell.title} failed: {in_words(error)}")
            cells[number].time_s = round(time.perf_counter() - started, 2)
            record(score(method, plan, cells))
            if shared.stop_requested:
                break
        else:
            watched.progress("cells", len(cells), len(cells))
        found = score(method, plan, cells)
        record(found)
        _write_page(found, acquisition, output, page, command_of)
        if found.best is not None and not found.stopped:
            shared.states, shared.on_estimate = {}, None
            state, words = _run_best(found, plan, acquisition, output, shared, kept, method, command_of)
            found = replace(found, best_run=words, stopped=state == "stopped")
            record(found, state == "finished")
            _write_page(found, acquisition, output, page, command_of)
    return found


def _announce(left: int, tell: Callable[[str], None]) -> Callable[[Estimate], None]:
    def announce(estimate: Estimate) -> None:
        each, total = (_in_time(seconds) for seconds in (estimate.seconds, left * estimate.seconds))
        tell(
            f"About {each} of computing for a cell like the first, {total} for all, and "
            f"{whole_megabytes(estimate.n_bytes)} of memory. Ctrl-C stops and keeps what there is."
        )

    return announce


def _in_time(seconds: float) -> str:
    from fluosr.report.pieces import duration

    return duration(max(1.0, round(seconds))).replace(".0 s", " s")


def judge_cell(made: Reconstruction, varied: dict[str, Any]) -> Cell:
    """The figures of one cell.

    The resolution is that of the ring correlation whatever the residuals say, since fidelity has its own figure here.
    """
    found, reason = ring_resolution(made)
    resolution = None
    if found is not None:
        resolution = found.limit_nm if found.finer_than_grid else found.resolution_nm
        reason = "down to the grid's limit" if found.finer_than_grid else found.reason
    fidelity = mean_frame_error_map(made)
    return Cell(
        varied,
        "finished",
        None if fidelity.rsp is not None else f"no RSP: {fidelity.reason}",
        resolution,
        reason,
        fidelity.rsp,
        made.significance,
        residual_map(made).rms,
        warnings=list(map(str, made.warnings)),
    )


def score(method: str, plan: Plan, cells: Sequence[Cell]) -> Sweep:
    """Rank all cells among each other: nFRC runs from the coarsest to the finest resolution of the sweep."""
    values = {name: plan.values[axis] for axis, name in enumerate(plan.names)}
    frc, rsp = (
        np.array([math.nan if (value := getattr(cell, name)) is None else value for cell in cells], float)
        for name in ("resolution_nm", "rsp")
    )
    found = resolution_and_fidelity(frc, rsp)
    judged = np.broadcast_to(found.judged, frc.shape)
    for number, cell in enumerate(cells):
        cell.nfrc = float(found.nfrc[number]) if math.isfinite(frc[number]) else None
        cell.qnr = float(found.qnr[number]) if judged[number] else None
    known = [cell.significance for cell in cells if cell.significance is not None]
    nothing = bool(known) and max(known) < NOTHING_HERE
    index = found.best
    best = None if index is None or nothing or not found.qnr[index] > 0 else index[0]
    return Sweep(method, values, tuple(cells), best, nothing, any(cell.state == "not run" for cell in cells))


def _run_best(
    found: Sweep,
    plan: Plan,
    acquisition: Acquisition,
    output: Path,
    run: Run,
    kept: Mapping[str, Any],
    method: str,
    command_of: Callable[[Mapping[str, Any]], list[str]] | None,
) -> tuple[Literal["finished", "stopped", "failed"], str]:
    """What became of the best cell's full run, and a sentence about it."""
    assert found.best is not None
    folder, varied = output / BEST, found.cells[found.best].varied
    words = "Its full run, with report, is in best/."
    earlier = kept.get("best") or {}
    same = isinstance(earlier, dict) and _key(earlier.get("parameters")) == _key(varied)
    if same and earlier.get("finished") and _ran_with(folder, varied):
        return "finished", words
    if run.stop_requested:
        return "stopped", "Its full run has not begun; --resume goes on."
    options: dict[str, Any] = {
        "method": method, "parameters": plan.cells[found.best], "seed": run.seed, "device": run.device, "run": run,
        "command": command_of(varied) if command_of else None,
    }  # fmt: skip
    try:
        try:
            going_on = (folder / checkpoint.FILE_NAME).exists()
            result = run_to_folder(acquisition, folder, resume=going_on, **options)
        except CheckpointError:  # of another cell
            result = run_to_folder(acquisition, folder, **options)
    except ReconstructionInterrupted:
        return "stopped", "Its full run was stopped; --resume goes on."
    except Exception as error:
        return "failed", f"Its full run failed: {in_words(error)}"
    if not result.reconstruction.finished:
        return "stopped", "Its full run, in best/, was stopped before its end; --resume goes on."
    return "finished", words


def _ran_with(folder: Path, varied: Mapping[str, Any]) -> bool:
    """The folder holds a run with these values; where one was left to the method, any."""
    try:
        ran = json.loads((folder / "run.json").read_text(encoding="utf-8"))["parameters"]
        return all(value is None or ran[name] == value for name, value in varied.items())
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _clear(output: Path) -> None:
    """Remove the pictures and the best run of an earlier sweep, which would look like this one's."""
    with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
        for row in json.loads((output / "sweep.json").read_text(encoding="utf-8"))["cells"]:
            name = Path(row["image"]).name
            (output / "cells" / name).unlink(missing_ok=True)
    remove_result(output / BEST)


def _earlier(output: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    path = output / "sweep.json"
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        found = checkpoint.differences(kept["facts"], facts)
    except FileNotFoundError:
        raise CheckpointError(f"nothing to resume: {path} does not exist. Run without --resume.") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); run without --resume.") from error
    if found:
        raise CheckpointError(
            f"{path} comes from another sweep: {'; '.join(found[: checkpoint.MOST_DIFFERENCES])}. Repeat the options "
            "of the stopped sweep, or run without --resume."
        )
    return dict(kept)


def _take_finished(cells: list[Cell], kept: Mapping[str, Any], output: Path) -> None:
    """Cells of an earlier call, by their values: the ranges themselves may have changed."""
    names = {f.name for f in fields(Cell)} - {*_SCORES, "varied"}
    listed = kept.get("cells")
    rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    earlier = {_key(row.get("varied")): row for row in rows if row.get("state") == "finished"}
    for number, cell in enumerate(cells):
        row = earlier.get(_key(cell.varied))
        if row is not None and _image_of(output, cell).exists():
            cells[number] = Cell(cell.varied, **{name: row[name] for name in names & set(row)})


def _key(values: Any) -> str:
    return json.dumps(values, sort_keys=True, default=str)


def _image_of(output: Path, cell: Cell) -> Path:
    """Named by the values, so that a sweep that goes on over other ranges finds its own again."""
    words = "_".join(f"{name}-{value}" for name, value in cell.varied.items())
    plain = re.sub(r"[^A-Za-z0-9._+-]", "-", words)
    if plain != words or len(plain) > LONGEST_NAME:
        plain = f"{plain[:LONGEST_NAME]}-{hashlib.sha256(_key(cell.varied).encode()).hexdigest()[:8]}"
    return output / "cells" / f"{plain}.ome.tif"


def _write_page(
    found: Sweep,
    acquisition: Acquisition,
    output: Path,
    page: Mapping[str, Any],
    command_of: Callable[[Mapping[str, Any]], list[str]] | None,
) -> None:
    import tifffile

    numbers = [number for number, cell in enumerate(found.cells) if cell.state == "finished"]
    if len(numbers) > MOST_SHOWN:
        best_first = sorted(numbers, key=lambda number: -(found.cells[number].qnr or 0.0))
        numbers = sorted(best_first[:MOST_SHOWN])
    ny, _ = acquisition.field_shape
    images = {}
    for number in numbers:
        image = tifffile.imread(_image_of(output, found.cells[number]))
        pixel = acquisition.pixel_size_nm * ny / len(image)
        block = max(1, math.ceil(max(image.shape) / SHEET_PIXELS))
        images[number] = as_density(shrink(image, block, "mean"), pixel), pixel * block
    best = None if found.best is None or command_of is None else command_of(found.cells[found.best].varied)
    write_text(output / "sweep.html", render_sweep(found, acquisition, images, page, best))


def _describe(
    found: Sweep,
    acquisition: Acquisition,
    facts: Mapping[str, Any],
    page: Mapping[str, Any],
    command_of: Callable[[Mapping[str, Any]], list[str]] | None,
    best_finished: bool,
) -> dict[str, Any]:
    best: dict[str, Any] | None = None
    if found.best is not None:
        varied = found.cells[found.best].varied
        command = command_of(varied) if command_of else None
        best = {"cell": found.best + 1, "parameters": varied, "command": command, "finished": best_finished}
    return {
        "fluosr": __version__,
        "movie": acquisition.name,
        "method": found.method,
        **page,
        "varied": found.values,
        "stopped": found.stopped,
        "nothing_here": found.nothing_here,
        "best": best,
        "cells": [vars(cell) | {"image": _image_of(Path(), cell).as_posix()} for cell in found.cells],
        "facts": json.loads(json.dumps(facts, default=str)),
    }
