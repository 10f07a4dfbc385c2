"""Several methods on one movie: each run whole and in its own folder, then ordered by evidence and shown together."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from fluosr import __version__, checkpoint, machine
from fluosr.acquisition import Acquisition
from fluosr.errors import CheckpointError, FluosrError, ReconstructionInterrupted, UsageError, in_words
from fluosr.io.lock import only_run_in
from fluosr.io.saved import load_notes, load_reconstruction, save_reconstruction
from fluosr.io.write import write_json, write_text
from fluosr.methods.base import MethodParameters, Run
from fluosr.methods.registry import get_method
from fluosr.optics.sampling import automatic_factor
from fluosr.pipeline import Result, check_output, choose_device, facts_of, run_to_folder, stop_on_signals
from fluosr.quality.judge import Quality, judge
from fluosr.reconstruction import NOTHING_HERE
from fluosr.report.compare_page import Comparison, Entry, line_of, render_comparison

SAVED = "reconstruction.safetensors"
OUTPUTS = ("compare.html", "compare.json")

# Printed on the page; ``_place`` does what it says.
ORDER = (
    "Methods that finished come before those that were stopped, and these before those that failed.",
    f"Those with evidence of structure (significance of at least {NOTHING_HERE:g}) come first.",
    "Then those whose residuals are at the noise level.",
    "Among those at the noise level: the finer measured resolution first, not measured last. Among the others: the "
    "residuals (root mean square) nearer to the noise first.",
    "What is still even stands in the order asked for.",
)
_STATES = ("finished", "stopped", "failed", "not run")


def compare(
    acquisition: Acquisition,
    methods: Sequence[str],
    output: Path,
    *,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    factor: int | None = None,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    command: list[str] | None = None,
    watch: Callable[[str], Run] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Comparison:
    """Run every method, judge all alike, and write ``compare.html`` and ``compare.json``.

    A method that fails does not stop the others. Each leaves in ``output / its name`` what ``fluosr reconstruct``
    would, and ``reconstruction.safetensors``, from which a later call can go on.

    Args:
        acquisition: the movie.
        methods: their names, in the order of running.
        output: folder; made where missing.
        settings: method -> parameter -> value, for those that are not to be at their defaults.
        factor: fine pixels along a camera pixel, for all; None takes the automatic one.
        seed: of every method's random draws.
        device: "auto", "cpu" or a torch device.
        resume: take finished methods from ``output`` where they depend on the same facts, and go on with stopped ones.
        command: the command line, for the record.
        watch: gives the run through which a method reports its progress.
        tell: called with what the user should know at once, in plain words.

    Returns:
        The methods in order of evidence.

    Raises:
        UsageError: an unknown method or parameter, a value out of range.
        OutputError: the folder cannot be written.
    """
    if factor is None:
        factor = automatic_factor(acquisition.psf.fwhm_nm, acquisition.pixel_size_nm)
    values = {name: parameters_of(name, factor, (settings or {}).get(name, {})) for name in methods}
    device = choose_device(device)
    check_output(output, acquisition, names=OUTPUTS, marks=("compare.json",))
    for name in methods:
        check_output(output / name, acquisition)
    tell = tell or (lambda text: None)
    facts = {"seed": seed, "device": device, "command": command}
    shared = Run(seed=seed, device=device)  # one for all, so that Ctrl-C between two methods is not lost
    entries: list[Entry] = []
    with only_run_in(output), stop_on_signals(shared):
        for name in methods:
            if shared.stop_requested:
                entries.append(Entry(name, "not run", reason="the comparison was stopped before its turn"))
                continue
            entry = None
            if resume:
                wanted = facts_of(acquisition, name, values[name], seed, device)
                entry = _from_disk(output / name, name, wanted, tell)
            if entry is None:
                _listen(shared, watch(name) if watch else Run())
                entry = _run(acquisition, output / name, name, values[name], shared, resume, command)
            if entry.state == "failed":
                tell(f"{name} failed: {entry.reason}")
            entries.append(entry)
            rest = [Entry(later, "not run", reason="its turn has not come") for later in methods[len(entries) :]]
            unfinished = _comparison([*entries, *rest], factor, stopped=bool(rest))
            write_json(output / "compare.json", describe(unfinished, acquisition, facts))
        for name in methods:
            with suppress(OSError):  # it holds something
                (output / name).rmdir()
        found = _comparison(entries, factor, stopped=any(e.state in ("stopped", "not run") for e in entries))
        write_json(output / "compare.json", describe(found, acquisition, facts))
        versions: Mapping[str, str] = next((entry.record["versions"] for entry in found.entries if entry.record), {})
        write_text(output / "compare.html", render_comparison(found, acquisition, facts | {"versions": versions}))
    return found


def parameters_of(method: str, factor: int, given: Mapping[str, Any]) -> MethodParameters:
    """A method's parameters on the common grid.

    Raises:
        UsageError: an unknown method or parameter, a value out of range.
    """
    chosen = get_method(method)
    if "factor" not in chosen.parameters.model_fields:
        raise UsageError(f"{method} cannot be put on the common grid: it has no parameter 'factor'.")
    return chosen.build(**{**given, "factor": factor})


def _listen(shared: Run, watched: Run) -> None:
    shared.on_progress, shared.on_estimate = watched.on_progress, watched.on_estimate
    shared.states = {}


def _run(
    acquisition: Acquisition,
    folder: Path,
    name: str,
    values: MethodParameters,
    run: Run,
    resume: bool,
    command: list[str] | None,
) -> Entry:
    gc.collect()
    own_peak = machine.reset_peak_memory()
    try:
        # Until this run has finished there is nothing to take from disk.
        (folder / SAVED).unlink(missing_ok=True)
        result = _run_or_go_on(acquisition, folder, name, values, run, resume, command)
        made = result.reconstruction
        if made.finished:
            facts = facts_of(acquisition, name, values, run.seed, run.device)
            notes = {"facts": facts, "record": result.record, "own_peak": own_peak}
            save_reconstruction(folder / SAVED, made, notes=notes)
    except ReconstructionInterrupted as error:
        return Entry(name, "stopped", reason=str(error))
    except Exception as error:
        return Entry(name, "failed", reason=in_words(error))
    reason = None if made.finished else "stopped before its end: this is the image as it was then"
    state = "finished" if made.finished else "stopped"
    return Entry(name, state, _slim(result), result.quality, result.record, reason, own_peak)  # type: ignore[arg-type]


def _run_or_go_on(
    acquisition: Acquisition,
    folder: Path,
    name: str,
    values: MethodParameters,
    run: Run,
    resume: bool,
    command: list[str] | None,
) -> Result:
    options: dict[str, Any] = {
        "method": name, "parameters": values, "seed": run.seed, "device": run.device, "command": command, "run": run,
    }  # fmt: skip
    if resume and (folder / checkpoint.FILE_NAME).exists():
        with suppress(CheckpointError):  # of other facts: it runs anew
            return run_to_folder(acquisition, folder, resume=True, **options)
    return run_to_folder(acquisition, folder, **options)


def _slim(result: Result) -> Any:
    """Without what the page does not show: several methods at once would hold it all."""
    return replace(result.reconstruction, halves=None, uncertainty=None, maps={}, history={})


def _from_disk(folder: Path, name: str, facts: Mapping[str, Any], tell: Callable[[str], None]) -> Entry | None:
    """A method that an earlier call finished, where nothing that its result depends on has changed."""
    path = folder / SAVED
    if not path.exists():
        return None
    try:
        notes = load_notes(path)
        found = checkpoint.differences(notes["facts"], facts)
        if found:
            tell(f"{name} runs anew: {'; '.join(found[: checkpoint.MOST_DIFFERENCES])}.")
            return None
        made = load_reconstruction(path)
        record, own_peak = dict(notes["record"]), bool(notes["own_peak"])
        quality: Quality = judge(made)
    except (FluosrError, LookupError, TypeError, ValueError, AttributeError) as error:
        tell(f"{name} runs anew: {error}")
        return None
    slim = _slim(Result(made, quality, record))
    return Entry(name, "finished", slim, quality, record, own_peak=own_peak, from_disk=True)


def _comparison(entries: Sequence[Entry], factor: int, *, stopped: bool) -> Comparison:
    judged = [entry for entry in entries if entry.found_structure is not None]
    nothing = bool(judged) and not any(entry.found_structure for entry in judged)
    ordered = tuple(entries if nothing else sorted(entries, key=_place))
    return Comparison(ordered, factor, ORDER, nothing, stopped)


def _place(entry: Entry) -> tuple[float, ...]:
    """The lower, the earlier; see ``ORDER``."""
    state = _STATES.index(entry.state)
    if entry.quality is None:
        return (state, 1, 1, math.inf)
    residuals, resolution = entry.quality.residuals, entry.quality.resolution
    if residuals.at_noise_level:
        nm = None if resolution is None else resolution.resolution_nm
        if resolution is not None and resolution.finer_than_grid:
            nm = resolution.limit_nm
        figure = math.inf if nm is None else nm
    else:
        figure = math.inf if not residuals.rms else abs(math.log(residuals.rms))
    return (state, not entry.found_structure, not residuals.at_noise_level, figure)


def describe(comparison: Comparison, acquisition: Acquisition, run: Mapping[str, Any]) -> dict[str, Any]:
    """What compare.json holds."""
    line = line_of(comparison, acquisition) if comparison.shown and not comparison.nothing_here else None
    methods = []
    for rank, entry in enumerate(comparison.entries, 1):
        record = entry.record or {}
        methods.append(
            {
                "method": entry.method,
                "rank": None if comparison.nothing_here or entry.quality is None else rank,
                "state": entry.state,
                "reason": entry.reason,
                "from_disk": entry.from_disk,
                "significance": entry.significance,
                "found_structure": entry.found_structure,
                "quality": None if entry.quality is None else entry.quality.describe(),
                "time_s": record.get("time_s"),
                "peak_memory_mb": record.get("peak_memory_mb"),
                "peak_memory_is_its_own": entry.own_peak,
                "warnings": [] if entry.reconstruction is None else entry.reconstruction.warnings,
                "parameters": record.get("parameters"),
            }
        )
    return {
        "fluosr": __version__,
        "movie": {"name": acquisition.name, "shape": acquisition.frames.shape, "provenance": acquisition.provenance},
        **run,
        "factor": comparison.factor,
        "fine_pixel_size_nm": acquisition.pixel_size_nm / comparison.factor,
        "stopped": comparison.stopped,
        "nothing_here": comparison.nothing_here,
        "order": comparison.order,
        "line": None if line is None else vars(line),
        "methods": methods,
    }
