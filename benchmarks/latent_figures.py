"""Figures of the latent search: norms of codes, features of conditions, and pictures of cells beside their truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from latent_data import KEPT, PRIMARY
from latent_runs import DISTURBED, FACTORS, Bench, Size, coarse_of, grey_levels, spread
from tables import RESULTS

from fluosr.latent.result import CAUTION

SHOWN = ("bicubic", "Pix2Pix", "BRGM (pixel)", "PULSE", "w/o regularisation", "RLS", "HR")
CELLS = 6

Found = dict[str, dict[str, Any]]


def draw(name: str, found: Found, size: Size, assays: list[str]) -> None:
    """All that there is material for: results/NAME-*.png."""
    import matplotlib

    matplotlib.use("Agg")
    there = [assay for assay in assays if size.key(assay, "norms") in found]
    if there:
        _norms(RESULTS / f"{name}-norms.png", found, size, there)
    compared = [a for a in assays if all(size.key(a, f, m) in found for f in FACTORS for m in SHOWN)]
    if compared:
        _features(RESULTS / f"{name}-features.png", found, size, compared)
    for assay in compared:
        _pictures(RESULTS / f"{name}-{assay}.png", size, assay)
    plausible = [assay for assay in assays if size.key(assay, FACTORS[0], "uncertainty") in found]
    for assay in plausible:
        _plausible(RESULTS / f"{name}-{assay}-plausible.png", size, assay)
    for assay in assays:
        if all(size.key(assay, "disturbed", what) in found for what in DISTURBED):
            _disturbed(RESULTS / f"{name}-{assay}-altered.png", size, assay)


def _norms(path: Path, found: Found, size: Size, assays: list[str]) -> None:
    import matplotlib.pyplot as plt
    from scipy.stats import chi2

    figure, axes = plt.subplots(1, len(assays), figsize=(4.6 * len(assays), 3.4), squeeze=False)
    for axis, assay in zip(axes[0], assays, strict=True):
        cell = found[size.key(assay, "norms")]
        d = cell["degrees"]
        places = np.linspace(0, 2.5 * d, 120)
        axis.plot(places, chi2(d).pdf(places), "k--", lw=1, label=f"chi-squared, {d}")
        for name in ("W", "element-wise", "flow"):
            axis.hist(np.clip(cell["squared_norms"][name], 0, 2.5 * d), places, density=True, alpha=0.5, label=name)
        axis.set(title=assay, xlabel="squared norm of a code", yticks=[])
        axis.legend(frameon=False, fontsize=8)
    _save(figure, path)


def _features(path: Path, found: Found, size: Size, assays: list[str]) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(assays), len(FACTORS), figsize=(6 * len(FACTORS), 3.2 * len(assays)), squeeze=False)
    for row, assay in zip(axes, assays, strict=True):
        treatments = Bench(assay, size).searched.treatments
        names = ("untreated", "treated") if "treated" in treatments else ("negative", "positive")
        for axis, factor in zip(row, FACTORS, strict=True):
            for number, method in enumerate(SHOWN):
                values = np.array(found[size.key(assay, factor, method)]["features"][PRIMARY[assay]], float)
                for side, name in enumerate(names):
                    mine = values[(treatments == name) & np.isfinite(values) & (values > 0)]
                    box = axis.boxplot(
                        [np.log2(mine)], positions=[number + 0.36 * side - 0.18], widths=0.3, patch_artist=True,
                        showfliers=False,
                    )  # fmt: skip
                    box["boxes"][0].set_facecolor(("#9ecae1", "#fdae6b")[side])
            axis.set_xticks(range(len(SHOWN)), SHOWN, fontsize=7, rotation=15)
            axis.set(title=f"{assay}, {factor}x", ylabel=f"log2 {PRIMARY[assay]}")
            axis.grid(alpha=0.3, axis="y")
    _save(figure, path)


def _pictures(path: Path, size: Size, assay: str) -> None:
    bench = Bench(assay, size)
    cells = bench.searched
    chosen = np.linspace(0, len(cells) - 1, CELLS).astype(int)
    columns: list[tuple[str, np.ndarray]] = []
    for factor in FACTORS:
        columns.append((f"measured, {factor}x", coarse_of(bench, factor, cells.pixels[chosen])))
        for method in SHOWN[1:-1]:
            columns.append((method, np.load(KEPT / f"{size.file(assay, method, factor)}.npy")[chosen]))
    columns.append(("truth", cells.pixels[chosen]))
    _grid(path, columns, bench, f"{assay}: {CAUTION}")


def _plausible(path: Path, size: Size, assay: str) -> None:
    bench, factor = Bench(assay, size), FACTORS[0]
    drawn = np.load(KEPT / f"{size.file(assay, 'plausible', 'test', factor)}.npy")
    cells = spread(bench.crops.test, size.uncertain).pixels[: len(drawn)]
    columns = [(f"measured, {factor}x", coarse_of(bench, factor, cells))]
    columns += [(f"plausible {number + 1}", drawn[:, number]) for number in range(min(5, drawn.shape[1]))]
    _grid(path, [*columns, ("truth", cells)], bench, f"{assay}: {CAUTION}")


def _disturbed(path: Path, size: Size, assay: str) -> None:
    bench, factor = Bench(assay, size), FACTORS[0]
    cells = spread(bench.crops.test, size.disturbed).pixels[:CELLS]
    columns: list[tuple[str, np.ndarray]] = []
    for what in DISTURBED:
        stem = size.file(assay, "disturbed", what, factor)
        columns.append((what, np.load(KEPT / f"{stem}-coarse.npy")[:CELLS]))
        columns.append(("RLS", np.load(KEPT / f"{stem}.npy")[:CELLS]))
    _grid(path, [*columns, ("truth", cells)], bench, f"{assay}, {factor}x: {CAUTION}")


def _grid(path: Path, columns: Sequence[tuple[str, np.ndarray]], bench: Bench, title: str) -> None:
    """Columns of cells (n, C, r, r); the protein green, the other channels magenta and grey."""
    import matplotlib.pyplot as plt

    rows = len(columns[0][1])
    figure, axes = plt.subplots(rows, len(columns), figsize=(1.35 * len(columns), 1.4 * rows + 0.5), squeeze=False)
    levels, crops = grey_levels(bench.crops.learnt), bench.crops.learnt
    for column, (head, cells) in zip(axes.T, columns, strict=True):
        column[0].set_title(head, fontsize=7)
        for axis, cell in zip(column, cells, strict=True):
            dark, bright = levels.T[:, :, None, None]
            scaled = np.clip((cell - dark) / (bright - dark), 0, 1)
            picture = np.zeros((*scaled.shape[1:], 3))
            picture[..., 1] = scaled[crops.protein]
            picture[..., 0] = picture[..., 2] = 0.8 * scaled[crops.nuclei]
            axis.imshow(picture, interpolation="nearest")
            axis.set_axis_off()
    figure.suptitle(title, fontsize=9)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    import matplotlib.pyplot as plt

    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
