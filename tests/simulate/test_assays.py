"""Simulated assays: light is kept, the phenotype is what it is said to be, and the same seed is the same plate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fluosr.errors import UsageError
from fluosr.simulate.assay_plate import plate_of
from fluosr.simulate.assays import ASSAYS, AssayWell, PlateMicroscope
from fluosr.simulate.culture import CellCulture
from tests.plates import well


@pytest.mark.parametrize("assay", list(ASSAYS))
def test_the_phenotype_moves_protein_and_neither_makes_nor_loses_any(assay: str) -> None:
    rest, full = well(assay, 0.0), well(assay, 1.0)
    light = [shown.clean_protein() for shown in (rest, full)]
    assert (rest.strengths == 0).all() and (full.strengths == 1).all()
    # Of a cell's stacks some stick out over its border.
    middle = [cell - 1 for cell in rest.truth()["cell"]]
    inside = [
        shown.maps.sums(part, shown.maps.owner, len(rest.cells))[middle]
        for shown, part in zip((rest, full), light, strict=True)
    ]
    assert inside[1] == pytest.approx(inside[0], rel=1e-6 if assay == "translocation" else 0.15)
    assert not np.allclose(light[0], light[1])


def test_the_ratio_of_light_follows_the_strength() -> None:
    ratios = [well("translocation", strength).truth() for strength in (0.0, 0.5, 1.0)]
    for truth in ratios:
        assert truth["concentration_ratio"] == pytest.approx(0.25 * 16 ** truth["strength"])
    light = np.array([truth["light_ratio"] for truth in ratios])
    assert (np.diff(light, axis=0) > 0).all()


def test_the_ribbon_breaks_into_more_and_smaller_spots() -> None:
    compact, broken = (well("golgi", strength).truth() for strength in (0.0, 1.0))
    assert np.median(compact["spots"]) <= 3 and np.median(broken["spots"]) >= 12
    assert np.median(compact["mean_spot_area_um2"]) > 4 * np.median(broken["mean_spot_area_um2"])


def test_labels_and_truth_speak_of_the_same_cells() -> None:
    shown = well("golgi", 1.0)
    nuclei, cells = shown.labels()
    truth = shown.truth()
    pixel_um2 = (shown.culture.pixel_size_nm / 1000) ** 2
    for number, y, x, area in zip(truth["cell"], truth["y_px"], truth["x_px"], truth["nucleus_area_um2"], strict=True):
        mine = nuclei == number
        rows, columns = np.nonzero(mine)
        if min(rows.min(), columns.min()) == 0 or rows.max() == 95 or columns.max() == 95:
            continue  # cut by the border
        assert (rows.mean(), columns.mean()) == pytest.approx((y, x), abs=1.0)
        assert mine.sum() * pixel_um2 == pytest.approx(area, rel=0.05)
        assert (cells[mine] == number).all()


def test_only_the_response_changes_with_the_strength() -> None:
    first, second = well("translocation", 0.0), well("translocation", 1.0)
    assert (first.labels() == second.labels()).all()
    assert first.expected()[0] == pytest.approx(second.expected()[0])
    assert first.expected()[2] == pytest.approx(second.expected()[2])


def test_cells_scatter_about_the_mean_and_some_do_not_respond() -> None:
    culture = CellCulture((400, 400), 400.0, 1, spacing_nm=12_000.0, nucleus_nm=3000.0)
    responding = AssayWell("translocation", culture, strength=0.7, seed=2).strengths
    assert len(responding) > 60
    assert responding.mean() == pytest.approx(0.7, abs=0.05) and 0.05 < responding.std() < 0.2
    some = AssayWell("translocation", culture, strength=0.7, non_responders=0.5, seed=2).strengths
    assert 0.3 < (some < 0.3).mean() < 0.7
    # Those that respond do so as before.
    assert some[some >= 0.3] == pytest.approx(responding[some >= 0.3])


def test_the_mean_of_the_noise_is_the_expected_image() -> None:
    shown = well("golgi", 0.0)
    camera = shown.microscope.camera
    difference = shown.image() - camera.to_adu(shown.expected())
    sigma = camera.gain_adu_per_e * np.sqrt(camera.noise_variance(shown.expected()))
    score = difference / np.sqrt(sigma**2 + 1 / 12)
    assert score.mean() == pytest.approx(0, abs=4 / np.sqrt(score.size)) and score.std() == pytest.approx(1, rel=0.02)


def test_nuclei_never_overlap_and_neighbours_touch() -> None:
    shown = well("translocation", 0.0)
    cells = shown.cells
    for number, cell in enumerate(cells):
        for other in cells[:number]:
            away = np.hypot(*(cell.nucleus.centre_nm - other.nucleus.centre_nm))
            assert away > 0.9 * (cell.nucleus.reach_nm + other.nucleus.reach_nm)
    owner = shown.maps.owner
    assert ((owner[:, 1:] != owner[:, :-1]) & (owner[:, 1:] >= 0) & (owner[:, :-1] >= 0)).any()


def test_where_no_cell_is_near_there_is_background_alone() -> None:
    alone = AssayWell("golgi", CellCulture((48, 48), 2000.0, 5, empty=0.95))
    assert (alone.maps.owner >= 0).mean() < 0.2
    seen = alone.expected()
    assert np.isfinite(seen).all() and (seen > 0).all()


def test_a_plate_repeats_itself_and_its_wells_differ() -> None:
    small = CellCulture((32, 32), 800.0)
    first, again = (plate_of("translocation", 3, 1, culture=small, seed=5) for _ in range(2))
    assert [(name, treatment) for name, treatment, _ in first] == [
        ("A01", "untreated"), ("A02", "untreated"), ("A03", "treated"),
    ]  # fmt: skip
    assert (first[2][2].image() == again[2][2].image()).all()
    assert (first[0][2].image() != first[1][2].image()).any()


@pytest.mark.parametrize(("strength", "scatter"), [(0.6, 0.1), (0.2, 0.3), (0.8, 0.0), (1.0, 0.2)])
def test_wells_scatter_about_the_strength(strength: float, scatter: float) -> None:
    plate = plate_of("golgi", 384, 300, strength=strength, well_scatter=scatter, seed=1)
    treated = np.array([well.strength for _, treatment, well in plate if treatment == "treated"])
    rest = np.array([well.strength for _, treatment, well in plate if treatment == "untreated"])
    assert treated.mean() == pytest.approx(strength, rel=0.05) and ((treated >= 0) & (treated <= 1)).all()
    if strength == 1 or scatter == 0:
        assert (treated == strength).all()
    else:
        assert treated.std() / strength == pytest.approx(scatter, rel=0.15)
    assert rest.std() / AssayWell.resting == pytest.approx(scatter, rel=0.2)
    # The scatter moves nothing else.
    same = plate_of("golgi", 384, 300, strength=strength, well_scatter=0.0, seed=1)
    assert [well.seed for _, _, well in same] == [well.seed for _, _, well in plate]


def test_a_strength_near_its_end_scatters_less() -> None:
    strengths = [well.strength for _, _, well in plate_of("golgi", 200, 200, strength=0.98, well_scatter=0.5)]
    assert np.std(strengths) == pytest.approx(0.5 * np.sqrt(0.98 * 0.02), rel=0.2)


def test_what_cannot_be_is_refused() -> None:
    culture = CellCulture((64, 64))
    with pytest.raises(UsageError, match="no assay 'mitosis': take one of translocation, golgi"):
        AssayWell("mitosis", culture)
    with pytest.raises(UsageError, match="strength lies between 0 and 1"):
        AssayWell("golgi", culture, strength=1.2)
    with pytest.raises(UsageError, match="no more of them treated"):
        plate_of("golgi", 3, 4)
    with pytest.raises(UsageError, match=r"well_scatter lies between 0 and 0\.5, got 0\.6"):
        plate_of("golgi", 3, 1, well_scatter=0.6)
    with pytest.raises(UsageError, match="photons of a plate microscope"):
        PlateMicroscope(photons=0)
    with pytest.raises(UsageError, match="needs 32 x 32 pixels"):
        AssayWell("golgi", replace(culture, shape=(8, 64)))
    with pytest.raises(UsageError, match="spacing_nm of cells"):
        CellCulture((64, 64), spacing_nm=10.0)


def test_what_is_spread_over_the_cells_is_there_and_nowhere_else() -> None:
    maps, count = well("golgi", 0.0).maps, len(well("golgi", 0.0).cells)
    values = np.random.default_rng(0).uniform(1, 2, count)
    spread = maps.spread(values, maps.owner)
    assert (spread[maps.owner < 0] == 0).all() and (maps.owner < 0).any()
    for number, value in enumerate(values):
        assert (spread[maps.owner == number] == value).all()
