"""From a movie to a folder of results: reconstruct, judge, write; stopped runs are kept and resumed."""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from fluosr import __version__, checkpoint
from fluosr.acquisition import Acquisition
from fluosr.errors import OutputError, UsageError
from fluosr.io.lock import only_run_in
from fluosr.io.thunderstorm import write_csv
from fluosr.io.write import make_folder, write_json, write_ome_tiff, write_tiff
from fluosr.localisations import Localisations
from fluosr.machine import peak_memory_mb
from fluosr.methods.base import Method, MethodParameters, Run
from fluosr.methods.registry import DEFAULT_METHOD, get_method
from fluosr.quality.judge import Quality, judge
from fluosr.reconstruction import Reconstruction
from fluosr.report.page import write_report

LOCALISATIONS = "localisations.csv"  # of methods that find single molecules
IMAGES = ("reconstruction.ome.tif", "background.tif", "mean.tif")
OUTPUTS = (*IMAGES, LOCALISATIONS, "run.json", "report.html", checkpoint.FILE_NAME)
STOPPED_RUN_KEPT = (
    f"A stopped run lay in this folder. Without --resume a new one began; what the other had computed is kept as "
    f"{checkpoint.KEPT_NAME}: rename it to {checkpoint.FILE_NAME} to go on with it."
)
MAPS = "maps"  # folder for a method's further images, one TIFF each
MAP_NAME = re.compile(r"[A-Za-z0-9]\w{0,99}", re.ASCII)


@dataclass(frozen=True, eq=False)
class Result:
    """What a run yields: the reconstruction, its judgement, and the record that ``run.json`` holds."""

    reconstruction: Reconstruction
    quality: Quality
    record: dict[str, Any]


def reconstruct(
    acquisition: Acquisition,
    method: str = DEFAULT_METHOD,
    *,
    preset: str | None = None,
    seed: int = 0,
    device: str = "auto",
    run: Run | None = None,
    **parameters: Any,
) -> Reconstruction:
    """Reconstruct one acquisition.

    Args:
        acquisition: from :func:`fluosr.open_movie`.
        method: its name; ``fluosr methods`` lists them.
        preset: a named set of parameter values, as published ("paper").
        seed: of every random draw.
        device: "auto", "cpu" or a torch device such as "cuda".
        run: progress, stopping and checkpoints, for callers that want them; its seed and device win.
        parameters: the method's own, by name; those left out are automatic or at their defaults.

    Returns:
        The reconstruction, (L Y, L X) photons per fine pixel and frame, with background, halves and choices.

    Raises:
        FluosrError: see :mod:`fluosr.errors`.
    """
    chosen = get_method(method)
    values = chosen.build(preset, **parameters)
    run = run or Run(seed=seed, device=choose_device(device))
    made = chosen.load()(acquisition, values, run)
    made.warnings[:0] = idle_parameters(chosen, values, parameters)
    return made


def idle_parameters(method: Method, values: MethodParameters, given: Iterable[str]) -> list[str]:
    """Which of the parameters given change nothing, because the one that they need is off; a sentence for each.

    A parameter model declares it on the field: ``Field(1, json_schema_extra={"needs": "discriminator"})``, or
    ``{"needs": {"penalty": "cel0"}}`` where a value is needed.

    Args:
        method: whose parameters they are.
        values: all values of the run.
        given: names of those that were given on purpose, not by default or preset.
    """
    sentences = []
    for name in given:
        extra = method.parameters.model_fields[name].json_schema_extra
        needed = extra.get("needs") if isinstance(extra, dict) else None
        wanted = needed if isinstance(needed, dict) else {needed: True} if isinstance(needed, str) else {}
        for other, value in wanted.items():
            if getattr(values, other) == value:
                continue
            with_value = "" if value is True else f" {value}"
            sentences.append(f"{as_option(name)} has no effect without {as_option(other)}{with_value}.")
    return sentences


def as_option(name: str) -> str:
    """A parameter as the command line calls it."""
    return f"--{name.replace('_', '-')}"


def choose_device(wanted: str) -> str:
    """The device meant: "auto" becomes "cuda" where there is one, else "cpu"; anything else is checked.

    Raises:
        UsageError: no such device here.
    """
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise UsageError(f"--device {wanted}: no such kind of device; use auto, cpu or cuda.") from None
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"--device {wanted}: only cpu and cuda are supported.")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise UsageError("--device cuda: this machine shows no CUDA device; `fluosr doctor` says what there is.")
        if device.index is not None and device.index >= count:
            there = "only cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
            raise UsageError(f"--device {wanted}: this machine shows {there}; `fluosr doctor` says what there is.")
    return wanted


def run_to_folder(
    acquisition: Acquisition,
    output: Path,
    *,
    method: str = DEFAULT_METHOD,
    parameters: MethodParameters | None = None,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    command: list[str] | None = None,
    run: Run | None = None,
    notes: Sequence[str] = (),
    make_report: bool = True,
) -> Result:
    """Reconstruct, judge and write all files; keep what there is when stopped.

    Args:
        acquisition: the movie.
        output: folder for the files of :data:`OUTPUTS`; made where missing. Files of an earlier run are replaced.
        method, parameters, seed, device: what to run.
        resume: go on from the checkpoint in ``output``.
        command: the command line, for the record.
        run: carries the progress callbacks; seed, device and checkpoints are set here.
        notes: what the reader should know of the call, in plain words; they stand before the method's warnings.
        make_report: write ``report.html``.

    Raises:
        OutputError: the folder cannot be written; said before computing where it can be known.
        CheckpointError: nothing to resume, or not from this run.
        FluosrError: whatever the method raises.
    """
    chosen = get_method(method)
    values = parameters or chosen.build()
    check_output(output, acquisition)
    with only_run_in(output):
        run = run or Run()
        run.seed, run.device = seed, choose_device(device)
        facts = facts_of(acquisition, method, values, seed, run.device)
        earlier_s: tuple[float, ...] = ()
        if not resume and checkpoint.keep_aside(output):
            notes = [*notes, STOPPED_RUN_KEPT]
        if resume:
            kept = checkpoint.load(output, facts)
            run.states, earlier_s = kept.states, kept.legs_s
        started, clock = datetime.now(UTC), time.perf_counter()

        def legs_s() -> tuple[float, ...]:
            return (*earlier_s, round(time.perf_counter() - clock, 2))

        run.on_checkpoint = lambda states: checkpoint.save(output, checkpoint.Checkpoint(states, legs_s()), facts)
        with stop_on_signals(run):
            reconstruction = chosen.load()(acquisition, values, run)
            reconstruction.warnings[:0] = notes
            # From here on a first Ctrl-C comes too late to save time: what was computed is judged and written.
            quality = judge(reconstruction)
            record = describe_run(acquisition, reconstruction, quality)
            record |= {
                "seed": seed,
                "device": run.device,
                "threads": _threads(),
                "command": command,
                "started": started.isoformat(timespec="seconds"),
                "resumed": resume,
                "time_s": round(sum(legs := legs_s()), 2),
                "legs_s": legs,  # of a leg that was stopped, until its last checkpoint
                "peak_memory_mb": round(peak_memory_mb(), 1),
            }
            result = Result(reconstruction, quality, record)
            write_result(result, acquisition, output, make_report=make_report)
            if reconstruction.finished:
                checkpoint.remove(output)
            return result


def facts_of(
    acquisition: Acquisition, method: str, parameters: MethodParameters, seed: int, device: str
) -> dict[str, Any]:
    """Everything that a result depends on, by the names that users know."""
    return {
        "version": __version__,
        "method": method,
        "parameters": parameters.model_dump(),
        "seed": seed,
        "device": device,
        "threads": _threads(),
        "movie": {key: value for key, value in acquisition.provenance.items() if key != "path"},
        "shape": acquisition.frames.shape,
        "pixel_size_nm": acquisition.pixel_size_nm,
        "psf": acquisition.psf.describe(),
        "camera": acquisition.camera.describe(),
    }


def write_result(result: Result, acquisition: Acquisition, output: Path, *, make_report: bool = True) -> None:
    """Write image, background, mean frame, maps, localisations, record and report; each beside its name, then renamed.

    Maps and localisations that the record of an earlier run names, and that this one does not make, are deleted: they
    would be taken for results of this run. A warning of the reconstruction, in record and report too, says which.

    Raises:
        OutputError: no room or no permission, or a map whose name is no file's; files already there stay whole.
    """
    made, pixel = result.reconstruction, acquisition.pixel_size_nm
    now = {f"{MAPS}/{name}.tif" for name in made.maps}
    now |= set() if made.localisations is None else {LOCALISATIONS}
    stale = [name for name in sorted(_earlier(output) - now) if os.path.lexists(output / name)]
    if stale:
        made.warnings.append(
            f"What the run before left in this folder, and this one does not make, was deleted: {', '.join(stale)}."
        )
        result.record["warnings"] = made.warnings
    write_json(output / "run.json", result.record)  # first: it marks the folder as one of ours
    write_ome_tiff(
        output / "reconstruction.ome.tif", made.image, made.pixel_size_nm, f"{acquisition.name} {made.method}"
    )
    write_tiff(output / "background.tif", made.background, pixel)
    write_tiff(output / "mean.tif", made.mean, pixel)
    if made.localisations is not None:
        write_csv(output / LOCALISATIONS, as_recorded(made.localisations, acquisition))
    if make_report:
        write_report(output / "report.html", made, acquisition, quality=result.quality, run=result.record)
    for name, image in made.maps.items():
        if not MAP_NAME.fullmatch(name):
            raise OutputError(f"{made.method} names a map {name!r}, which is no name for a file: it was not written.")
        write_tiff(output / MAPS / f"{name}.tif", image, made.pixel_size_nm)
    for name in stale:
        try:
            (output / name).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot delete {output / name} of an earlier run: {error.strerror}.") from error


def as_recorded(table: Localisations, acquisition: Acquisition) -> Localisations:
    """Molecules of a crop or of some frames, placed in the movie that they were cut out of."""
    numbers, (y, x) = acquisition.recorded
    pixel = acquisition.pixel_size_nm
    return replace(table, frame=numbers[table.frame], x_nm=table.x_nm + x * pixel, y_nm=table.y_nm + y * pixel)


def remove_result(folder: Path) -> None:
    """Delete what :func:`run_to_folder` left in a folder, if anything, and nothing else; an empty folder goes too."""
    always = [name for name in OUTPUTS if name != LOCALISATIONS]  # a table that the record does not name is no result
    for name in (*_earlier(folder), *always):
        (folder / name).unlink(missing_ok=True)
    for emptied in (folder / MAPS, folder):
        with suppress(OSError):  # not there, or somebody keeps something in it
            emptied.rmdir()


def _earlier(output: Path) -> set[str]:
    """The maps and localisations that an earlier run left in the folder, by its own record."""
    try:
        record = json.loads((output / "run.json").read_text(encoding="utf-8"))
        named, localised = record.get("maps"), record.get("localisations")
    except (OSError, ValueError, AttributeError):
        return set()
    maps = [name for name in named if MAP_NAME.fullmatch(str(name))] if isinstance(named, list) else []
    return {*(f"{MAPS}/{name}.tif" for name in maps), *([] if localised is None else [LOCALISATIONS])}


def describe_run(acquisition: Acquisition, reconstruction: Reconstruction, quality: Quality) -> dict[str, Any]:
    """What was run on what, with which values, and how good it is: the record, less what depends on the moment."""
    import numpy
    import scipy
    import torch

    return {
        "fluosr": __version__,
        "method": reconstruction.method,
        "finished": reconstruction.finished,
        "movie": {
            "name": acquisition.name,
            "shape": acquisition.frames.shape,
            "dtype": str(acquisition.frames.dtype),
            "pixel_size_nm": acquisition.pixel_size_nm,
            "frame_interval_s": acquisition.frame_interval_s,
            "psf": acquisition.psf.describe(),
            "camera": acquisition.camera.describe(),
            "provenance": acquisition.provenance,
        },
        "parameters": reconstruction.parameters,
        "choices": reconstruction.choices,
        "fine_pixel_size_nm": reconstruction.pixel_size_nm,
        "quality": quality.describe(),
        "maps": sorted(reconstruction.maps),
        "localisations": None if reconstruction.localisations is None else len(reconstruction.localisations),
        "warnings": reconstruction.warnings,
        "versions": {
            "fluosr": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
            "scipy": scipy.__version__,
        },
        "platform": platform.platform(),
        "citation": reconstruction.citations,
    }


def check_output(
    output: Path,
    acquisition: Acquisition,
    *,
    names: Sequence[str] = (*OUTPUTS, MAPS),
    marks: Sequence[str] = ("run.json", checkpoint.FILE_NAME),
) -> None:
    """Make the folder and see that it can be written and does not hold the input under an output's name.

    Args:
        output: the folder.
        acquisition: the movie, which is never overwritten.
        names: files and folders of files that will be written.
        marks: those of them by which a folder of ours is known.

    Raises:
        OutputError: it cannot.
    """
    make_folder(output)
    present = [name for name in names if (output / name).is_file() or any((output / name).glob("*"))]
    movie = acquisition.provenance.get("path")
    taken = [path for name in present for path in ((output / name), *(output / name).glob("*")) if path.is_file()]
    if movie and any(os.path.samefile(path, movie) for path in taken):
        raise OutputError(f"{movie} would be overwritten by its own result; choose another --output.")
    if present and not set(marks) & set(present):
        raise OutputError(
            f"{output} holds {', '.join(present)}, which no earlier run of fluosr left there; choose another "
            "--output, or move them away."
        )


@contextmanager
def stop_on_signals(run: Run) -> Iterator[None]:
    """Ctrl-C and SIGTERM ask the run to stop at its next safe point; a second Ctrl-C stops at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if run.stop_requested:
            raise KeyboardInterrupt
        run.stop_requested = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _threads() -> int:
    import torch

    return torch.get_num_threads()
