"""Crops of one image are found however they were cut, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from fluosr.errors import UsageError
from fluosr.optics.sampling import Grid
from fluosr.restoration.fields import Field, refuse_leaks
from fluosr.restoration.same_pixels import shared_pixels
from fluosr.simulate.cell_structures import cell_phantom


def noisy(seed: int, shape: tuple[int, int] = (160, 150), mean: float = 40.0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(mean, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.s_[:, :], np.s_[30:90, 50:110]),
        (np.s_[10:70, 20:90], np.s_[40:130, 5:75]),
        (np.s_[:80, :80], np.s_[40:120, 40:120]),
        (np.s_[:, :60], np.s_[:, 41:]),
        (np.s_[90:, 3:], np.s_[:125, :150]),
    ],
)
def test_crops_that_overlap_are_found_with_every_pixel(one: tuple[slice, slice], other: tuple[slice, slice]) -> None:
    whole = noisy(0)
    where = np.zeros(whole.shape, int)
    where[one] += 1
    where[other] += 1
    ground = (whole == np.median(whole)) & (where == 2)
    found = shared_pixels([noisy(1), whole[one]], [noisy(2), noisy(3), whole[other]])
    assert found is not None and (found.one, found.other) == (1, 2)
    assert (where == 2).sum() - 2 * ground.sum() <= found.pixels <= (where == 2).sum()


@pytest.mark.parametrize("mean", [1.0, 1e4])
def test_few_and_many_photons_make_no_difference(mean: float) -> None:
    whole = noisy(0, (200, 200), mean)
    assert shared_pixels([whole], [whole[60:120, 60:120]]) is not None


def test_crops_that_only_touch_are_not() -> None:
    whole = noisy(0)
    assert shared_pixels([whole[:, :70]], [whole[:, 70:]]) is None
    assert shared_pixels([whole[:50, :50]], [whole[20:, 40:]]) is None  # 30 x 10 pixels: less than can be told


def spots(*places: tuple[int, int], side: int = 96) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    drawn = sum(200 * np.exp(-((y - v) ** 2 + (x - h) ** 2) / (2 * 6.0**2)) for v, h in places)
    return np.rint(drawn).astype(np.float32)


def test_what_merely_looks_alike_is_no_crop() -> None:
    grating = np.tile(np.rint(100 + 90 * np.sin(np.arange(200) / 5.0)).astype(np.float32), (150, 1))
    steps = (np.indices((100, 120)).sum(0) // 7).astype(np.float32)
    alike = {
        "the same spot on empty ground": (spots((30, 40), (70, 20)), spots((50, 60), (20, 80))),
        "a grating": (grating, grating[:, 11:90]),
        "a ramp of steps": (steps, steps[3:60, 5:]),
        "flat": (np.full((64, 64), 3.0, np.float32), np.full((80, 80), 3.0, np.float32)),
        "saturated": (noisy(0, mean=60.0).clip(max=50), noisy(1, mean=60.0).clip(max=50)),
        "few photons": (noisy(0, (300, 300), 0.5), noisy(1, (300, 300), 0.5)),
        "too narrow": (noisy(0, (64, 8)), noisy(0, (64, 8))),
    }
    for name, (one, other) in alike.items():
        assert shared_pixels([one], [other]) is None, name


@pytest.mark.parametrize("structure", ["mitochondria", "membranes", "nuclei", "multiphoton"])
def test_fields_without_noise_are_not_taken_for_each_other(structure: str) -> None:
    drawn = [cell_phantom(structure, (48, 48), 180.0, seed).render(Grid((48, 48), 2)) for seed in range(4)]
    eight_bits = [np.rint(255 * image / image.max()).astype(np.float32) for image in drawn]
    assert shared_pixels(drawn[:2], drawn[2:]) is None and shared_pixels(eight_bits[:2], eight_bits[2:]) is None
    assert shared_pixels(drawn[:1], [drawn[0][9:80, 5:]]) is not None


def test_a_crop_in_another_split_is_a_leak() -> None:
    whole = Field("whole", noisy(0))
    crop = Field("crop", whole.high[20:100, 31:120])
    refuse_leaks({"training": [whole, crop], "validation": [Field("other", noisy(1))]})
    with pytest.raises(UsageError, match=r"whole \(training\) and crop \(test\) have \d+ pixels in common"):
        refuse_leaks({"training": [Field("other", noisy(1)), whole], "validation": [], "test": [crop]})
