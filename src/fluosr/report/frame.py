"""What every page of fluosr stands in: one look, one policy, nothing loaded from anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page that opens offline.

    Nothing is loaded from anywhere: styles are inline, pictures are PNG inside the page, and there is no script.

    Args:
        title: for the window's title; escaped here.
        parts: HTML, whose texts from outside are escaped already; empty ones are left out.
    """
    return _HEAD.replace("{{title}}", escape(title)) + "\n".join(part for part in parts if part) + _FOOT


# The policy line makes the promise hold in the browser too: no script runs, nothing is fetched, whatever a name holds.
_HEAD = """<!DOCTYPE html>
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
h3 { margin: 18px 0 4px; font-size: 16px; overflow-wrap: anywhere; }
h3 + ul { margin-top: 4px; }
.steps { max-width: 78ch; margin-top: 6px; padding-left: 24px; }
.steps li { margin: 2px 0; }
a { color: inherit; text-decoration-color: var(--soft); text-underline-offset: 2px; }
h3 a { font-size: 14px; font-weight: 400; color: var(--soft); }
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
td { font-variant-numeric: tabular-nums; overflow-wrap: break-word; }
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
_FOOT = """
<footer>Made by fluosr. This page holds everything it shows and loads nothing.</footer>
</body>
</html>
"""
