"""What came out and how far to trust it: the sections of the page that judge a reconstruction."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from fluosr.acquisition import Acquisition
from fluosr.quality.judge import Quality
from fluosr.reconstruction import Reconstruction
from fluosr.report import curves, pictures, pieces

ZOOM_SIDE = 20  # camera pixels shown in the zoom
ACCUSES = (
    "Only noise without pattern should be seen. Details finer than the PSF leave no trace: this map can accuse an "
    "image, not acquit it."
)
LEFT_OUT = (
    "The image shows the molecules found and not all light. Where the map is red, others may be, too close to each "
    "other or too dim to be told; whether those found are right it does not say."
)


def header(reconstruction: Reconstruction, acquisition: Acquisition, quality: Quality) -> str:
    """The name of the movie, and the outcome in one sentence."""
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
    if residuals.light_left_out:
        return "it shows the molecules found, not all light"
    return f"what it leaves unexplained is {residuals.rms:.2f} times the noise, and not only noise"


def headline(reconstruction: Reconstruction, acquisition: Acquisition, quality: Quality, run: Mapping[str, Any]) -> str:
    """The four figures that matter, on cards."""
    resolution = quality.resolution
    fwhm = acquisition.psf.fwhm_nm
    if resolution is None:
        figures = [
            ("Resolution", "not measured", pieces.sentence(quality.resolution_reason or "no halves to compare"), "")
        ]
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
        figures = [("Resolution", "none", pieces.sentence(resolution.reason or ""), "bad")]
    residuals = quality.residuals
    value = "unknown" if residuals.rms is None else f"{residuals.rms:.2f} × noise"
    tone = "good" if residuals.at_noise_level else "" if residuals.light_left_out else "bad"
    figures.append(("Residuals", value, residuals.verdict, tone))
    time_s, memory = pieces.finite_number(run.get("time_s")), pieces.finite_number(run.get("peak_memory_mb"))
    legs = len(run.get("legs_s", ()))
    spent = pieces.per_frame(time_s, acquisition.n_frames) + (f", in {legs} legs" if legs > 1 else "")
    figures.append(("Time", pieces.duration(time_s), spent, ""))
    figures.append(("Memory", pieces.memory(memory), "largest in use at one time" if memory is not None else "", ""))
    cards = "\n".join(
        f'<div class="card {tone}"><p class="name">{escape(name)}</p><p class="figure">{escape(value)}</p>'
        f"<p>{escape(text)}</p></div>"
        for name, value, text, tone in figures
    )
    return f'<section id="headline" class="cards">\n{cards}\n</section>'


def warnings(reconstruction: Reconstruction, acquisition: Acquisition, quality: Quality) -> str:
    """What the reader must know before using the image; nothing where there is nothing."""
    found: list[str] = []
    if not reconstruction.finished:
        found.append("The run was stopped before its end: this is the image as it was then. Continue with --resume.")
    found += [str(w) for w in acquisition.warnings]
    found += [str(w) for w in reconstruction.warnings]
    bad = int((~np.isfinite(reconstruction.image)).sum())
    if bad:
        found.append(f"{bad} pixel(s) of the reconstruction hold no finite number; do not use this image as it is.")
    if not (quality.residuals.at_noise_level or quality.residuals.light_left_out):
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
    items = "\n".join(f"<li>{escape(pieces.sentence(w))}</li>" for w in dict.fromkeys(found))
    title = "<h2>Before you use this image</h2>"
    return f'<section id="warnings" class="warnings">\n{title}\n<ul>\n{items}\n</ul>\n</section>'


def before_and_after(reconstruction: Reconstruction, acquisition: Acquisition) -> str:
    """The mean frame beside the reconstruction."""
    panels = _pair(reconstruction, acquisition.pixel_size_nm, slice(None), slice(None))
    return pieces.figure(pictures.images(panels), "The mean frame and the reconstruction at the same physical scale.")


def _pair(reconstruction: Reconstruction, pixel_nm: float, rows: slice, columns: slice) -> list[pictures.Panel]:
    """Mean frame and reconstruction of a window given in camera pixels, contrast from the window itself."""
    factor = reconstruction.factor
    fine = tuple(slice(None) if s == slice(None) else slice(s.start * factor, s.stop * factor) for s in (rows, columns))
    return [
        pictures.Panel(
            reconstruction.mean[rows, columns], pixel_nm, "Mean frame", "photons per camera pixel and frame"
        ),
        pictures.Panel(
            reconstruction.image[fine],
            reconstruction.pixel_size_nm,
            "Reconstruction",
            "photons per fine pixel and frame",
            scale_bar=True,
        ),
    ]


def zoom(reconstruction: Reconstruction, acquisition: Acquisition) -> str:
    """The brightest region of both, each pixel as it is."""
    # Half of a small field, so that a zoom is a zoom; at most what the eye takes in at once.
    side = max(6, min(ZOOM_SIDE, min(reconstruction.mean.shape) // 2))
    window = pictures.brightest_window(reconstruction.image, reconstruction.factor, side)
    if window is None:
        return "<p>No zoom: the field is small enough to be seen whole above, or the image holds no light.</p>"
    y, x, height, width = window
    panels = _pair(reconstruction, acquisition.pixel_size_nm, slice(y, y + height), slice(x, x + width))
    text = f"Camera pixels {x} to {x + width - 1} across and {y} to {y + height - 1} down, each pixel as it is."
    return pieces.figure(pictures.images(panels), text)


def residuals(reconstruction: Reconstruction, acquisition: Acquisition, quality: Quality) -> str:
    """Background and residual map, with the figures of the residuals."""
    pixel = acquisition.pixel_size_nm
    residuals = quality.residuals
    panels = [
        pictures.Panel(
            reconstruction.background,
            pixel,
            "Background",
            "photons per camera pixel and frame",
            percentiles=(0, 100),
        ),
        pictures.Panel(
            residuals.z,
            pixel,
            "Residual map",
            "standard deviations of the noise",
            colours="RdBu_r",
            limits=(-pictures.Z_LIMIT, pictures.Z_LIMIT),
            reduce="extreme",
            scale_bar=False,
        ),
    ]
    text = "Mean frame minus what image and background explain. Red: the movie is brighter; blue: darker. " + (
        LEFT_OUT if residuals.light_left_out else ACCUSES
    )
    rows = [
        ("Root mean square", pieces.number(residuals.rms), "1 is the noise level"),
        ("Reduced chi-square", pieces.number(residuals.reduced_chi_square), "1 is the noise level"),
        (
            "Beyond 3 standard deviations",
            "—" if residuals.fraction_beyond_3 is None else f"{100 * residuals.fraction_beyond_3:.2g} %",
            "0.27 % in pure noise",
        ),
        ("Correlation of neighbours", pieces.number(residuals.neighbour_correlation), "0 in pure noise"),
        ("Largest", pieces.number(residuals.maximum), "standard deviations"),
        ("Pixels judged", f"{residuals.n_pixels:,}", f"{residuals.n_ignored:,} left out (dead, masked)"),
    ]
    return (
        f"<p><strong>{escape(residuals.verdict)}</strong></p>\n"
        + pieces.figure(pictures.images(panels), text)
        + pieces.table(("Residuals", "", "Compare with"), rows)
    )


def resolution(quality: Quality) -> str:
    """The Fourier ring correlation, and what it can and cannot say."""
    resolution = quality.resolution
    if resolution is None:
        return f"<p>{escape(pieces.sentence(quality.resolution_reason or 'no halves to compare'))}</p>"
    drawing = curves.ring_correlation(resolution)
    if resolution.resolution_nm is not None:
        result = f"{resolution.resolution_nm:.0f} nm at the threshold {resolution.criterion}."
    else:
        result = pieces.sentence(resolution.reason or "")
    text = (
        "Fourier ring correlation of two reconstructions from separate halves of the frames, "
        f"threshold {resolution.criterion}. It tells how far down details repeat themselves in independent data. "
        "An error that both halves share, such as a wrong PSF, repeats itself too, and so does the shape of the grains "
        "that an image may be made of: the figure is a bound, and no finer than these."
    )
    shown = "" if drawing is None else pieces.figure(drawing, text)
    return f"<p><strong>{escape(result)}</strong></p>\n{shown}"


def other_judges(quality: Quality) -> str:
    """What else was measured without truth, each with the reason where there is no figure."""
    rows = []
    found, reason = quality.local_resolution, quality.local_resolution_reason
    figures = {} if found is None else found.describe()
    if figures.get("median_nm") is not None:
        span = f"{figures['finest_tenth_nm']:.0f} to {figures['coarsest_tenth_nm']:.0f} nm in the middle 80 % of blocks"
        rows.append(("Local ring correlation", f"{figures['median_nm']:.0f} nm", span))
    else:
        rows.append(("Local ring correlation", "—", pieces.sentence(figures.get("reason") or reason or "")))
    single = quality.decorrelation
    nm = None if single is None else single.resolution_nm
    why = quality.decorrelation_reason if single is None else single.reason
    told = "finest detail of the image itself above its noise; it needs no halves"
    rows.append(("Decorrelation analysis", "—" if nm is None else f"{nm:.0f} nm", told if nm else why or ""))
    errors = quality.error_map
    if errors is not None and errors.rsp is not None:
        blur = "" if errors.sigma_nm is None else f", image blurred by a Gaussian of {errors.sigma_nm:.0f} nm (sd)"
        rows.append(("Error map, RSP", f"{errors.rsp:.3f}", f"correlation with the mean frame{blur}; 1 at best"))
        rows.append(("Error map, RSE", pieces.number(errors.rse), "root mean square error, photons per camera pixel"))
    elif errors is not None:
        rows.append(("Error map", "—", pieces.sentence(errors.reason or "")))
    return pieces.table(("Other judges", "", ""), rows)


def uncertainty(uncertainty: np.ndarray, pixel_size_nm: float) -> str:
    """The map of every fine pixel's error."""
    panel = pictures.Panel(
        uncertainty,
        pixel_size_nm,
        "Standard deviation",
        "photons per fine pixel and frame",
        colours="viridis",
        scale_bar=True,
    )
    return pieces.figure(pictures.images([panel]), "The method's own estimate of the error of every fine pixel.")


def maps(reconstruction: Reconstruction) -> str:
    """The method's further images, each in the unit that its name ends in."""
    figures = []
    for name, image in reconstruction.maps.items():
        panel = pictures.Panel(
            image, reconstruction.pixel_size_nm, name, pieces.unit(name) or name, colours="viridis", scale_bar=True
        )
        figures.append(
            pieces.figure(pictures.images([panel]), f"{name}, on the fine grid; as numbers in maps/{name}.tif.")
        )
    return "".join(figures)


def choices(reconstruction: Reconstruction) -> str:
    """What was chosen automatically, why, and how each trial scored."""
    if not reconstruction.choices:
        return "<p>Nothing was chosen automatically.</p>"
    rows = [
        (name, pieces.value_text(choice.get("value")), pieces.unit(name), str(choice.get("why", "—")))
        for name, choice in reconstruction.choices.items()
    ]
    table = pieces.table(("Value", "Chosen", "Unit", "Why"), rows)
    drawing = curves.choices(reconstruction.choices)
    if drawing is None:
        return table
    return table + pieces.figure(
        drawing, "What was tried, and how each trial scored; the orange mark is the value taken."
    )


def convergence(reconstruction: Reconstruction) -> str:
    """The curves over the iterations."""
    history = {name: list(np.ravel(np.asarray(v, float))) for name, v in reconstruction.history.items()}
    history = {name: values for name, values in history.items() if values}
    if not history:
        return "<p>The method keeps no record of its iterations.</p>"
    text = "A curve that still falls steeply at its end asks for more iterations."
    return pieces.figure(curves.history(history), text)
