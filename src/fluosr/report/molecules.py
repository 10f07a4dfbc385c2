"""The section on single molecules: how many, how bright, how sure, and where they lie on frames."""

from __future__ import annotations

from html import escape

import numpy as np

from fluosr.acquisition import Acquisition
from fluosr.errors import FluosrError
from fluosr.localisations import Localisations
from fluosr.reconstruction import Reconstruction
from fluosr.report import curves, pictures, pieces

SIDE = 64  # camera pixels of a frame that are shown at most: rings of a larger field run into each other
SMALLEST_RING_PX = 3.0  # camera pixels


def molecules(table: Localisations, reconstruction: Reconstruction, acquisition: Acquisition) -> str:
    """Figures of the table, their spread, and a typical frame beside the fullest, with rings around what was found.

    Args:
        table: the molecules, in the frames and the field of ``acquisition``; one at least.
        reconstruction: the same molecules' image.
        acquisition: two of its frames are read.
    """
    # Of a stopped run nothing is known of the frames after the last that holds a molecule.
    n_frames = acquisition.n_frames if reconstruction.finished else int(table.frame[-1]) + 1
    per_frame = np.bincount(table.frame, minlength=n_frames)
    height, width = acquisition.field_shape
    area_um2 = height * width * (1e-3 * acquisition.pixel_size_nm) ** 2
    mean = len(table) / n_frames
    rows = [
        ("Found", f"{len(table):,}", "rows of localisations.csv: one that shines in several frames has several"),
        ("In a frame", f"{mean:.3g}", f"on average over {n_frames:,} frames; {per_frame.max():,} at most"),
        ("Density", f"{mean / area_um2:.3g}", "molecules per µm² and frame"),
        ("Photons", *_middle(table.photons, "of a molecule in a frame")),
        ("Background", *_middle(table.background, "photons per camera pixel and frame, around a molecule")),
        ("Uncertainty", *_middle(table.uncertainty_nm, "nm, standard deviation of either coordinate")),
    ]
    spread = pieces.figure(
        curves.molecules(per_frame, table.photons, table.uncertainty_nm),
        "Molecules in each frame, and how photons and uncertainties are spread; orange: the median.",
    )
    return (
        pieces.table(("Of the table", "", ""), rows) + spread + _frames(table, per_frame, reconstruction, acquisition)
    )


def _middle(values: np.ndarray, unit: str) -> tuple[str, str]:
    """A column's median, and what it is of."""
    known = values[np.isfinite(values)]
    if not known.size:
        return "—", "not known"
    low, middle, high = (f"{v:,.0f}" if v >= 100 else f"{v:.3g}" for v in np.percentile(known, (10, 50, 90)))
    return middle, f"median, {unit}; {low} to {high} in the middle 80 %"


def _frames(
    table: Localisations, per_frame: np.ndarray, reconstruction: Reconstruction, acquisition: Acquisition
) -> str:
    """The frame of the median number of molecules, among those with any, and the fullest."""
    filled = np.flatnonzero(per_frame)
    typical = int(filled[np.argsort(per_frame[filled], kind="stable")[len(filled) // 2]])
    chosen = {typical: "Typical frame", int(per_frame.argmax()): "Fullest frame"}
    recorded = acquisition.recorded[0]
    try:
        panels = [_panel(table.in_frame(n), n, f"{name} {recorded[n]:,}", acquisition) for n, name in chosen.items()]
    except FluosrError as error:
        return f"<p>No frame is shown: {escape(str(error))}</p>"
    text = "Frames as recorded, counted from 0, with a ring of the PSF's FWHM around each molecule found in them."
    if max(acquisition.field_shape) > SIDE:
        text += (
            f" The part with most molecules is shown, {SIDE} pixels a side at most; the counts are of the whole field."
        )
    if "drift_px" in reconstruction.choices:
        text += " Drift was taken off the places and not off these frames."
    return pieces.figure(pictures.images(panels), text)


def _panel(here: Localisations, number: int, name: str, acquisition: Acquisition) -> pictures.Panel:
    pixel_nm, field = acquisition.pixel_size_nm, acquisition.field_shape
    counted = here.counted(field, 1, pixel_nm)
    y, x, height, width = pictures.brightest_window(counted, 1, SIDE) or (0, 0, *field)
    places = np.stack([here.y_nm, here.x_nm], axis=1) - pixel_nm * np.array([y, x])
    return pictures.Panel(
        acquisition.photons([number])[0, y : y + height, x : x + width],
        pixel_nm,
        f"{name}: {len(here):,} found",
        "photons per camera pixel",
        colours="gray",
        percentiles=(0.5, 99.9),
        scale_bar=True,
        rings=places,
        ring_nm=max(acquisition.psf.fwhm_nm, SMALLEST_RING_PX * pixel_nm),
    )
