"""How to repeat a run: the sections of the page that hold parameters, citation, command and versions."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from html import escape
from typing import Any

from fluosr.acquisition import Acquisition
from fluosr.reconstruction import Reconstruction
from fluosr.report.pieces import flat, jsonable, table, unit, value_text

LONGEST_RECORD = 60_000  # characters of the run's record shown on the page


def parameters(reconstruction: Reconstruction, acquisition: Acquisition) -> str:
    """Every parameter with its value, its unit and where it came from."""
    rows: list[tuple[str, ...]] = [("Method", "")]
    for name, value in flat(reconstruction.parameters):
        chosen = name in reconstruction.choices and not reconstruction.choices[name].get("given")
        source = "chosen automatically, see above" if chosen else "given or default"
        rows.append((name, value_text(value), unit(name), source))
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
    rows += [(name, value_text(value), unit(name), "the movie or its options") for name, value in flat(movie)]
    rows.append(("Optics", ""))
    rows += [(f"psf.{n}", value_text(v), unit(n), "the model of the PSF") for n, v in flat(acquisition.psf.describe())]
    rows.append(("factor", value_text(reconstruction.factor), "", "fine pixels along a camera pixel"))
    rows.append(("fine pixel_size_nm", value_text(reconstruction.pixel_size_nm), "nm", "camera pixel / factor"))
    rows.append(("Camera", ""))
    camera = acquisition.camera.describe()
    certainty = dict(acquisition.camera.certainty)
    for name, value in camera.items():
        if name != "certainty":
            rows.append((name, value_text(value), unit(name), certainty.get(name, "—")))
    return table(("Parameter", "Value", "Unit", "Where it came from"), rows)


def citation(reconstruction: Reconstruction) -> str:
    """What to cite, as BibTeX."""
    entries = list(dict.fromkeys(entry.strip() for entry in reconstruction.citations if entry.strip()))
    if not entries:
        return "<p>The method names no paper to cite.</p>"
    return f"<pre>{escape(chr(10).join(entries))}</pre>"


def reproduce(run: Mapping[str, Any]) -> str:
    """The command, and all that makes a second run give the same bits."""
    command = run.get("command")
    if command:
        parts = [f"<pre>{escape(shlex.join(map(str, command)))}</pre>"]
    else:
        parts = ["<p>The command was not recorded; the parameters above are all that went in.</p>"]
    names = ("seed", "device", "platform", "threads", "started")
    rows = [(name, value_text(run[name])) for name in names if run.get(name) is not None]
    rows += [(name, value_text(version)) for name, version in run.get("versions", {}).items()]
    if rows:
        parts.append(table(("With", "Value"), rows))
    parts.append("<p>The same seed, device and versions give the same bits.</p>")
    record = json.dumps(jsonable(run), indent=2, ensure_ascii=False, default=str)
    if len(record) > LONGEST_RECORD:
        record = record[:LONGEST_RECORD] + "\n… the rest is in run.json"
    parts.append(f"<details><summary>Everything recorded (run.json)</summary><pre>{escape(record)}</pre></details>")
    return "\n".join(parts)
