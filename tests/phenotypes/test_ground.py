"""The background is the mean of the empty ground, not a low quantile; and what is faint hangs on no single field."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from fluosr.errors import UsageError
from fluosr.io.crop_sets import read_crop_set, write_crop_set
from fluosr.phenotypes.features import FAINT, CellMeasure
from fluosr.phenotypes.ground import Ground, empty_ground, half_sample_mode
from fluosr.phenotypes.nuclei import find_nuclei
from fluosr.phenotypes.plate import CutPlate, Plate, PlateField, cut_plate
from fluosr.simulate.assays import AssayWell, PlateMicroscope
from fluosr.simulate.culture import CellCulture
from tests.plates import cell, field


def plate_of_images(images: dict[str, np.ndarray], pixel_size_nm: float | None = None) -> CutPlate:
    """One well an image, named by its treatment and number; all in the training split."""
    fields = [
        PlateField(name, name.split("-")[0], name, lambda image=image: image.astype(np.float32))  # type: ignore[misc]
        for name, image in images.items()
    ]
    plate = Plate(fields, ("DNA", "protein", "actin")[: len(next(iter(images.values())))], pixel_size_nm)
    diameter = None if pixel_size_nm else 10.0
    return cut_plate(
        plate, nuclei=0, protein=1, size_px=32, test_share=0, generator=np.random.default_rng(0), diameter_px=diameter
    )


@given(noise=st.floats(0.5, 20), seed=st.integers(0, 50))
def test_the_ground_of_noise_is_its_mean(noise: float, seed: int) -> None:
    image = field(1.0, seed).astype(float)
    image += np.random.default_rng(seed).normal(0, noise, image.shape)
    found = empty_ground(image, find_nuclei(image[0], diameter_px=10))
    assert found is not None and found == pytest.approx([100, 100], abs=0.25 * noise + 0.15)


def test_the_background_of_a_plate_is_the_mean_of_its_empty_places() -> None:
    # Noise of 10 grey values: the .5 % quantile of all pixels lies 26 below the ground.
    generator = np.random.default_rng(1)
    images = {f"{name}-{n}": field(r, n) + generator.normal(0, 10, (2, 80, 96)) for n, (name, r) in enumerate(
        [("a", 0.5), ("a", 0.5), ("b", 2.0), ("b", 2.0)]
    )}  # fmt: skip
    crops = plate_of_images(images).crops
    assert crops.levels.dark[1] < 80
    assert CellMeasure.of(crops).background == pytest.approx(100, abs=1.5)


def test_one_field_ten_times_as_bright_makes_no_other_cell_faint() -> None:
    images = {f"{name}-{n}": field(1.0, n).astype(float) for n, name in enumerate("aaabb")}
    usual = CellMeasure.of(plate_of_images(images).crops).faint
    images["b-4"][1] = 100 + 10 * (images["b-4"][1] - 100)
    assert CellMeasure.of(plate_of_images(images).crops).faint == pytest.approx(usual, rel=0.1)
    assert usual == pytest.approx(FAINT * 200, rel=0.25)  # of the fields' usual reach


def test_a_field_full_of_cells_has_no_ground_and_that_is_said() -> None:
    # Nuclei so close that no pixel lies a diameter away from all.
    image = np.full((2, 64, 80), 100.0)
    y, x = np.indices((64, 80))
    for centre in [(8 + 16 * i, 8 + 16 * j) for i in range(4) for j in range(5)]:
        image[:, np.hypot(y - centre[0], x - centre[1]) <= 5] = 500
    image += np.random.default_rng(0).normal(0, 1, image.shape)
    assert empty_ground(image, find_nuclei(image[0], diameter_px=10)) is None
    assert empty_ground(image, dataclasses.replace(find_nuclei(image[0], diameter_px=10), diameter_px=60.0)) is None
    cut = plate_of_images({"a-0": image, "b-0": image + 1})
    assert cut.crops.ground is not None and cut.crops.ground.fields == 0
    assert any("no field has empty ground" in warning for warning in cut.warnings)
    # One field with gaps tells it for all.
    mixed = plate_of_images({"a-0": image, "b-0": field(1.0, 3).astype(float)})
    assert mixed.crops.ground is not None and mixed.crops.ground.fields == 1
    assert not any("no field has empty ground" in warning for warning in mixed.warnings)


def test_ratios_of_dim_simulated_cells_come_nearer_to_their_truth() -> None:
    dim = PlateMicroscope(photons=100.0, haze=0.0)
    well = AssayWell("translocation", CellCulture((100, 100), 900.0, 3), strength=1.0, microscope=dim, seed=3)
    crops, truth = plate_of_images({"a-0": well.image(), "b-0": well.image()}, 900.0).crops, well.truth()
    biases = []
    for measured in (crops, dataclasses.replace(crops, ground=None)):  # without it, the dark end is taken
        found = []
        ratios = CellMeasure.of(measured).measure(measured.pixels)["nucleus_to_ring"]
        for place, ratio in zip(crops.places_px, ratios, strict=True):
            away = np.hypot(truth["y_px"] - place[0], truth["x_px"] - place[1])
            if away.min() < 3:
                found.append(math.log2(ratio / truth["light_ratio"][away.argmin()]))
        assert len(found) >= 6
        biases.append(float(np.median(found)))
    assert abs(biases[0]) < 0.4 * abs(biases[1]) and biases[1] < 0


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=30), st.integers(40, 60))
def test_the_mode_is_where_most_values_lie(others: list[int], at: int) -> None:
    values = np.concatenate([np.array(others, float), np.full(2 * len(others) + 2, float(at))])
    assert half_sample_mode(values) == at


def test_the_ground_goes_to_disk_and_back_and_old_sets_have_none(tmp_path) -> None:  # type: ignore[no-untyped-def]
    crops = plate_of_images({"a-0": field(1.0, 0), "b-0": field(2.0, 1)}).crops
    write_crop_set(tmp_path / "crops", crops)
    found = read_crop_set(tmp_path / "crops").ground
    assert found is not None and crops.ground is not None
    assert found.level == pytest.approx(crops.ground.level) and found.reach == pytest.approx(crops.ground.reach)
    write_crop_set(tmp_path / "old", dataclasses.replace(crops, ground=None))
    old = read_crop_set(tmp_path / "old")
    assert old.ground is None and CellMeasure.of(old).background == crops.levels.dark[1]


def test_a_ground_that_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="signals rise above it"):
        Ground(np.array([100.0]), np.array([0.0]), 1)
    shown = ndimage.gaussian_filter(cell(1.0), (0, 1, 1))
    assert (
        empty_ground(shown, dataclasses.replace(find_nuclei(shown[0], diameter_px=10), labels=np.ones((32, 32), int)))
        is None
    )
