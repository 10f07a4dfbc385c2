"""The report: one HTML page that opens offline and says what came out, how far to trust it, and how to repeat it."""

from __future__ import annotations

import base64
import json
import math
import shlex
from collections.abc import Iterable, Mapping
from html import escape
from os import PathLike
from typing import Any

import numpy as np

from fluosr.acquisition import Acquisition
from fluosr.quality.judge import Quality
from fluosr.reconstruction import Reconstruction
from fluosr.report import plots

# Endings of names that carry a unit, longest first so that "adu_per_e" wins over "e".
UNITS = {
    "adu_per_e": "ADU per photoelectron",
    "photons": "photons",
    "frames": "frames",
    "percent": "%",
    "mb": "MB",
    "adu": "ADU",
    "deg": "degrees",
    "nm": "nm",
    "px": "pixels",
    "um": "µm",
    "hz": "Hz",
    "ms": "ms",
    "s": "s",
    "e": "electrons rms",
}
ZOOM_SIDE = 20  # camera pixels shown in the zoom
LONGEST_VALUE = 200  # characters of one value in the parameter table; the rest is in run.json
LONGEST_RECORD = 60_000  # characters of the run's record shown on the page


def write_report(
    path: str | PathLike[str],
    reconstruction: Reconstruction,
    acquisition: Acquisition,
    *,
    quality: Quality,
    run: Mapping[str, Any],
) -> None:
    """One self-contained page: pictures, resolution, residuals, chosen values, parameters, citation, how to repeat it.

    Nothing is loaded from anywhere: styles are inline, pictures are PNG inside the page, and there is no script. Every
    text that comes from outside (names, warnings, commands) is escaped.

    Args:
        path: where the page goes; written beside it first, then renamed.
        reconstruction: what came out.
        acquisition: what went in; its frames are not read.
        quality: the judgement of ``reconstruction``.
        run: the content of run.json. Known keys, all optional: ``parameters`` (name -> value, or name -> {"value",
            "unit", "source"}), ``versions`` (name -> version), ``seed``, ``time_s`` (seconds), ``peak_memory_mb`` (MB),
            ``command`` (text or list of arguments), ``citation`` (BibTeX text or list). The rest is shown as it is.

    Raises:
        OutputError: the page cannot be written.
    """
    from fluosr.io.write import write_text

    write_text(path, render_report(reconstruction, acquisition, quality=quality, run=run))


def render_report(
    reconstruction: Reconstruction, acquisition: Acquisition, *, quality: Quality, run: Mapping[str, Any]
) -> str:
    """The page of ``write_report`` as text."""
    sections = [
        _header(reconstruction, acquisition, quality),
        _headline(reconstruction, acquisition, quality, run),
        _warnings(reconstruction, acquisition, quality),
        _section("pictures", "Before and after", _pictures(reconstruction, acquisition)),
        _section("zoom", "Zoom on the brightest region", _zoom(reconstruction, acquisition)),
        _section("residuals", "Background and residuals", _residuals(reconstruction, acquisition, quality)),
        _section("resolution", "Resolution", _resolution(quality)),
    ]
    if reconstruction.uncertainty is not None:
        sections.append(
            _section(
                "uncertainty", "Uncertainty", _uncertainty(reconstruction.uncertainty, reconstruction.pixel_size_nm)
            )
        )
    sections += [
        _section("choices", "How automatic values were chosen", _choices(reconstruction)),
        _section("convergence", "Convergence", _convergence(reconstruction)),
        _section("parameters", "Parameters", _parameters(reconstruction, acquisition, run)),
        _section("cite", "How to cite", _citation(reconstruction, run)),
        _section("reproduce", "Reproduce", _reproduce(reconstruction, acquisition, run)),
    ]
    title = f"{acquisition.name}: {reconstruction.method} reconstruction"
    return _PAGE_HEAD.replace("{{title}}", escape(title)) + "\n".join(s for s in sections if s) + _PAGE_FOOT


# ---------------------------------------------------------------------------------------------------- sections


def _header(reconstruction: Reconstruction, acquisition: Acquisition, quality: Quality) -> str:
    frames, (ny, nx) = acquisition.n_frames, acquisition.field_shape
    fine_y, fine_x = reconstruction.image.shape
    sentence = (
        f"{frames:,} frames of {nx} × {ny} pixels ({acquisition.pixel_size_nm:.4g}\u00a0nm) became one image of "
        f"{fine_x} × {fine_y} pixels ({reconstruction.pixel_size_nm:.4g}\u00a0nm); {_resolution_clause(quality)}, and "
        f"{_residual_clause(quality)}."
    )
    return (
        f'<header>\n<p class="kicker">fluosr · {escape(reconstruction.method)}</p>\n'
        f'<h1>{escape(acquisition.name)}</h1>\n<p class="lead">{escape(sentence)}</p>\n</header>'
    )


def _resolution_clause(quality: Quality) -> str:
    resolution = quality.resolution
    if resolution is None:
        return "its resolution was not measured"
    if resolution.resolution_nm is not None:
        return f"its two halves agree down to {resolution.resolution_nm:.0f}\u00a0nm"
    if resolution.finer_than_grid:
        return f"its two halves agree down to the finest detail the grid holds, {resolution.limit_nm:.3g} nm"
    return "its resolution could not be measured"


def _residual_clause(quality: Quality) -> str:
    residuals = quality.residuals
    if residuals.rms is None:
        return "its residuals could not be judged"
    if residuals.at_noise_level:
        return "what it leaves unexplained is at the noise level"
    return f"what it leaves unexplained is {residuals.rms:.2f} times the noise, and not only noise"


def _headline(
    reconstruction: Reconstruction, acquisition: Acquisition, quality: Quality, run: Mapping[str, Any]
) -> str:
    resolution = quality.resolution
    fwhm = acquisition.psf.fwhm_nm
    if resolution is None:
        figures = [("Resolution", "not measured", _sentence(quality.resolution_reason or "no halves to compare"), "")]
    elif resolution.resolution_nm is not None:
        text = (
            f"Fourier ring correlation, threshold {resolution.criterion} (PSF {fwhm:.4g}\u00a0nm). Details repeat down "
            "to here; lines this close need not be told apart."
        )
        figures = [("Resolution: not better than", f"{resolution.resolution_nm:.0f} nm", text, "")]
    elif resolution.finer_than_grid:
        text = f"Fourier ring correlation, threshold {resolution.criterion}: {resolution.reason}."
        figures = [("Resolution", f"≤ {resolution.limit_nm:.3g} nm", text, "good")]
    else:
        figures = [("Resolution", "none", _sentence(resolution.reason or ""), "bad")]
    residuals = quality.residuals
    value = "unknown" if residuals.rms is None else f"{residuals.rms:.2f} × noise"
    figures.append(("Residuals", value, residuals.verdict, "good" if residuals.at_noise_level else "bad"))
    time_s, memory = plots.finite_number(run.get("time_s")), plots.finite_number(run.get("peak_memory_mb"))
    figures.append(("Time", _duration(time_s), _per_frame(time_s, acquisition.n_frames), ""))
    figures.append(("Memory", _memory(memory), "largest in use at one time" if memory is not None else "", ""))
    cards = "\n".join(
        f'<div class="card {tone}"><p class="name">{escape(name)}</p><p class="figure">{escape(value)}</p>'
        f"<p>{escape(text)}</p></div>"
        for name, value, text, tone in figures
    )
    return f'<section id="headline" class="cards">\n{cards}\n</section>'


def _warnings(reconstruction: Reconstruction, acquisition: Acquisition, quality: Quality) -> str:
    found: list[str] = []
    if not reconstruction.finished:
        found.append("The run was stopped before its end: this is the image as it was then. Continue with --resume.")
    found += [str(w) for w in acquisition.warnings]
    found += [str(w) for w in reconstruction.warnings]
    bad = int((~np.isfinite(reconstruction.image)).sum())
    if bad:
        found.append(f"{bad} pixel(s) of the reconstruction hold no finite number; do not use this image as it is.")
    if not quality.residuals.at_noise_level:
        found.append(
            f"{quality.residuals.verdict} Usual causes: FWHM or pixel size not as stated, drift, too few iterations."
            if quality.residuals.rms is not None
            else quality.residuals.verdict
        )
    resolution = quality.resolution
    if resolution is not None and resolution.resolution_nm is None and not resolution.finer_than_grid:
        found.append(f"No resolution: {resolution.reason}.")
    if not found:
        return ""
    items = "\n".join(f"<li>{escape(_sentence(w))}</li>" for w in dict.fromkeys(found))
    title = "<h2>Before you use this image</h2>"
    return f'<section id="warnings" class="warnings">\n{title}\n<ul>\n{items}\n</ul>\n</section>'


def _pictures(reconstruction: Reconstruction, acquisition: Acquisition) -> str:
    panels = _pair(reconstruction, acquisition.pixel_size_nm, slice(None), slice(None))
    return _drawing(plots.images(panels), "The mean frame and the reconstruction at the same physical scale.")


def _pair(reconstruction: Reconstruction, pixel_nm: float, rows: slice, columns: slice) -> list[plots.Panel]:
    """Mean frame and reconstruction of a window given in camera pixels, contrast from the window itself."""
    factor = reconstruction.factor
    fine = tuple(slice(None) if s == slice(None) else slice(s.start * factor, s.stop * factor) for s in (rows, columns))
    return [
        plots.Panel(reconstruction.mean[rows, columns], pixel_nm, "Mean frame", "photons per camera pixel and frame"),
        plots.Panel(
            reconstruction.image[fine],
            reconstruction.pixel_size_nm,
            "Reconstruction",
            "photons per fine pixel and frame",
            scale_bar=True,
        ),
    ]


def _zoom(reconstruction: Reconstruction, acquisition: Acquisition) -> str:
    # Half of a small field, so that a zoom is a zoom; at most what the eye takes in at once.
    side = max(6, min(ZOOM_SIDE, min(reconstruction.mean.shape) // 2))
    window = plots.brightest_window(reconstruction.image, reconstruction.factor, side)
    if window is None:
        return "<p>No zoom: the field is small enough to be seen whole above, or the image holds no light.</p>"
    y, x, height, width = window
    panels = _pair(reconstruction, acquisition.pixel_size_nm, slice(y, y + height), slice(x, x + width))
    text = f"Camera pixels {x} to {x + width - 1} across and {y} to {y + height - 1} down, each pixel as it is."
    return _drawing(plots.images(panels), text)


def _residuals(reconstruction: Reconstruction, acquisition: Acquisition, quality: Quality) -> str:
    pixel = acquisition.pixel_size_nm
    residuals = quality.residuals
    panels = [
        plots.Panel(
            reconstruction.background,
            pixel,
            "Background",
            "photons per camera pixel and frame",
            percentiles=(0, 100),
        ),
        plots.Panel(
            residuals.z,
            pixel,
            "Residual map",
            "standard deviations of the noise",
            colours="RdBu_r",
            limits=(-plots.Z_LIMIT, plots.Z_LIMIT),
            reduce="extreme",
            scale_bar=False,
        ),
    ]
    text = (
        "Mean frame minus what image and background explain. Red: the movie is brighter; blue: darker. Only noise "
        "without pattern should be seen. Details finer than the PSF leave no trace: this map can accuse an image, not "
        "acquit it."
    )
    rows = [
        ("Root mean square", _plain(residuals.rms), "1 is the noise level"),
        ("Reduced chi-square", _plain(residuals.reduced_chi_square), "1 is the noise level"),
        (
            "Beyond 3 standard deviations",
            "—" if residuals.fraction_beyond_3 is None else f"{100 * residuals.fraction_beyond_3:.2g} %",
            "0.27 % in pure noise",
        ),
        ("Correlation of neighbours", _plain(residuals.neighbour_correlation), "0 in pure noise"),
        ("Largest", _plain(residuals.maximum), "standard deviations"),
        ("Pixels judged", f"{residuals.n_pixels:,}", f"{residuals.n_ignored:,} left out (dead, masked)"),
    ]
    return (
        f"<p><strong>{escape(residuals.verdict)}</strong></p>\n"
        + _drawing(plots.images(panels), text)
        + _table(("Residuals", "", "Compare with"), rows)
    )


def _resolution(quality: Quality) -> str:
    resolution = quality.resolution
    if resolution is None:
        return f"<p>{escape(_sentence(quality.resolution_reason or 'no halves to compare'))}</p>"
    drawing = plots.ring_correlation(resolution)
    if resolution.resolution_nm is not None:
        result = f"{resolution.resolution_nm:.0f} nm at the threshold {resolution.criterion}."
    else:
        result = _sentence(resolution.reason or "")
    text = (
        "Fourier ring correlation of two reconstructions from separate halves of the frames, "
        f"threshold {resolution.criterion}. It tells how far down details repeat themselves in independent data. "
        "An error that both halves share, such as a wrong PSF, repeats itself too, and so does the shape of the grains "
        "that an image may be made of: the figure is a bound, and no finer than these."
    )
    shown = "" if drawing is None else _drawing(drawing, text)
    return f"<p><strong>{escape(result)}</strong></p>\n{shown}"


def _uncertainty(uncertainty: np.ndarray, pixel_size_nm: float) -> str:
    panel = plots.Panel(
        uncertainty,
        pixel_size_nm,
        "Standard deviation",
        "photons per fine pixel and frame",
        colours="viridis",
        scale_bar=True,
    )
    return _drawing(plots.images([panel]), "The method's own estimate of the error of every fine pixel.")


def _choices(reconstruction: Reconstruction) -> str:
    if not reconstruction.choices:
        return "<p>Nothing was chosen automatically.</p>"
    rows = [
        (name, _value(choice.get("value")), _unit(name), str(choice.get("why", "—")))
        for name, choice in reconstruction.choices.items()
    ]
    table = _table(("Value", "Chosen", "Unit", "Why"), rows)
    drawing = plots.choices(reconstruction.choices)
    if drawing is None:
        return table
    return table + _drawing(drawing, "What was tried, and how each trial scored; the orange mark is the value taken.")


def _convergence(reconstruction: Reconstruction) -> str:
    curves = {name: list(np.ravel(np.asarray(v, float))) for name, v in reconstruction.history.items()}
    curves = {name: values for name, values in curves.items() if values}
    if not curves:
        return "<p>The method keeps no record of its iterations.</p>"
    text = "A curve that still falls steeply at its end asks for more iterations."
    return _drawing(plots.history(curves), text)


def _parameters(reconstruction: Reconstruction, acquisition: Acquisition, run: Mapping[str, Any]) -> str:
    recorded = run.get("parameters")
    method = {**(recorded if isinstance(recorded, Mapping) else {})}
    for name, value in reconstruction.parameters.items():
        # The record may say more about a parameter (unit, source) than the reconstruction: keep that, update the value.
        known = method.get(name)
        method[name] = {**known, "value": value} if isinstance(known, Mapping) and "value" in known else value
    sources = run.get("sources")
    sources = sources if isinstance(sources, Mapping) else {}
    rows: list[tuple[str, ...]] = [("Method", "")]
    for name, value in _flat(method):
        unit, source = _unit(name), str(sources.get(name, "given or default"))
        if isinstance(value, Mapping):
            unit, source = str(value.get("unit") or unit), str(value.get("source") or source)
            value = value["value"]
        if name in reconstruction.choices:
            source = "chosen automatically, see above"
        rows.append((name, _value(value), unit, source))
    rows.append(("Movie", ""))
    ny, nx = acquisition.field_shape
    movie = {
        "name": acquisition.name,
        "frames": acquisition.n_frames,
        "field_height_px": ny,
        "field_width_px": nx,
        "pixel_size_nm": acquisition.pixel_size_nm,
        "frame_interval_s": acquisition.frame_interval_s,
        **{f"provenance.{k}": v for k, v in acquisition.provenance.items()},
    }
    rows += [(name, _value(value), _unit(name), "the movie or its options") for name, value in _flat(movie)]
    rows.append(("Optics", ""))
    rows += [(f"psf.{n}", _value(v), _unit(n), "the model of the PSF") for n, v in _flat(acquisition.psf.describe())]
    rows.append(("factor", _value(reconstruction.factor), "", "fine pixels along a camera pixel"))
    rows.append(("fine pixel_size_nm", _value(reconstruction.pixel_size_nm), "nm", "camera pixel / factor"))
    rows.append(("Camera", ""))
    camera = acquisition.camera.describe()
    certainty = dict(acquisition.camera.certainty)
    for name, value in camera.items():
        if name != "certainty":
            known = next((text for key, text in certainty.items() if key == name or name.startswith(f"{key}_")), "—")
            rows.append((name, _value(value), _unit(name), str(known)))
    return _table(("Parameter", "Value", "Unit", "Where it came from"), rows)


def _citation(reconstruction: Reconstruction, run: Mapping[str, Any]) -> str:
    recorded = run.get("citation", run.get("citations", []))
    entries = [*reconstruction.citations, *([recorded] if isinstance(recorded, str) else _items(recorded))]
    entries = list(dict.fromkeys(str(entry).strip() for entry in entries if str(entry).strip()))
    if not entries:
        return "<p>The method names no paper to cite.</p>"
    return f"<pre>{escape(chr(10).join(entries))}</pre>"


def _reproduce(reconstruction: Reconstruction, acquisition: Acquisition, run: Mapping[str, Any]) -> str:
    command = run.get("command")
    if isinstance(command, (list, tuple)):
        command = shlex.join(str(part) for part in command)
    parts = []
    if command:
        parts.append(f"<pre>{escape(str(command))}</pre>")
    else:
        parts.append("<p>The command was not recorded; the parameters above are all that went in.</p>")
    rows = []
    seed = run.get("seed", reconstruction.parameters.get("seed"))
    if seed is not None:
        rows.append(("seed", _value(seed)))
    for key in ("device", "platform", "threads", "started", "date"):
        if run.get(key) is not None:
            rows.append((key, _value(run[key])))
    versions = run.get("versions")
    if isinstance(versions, Mapping):
        rows += [(str(name), _value(version)) for name, version in versions.items()]
    if rows:
        parts.append(_table(("With", "Value"), rows))
    parts.append("<p>The same seed, device and versions give the same bits.</p>")
    record = json.dumps(_plain_json(run), indent=2, ensure_ascii=False, default=str)
    if len(record) > LONGEST_RECORD:
        record = record[:LONGEST_RECORD] + "\n… the rest is in run.json"
    parts.append(f"<details><summary>Everything recorded (run.json)</summary><pre>{escape(record)}</pre></details>")
    return "\n".join(parts)


# ------------------------------------------------------------------------------------------------------ pieces


def _section(name: str, title: str, body: str) -> str:
    return f'<section id="{name}">\n<h2>{escape(title)}</h2>\n{body}\n</section>'


def _drawing(drawing: plots.Drawing, text: str) -> str:
    data = base64.b64encode(drawing.png).decode("ascii")
    note = f' <span class="note">{escape(drawing.note)}</span>' if drawing.note else ""
    return (
        f'<figure><img src="data:image/png;base64,{data}" width="{drawing.width}" alt="{escape(text)}">'
        f"<figcaption>{escape(text)}{note}</figcaption></figure>\n"
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table; a row of two cells, the second empty, is a heading within it."""
    lines = ['<div class="scroll"><table>', "<thead><tr>"]
    lines += [f'<th scope="col">{escape(cell)}</th>' for cell in head]
    lines.append("</tr></thead><tbody>")
    for row in rows:
        if len(row) == 2 < len(head) and not row[1]:
            lines.append(f'<tr class="group"><th scope="colgroup" colspan="{len(head)}">{escape(row[0])}</th></tr>')
            continue
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        lines.append(f'<tr><th scope="row">{escape(row[0])}</th>{cells}</tr>')
    lines.append("</tbody></table></div>")
    return "\n".join(lines)


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) or not text else ".")


def _items(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested mappings as (dotted name, value); one that describes a single parameter ({"value": ...}) stays whole."""
    rows: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping) and "value" not in value:
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", value))
    return rows


def _unit(name: str) -> str:
    name = name.rsplit(".", 1)[-1]
    return next((unit for ending, unit in UNITS.items() if name.endswith(f"_{ending}")), "")


def _plain(value: float | None) -> str:
    return "—" if value is None else f"{value:.3g}"


def _value(value: Any) -> str:
    if value is None:
        return "—"
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (float, np.floating)):
        return f"{float(value):.6g}"
    if isinstance(value, np.ndarray):
        return f"array of shape {value.shape}" if value.size > 8 else _value(value.tolist())
    if isinstance(value, (list, tuple)):
        text = ", ".join(_value(v) for v in value[:24]) + (" …" if len(value) > 24 else "")
    else:
        text = str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _plain_json(value: Any) -> Any:
    """Something json can write: arrays shortened to their shape, numbers that JSON has no word for as text."""
    if isinstance(value, Mapping):
        return {str(k): _plain_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain_json(v) for v in value]
    if isinstance(value, np.ndarray):
        return _value(value)
    if isinstance(value, np.generic):
        value = value.item()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "not recorded"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"
    # Rounded once, in seconds: rounding each part apart would print "1 min 60 s".
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _per_frame(seconds: float | None, frames: int) -> str:
    return "" if seconds is None or not frames else f"{1000 * seconds / frames:.3g} ms for each of {frames:,} frames"


def _memory(megabytes: float | None) -> str:
    if megabytes is None:
        return "not recorded"
    return f"{megabytes / 1024:.1f} GB" if megabytes >= 1024 else f"{megabytes:.0f} MB"


# The policy line makes the promise hold in the browser too: no script runs, nothing is fetched, whatever a name holds.
_PAGE_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{{title}}</title>
<style>
:root {
  --ground: #fff; --card: #f5f6f8; --text: #1c2128; --soft: #59626e; --line: #dfe3e8;
  --good: #0b7a5c; --bad: #b3500b; --warn-ground: #fff6e6; --warn-line: #e0a030;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14171c; --card: #1d2128; --text: #e4e8ed; --soft: #9ba5b1; --line: #2f363f;
    --good: #3fc79f; --bad: #f0974c; --warn-ground: #2a2316; --warn-line: #b98528;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 44px 28px 72px; max-width: 1144px; background: var(--ground); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
header { margin-bottom: 26px; }
.kicker { margin: 0; color: var(--soft); font-size: 14px; letter-spacing: .04em; }
h1 { margin: 2px 0 10px; font-size: 31px; line-height: 1.2; letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { margin: 0 0 12px; font-size: 20px; letter-spacing: -.005em; }
.lead { margin: 0; max-width: 70ch; font-size: 17.5px; color: var(--soft); }
section { margin-top: 44px; }
p { max-width: 78ch; }
.cards { display: grid; grid-template-columns: 1.15fr 1.35fr .8fr .8fr; gap: 14px; margin-top: 0; }
.card { padding: 15px 18px 16px; border-radius: 10px; background: var(--card); border-top: 3px solid var(--line); }
.card.good { border-top-color: var(--good); }
.card.bad { border-top-color: var(--bad); }
.card p { margin: 0; font-size: 13.5px; line-height: 1.45; color: var(--soft); }
.card .name { font-size: 13px; }
.card .figure { margin: 1px 0 5px; font-size: 27px; line-height: 1.25; font-weight: 650; color: var(--text); }
.card.good .figure { color: var(--good); }
.card.bad .figure { color: var(--bad); }
.warnings {
  margin-top: 22px; padding: 16px 22px; border-radius: 10px; background: var(--warn-ground);
  border-left: 4px solid var(--warn-line);
}
.warnings h2 { font-size: 16px; margin-bottom: 6px; }
.warnings ul { margin: 0; padding-left: 20px; }
.warnings li { margin: 3px 0; overflow-wrap: anywhere; }
figure { margin: 6px 0 18px; }
figure img { display: block; max-width: 100%; height: auto; }
figcaption { margin-top: 8px; max-width: 88ch; font-size: 14px; color: var(--soft); }
.note { opacity: .85; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; min-width: 55%; margin: 4px 0 16px; }
th, td {
  padding: 5px 22px 5px 0; text-align: left; vertical-align: top; font-weight: 400;
  border-bottom: 1px solid var(--line);
}
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
thead th { color: var(--soft); font-size: 13px; }
.group th { padding-top: 16px; font-weight: 650; }
pre {
  margin: 6px 0 14px; padding: 14px 18px; border-radius: 10px; background: var(--card); white-space: pre-wrap;
  overflow-wrap: anywhere; font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
}
summary { cursor: pointer; color: var(--soft); font-size: 14px; }
footer { margin-top: 52px; padding-top: 14px; border-top: 1px solid var(--line); color: var(--soft); font-size: 13px; }
@media (max-width: 860px) { .cards { grid-template-columns: 1fr 1fr; } }
@media (max-width: 480px) { .cards { grid-template-columns: 1fr; } body { padding: 24px 16px 48px; } }
@media print {
  :root {
    --ground: #fff; --card: #f5f6f8; --text: #000; --soft: #444; --line: #ccc;
    --good: #0b7a5c; --bad: #b3500b; --warn-ground: #fff6e6; --warn-line: #e0a030;
  }
  body { padding: 0; max-width: none; font-size: 11pt; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  figure, .card, .warnings, tr { break-inside: avoid; }
  h2 { break-after: avoid; }
  section { margin-top: 26px; }
  details { display: none; }
}
</style>
</head>
<body>
"""
_PAGE_FOOT = """
<footer>Made by fluosr. This page holds everything it shows and loads nothing.</footer>
</body>
</html>
"""
