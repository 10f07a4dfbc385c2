"""Features: against cells whose ratio, spots and area are known, and against the truth of simulated wells."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from fluosr.errors import AcquisitionError, UsageError
from fluosr.phenotypes.crops import cut_crops
from fluosr.phenotypes.features import FEATURES, CellMeasure
from fluosr.phenotypes.nuclei import find_nuclei
from tests.plates import cell, well

MEASURE = CellMeasure(nuclei=0, protein=1, background=100.0, faint=5.0, diameter_px=10.0, pixel_size_nm=1000.0)


@pytest.mark.parametrize("ratio", [0.2, 1.0, 3.0])
def test_the_ratio_is_that_of_the_cell_whatever_its_brightness(ratio: float) -> None:
    dim, bright = (MEASURE.measure(cell(ratio, brightness=light)[None])["nucleus_to_ring"][0] for light in (50, 2000))
    assert bright == pytest.approx(ratio, rel=0.05)
    assert dim == pytest.approx(ratio, rel=0.1)


def test_gain_and_offset_move_nothing_when_background_and_faintest_move_with_them() -> None:
    shown = cell(2.0)[None]
    other = replace(MEASURE, background=3 * 100.0 + 40, faint=15.0)
    first, second = MEASURE.measure(shown), other.measure(3 * shown + 40)
    for name in ("nucleus_to_ring", "spot_count", "nucleus_area_um2"):
        assert first[name] == pytest.approx(second[name], rel=1e-6)
    assert second["ring_mean"] == pytest.approx(3 * first["ring_mean"], rel=1e-6)


def test_a_neighbour_with_other_protein_is_left_out() -> None:
    alone = cell(2.0)
    y, x = np.indices((32, 32))
    beside = np.hypot(y - 16, x - 30) <= 5
    crowded = alone.copy()
    crowded[0][beside] = 500
    crowded[1][np.hypot(y - 16, x - 30) <= 6] = 5000
    first, second = (MEASURE.measure(shown[None])["nucleus_to_ring"][0] for shown in (alone, crowded))
    assert second == pytest.approx(first, rel=0.1)


def test_areas_are_in_um2_or_in_pixels() -> None:
    shown = cell(1.0)[None]
    pixels = replace(MEASURE, pixel_size_nm=None).measure(shown)["nucleus_area_px"][0]
    assert pixels == pytest.approx(math.pi * 5.2**2, rel=0.12)
    assert replace(MEASURE, pixel_size_nm=500.0).measure(shown)["nucleus_area_um2"][0] == pixels / 4


@pytest.mark.parametrize(("count", "radius"), [(1, 2), (5, 1), (8, 1)])
def test_spots_are_counted_and_sized(count: int, radius: int) -> None:
    shown = cell(1.0, brightness=20)
    y, x = np.indices((32, 32))
    for number in range(count):
        angle = 2 * math.pi * number / count
        shown[1] += 900 * (np.hypot(y - 16 - 8 * math.sin(angle), x - 16 - 8 * math.cos(angle)) <= radius + 0.1)
    found = MEASURE.measure(shown[None])
    assert found["spot_count"][0] == count
    assert math.pi * radius**2 / 2 < found["mean_spot_area_um2"][0] < 4 * math.pi * radius**2 + 4


def test_an_even_cell_has_no_spots_and_a_given_threshold_is_kept() -> None:
    found = MEASURE.measure(cell(1.0)[None])
    # The cell itself against what lies around it is one large spot at most.
    assert found["spot_count"][0] <= 1
    assert replace(MEASURE, spot_threshold=1000.0).measure(cell(1.0)[None])["spot_count"][0] == 0


def test_what_cannot_be_told_is_nan() -> None:
    empty = np.full((2, 32, 32), 100.0) + np.random.default_rng(0).normal(0, 1, (2, 32, 32))
    without_protein = cell(1.0, brightness=0.0)
    aside = np.roll(cell(1.0), 12, axis=-1)
    found = MEASURE.measure(np.stack([empty, without_protein, aside]))
    assert np.isnan(found["nucleus_area_um2"]).tolist() == [True, False, True]
    assert np.isnan(found["nucleus_to_ring"]).all()


def test_a_protein_that_has_left_the_ring_gives_a_finite_ratio() -> None:
    shown = cell(1.0)
    y, x = np.indices((32, 32))
    shown[1] = 100 + 300.0 * (np.hypot(y - 16, x - 16) <= 5)
    ratio = MEASURE.measure(shown[None])["nucleus_to_ring"][0]
    assert math.isfinite(ratio) and ratio > 20


def test_bad_crops_are_refused() -> None:
    shown = np.stack([cell(1.0), cell(1.0)])
    shown[1, 0, 3, 3] = np.inf
    with pytest.raises(AcquisitionError, match="1 of 2 crops hold NaN or infinity, the first is 1"):
        MEASURE.measure(shown)
    with pytest.raises(UsageError, match="with the channels 0 and 1"):
        MEASURE.measure(np.zeros((3, 1, 32, 32)))
    with pytest.raises(UsageError, match="two channels"):
        replace(MEASURE, protein=0)


def test_ratios_are_compared_by_their_logarithm() -> None:
    ratio, count = FEATURES[0], FEATURES[1]
    assert MEASURE.as_compared(ratio, np.array([0.5, 1, 2])).tolist() == [-1, 0, 1]
    assert np.isnan(MEASURE.as_compared(ratio, np.array([0.0, np.nan]))).all()
    assert MEASURE.as_compared(count, np.array([0.0, 3.0])).tolist() == [0, 3]


def test_cells_without_protein_are_compared_and_not_left_out() -> None:
    # Noise puts half of them below the background: these count as the floor.
    generator = np.random.default_rng(0)
    crops = np.stack([cell(1.0, brightness=0.0) for _ in range(8)])
    crops[:, 1] += generator.normal(0, 8, (8, 32, 32)) + generator.normal(0, 3, (8, 1, 1))
    table = MEASURE.measure(crops)
    ring = next(feature for feature in FEATURES if feature.name == "ring_mean")
    assert (table["ring_mean"] < 0).any() and (table["ring_mean"] > 0).any()
    compared = MEASURE.as_compared(ring, table["ring_mean"])
    assert np.isfinite(compared).all() and compared.min() == math.log2(MEASURE.floor)
    assert np.isnan(MEASURE.as_compared(ring, np.array([np.nan]))).all()


def test_a_ratio_whose_ring_is_below_the_background_is_a_bound_and_counted() -> None:
    y, x = np.indices((32, 32))
    gone = np.hypot(y - 16, x - 16) <= 5
    without_ring = cell(1.0)
    without_ring[1] = 98 + 300.0 * gone
    table = MEASURE.measure(np.stack([cell(1.0), without_ring, cell(1.0, brightness=0.0)]))
    assert table["ring_mean"][1] < 0
    assert table["nucleus_to_ring"][1] == pytest.approx(table["nucleus_mean"][1] / MEASURE.floor)
    assert MEASURE.floored(table) == 1  # of the last no ratio was taken


@pytest.mark.parametrize("assay", ["translocation", "golgi"])
def test_features_follow_the_truth_of_simulated_cells(assay: str) -> None:
    measured: dict[str, list[float]] = {"true": [], "found": [], "area": [], "true area": []}
    for strength in (0.0, 0.9):
        shown = well(assay, strength=strength, side=224, seed=8)
        image, truth = shown.image().astype(np.float32), shown.truth()
        nuclei = find_nuclei(image[0], pixel_size_nm=400)
        crops, which = cut_crops(image, nuclei, 64)
        measure = CellMeasure(0, 1, float(np.percentile(image[1], 0.5)), 20.0, 27.5, 400.0)
        table = measure.measure(crops)
        for row, number in enumerate(which):
            y, x = nuclei.centres_px[number]
            same = int(np.hypot(truth["y_px"] - y, truth["x_px"] - x).argmin())
            names = ("light_ratio", "nucleus_to_ring") if assay == "translocation" else ("spots", "spot_count")
            measured["true"].append(math.log(truth[names[0]][same]))
            measured["found"].append(math.log(max(table[names[1]][row], 0.5)))
            measured["area"].append(table["nucleus_area_um2"][row])
            measured["true area"].append(truth["nucleus_area_um2"][same])
    assert len(measured["true"]) >= 8
    # Spots that lie close to each other are seen as one, a ribbon of uneven brightness as several.
    assert np.corrcoef(measured["true"], measured["found"])[0, 1] > (0.95 if assay == "translocation" else 0.75)
    assert np.corrcoef(measured["area"], measured["true area"])[0, 1] > 0.95
