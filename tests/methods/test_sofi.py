"""SOFI against cumulants written out by partitions, and against emitters whose blinking is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import factorial, prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

import fluosr
from fluosr.errors import AcquisitionError, UsageError
from fluosr.methods.registry import get_method
from fluosr.methods.sofi.auto import AutoSums, auto_cumulants, windows_of
from fluosr.methods.sofi.blocks import LEAST_BLOCK_FRAMES, BlockwiseCumulants, CumulantSums, equal_loss_borders
from fluosr.methods.sofi.contrast import compress_dynamic_range
from fluosr.methods.sofi.cross import CrossSums, cross_cumulants, fitted_fwhm_px, flattened, seen_pixels, virtual_pixels
from fluosr.methods.sofi.linearise import MirrorBlur, richardson_lucy, rooted
from fluosr.methods.sofi.maker import SofiMaker, on_fine_grid, upsampling_for
from fluosr.optics.interpolation import fourier_upsample
from fluosr.optics.psf import FWHM_PER_SIGMA, gaussian_integrals
from fluosr.reconstruction import Reconstruction
from tests.movies import FWHM_NM, PIXEL_NM, cross_movie, movie_of

PEDESTAL = 1e4
SIGMA_PX = float(np.hypot(FWHM_NM / PIXEL_NM / FWHM_PER_SIGMA, np.sqrt(1 / 12)))  # with the pixel that integrates


def partitions(items: Sequence[int]) -> Iterator[list[list[int]]]:
    """All ways to part a set."""
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for parts in partitions(rest):
        yield [[first], *parts]
        for i, part in enumerate(parts):
            yield [*parts[:i], [first, *part], *parts[i + 1 :]]


def cumulant_by_partitions(variables: Sequence[np.ndarray]) -> np.ndarray:
    """(T, ...) samples of each variable -> their joint cumulant, from moments about the mean."""
    centred = [values - values.mean(0) for values in variables]
    total = np.zeros(centred[0].shape[1:])
    for parts in partitions(range(len(centred))):
        sign = (-1) ** (len(parts) - 1) * factorial(len(parts) - 1)
        total = total + sign * prod(np.prod([centred[i] for i in part], axis=0).mean(0) for part in parts)
    return total


def skewed_frames(n_frames: int = 60, field: tuple[int, int] = (5, 6), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2.0, 3.0, (n_frames, *field))


def telegraph(rng: np.random.Generator, shape: tuple[int, int], on_ratio: float, on_frames: float) -> np.ndarray:
    """(T, n) bool: each emitter on or off, for ``on_frames`` on average when on."""
    end_on = 1.0 / on_frames
    end_off = end_on * on_ratio / (1.0 - on_ratio)
    states = np.empty(shape, bool)
    state = rng.random(shape[1]) < on_ratio
    for t in range(shape[0]):
        states[t] = state
        draw = rng.random(shape[1])
        state = np.where(state, draw >= end_on, draw < end_off)
    return states


def blinking_frames(
    points: np.ndarray,
    field: tuple[int, int],
    n_frames: int,
    *,
    on_ratio: float = 0.1,
    photons: np.ndarray | float = 500.0,
    background: float = 3.0,
    on_frames: float = 3.0,
    seed: int = 0,
) -> np.ndarray:
    """(T, Y, X) uint16 counts of emitters at (n, 2) camera pixels that blink independently."""
    rng = np.random.default_rng(seed)
    sigma = FWHM_NM / PIXEL_NM / FWHM_PER_SIGMA
    rows, columns = (
        gaussian_integrals(np.arange(size)[:, None], 1.0, points[:, axis], sigma) for axis, size in enumerate(field)
    )
    on = telegraph(rng, (n_frames, len(points)), on_ratio, on_frames) * photons
    light = np.einsum("yn,xn,tn->tyx", rows, columns, on, optimize=True) + background
    return rng.poisson(light).astype(np.uint16)


def sofi(frames: np.ndarray, **parameters: Any) -> Reconstruction:
    still = {"drift": False, "bleaching": False, "bad_pixels": False, "halves": False}
    return fluosr.reconstruct(movie_of(frames), "sofi", **(still | parameters))


def place_and_width(image: np.ndarray, factor: int) -> tuple[np.ndarray, float]:
    """Centroid and standard deviation along y of what is bright, camera pixels."""
    part = np.where(image > 0.01 * image.max(), image, 0.0).astype(float)
    y, x = ((np.arange(n) + 0.5) / factor for n in part.shape)
    centre = np.array([y @ part.sum(1), x @ part.sum(0)]) / part.sum()
    return centre, float(np.sqrt((y - centre[0]) ** 2 @ part.sum(1) / part.sum()))


# Cumulants by their definition


@pytest.mark.parametrize("pedestal", [0.0, PEDESTAL])
@pytest.mark.parametrize("lag", [0, 1, 3])
@pytest.mark.parametrize("order", [2, 3, 4, 5, 6])
def test_auto_cumulants_are_those_of_the_partitions(order: int, lag: int, pedestal: float) -> None:
    frames = skewed_frames()
    windows = len(frames) - (order - 1) * lag
    expected = cumulant_by_partitions([frames[j * lag : j * lag + windows] for j in range(order)])
    found = auto_cumulants(frames + pedestal, order, lag=lag)
    assert sorted(found) == list(range(2, order + 1))
    np.testing.assert_allclose(found[order], expected, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("pedestal", [0.0, PEDESTAL])
@pytest.mark.parametrize("order", [2, 3, 4])
def test_cross_cumulants_are_those_of_the_partitions(order: int, pedestal: float) -> None:
    frames, (height, width) = skewed_frames(), (5, 6)
    sums = np.zeros((order * (height - 1) + 1, order * (width - 1) + 1))
    counts = np.zeros(sums.shape)
    for virtual in virtual_pixels(order):
        for pixels in virtual.members:
            for y in range(height):
                for x in range(width):
                    places = [(y + dy, x + dx) for dy, dx in pixels]
                    if all(0 <= a < height and 0 <= b < width for a, b in places):
                        where = (order * y + virtual.phase[0], order * x + virtual.phase[1])
                        sums[where] += cumulant_by_partitions([frames[:, a, b] for a, b in places])
                        counts[where] += 1
    found = cross_cumulants(frames + pedestal, order)
    np.testing.assert_allclose(found, sums / np.maximum(counts, 1), atol=1e-6 * np.abs(sums).max())
    np.testing.assert_array_equal(seen_pixels((height, width), order), counts > 0)


def test_frames_are_interpolated_before_they_are_multiplied() -> None:
    frames = skewed_frames()
    expected = cumulant_by_partitions([fourier_upsample(frames, 2)] * 3)
    found = auto_cumulants(frames, 3, upsampling=2)[3]
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_small_fluctuations_on_a_large_pedestal_are_not_lost() -> None:
    frames = np.random.default_rng(0).poisson(PEDESTAL, (4000, 8, 8)).astype(np.float32)
    found = auto_cumulants(frames, 4)
    expected = cumulant_by_partitions([frames.astype(float)] * 4)
    np.testing.assert_allclose(found[4], expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    assert found[2].mean() == pytest.approx(PEDESTAL, rel=0.01)  # a Poisson variable's cumulants are all its mean


# Streaming


MAKERS = {
    "auto": lambda: AutoSums((5, 6), 3),
    "auto, lag 2": lambda: AutoSums((5, 6), 3, 2),
    "auto, finer": lambda: AutoSums((5, 6), 4, 1, 2),
    "cross": lambda: CrossSums((5, 6), (2, 3)),
}
every_kind = pytest.mark.parametrize("kind", MAKERS)


def fed(sums: CumulantSums, numbers: np.ndarray, frames: np.ndarray, cuts: Sequence[int]) -> BlockwiseCumulants:
    whole = BlockwiseCumulants(np.array([0, 40]), sums)
    for start, stop in zip([0, *cuts], [*cuts, len(numbers)], strict=True):
        whole.add(numbers[start:stop], frames[start:stop])
    return whole


@every_kind
@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(1, 79), max_size=6, unique=True).map(sorted), missing=st.integers(0, 79))
def test_how_frames_come_in_chunks_changes_nothing(kind: str, cuts: list[int], missing: int) -> None:
    numbers = np.delete(np.arange(81), missing)
    frames = skewed_frames(80).astype(np.float32)
    once = fed(MAKERS[kind](), numbers, frames, []).cumulants()
    often = fed(MAKERS[kind](), numbers, frames, cuts).cumulants()
    assert once.keys() == often.keys()
    for name in once:
        np.testing.assert_allclose(often[name], once[name], rtol=1e-12, atol=1e-12 * np.abs(once[name]).max())


@every_kind
def test_a_state_brought_back_goes_on_with_the_same_bits(kind: str) -> None:
    frames = skewed_frames(80).astype(np.float32)
    for stop in (3, 40, 55):
        first = fed(MAKERS[kind](), np.arange(stop), frames[:stop], [])
        second = BlockwiseCumulants(np.array([0, 40]), MAKERS[kind]())
        second.restore({name: value.copy() for name, value in first.state().items()})
        for part in (first, second):
            part.add(np.arange(stop, 80), frames[stop:])
        for name, image in first.cumulants().items():
            assert image.tobytes() == second.cumulants()[name].tobytes()


@every_kind
def test_memory_does_not_grow_with_the_movie(kind: str) -> None:
    def kept(n_frames: int) -> int:
        frames = skewed_frames(n_frames).astype(np.float32)
        return sum(value.nbytes for value in fed(MAKERS[kind](), np.arange(n_frames), frames, []).state().values())

    assert kept(100) == kept(1000)


def test_lagged_products_are_taken_only_of_frames_that_lie_the_lag_apart() -> None:
    numbers = np.array([0, 1, 2, 4, 5, 6, 8, 10])
    windows = numbers[windows_of(numbers, 3, 2)]
    assert windows.tolist() == [[0, 2, 4], [2, 4, 6], [4, 6, 8], [6, 8, 10]]


def test_a_movie_in_blocks_gives_the_blocks_mean_by_their_frames() -> None:
    frames = skewed_frames(80)
    whole = fed(AutoSums((5, 6), 2), np.arange(80), frames, [30]).cumulants()["2"]
    np.testing.assert_allclose(whole, (frames[:40].var(0) + frames[40:].var(0)) / 2, rtol=1e-6)
    # Lagged products do not reach over a border.
    lagged = BlockwiseCumulants(np.array([0, 60]), AutoSums((5, 6), 2, 5))
    lagged.add(np.arange(80), frames)
    parts = [cumulant_by_partitions([part[:-5], part[5:]]) for part in (frames[:60], frames[60:])]
    expected = (55 * parts[0] + 15 * parts[1]) / 70
    np.testing.assert_allclose(lagged.cumulants()["2"], expected, atol=1e-6 * np.abs(expected).max())


def test_blocks_lose_equal_parts_of_the_first_light() -> None:
    trace = 1000.0 * np.exp(-np.arange(4000) / 4000)
    borders = equal_loss_borders(trace, 0.04)
    lost = -np.diff(trace[borders]) / trace[0]
    np.testing.assert_allclose(lost, 0.04, atol=0.003)
    assert np.diff(borders).min() >= LEAST_BLOCK_FRAMES
    assert equal_loss_borders(trace, 1.0).tolist() == [0]
    assert equal_loss_borders(np.full(4000, 7.0), 0.04).tolist() == [0]
    assert equal_loss_borders(np.zeros(4000), 0.04).tolist() == [0]
    assert equal_loss_borders(trace[::40], 0.04).tolist() == [0], "too short to be cut"


def test_bleaching_is_no_fluctuation() -> None:
    frames = np.random.default_rng(0).normal(1000 * np.exp(-np.arange(3000) / 2000)[:, None, None], 5.0, (3000, 5, 6))
    whole = BlockwiseCumulants(np.array([0]), AutoSums((5, 6), 2))
    blocks = BlockwiseCumulants(equal_loss_borders(frames.mean((1, 2)), 0.04), AutoSums((5, 6), 2))
    for one in (whole, blocks):
        one.add(np.arange(3000), frames)
    assert whole.cumulants()["2"].mean() > 20_000
    assert blocks.cumulants()["2"].mean() < 200  # 40 ** 2 / 12 of the slope within a block, and 25 of noise


# What the physics says


def test_shot_noise_is_in_the_cumulants_of_lag_0_alone() -> None:
    frames = np.random.default_rng(0).poisson(50.0, (4000, 12, 12)).astype(np.float32)
    chance = 50.0 / np.sqrt(frames.size)
    assert auto_cumulants(frames, 2)[2].mean() == pytest.approx(50.0, abs=8 * chance)
    assert auto_cumulants(frames, 2, lag=1)[2].mean() == pytest.approx(0.0, abs=4 * chance)
    virtual = cross_cumulants(frames, 2)
    assert virtual[seen_pixels((12, 12), 2)].mean() == pytest.approx(0.0, abs=8 * chance)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_every_sub_pixel_position_has_distinct_pixels_around_it(order: int) -> None:
    virtual = virtual_pixels(order)
    assert [v.phase for v in virtual] == [(p, q) for p in range(order) for q in range(order)]
    for v in virtual:
        for pixels in v.members:
            assert len(set(pixels)) == order
            centre = np.mean(pixels, axis=0)
            np.testing.assert_allclose(centre, np.array(v.phase) / order)
            assert ((np.array(pixels) - centre) ** 2).sum() == pytest.approx(v.spread_px2)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_the_psf_is_found_in_the_means_of_the_virtual_pixels(order: int) -> None:
    points = np.random.default_rng(1).uniform(3, 17, (60, 2))
    frames = blinking_frames(points, (20, 20), 2000)
    virtual = cross_cumulants(frames, order)
    found = fitted_fwhm_px(virtual, (20, 20), order)
    assert found is not None and found == pytest.approx(FWHM_PER_SIGMA * SIGMA_PX, rel=0.03)
    flat = flattened(virtual, (20, 20), order, found)
    means = [flat[p::order, q::order][1:18, 1:18].mean() for p in range(order) for q in range(order)]
    np.testing.assert_allclose(means, np.mean(means), rtol=0.05)


def test_noise_is_flattened_with_the_known_psf() -> None:
    for seed in range(3):
        frames = np.random.default_rng(seed).poisson(20.0, (50, 20, 20))
        found = sofi(frames, factor=2).choices["flattening_fwhm_nm"]
        told = "means tell no width" not in str(found["why"])
        assert told or found["value"] == round(100 * FWHM_PER_SIGMA * SIGMA_PX, 1)
        assert 0.74 < float(str(found["value"])) / 308 < 1.34


@pytest.mark.parametrize(("kind", "lag"), [("auto", 1), ("cross", 0)])
@pytest.mark.parametrize("order", [2, 4])
def test_a_point_is_narrower_by_the_root_of_the_order_and_stays(order: int, kind: str, lag: int) -> None:
    place = np.array([8.3, 9.1])
    frames = blinking_frames(place[None], (17, 18), 3000, on_ratio=0.4, photons=5000.0, on_frames=10.0)
    for factor in (4, 5):
        image = sofi(frames, kind=kind, lag=lag, order=order, linearise=False, factor=factor).image
        found, width = place_and_width(image, factor)
        np.testing.assert_allclose(found, place, atol=0.02)
        assert SIGMA_PX / width == pytest.approx(np.sqrt(order), rel=0.05)


@pytest.mark.parametrize("on_ratio", [0.1, 0.3])
def test_maps_of_the_emitters_recover_what_was_simulated(on_ratio: float) -> None:
    points = np.random.default_rng(1).uniform(0, 24, (230, 2))
    frames = blinking_frames(points, (24, 24), 4000, on_ratio=on_ratio, photons=300.0)
    maps = sofi(frames, emitter_maps=True, factor=3).maps
    inside = (slice(12, -12),) * 2
    median = {name: float(np.nanmedian(image[inside])) for name, image in maps.items()}
    assert median["emitter_density_per_um2"] == pytest.approx(230 / 2.4**2, rel=0.2)
    assert median["emitter_brightness_photons"] == pytest.approx(300.0, rel=0.2)
    assert median["on_time_ratio"] == pytest.approx(on_ratio, rel=0.2)


def test_maps_count_a_lone_emitter_once_and_are_silent_beside_it() -> None:
    frames = blinking_frames(np.array([[8.3, 8.1]]), (17, 18), 4000, photons=2000.0)
    maps = sofi(frames, emitter_maps=True, factor=3).maps
    assert {name: image.shape for name, image in maps.items()} == dict.fromkeys(maps, (51, 54))
    density = maps["emitter_density_per_um2"]
    assert np.isnan(density[:6]).all()
    assert np.nansum(density) * (PIXEL_NM / 3000) ** 2 == pytest.approx(1.0, rel=0.2)
    assert np.nanmedian(maps["emitter_brightness_photons"]) == pytest.approx(2000.0, rel=0.1)


@pytest.mark.parametrize("order", [2, 4])
def test_linearised_brightness_adds_up(order: int) -> None:
    points = np.array([[8.0, 7.0], [8.0, 19.0]])
    frames = blinking_frames(points, (16, 26), 4000, photons=np.array([1000.0, 2000.0]), on_frames=2.0)

    def light_ratio(image: np.ndarray) -> float:
        return float(image[:, 39:].sum() / image[:, :39].sum())

    assert light_ratio(sofi(frames, order=order, factor=3, linearise=False).image) > 0.8 * 2**order
    assert light_ratio(sofi(frames, order=order, factor=3).image) == pytest.approx(2.0, rel=0.15)


def test_a_lag_finds_slow_blinking_in_both_halves() -> None:
    points = np.random.default_rng(2).uniform(4, 12, (12, 2))
    frames = blinking_frames(points, (16, 16), 600, on_frames=20.0)
    found = sofi(frames, kind="auto", order=2, factor=3, halves=True)
    assert found.parameters["lag"] == 1
    assert found.halves is not None
    assert np.corrcoef(found.halves[0].ravel(), found.halves[1].ravel())[0, 1] > 0.8
    assert not any("Nothing here" in warning for warning in found.warnings)


# The pieces of the image


@given(
    sigma=st.floats(0.3, 4.0), shape=st.tuples(st.integers(3, 20), st.integers(3, 20)), seed=st.integers(0, 2**32 - 1)
)
@settings(max_examples=25, deadline=None)
def test_a_mirrored_blur_is_its_own_adjoint_and_keeps_light_and_sign(
    sigma: float, shape: tuple[int, int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    blur, (x, y) = MirrorBlur(shape, sigma), rng.random((2, *shape))
    assert (blur(x) * y).sum() == pytest.approx((x * blur(y)).sum(), rel=1e-10)
    assert blur(x).sum() == pytest.approx(x.sum(), rel=1e-10)
    point = np.zeros(shape)
    point[shape[0] // 2, 0] = 1.0
    assert blur(point).min() > -1e-14


def test_a_mirrored_blur_is_a_gaussian_filter() -> None:
    image = np.random.default_rng(0).random((30, 40))
    np.testing.assert_allclose(
        MirrorBlur(image.shape, 3.0)(image), gaussian_filter(image, np.hypot(3.0, 12**-0.5), truncate=6), rtol=1e-4
    )
    np.testing.assert_array_equal(MirrorBlur(image.shape, 0.0)._transfer, np.ones(image.shape))


def test_richardson_lucy_brings_back_points_and_keeps_the_light() -> None:
    truth = np.zeros((30, 32))
    truth[10, 11], truth[20, 22] = 5.0, 3.0
    blur = MirrorBlur(truth.shape, 1.2)
    *_, found = richardson_lucy(blur(truth), blur, 300)
    assert found.sum() == pytest.approx(8.0, rel=1e-6)
    assert found[9:12, 10:13].sum() == pytest.approx(5.0, rel=0.02)
    root = rooted(found, 2, MirrorBlur(truth.shape, 0.0))
    assert root.max() == pytest.approx(np.sqrt(found.max()))
    assert ((np.abs(root) < 1e-12) | (root >= 0.0199 * root.max())).all()


def test_dynamic_range_is_compressed_window_by_window() -> None:
    rng, side = np.random.default_rng(0), 5
    image, reference = rng.random((12, 14)), rng.random((12, 14))
    wide = [np.pad(a, 2 * (side // 2), mode="symmetric") for a in (image, reference)]
    expected = np.zeros(image.shape)
    for y in range(12):
        for x in range(14):
            values = []
            for dy in range(side):
                for dx in range(side):
                    part, bright = (a[y + dy : y + dy + side, x + dx : x + dx + side] for a in wide)
                    values.append(bright.max() * (image[y, x] - part.min()) / np.ptp(part))
            expected[y, x] = np.mean(values)
    inside = (slice(2, -2),) * 2  # nearer to the border, mirrored windows are told apart from windows of mirror images
    np.testing.assert_allclose(
        compress_dynamic_range(image, reference, side)[inside], expected[inside], rtol=1e-9, atol=1e-12
    )
    np.testing.assert_array_equal(compress_dynamic_range(np.full((9, 9), 3.0), np.ones((9, 9)), 5), 0.0)


def test_dim_emitters_are_lifted_to_the_mean_frames_contrast() -> None:
    points = np.array([[8.0, 8.0], [8.0, 24.0]])
    frames = blinking_frames(points, (16, 32), 1500, photons=np.array([400.0, 1600.0]))

    def dim_over_bright(image: np.ndarray) -> float:
        return float(image[:, :48].max() / image[:, 48:].max())

    plain = sofi(frames, order=4, linearise=False, factor=3).image
    lifted = sofi(frames, order=4, linearise=False, factor=3, ldrc_window_px=9).image
    assert dim_over_bright(plain) < 0.01
    assert dim_over_bright(lifted) > 0.1


@pytest.mark.parametrize(("samples", "factor"), [(1, 3), (2, 5), (3, 4), (4, 4)])
def test_samples_go_where_they_belong_on_the_fine_grid(samples: int, factor: int) -> None:
    def ramp(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        return 2.0 + 3.0 * y[:, None] - 0.5 * x

    for first in (0.5, 0.5 / samples):
        at = [first + np.arange(n) / samples for n in (12 * samples, 14 * samples)]
        fine = [(np.arange(n) + 0.5) / factor for n in (12 * factor, 14 * factor)]
        found = on_fine_grid(ramp(*at), samples, first, (12 * factor, 14 * factor), factor)
        inside = (slice(4 * factor, -4 * factor),) * 2
        np.testing.assert_allclose(found[inside], ramp(*fine)[inside], rtol=2e-3)


def test_frames_are_interpolated_no_finer_than_the_cumulant_needs() -> None:
    assert [upsampling_for(order, 1.3) for order in (2, 4, 6)] == [2, 2, 3]
    assert upsampling_for(2, 5.0) == 1


# Refusals


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"order": 5}, "order 4, got 5: choose --kind auto"),
        ({"lag": 2}, "within one frame, got a lag of 2: choose --lag 0"),
        ({"order": 7, "kind": "auto"}, "order"),
        ({"order": 1}, "order"),
        ({"block_loss": 0.0}, "block_loss"),
        ({"kind": "both"}, "kind"),
    ],
)
def test_parameters_that_cannot_be_are_refused(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        get_method("sofi").build(**parameters)


def test_a_window_larger_than_the_field_is_refused() -> None:
    with pytest.raises(
        UsageError, match="ldrc_window_px=25 is larger than the field of 16 x 18 pixels; choose at most"
    ):
        sofi(np.ones((50, 16, 18)), ldrc_window_px=25)


def test_too_few_frames_for_order_and_lag_are_refused() -> None:
    with pytest.raises(AcquisitionError, match="50 usable frames; sofi with these parameters needs at least 68"):
        fluosr.reconstruct(cross_movie(), "sofi", kind="auto", order=4, lag=20)


def test_the_presets_are_parameters() -> None:
    for preset in get_method("sofi").presets:
        get_method("sofi").build(preset)


def test_without_frames_that_follow_each_other_there_is_no_image() -> None:
    from fluosr.corrections.movie import correct
    from fluosr.methods.base import Run

    movie = correct(cross_movie(), drift=False)
    for values in ({}, {"kind": "auto"}, {"emitter_maps": True}):
        parameters = get_method("sofi").build(**values)
        maker = SofiMaker(movie, 3, parameters)  # type: ignore[arg-type]
        with pytest.raises(AcquisitionError, match="follow each other"):
            maker.image(Run(), "image")
