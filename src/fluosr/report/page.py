"""The report: one HTML page that opens offline and says what came out, how far to trust it, and how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from os import PathLike
from typing import Any

from fluosr.acquisition import Acquisition
from fluosr.quality.judge import Quality
from fluosr.reconstruction import Reconstruction
from fluosr.report import pieces, record, sections


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
        run: the content of run.json. What depends on the moment (``seed``, ``time_s``, ``legs_s``, ``peak_memory_mb``,
            ``command`` and the like) may be missing.

    Raises:
        OutputError: the page cannot be written.
    """
    from fluosr.io.write import write_text

    write_text(path, render_report(reconstruction, acquisition, quality=quality, run=run))


def render_report(
    reconstruction: Reconstruction, acquisition: Acquisition, *, quality: Quality, run: Mapping[str, Any]
) -> str:
    """The page of ``write_report`` as text."""
    made, taken = reconstruction, acquisition
    parts = [
        sections.header(made, taken, quality),
        sections.headline(made, taken, quality, run),
        sections.warnings(made, taken, quality),
        pieces.section("pictures", "Before and after", sections.pictures(made, taken)),
        pieces.section("zoom", "Zoom on the brightest region", sections.zoom(made, taken)),
        pieces.section("residuals", "Background and residuals", sections.residuals(made, taken, quality)),
        pieces.section("resolution", "Resolution", sections.resolution(quality)),
    ]
    if made.uncertainty is not None:
        uncertainty = sections.uncertainty(made.uncertainty, made.pixel_size_nm)
        parts.append(pieces.section("uncertainty", "Uncertainty", uncertainty))
    parts += [
        pieces.section("choices", "How automatic values were chosen", sections.choices(made)),
        pieces.section("convergence", "Convergence", sections.convergence(made)),
        pieces.section("parameters", "Parameters", record.parameters(made, taken)),
        pieces.section("cite", "How to cite", record.citation(made)),
        pieces.section("reproduce", "Reproduce", record.reproduce(run)),
    ]
    title = f"{taken.name}: {made.method} reconstruction"
    return _PAGE_HEAD.replace("{{title}}", escape(title)) + "\n".join(s for s in parts if s) + _PAGE_FOOT


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
