"""Nuclei: every one of a simulated field, none of noise, and the same whatever gain and offset are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from fluosr.errors import AcquisitionError, UsageError
from fluosr.phenotypes.nuclei import Nuclei, find_nuclei, otsu, usual_diameter
from tests.plates import well


def discs(places: list[tuple[float, float, float]], shape: tuple[int, int] = (96, 128)) -> np.ndarray:
    """(Y, X) 100 in discs (y, x, radius) on 10, blurred a little, with noise."""
    y, x = np.indices(shape)
    image = np.zeros(shape)
    for cy, cx, radius in places:
        image = np.maximum(image, (np.hypot(y - cy, x - cx) <= radius) * 100.0)
    noise = np.random.default_rng(0).normal(0, 2, shape)
    return ndimage.gaussian_filter(image, 1.0) + 10 + noise


def matched(found: Nuclei, truth: np.ndarray) -> tuple[int, int, list[float]]:
    """(nuclei that cover a true one by more than half of both together, false ones, areas over the true ones)."""
    hits, false, areas = 0, 0, []
    for number in range(1, len(found) + 1):
        mine = found.labels == number
        counts = np.bincount(truth[mine])
        counts[0] = 0
        best = int(counts.argmax()) if counts.any() else -1
        union = (mine | (truth == best)).sum()
        if best > 0 and counts[best] > 0.5 * union:
            hits += 1
            areas.append(mine.sum() / (truth == best).sum())
        else:
            false += 1
    return hits, false, areas


def test_otsu_is_the_best_of_all_thresholds() -> None:
    generator = np.random.default_rng(3)
    values = np.concatenate([generator.normal(10, 2, 400), generator.normal(30, 4, 150)])
    spread = [
        values[values > t].var() * (values > t).mean() + values[values <= t].var() * (values <= t).mean()
        for t in np.linspace(values.min() + 0.1, values.max() - 0.1, 500)
    ]
    found = otsu(values)
    above, below = values[values > found], values[values <= found]
    assert above.var() * len(above) + below.var() * len(below) <= 1.001 * min(spread) * len(values)


def test_discs_are_found_where_they_are_with_their_area() -> None:
    places = [(20.0, 25.0, 8.0), (60.0, 40.0, 9.0), (50.0, 95.0, 7.0)]
    found = find_nuclei(discs(places), diameter_px=16)
    assert len(found) == 3 and not found.at_border.any()
    order = np.argsort(found.centres_px[:, 1])
    assert np.abs(found.centres_px[order] - np.array(places)[:, :2]).max() < 0.3
    assert found.areas_px[order] == pytest.approx([np.pi * r**2 for _, _, r in places], rel=0.08)
    assert [int((found.labels == n).sum()) for n in (1, 2, 3)] == found.areas_px.tolist()


def test_touching_discs_are_parted_and_one_long_nucleus_is_not() -> None:
    touching = find_nuclei(discs([(48.0, 50.0, 9.0), (48.0, 66.0, 9.0)]), diameter_px=18)
    assert len(touching) == 2
    long = discs([(48.0, 50.0 + step, 8.0) for step in range(13)])
    assert len(find_nuclei(long, diameter_px=18)) == 1


def test_a_dim_nucleus_beside_bright_ones_keeps_its_area() -> None:
    bright = discs([(30.0, 30.0, 8.0), (30.0, 90.0, 8.0)]) * 4
    dim = discs([(70.0, 60.0, 8.0)])
    found = find_nuclei(bright + dim, diameter_px=16)
    assert len(found) == 3
    assert found.areas_px.max() / found.areas_px.min() < 1.1


def test_gain_and_offset_change_nothing() -> None:
    image = discs([(20.0, 25.0, 8.0), (60.0, 40.0, 9.0)])
    first, second = (find_nuclei(i, diameter_px=16) for i in (image, 7 * image + 300))
    assert (first.labels == second.labels).mean() > 0.999 and len(first) == len(second) == 2


def test_those_at_the_border_are_told() -> None:
    found = find_nuclei(discs([(4.0, 40.0, 8.0), (60.0, 60.0, 8.0)]), diameter_px=16)
    assert sorted(found.at_border.tolist()) == [False, True]


@pytest.mark.parametrize("seed", [0, 1])
def test_noise_and_flat_images_hold_no_nucleus(seed: int) -> None:
    noise = np.random.default_rng(seed).poisson(20, (128, 128)).astype(float)
    assert len(find_nuclei(noise, diameter_px=16)) == 0
    assert len(find_nuclei(np.full((64, 64), 7.0), diameter_px=16)) == 0


def test_the_usual_diameter_is_measured() -> None:
    image = discs([(20.0, 25.0, 7.0), (60.0, 40.0, 7.5), (50.0, 95.0, 8.0), (20.0, 70.0, 7.5)])
    assert usual_diameter(image) == pytest.approx(15, rel=0.1)


def test_nearly_all_nuclei_of_simulated_wells_are_found_and_no_others() -> None:
    # Counted are those that lie whole in the field.
    shown = well("translocation", strength=0.5, side=192)
    truth = shown.labels()[0].astype(int)
    found = find_nuclei(shown.image()[0], pixel_size_nm=400)
    border = np.unique(np.concatenate([truth[0], truth[-1], truth[:, 0], truth[:, -1]]))
    whole = np.setdiff1d(np.unique(truth), border)
    hits, false, areas = matched(found, truth)
    assert false == 0 and hits >= len(whole) >= 5
    assert np.mean(areas) == pytest.approx(0.95, abs=0.05)


def test_bad_images_are_refused() -> None:
    image = discs([(20.0, 25.0, 8.0)])
    image[3, 4] = np.nan
    with pytest.raises(AcquisitionError, match="1 pixels of the channel of the nuclei are NaN"):
        find_nuclei(image)
    with pytest.raises(UsageError, match="one image"):
        find_nuclei(np.zeros((2, 8, 8)))
    with pytest.raises(UsageError, match="too small to be outlined"):
        find_nuclei(np.zeros((64, 64)), diameter_px=3)


def test_the_nuclei_of_a_real_well_are_found(shared_data: Path) -> None:
    # The upper left 400 x 400 pixels of well A01. By eye: 108 outlines, none without a nucleus, four that hold two.
    path = shared_data / "treatments" / "bbbc013_neg_control_16wells.tif"
    found = find_nuclei(tifffile.imread(path, key=1)[:400, :400], diameter_px=16)
    assert 104 <= len(found) <= 112
    assert np.median(found.areas_px) == pytest.approx(200, rel=0.1)
