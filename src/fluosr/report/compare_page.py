"""The page of a comparison: several methods on one movie, at one scale and one contrast, in order of evidence."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

import numpy as np

from fluosr.acquisition import Acquisition
from fluosr.quality.judge import Quality
from fluosr.reconstruction import NOTHING_HERE, Reconstruction
from fluosr.report import curves, frame, pictures, pieces
from fluosr.report.profile import Line, choose_line, light_along, to_equal_area

COLUMNS = 4  # pictures in a row
BRIGHTEST = 99.8  # percentile of an image that counts as its brightest light
DENSITY = "photons per µm² and frame"
State = Literal["finished", "stopped", "failed", "not run"]


@dataclass(eq=False)
class Entry:
    """What became of one method.

    Args:
        method: its name, which is the name of its folder, too.
        state: how it ended.
        reconstruction, quality, record: of a run that yielded an image.
        reason: why there is none, or what the reader should know of how it ended; in plain words.
        own_peak: whether the peak memory is that of this method alone; None where nothing was measured.
        from_disk: taken from an earlier comparison in the same folder.
    """

    method: str
    state: State
    reconstruction: Reconstruction | None = None
    quality: Quality | None = None
    record: Mapping[str, Any] | None = None
    reason: str | None = None
    own_peak: bool | None = None
    from_disk: bool = False

    @property
    def significance(self) -> float | None:
        """Standard deviations by which the image's light stands above noise and background."""
        return None if self.reconstruction is None else self.reconstruction.significance

    @property
    def found_structure(self) -> bool | None:
        """Whether there is evidence of structure; None where it was not asked for."""
        return None if self.significance is None else self.significance >= NOTHING_HERE


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several methods on one movie.

    Args:
        entries: in order of evidence.
        factor: fine pixels along a camera pixel, common to all.
        order: how entries were ordered, one sentence a step.
        nothing_here: methods were judged, and none found evidence of structure.
        stopped: the user stopped before all methods had run.
    """

    entries: tuple[Entry, ...]
    factor: int
    order: tuple[str, ...]
    nothing_here: bool
    stopped: bool

    @property
    def shown(self) -> list[Entry]:
        """Those that yielded an image."""
        return [entry for entry in self.entries if entry.reconstruction is not None]


def render_comparison(comparison: Comparison, acquisition: Acquisition, run: Mapping[str, Any]) -> str:
    """One self-contained page; every text that comes from outside is escaped.

    Args:
        comparison: what came out.
        acquisition: what went in; its frames are not read.
        run: ``seed``, ``device``, ``command`` and ``versions``, as far as known.
    """
    shown = comparison.shown
    parts = [_header(comparison, acquisition), _first_words(comparison, acquisition)]
    title = "The methods" if comparison.nothing_here else "The methods, by evidence"
    parts.append(pieces.section("methods", title, _table(comparison)))
    if shown:
        line = None if comparison.nothing_here else line_of(comparison, acquisition)
        parts.append(pieces.section("pictures", "Pictures", _pictures(comparison, acquisition, line)))
        if not comparison.nothing_here:
            parts.append(pieces.section("profile", "Across the structure", _profile(shown, acquisition, line)))
        parts.append(pieces.section("residuals", "What each leaves unexplained", _residuals(shown, acquisition)))
        parts.append(pieces.section("judges", "All figures", _judges(shown, comparison.nothing_here)))
    parts.append(pieces.section("notes", "Notes of the methods", _notes(comparison)))
    parts.append(pieces.section("reproduce", "Reproduce", _reproduce(run)))
    return frame.page(f"{acquisition.name}: methods compared", parts)


def line_of(comparison: Comparison, acquisition: Acquisition) -> Line | None:
    """The line of the profiles: chosen from the plain mean of the frames, in which no method has a say."""
    mean = _mean_frame(comparison.shown)
    return None if mean is None else choose_line(mean, acquisition.pixel_size_nm, acquisition.psf.fwhm_nm)


def _mean_frame(shown: Sequence[Entry]) -> np.ndarray | None:
    # The same for all but for drift and bleaching: that of the first by name, so that evidence does not choose it.
    named = sorted(shown, key=lambda entry: (entry.method != "mean", entry.method))
    return None if not named or named[0].reconstruction is None else named[0].reconstruction.mean


def _header(comparison: Comparison, acquisition: Acquisition) -> str:
    ny, nx = acquisition.field_shape
    asked = len(comparison.entries)
    methods = "One method" if asked == 1 else f"{asked} methods"
    sentence = (
        f"{methods} on {acquisition.n_frames:,} frames of {nx} × {ny} pixels "
        f"({acquisition.pixel_size_nm:.4g}\u00a0nm), all on one grid of {nx * comparison.factor} × "
        f"{ny * comparison.factor} pixels ({acquisition.pixel_size_nm / comparison.factor:.4g}\u00a0nm)."
    )
    return (
        f'<header>\n<p class="kicker">fluosr · compare</p>\n<h1>{escape(acquisition.name)}</h1>\n'
        f'<p class="lead">{escape(sentence)}</p>\n</header>'
    )


def _first_words(comparison: Comparison, acquisition: Acquisition) -> str:
    found: list[tuple[str, str]] = []
    if comparison.nothing_here:
        found.append(
            (
                "Nothing here",
                f"No method found evidence of structure in this movie (significance of at least {NOTHING_HERE:g}). "
                "Whatever the pictures below show is noise, or cannot be told from it: no resolution is claimed, and "
                "no method is better than another.",
            )
        )
    elif not comparison.shown:
        found.append(("No picture", "No method yielded a picture; why, each says below."))
    left = [entry.method for entry in comparison.entries if entry.state in ("stopped", "not run")]
    if comparison.stopped:
        text = f"Not finished: {', '.join(left)}. " if left else ""
        found.append(("Stopped", f"{text}The same command with --resume goes on."))
    failed = [entry.method for entry in comparison.entries if entry.state == "failed"]
    if failed:
        found.append(("Failed", f"{', '.join(failed)}; the reasons stand below."))
    found += [("The movie", pieces.sentence(str(warning))) for warning in acquisition.warnings]
    if not found:
        return ""
    items = "\n".join(f"<li><strong>{escape(head)}.</strong> {escape(text)}</li>" for head, text in found)
    title = "<h2>Before you compare</h2>"
    return f'<section id="warnings" class="warnings">\n{title}\n<ul>\n{items}\n</ul>\n</section>'


def _table(comparison: Comparison) -> str:
    rows = []
    for rank, entry in enumerate(comparison.entries, 1):
        record = entry.record or {}
        quality = entry.quality
        if quality is None:
            words = (entry.reason or entry.state, *5 * ("—",))
        else:
            words = (
                _evidence(entry),
                _residual_words(quality),
                _rsp(quality),
                "none claimed" if comparison.nothing_here else resolution_words(quality),
                "none claimed" if comparison.nothing_here else _decorrelation(quality),
                pieces.duration(pieces.finite_number(record.get("time_s"))),
            )
        peak = pieces.finite_number(record.get("peak_memory_mb"))
        memory = "—" if peak is None else pieces.memory(peak) + ("" if entry.own_peak else " *")
        place = "—" if comparison.nothing_here or quality is None else str(rank)
        name = entry.method if entry.state == "finished" else f"{entry.method} ({entry.state})"
        rows.append((place, name, *words, memory))
    head = ("", "Method", "Structure", "Residuals", "RSP", "Resolution", "Decorrelation", "Time", "Memory")
    parts = [pieces.table(head, rows)]
    if any(entry.own_peak is False for entry in comparison.entries):
        parts.append(
            "<p>* This system does not let the count of the largest memory begin anew: the figure is the largest of "
            "the whole command up to then, not of this method alone.</p>"
        )
    if comparison.nothing_here:
        parts.append(
            "<p>Without evidence of structure there is no order: the methods stand as they were asked for.</p>"
        )
    else:
        steps = "".join(f"<li>{escape(step)}</li>" for step in comparison.order)
        parts.append(
            "<p>The order is one of evidence, not of looks. Each rule decides only what those before it leave open:</p>"
            f'<ol class="steps">{steps}</ol>'
        )
    parts.append(
        "<p>Structure: how many standard deviations the picture's light stands above noise and background. Residuals: "
        "what picture and background leave unexplained. RSP: correlation of the mean frame with the picture, blurred "
        "to fit it (SQUIRREL). Resolution: not better than this, by Fourier ring correlation; details repeat in "
        "separate halves of the frames down to here, but lines this close need not be told apart. Decorrelation: the "
        "finest detail above the noise of the picture itself, true or not. Memory: the largest in use, the program "
        "included.</p>"
    )
    return "\n".join(parts)


def _rsp(quality: Quality) -> str:
    return "—" if quality.error_map is None else pieces.number(quality.error_map.rsp)


def _decorrelation(quality: Quality) -> str:
    found = quality.decorrelation
    return "none" if found is None or found.resolution_nm is None else f"{found.resolution_nm:.0f} nm"


def _evidence(entry: Entry) -> str:
    if entry.significance is None:
        return "not measured"
    verdict = "yes" if entry.found_structure else "none"
    return f"{verdict} ({entry.significance:.3g} σ)"


def _residual_words(quality: Quality) -> str:
    residuals = quality.residuals
    if residuals.rms is None:
        return "cannot be judged"
    return f"{residuals.rms:.2f} × noise" + ("" if residuals.at_noise_level else ", not only noise")


def resolution_words(quality: Quality) -> str:
    """The measured resolution, or that there is none; the reason stands in the methods' notes."""
    resolution = quality.resolution
    if resolution is None:
        return "not measured"
    if resolution.resolution_nm is not None:
        return f"{resolution.resolution_nm:.0f} nm"
    return f"{resolution.limit_nm:.3g} nm (the grid's)" if resolution.finer_than_grid else "none"


def _pictures(comparison: Comparison, acquisition: Acquisition, line: Line | None) -> str:
    shown = comparison.shown
    mean = _mean_frame(shown)
    images: list[tuple[str, np.ndarray, float]] = []
    if mean is not None:
        finite = mean[np.isfinite(mean)]
        dark = float(np.percentile(finite, 0.5)) if finite.size else 0.0
        images.append(("mean frame", mean - dark, acquisition.pixel_size_nm))
    images += [(e.method, e.reconstruction.image, e.reconstruction.pixel_size_nm) for e in shown if e.reconstruction]
    densities = [(name, as_density(image, pixel), pixel) for name, image, pixel in images]
    limits = common_limits([image for name, image, _ in densities if name != "mean frame"])
    ends = None if line is None else line.ends

    def panels(limits: tuple[float, float] | None) -> list[pictures.Panel]:
        return [
            pictures.Panel(
                image, pixel, name, DENSITY, limits=limits, percentiles=(0, BRIGHTEST), scale_bar=number == 0, line=ends
                if number == 0 else None,
            )
            for number, (name, image, pixel) in enumerate(densities)
        ]  # fmt: skip

    text = (
        "All at one physical scale and one contrast: from nothing to the median of what is the brightest light (the "
        f"{BRIGHTEST:g} % percentile) of each reconstruction. From the mean frame its darkest light is taken off, "
        "since most reconstructions hold no background."
    )
    if line is not None:
        text += " The line is that of the profiles below."
    if comparison.nothing_here:
        text += " None of what they show is evidence of structure."
    together = pieces.figure(pictures.images(panels(limits), columns=COLUMNS, one_bar="All"), text)
    apart = pieces.figure(
        pictures.images(panels(None), columns=COLUMNS),
        "The same pictures, each from its darkest to its brightest light.",
    )
    return f"{together}<details><summary>Each with a contrast of its own</summary>{apart}</details>"


def as_density(image: np.ndarray, pixel_size_nm: float) -> np.ndarray:
    """Light per area, which does not depend on the grid: photons per µm² and frame."""
    return np.asarray(image, float) / (pixel_size_nm / 1000) ** 2


def common_limits(images: Sequence[np.ndarray]) -> tuple[float, float]:
    """(0, the median of the images' brightest light): contrast that no image alone decides."""
    brightest = [
        float(np.percentile(image[np.isfinite(image)], BRIGHTEST)) for image in images if np.isfinite(image).any()
    ]
    high = float(np.median(brightest)) if brightest else 0.0
    return 0.0, high if high > 0 else max([1.0, *brightest])


def _profile(shown: Sequence[Entry], acquisition: Acquisition, line: Line | None) -> str:
    mean = _mean_frame(shown)
    if line is None or mean is None:
        return "<p>No profile: the mean frame is even, and no line crosses anything in it.</p>"
    fwhm = acquisition.psf.fwhm_nm
    along, light = light_along(line, mean, acquisition.pixel_size_nm, fwhm)
    profiles = {"mean frame": to_equal_area(along, light)}
    for entry in shown:
        if entry.reconstruction is not None:
            _, light = light_along(line, entry.reconstruction.image, entry.reconstruction.pixel_size_nm, fwhm)
            profiles[entry.method] = to_equal_area(along, light)
    text = (
        "Light along the line drawn in the mean frame above. The line was chosen from the mean frame alone: through "
        "its strongest local contrast, in the direction in which light changes most (the structure tensor's main "
        f"axis). Averaged over {line.width_nm:.0f} nm across the line; each curve above its own lowest value, and all "
        "of the same area: narrower is sharper, not brighter. A second peak is no proof of a second structure."
    )
    return pieces.figure(curves.profiles(along, profiles), text)


def _residuals(shown: Sequence[Entry], acquisition: Acquisition) -> str:
    limits = (-pictures.Z_LIMIT, pictures.Z_LIMIT)
    panels = [
        pictures.Panel(
            entry.quality.residuals.z, acquisition.pixel_size_nm, entry.method, "standard deviations of the noise",
            colours="RdBu_r", limits=limits, reduce="extreme",
        )
        for entry in shown if entry.quality is not None
    ]  # fmt: skip
    text = (
        "Mean frame minus what image and background explain, all at one scale. Red: the movie is brighter; blue: "
        "darker. Only noise without pattern should be seen. Details finer than the PSF leave no trace: such a map can "
        "accuse an image, not acquit it."
    )
    return pieces.figure(pictures.images(panels, columns=COLUMNS, one_bar="All"), text)


def _judges(shown: Sequence[Entry], nothing_here: bool) -> str:
    """Every figure that the judges give, in the order in which they give them."""
    columns: list[dict[str, Any]] = []
    for entry in shown:
        figures = {} if entry.quality is None else pieces.flat(entry.quality.describe())
        columns.append({"significance": entry.significance, **dict(figures)})
    names = dict.fromkeys(name for column in columns for name in column)
    rows = []
    for name in names:
        if nothing_here and name.rpartition(".")[2].endswith("resolution_nm"):
            continue
        values = [column.get(name) for column in columns]
        if all(value is None for value in values) or any(
            isinstance(value, str) and len(value) > 24 for value in values
        ):
            continue  # sentences stand among the notes
        rows.append((_spelled(name), *(_figure_text(value) for value in values), pieces.unit(name)))
    return pieces.table(("", *(entry.method for entry in shown), "Unit"), rows)


def _spelled(name: str) -> str:
    return name.replace(".", ": ").replace("_", " ")


def _figure_text(value: Any) -> str:
    return pieces.number(value) if isinstance(value, float) else pieces.value_text(value)


def _notes(comparison: Comparison) -> str:
    parts = []
    for entry in comparison.entries:
        found: list[str | None] = [entry.reason]
        if entry.quality is not None:
            found.append(entry.quality.residuals.verdict)
            resolution = entry.quality.resolution
            reason = entry.quality.resolution_reason if resolution is None else resolution.reason
            found.append(f"resolution: {reason}" if reason else None)
            found.append(_other_reason("decorrelation", entry.quality.decorrelation_reason, reason))
            found.append(_other_reason("local resolution", entry.quality.local_resolution_reason, reason))
        if entry.reconstruction is not None:
            found += [str(warning) for warning in entry.reconstruction.warnings]
        if entry.from_disk:
            found.append("taken from disk, where an earlier call had left it")
        items = "".join(f"<li>{escape(pieces.sentence(text))}</li>" for text in dict.fromkeys(found) if text)
        link = ""
        if entry.quality is not None:
            link = f' · <a href="{escape(entry.method, quote=True)}/report.html">its own report</a>'
        parts.append(f"<h3>{escape(entry.method)}{link}</h3>\n<ul>{items or '<li>None.</li>'}</ul>")
    return "\n".join(parts)


def _other_reason(name: str, reason: str | None, said: str | None) -> str | None:
    return None if reason is None or reason == said else f"{name}: {reason}"


def _reproduce(run: Mapping[str, Any]) -> str:
    command = run.get("command")
    parts = [f"<pre>{escape(shlex.join(map(str, command)))}</pre>" if command else "<p>Called from Python.</p>"]
    rows = [(name, pieces.value_text(run[name])) for name in ("seed", "device") if run.get(name) is not None]
    rows += [(name, pieces.value_text(version)) for name, version in run.get("versions", {}).items()]
    parts.append(pieces.table(("With", "Value"), rows))
    parts.append("<p>compare.json holds the figures of this page for programs; each method's folder its whole run.</p>")
    return "\n".join(parts)
