"""What a search found, as files: images, their spread, a picture that says what they are, and a record with misfits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from fluosr.io.own_files import check_folder
from fluosr.io.write import images_to_fill, write_bytes, write_json
from fluosr.latent.result import PlausibleImages, SeveralImages
from fluosr.phenotypes.levels import Levels
from fluosr.report.drawing import INK, SOFTWARE, png_of
from fluosr.report.sample_sheet import in_colour

KIND = "latent search"
RECORD, IMAGES, SPREAD, PICTURE = "search.json", "plausible.ome.tif", "spread.ome.tif", "plausible.png"
MOST_ROWS = 8  # images that the picture shows


def check_search_folder(folder: Path) -> None:
    """Make the folder, and see that it holds nothing of another origin under our names.

    Raises:
        OutputError: it cannot, or it does.
    """
    check_folder(folder, KIND, RECORD, (IMAGES, SPREAD, PICTURE))


def save_search(
    folder: Path,
    coarse: np.ndarray,
    found: PlausibleImages,
    samples: SeveralImages,
    channels: Sequence[str],
    levels: Levels,
    pixel_size_nm: float | None,
    facts: Mapping[str, Any],
) -> list[Path]:
    """Write search.json, plausible.ome.tif, spread.ome.tif and plausible.png.

    Args:
        folder: checked by :func:`check_search_folder`.
        coarse: (N, C, r, r) what was measured.
        found: for each.
        samples: about these.
        channels: names.
        levels: of the generator, for the picture.
        pixel_size_nm: of the sharp images, where known.
        facts: how they were found.

    Raises:
        OutputError: a file cannot be written.
    """
    entries = [
        {
            "misfit": found.misfit[n],
            **{name: values[n] for name, values in (found.terms or {}).items()},
            "misfit_grey": dict(zip(channels, found.misfit_grey[n], strict=True)),
            "misfit_of_samples": samples.misfit[n],
            "mean_spread_grey": dict(zip(channels, samples.spread[n].mean((1, 2)), strict=True)),
        }
        for n in range(len(found.images))
    ]
    head = {"kind": KIND, "caution": found.caution, "method": found.method}
    write_json(folder / RECORD, head | dict(facts) | {"images": entries})
    for name, values in ((IMAGES, found.images), (SPREAD, samples.spread)):
        title = found.caution if name == IMAGES else "spread of plausible images"
        with images_to_fill(folder / name, "TCYX", values.shape, pixel_size_nm, title, SOFTWARE) as out:
            out[:] = values.reshape(out.shape)
    write_bytes(folder / PICTURE, picture_of(coarse, found, samples, levels))
    return [folder / name for name in (RECORD, IMAGES, SPREAD, PICTURE)]


def picture_of(coarse: np.ndarray, found: PlausibleImages, samples: SeveralImages, levels: Levels) -> bytes:
    """PNG: of each image what was measured, what is plausible, two samples, and their spread; misfits beside them.

    The spread of each channel is drawn from nothing to its largest value in the image.
    """
    rows = min(MOST_ROWS, len(coarse))
    names = ("measured", found.caution, "another sample", "another sample", "spread")
    figure = Figure(figsize=(2.1 * len(names), 2.25 * rows + 0.2), dpi=100)
    for n in range(rows):
        spread = samples.spread[n] / np.maximum(samples.spread[n].max((1, 2), keepdims=True), 1e-30)
        shown = [levels.to_range(image) for image in (coarse[n], found.images[n], *samples.images[n, :2])]
        for column, image in enumerate([*shown, 2 * spread - 1]):
            axes = figure.add_subplot(rows, len(names), n * len(names) + column + 1)
            axes.imshow(in_colour(image[None].astype(np.float32))[0], interpolation="nearest")
            axes.set_xticks([])
            axes.set_yticks([])
            if n == 0:
                axes.set_title(names[column], color=INK, fontsize=9)
            if 0 < column < len(names) - 1:
                misfit = found.misfit[n] if column == 1 else samples.misfit[n, column - 2]
                axes.set_xlabel(f"misfit {misfit:.3g}", color=INK, fontsize=8)
            if column == len(names) - 1:
                share = (samples.spread[n].max((1, 2)) / levels.spans).max()
                axes.set_xlabel(f"at most {share:.0%} of the range", color=INK, fontsize=8)
            if column == 0:
                axes.set_ylabel(f"image {n}", color=INK, fontsize=8)
    figure.tight_layout()
    return png_of(figure)
