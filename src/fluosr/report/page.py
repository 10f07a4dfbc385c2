"""The report: one HTML page that opens offline and says what came out, how far to trust it, and how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

from fluosr.acquisition import Acquisition
from fluosr.quality.judge import Quality
from fluosr.reconstruction import Reconstruction
from fluosr.report import frame, pieces, record, sections
from fluosr.report.molecules import molecules


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
        acquisition: what went in; no frame is read, but of a movie of single molecules two.
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
        pieces.section("pictures", "Before and after", sections.before_and_after(made, taken)),
        pieces.section("zoom", "Zoom on the brightest region", sections.zoom(made, taken)),
    ]
    if made.localisations is not None and len(made.localisations):
        parts.append(pieces.section("molecules", "Molecules", molecules(made.localisations, made, taken)))
    parts += [
        pieces.section("residuals", "Background and residuals", sections.residuals(made, taken, quality)),
        pieces.section("resolution", "Resolution", sections.resolution(quality) + sections.other_judges(quality)),
    ]
    if made.uncertainty is not None:
        uncertainty = sections.uncertainty(made.uncertainty, made.pixel_size_nm)
        parts.append(pieces.section("uncertainty", "Uncertainty", uncertainty))
    if made.maps:
        parts.append(pieces.section("maps", "Maps", sections.maps(made)))
    parts += [
        pieces.section("choices", "How automatic values were chosen", sections.choices(made)),
        pieces.section("convergence", "Convergence", sections.convergence(made)),
        pieces.section("parameters", "Parameters", record.parameters(made, taken)),
        pieces.section("cite", "How to cite", record.citation(made)),
        pieces.section("reproduce", "Reproduce", record.reproduce(run)),
    ]
    title = f"{taken.name}: {made.method} reconstruction"
    return frame.page(title, parts)
