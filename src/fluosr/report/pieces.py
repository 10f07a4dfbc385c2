"""What the sections are made of: tables, drawings, and values in words with their units."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import numpy as np

from fluosr.report.drawing import Drawing

# Endings of names that carry a unit, longest first so that "adu_per_e" wins over "e".
UNITS = {
    "adu_per_e": "ADU per photoelectron",
    "per_um2": "per µm²",
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
LONGEST_VALUE = 200  # characters of one value in the parameter table; the rest is in run.json


def section(name: str, title: str, body: str) -> str:
    """One part of the page, under its heading."""
    return f'<section id="{name}">\n<h2>{escape(title)}</h2>\n{body}\n</section>'


def figure(drawing: Drawing, text: str) -> str:
    """A picture inside the page, with its caption."""
    data = base64.b64encode(drawing.png).decode("ascii")
    note = f' <span class="note">{escape(drawing.note)}</span>' if drawing.note else ""
    return (
        f'<figure><img src="data:image/png;base64,{data}" width="{drawing.width}" alt="{escape(text)}">'
        f"<figcaption>{escape(text)}{note}</figcaption></figure>\n"
    )


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
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


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) or not text else ".")


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested mappings as (dotted name, value)."""
    rows: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", value))
    return rows


def unit(name: str) -> str:
    """The unit that a name ends in, in words; empty where it names none."""
    name = name.rsplit(".", 1)[-1]
    return next((unit for ending, unit in UNITS.items() if name.endswith(f"_{ending}")), "")


def finite_number(value: Any) -> float | None:
    """The value as a float, or None where it is none or not finite."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def number(value: float | None) -> str:
    """Three digits, or a dash."""
    return "—" if value is None else f"{value:.3g}"


def value_text(value: Any) -> str:
    """Any value as one line of the table, cut where it is long."""
    if value is None:
        return "—"
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (float, np.floating)):
        return f"{float(value):.6g}"
    if isinstance(value, np.ndarray):
        return f"array of shape {value.shape}" if value.size > 8 else value_text(value.tolist())
    if isinstance(value, (list, tuple)):
        text = ", ".join(value_text(v) for v in value[:24]) + (" …" if len(value) > 24 else "")
    else:
        text = str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def jsonable(value: Any) -> Any:
    """Something json can write: arrays shortened to their shape, numbers that JSON has no word for as text."""
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(v) for v in value]
    if isinstance(value, np.ndarray):
        return value_text(value)
    if isinstance(value, np.generic):
        value = value.item()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def duration(seconds: float | None) -> str:
    """A time as one says it."""
    if seconds is None:
        return "not recorded"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"
    # Rounded once, in seconds: rounding each part apart would print "1 min 60 s".
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def per_frame(seconds: float | None, frames: int) -> str:
    """The time that each frame took."""
    return "" if seconds is None or not frames else f"{1000 * seconds / frames:.3g} ms for each of {frames:,} frames"


def memory(megabytes: float | None) -> str:
    """An amount of memory as one says it."""
    if megabytes is None:
        return "not recorded"
    return f"{megabytes / 1024:.1f} GB" if megabytes >= 1024 else f"{megabytes:.0f} MB"
