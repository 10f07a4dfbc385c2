"""The pictures: crisp pixels, true scale, honest merging."""

import io

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.image import imread

from fluosr.report import pictures
from fluosr.report.drawing import FIGURE_WIDTH


def pixels(drawing):
    """(H, W, 4) values 0..1 of the PNG."""
    return imread(io.BytesIO(drawing.png))


@pytest.mark.parametrize(
    ("longest", "length"), [(1999, 1000), (2000, 2000), (4999.9, 2000), (5000, 5000), (0.7, 0.5), (1, 1), (1e5, 1e5)]
)
def test_scale_bar_is_a_round_length(longest, length):
    assert pictures.round_length_nm(longest) == pytest.approx(length)


def test_length_text():
    assert pictures.length_text(500) == "500 nm"
    assert pictures.length_text(2000) == "2 µm"


def test_shrink_mean_keeps_light_and_extreme_keeps_outliers():
    generator = np.random.default_rng(0)
    image = generator.standard_normal((12, 18))
    image[7, 11] = -50.0
    mean = pictures.shrink(image, 3, "mean")
    assert mean.shape == (4, 6)
    assert mean.mean() == pytest.approx(image.mean())
    assert pictures.shrink(image, 3, "extreme").min() == -50.0
    image[0:3, 0:3] = np.nan
    image[3, 3] = np.nan
    for how in ("mean", "extreme"):
        small = pictures.shrink(image, 3, how)
        assert np.isnan(small[0, 0]) and np.isfinite(small).sum() == small.size - 1
    assert pictures.shrink(np.ones((10, 11)), 4, "mean").shape == (3, 3)
    np.testing.assert_array_equal(pictures.shrink(np.ones((10, 11)), 4, "mean"), 1.0)


def test_pixels_are_squares_of_one_colour():
    image = np.random.default_rng(0).random((20, 30))
    shown = pixels(pictures.images([pictures.Panel(image, 10.0, "a", "b", colours="gray", limits=(0.0, 1.0))]))
    # The title is the only thing above the image, so its box is found from below the title's 30 CSS pixels.
    opaque = shown[60:, :, 3] == 1.0
    width = int(opaque[0].sum())
    side = width // 30
    assert width == side * 30 and side >= 4
    block = shown[60 : 60 + 20 * side, : 30 * side, 0].reshape(20, side, 30, side)
    assert float((block.max((1, 3)) - block.min((1, 3))).max()) == 0.0
    expected = colormaps["gray"](image)[..., 0]
    np.testing.assert_allclose(block[:, 0, :, 0], expected, atol=1 / 255)


def test_panels_of_different_pixels_have_one_physical_scale():
    fine = pictures.Panel(np.ones((40, 60)), 25.0, "fine", "", colours="gray", limits=(0, 2))
    coarse = pictures.Panel(np.ones((10, 15)), 100.0, "coarse", "", colours="gray", limits=(0, 2))
    shown = pixels(pictures.images([coarse, fine]))
    row = (shown[100, :, 3] == 1.0).astype(int)
    starts, ends = np.flatnonzero(np.diff(row) == 1), np.flatnonzero(np.diff(row) == -1)
    widths = [ends[0] + 1, row.size - 1 - starts[-1]] if row[-1] else [ends[0] + 1, ends[-1] - starts[-1]]
    assert widths[0] == widths[1]


@pytest.mark.parametrize("shape", [(200, 300), (40, 3000), (3000, 40)])
def test_large_images_are_merged_and_said_so(shape):
    image = np.random.default_rng(0).random((shape[0] * 4, shape[1] * 4))
    drawing = pictures.images([pictures.Panel(image, 1.0, "Big", "x")])
    assert "Larger than the page" in drawing.note
    assert drawing.width <= FIGURE_WIDTH


def test_contrast_of_odd_images():
    def limits(image):
        return pictures.contrast(pictures.Panel(np.asarray(image, float), 1.0, "", ""))

    assert limits(np.zeros((5, 5))) == (0.0, 1.0)
    assert limits(np.full((5, 5), np.nan)) == (0.0, 1.0)
    sparse = np.zeros((100, 100))
    sparse[3, 3] = 7.0
    assert limits(sparse) == (0.0, 7.0)
    with_infinity = np.arange(25.0).reshape(5, 5)
    with_infinity[0, 0] = np.inf
    low, high = limits(with_infinity)
    assert np.isfinite([low, high]).all() and low < high


@pytest.mark.parametrize("factor", [1, 3, 4])
@pytest.mark.parametrize("side", [5, 6])
def test_zoom_window_is_the_brightest(factor, side):
    generator = np.random.default_rng(2)
    coarse = generator.random((15, 22)) ** 8
    image = np.kron(coarse, np.ones((factor, factor)))
    best = max(
        (coarse[y : y + side, x : x + side].sum(), y, x) for y in range(15 - side + 1) for x in range(22 - side + 1)
    )
    assert pictures.brightest_window(image, factor, side) == (best[1], best[2], side, side)


def test_zoom_window_of_corners_and_nothing():
    image = np.zeros((20, 30))
    assert pictures.brightest_window(image, 1, 6) is None
    image[0, 0] = 1.0
    assert pictures.brightest_window(image, 1, 6)[:2] == (0, 0)
    image[0, 0], image[-1, -1] = 0.0, 1.0
    assert pictures.brightest_window(image, 1, 6)[:2] == (14, 24)
    assert pictures.brightest_window(np.ones((5, 5)), 1, 6) is None


def test_a_ring_lies_around_its_place():
    places = np.array([[500.0, 300.0], [1550.0, 2250.0]])
    panel = pictures.Panel(
        np.zeros((20, 30)), 100.0, "a", "b", colours="gray", limits=(0, 1), rings=places, ring_nm=300.0
    )
    shown = pixels(pictures.images([panel]))
    box = shown[..., 3] == 1  # only the panel and the colour bar have a ground
    top, left = np.argwhere(box & (shown[..., :3].max(-1) < 0.02))[0]
    inside = shown[top:, left:]
    wide = np.flatnonzero(box[top])[-1] + 1 - left
    drawn = np.argwhere(inside[: round(wide * 2 / 3), :wide, 2] > 0.3)
    scale = wide / 3000.0
    for place in places * scale:
        near = drawn[np.hypot(*(drawn + 0.5 - place).T) < 400 * scale]
        np.testing.assert_allclose((near.min(0) + near.max(0) + 1) / 2, place, atol=1.0)
        np.testing.assert_allclose(near.max(0) + 1 - near.min(0), 300 * scale, atol=5.0)
