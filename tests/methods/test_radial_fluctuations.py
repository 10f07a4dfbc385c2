"""SRRF and eSRRF against their formulas, written out place by place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fluosr
from fluosr.errors import AcquisitionError, UsageError
from fluosr.methods.base import Run
from fluosr.methods.radial_fluctuations.convergence import Convergence
from fluosr.methods.radial_fluctuations.esrrf import EsrrfParameters
from fluosr.methods.radial_fluctuations.macro_pixel import corrected, pattern_of
from fluosr.methods.radial_fluctuations.maker import RadialMaker
from fluosr.methods.radial_fluctuations.radiality import Radiality
from fluosr.methods.radial_fluctuations.temporal import CentredProduct, Projection, Statistic, frames_in_a_row
from fluosr.optics.interpolation import catmull_rom_weights, fourier_upsample
from tests.movies import cross_movie, movie_of

MARGIN = 6


def frame(shape: tuple[int, int] = (8, 9), *, seed: int = 0) -> np.ndarray:
    """Photons of a movie that nothing is symmetric in."""
    return np.random.default_rng(seed).gamma(3.0, 20.0, shape).astype(np.float32)


def spline(samples: np.ndarray, y: float, x: float) -> float:
    """Catmull-Rom through samples at whole places."""
    top, left = int(np.floor(y)), int(np.floor(x))
    part = samples[top - 1 : top + 3, left - 1 : left + 3]
    return float(catmull_rom_weights(y - top) @ part @ catmull_rom_weights(x - left))


def convergence_at(mirrored: np.ndarray, y: float, x: float, radius: float) -> float:
    """The formula; (y, x) from the corner of the mirrored frame, camera pixels."""
    down = (mirrored[1:, 1:] + mirrored[1:, :-1] - mirrored[:-1, 1:] - mirrored[:-1, :-1]) / 2
    right = (mirrored[1:, 1:] + mirrored[:-1, 1:] - mirrored[1:, :-1] - mirrored[:-1, :-1]) / 2
    sigma = radius / 2.355
    inwards = everything = 0.0
    for row in range(mirrored.shape[0] * 2):
        for column in range(mirrored.shape[1] * 2):
            dy, dx = row / 2 - y, column / 2 - x
            d = np.hypot(dy, dx)
            if not 1e-9 < d <= 2 * sigma + 1:
                continue
            w = (d * np.exp(-(d**2) / (2 * sigma**2))) ** 4
            everything += w
            # The gradient over 2 x 2 pixels lies on their common corner: the first at (1, 1).
            gy, gx = spline(down, row / 2 - 1, column / 2 - 1), spline(right, row / 2 - 1, column / 2 - 1)
            if gy * dy + gx * dx < 0:
                inwards += w * (1 - abs(gx * dy - gy * dx) / (np.hypot(gy, gx) * d))
    return inwards / everything


def radiality_at(mirrored: np.ndarray, y: float, x: float, radius: float, samples: int) -> float:
    """The formula; (y, x) from the corner of the mirrored frame, camera pixels."""
    down, right = np.zeros_like(mirrored), np.zeros_like(mirrored)
    down[1:-1] = (mirrored[2:] - mirrored[:-2]) / 2
    right[:, 1:-1] = (mirrored[:, 2:] - mirrored[:, :-2]) / 2
    total = 0.0
    for i in range(samples):
        dy, dx = radius * np.sin(2 * np.pi * i / samples), radius * np.cos(2 * np.pi * i / samples)
        gy, gx = spline(down, y + dy - 0.5, x + dx - 0.5), spline(right, y + dy - 0.5, x + dx - 0.5)
        d = abs(gy * dx - gx * dy) / np.hypot(gy, gx)
        total += (1 if gx * dx + gy * dy <= 0 else -1) * (1 - d / radius) ** 2
    return total / samples


def everywhere(at: Callable[[float, float], float], shape: tuple[int, int], factor: int) -> np.ndarray:
    """An image of the field, (Y, X) pixels, of a value asked for by its place in the mirrored frame."""
    places = [(np.arange(n * factor) + 0.5) / factor + MARGIN for n in shape]
    return np.array([[at(y, x) for x in places[1]] for y in places[0]])


@pytest.mark.parametrize(("factor", "radius"), [(1, 1.5), (2, 1.5), (3, 1.0)])
def test_convergence_is_the_formula_to_the_border(factor: int, radius: float) -> None:
    photons = frame((4, 5))
    mirrored = np.pad(photons.astype(float), MARGIN, mode="symmetric")
    expected = everywhere(lambda y, x: convergence_at(mirrored, y, x, radius), photons.shape, factor)
    found = Convergence(factor, radius, 1.0, "catmull-rom")(photons)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    np.testing.assert_allclose(Convergence(factor, radius, 2.0, "catmull-rom")(photons), expected**2, atol=4e-5)


@pytest.mark.parametrize(("factor", "radius", "samples"), [(1, 0.5, 12), (2, 0.5, 12), (3, 1.3, 7), (5, 0.5, 12)])
def test_radiality_is_the_formula_to_the_border(factor: int, radius: float, samples: int) -> None:
    photons = frame()
    mirrored = np.pad(photons.astype(float), MARGIN, mode="symmetric")
    expected = everywhere(lambda y, x: radiality_at(mirrored, y, x, radius, samples), photons.shape, factor)
    np.testing.assert_allclose(Radiality(factor, radius, samples, False)(photons), expected, atol=2e-5)
    positive = Radiality(factor, radius, samples, True)(photons)
    np.testing.assert_allclose(positive, np.maximum(expected, 0), atol=2e-5)


def test_fourier_gradients_are_those_of_the_fourier_series() -> None:
    """A frame without waves that are too short for splines: both interpolations agree."""
    y, x = np.mgrid[:24, :26] + 0.5
    smooth = (50 + 30 * np.cos(np.pi * y / 24) * np.cos(2 * np.pi * x / 26)).astype(np.float32)
    inside = slice(12, -12)
    by_series = Convergence(3, 1.5, 1.0, "fourier")(smooth)[inside, inside]
    by_splines = Convergence(3, 1.5, 1.0, "catmull-rom")(smooth)[inside, inside]
    np.testing.assert_allclose(by_series, by_splines, atol=5e-3)


@pytest.mark.parametrize("interpolation", ["catmull-rom", "fourier"])
@pytest.mark.parametrize("turn", [lambda f: f[::-1], lambda f: f[:, ::-1], np.transpose], ids=["y", "x", "diagonal"])
def test_a_turned_frame_gives_the_turned_image(turn: Callable[[np.ndarray], np.ndarray], interpolation: Any) -> None:
    transforms = [Convergence(3, 1.5, 1.0, interpolation), Radiality(4, 0.5, 12, True)]
    for transform in transforms:
        turned = np.ascontiguousarray(turn(frame()))
        np.testing.assert_allclose(transform(turned), turn(transform(frame())), atol=1e-5)


@pytest.mark.parametrize("level", [0.0, 3.7, 12345.6])
def test_an_even_frame_converges_nowhere(level: float) -> None:
    even = np.full((7, 8), level, np.float32)
    for transform in (
        Convergence(3, 1.5, 1.0, "catmull-rom"),
        Convergence(3, 1.5, 1.0, "fourier"),
        Radiality(3, 0.5, 12, False),
    ):
        assert not transform(even).any()


def test_brighter_frames_converge_no_better() -> None:
    for transform in (Convergence(3, 1.5, 1.0, "catmull-rom"), Radiality(3, 0.5, 12, True)):
        np.testing.assert_allclose(transform(1000 * frame()), transform(frame()), atol=1e-5)


def stack(count: int = 40) -> np.ndarray:
    """(T, 2, 3): values with a memory of a few frames."""
    steps = np.random.default_rng(2).gamma(1.0, 1.0, (count + 3, 2, 3))
    return steps[:-3] + steps[1:-2] + 0.7 * steps[2:-1] + 0.3 * steps[3:]


def lagged(deviations: np.ndarray, *lags: int) -> np.ndarray:
    """<d_t d_t+l ...> over all t for which all factors exist."""
    count = len(deviations) - max(lags)
    product = np.ones((count, *deviations.shape[1:]))
    for lag in lags:
        product = product * deviations[lag : lag + count]
    return product.mean(0)


def expected_projection(statistic: Statistic, values: np.ndarray) -> np.ndarray:
    d = values - values.mean(0)
    if statistic == "pairwise product":
        pairs = [values[s] * values[t] for t in range(len(values)) for s in range(t)]
        return np.mean(pairs, axis=0)
    fourth = lagged(d, 0, 1, 2, 3) - lagged(d, 0, 1) ** 2 - lagged(d, 0, 2) ** 2 - lagged(d, 0, 1) * lagged(d, 0, 3)
    return {
        "mean": values.mean(0),
        "maximum": values.max(0),
        "variance": values.var(0),
        "cumulant 2": lagged(d, 0, 1),
        "cumulant 3": lagged(d, 0, 1, 2),
        "cumulant 4": fourth,
    }[statistic]


STATISTICS: tuple[Statistic, ...] = (
    "mean", "maximum", "pairwise product", "variance", "cumulant 2", "cumulant 3", "cumulant 4",
)  # fmt: skip


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_projections_over_time_are_their_formulas(statistic: Statistic, offset: float) -> None:
    values = stack() + offset
    projection = Projection(statistic)
    for number, image in enumerate(values):
        projection.add(number, image)
    np.testing.assert_allclose(projection.image(), expected_projection(statistic, values), rtol=1e-8)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_projection_goes_on_from_its_state(statistic: Statistic) -> None:
    whole, first, second = Projection(statistic), Projection(statistic), Projection(statistic)
    for number, image in enumerate(stack()):
        whole.add(number, image)
        if number < 17:
            first.add(number, image)
    second.restore({name: array.copy() for name, array in first.state().items()})
    for number, image in enumerate(stack()[17:], 17):
        second.add(number, image)
    assert second.image().tobytes() == whole.image().tobytes()


def test_frames_that_do_not_follow_each_other_make_no_product() -> None:
    values = stack(20)
    numbers = [*range(8), *range(30, 42)]
    projection = Projection("cumulant 2")
    for number, image in zip(numbers, values, strict=True):
        projection.add(number, image)
    d = values - values.mean(0)
    expected = np.mean([d[t] * d[t + 1] for t in range(19) if t != 7], axis=0)
    np.testing.assert_allclose(projection.image(), expected, rtol=1e-10)


def test_what_never_changes_has_no_variance_at_all() -> None:
    for statistic in ("variance", "cumulant 2", "cumulant 3", "cumulant 4"):
        projection = Projection(statistic)
        for number in range(12):
            projection.add(number, np.full((2, 2), 0.1, np.float32))
        assert not projection.image().any()


def test_too_few_frames_in_a_row_are_named() -> None:
    assert frames_in_a_row("cumulant 4") == 4
    with pytest.raises(AcquisitionError, match="no 4 frames follow each other"):
        CentredProduct((0, 1, 2, 3)).mean(np.zeros((2, 2)))


def test_memory_does_not_grow_with_the_movie() -> None:
    projection = Projection("cumulant 4")
    sizes = []
    for number, image in enumerate(stack(60)):
        projection.add(number, image)
        sizes.append(sum(array.nbytes for array in projection.state().values()))
    assert sizes[10] == sizes[-1]


def test_the_macro_pixel_pattern_is_divided_out() -> None:
    pattern = np.array([[0.9, 1.0, 0.9], [1.1, 1.2, 1.1], [0.9, 1.0, 0.9]])
    pattern /= pattern.mean()
    image = np.tile(pattern, (6, 7))
    np.testing.assert_allclose(pattern_of(image, 3), pattern)
    np.testing.assert_allclose(corrected(image, pattern_of(image, 3)), 1.0)
    assert (pattern_of(np.zeros((6, 6)), 3) == 1.0).all()
    dark = np.tile([[1.0, 0.0], [1.0, 1.0]], (4, 4))
    assert np.isfinite(corrected(dark, pattern_of(dark, 2))).all()


def test_a_pattern_that_is_the_sample_is_warned_of() -> None:
    maker = RadialMaker(lambda f: np.kron(f, [[1, 0.1], [0.1, 0.1]]), "mean", EsrrfParameters(), 2)
    maker.add(np.arange(2), np.ones((2, 4, 4), np.float32))
    maker.image(Run(), "image")
    assert "--no-macro-pixel-correction" in maker.warnings[0]


def test_a_negative_fourth_cumulant_is_turned() -> None:
    """Emitters that are on half of the time have one: the image must not be black."""
    maker = RadialMaker(lambda f: f, "cumulant 4", EsrrfParameters(intensity_weighting=False), 1)
    on = np.repeat(np.random.default_rng(0).integers(0, 2, 60), 6)
    maker.add(np.arange(len(on)), (on[:, None, None] * np.ones((4, 4))).astype(np.float32))
    assert (maker.image(Run(), "image") > 0).all()


def test_intensity_weighting_multiplies_by_the_magnified_frame() -> None:
    images = {}
    for weighting in (False, True):
        parameters = EsrrfParameters(
            intensity_weighting=weighting, macro_pixel_correction=False, interpolation="fourier"
        )
        maker = RadialMaker(Convergence(3, 1.5, 1.0, "fourier"), "mean", parameters, 3)
        maker.add(np.arange(1), frame()[None])
        images[weighting] = maker.image(Run(), "image")
    expected = np.maximum(images[False] * fourier_upsample(frame(), 3), 0)
    np.testing.assert_allclose(images[True], expected, rtol=1e-5)


QUICK = {"factor": 3, "drift": False, "bleaching": False, "halves": False}


@pytest.mark.parametrize(
    ("method", "temporal"), [("srrf", "TRM"), ("srrf", "TRPPM"), ("srrf", "TRA"), ("esrrf", "AVG")]
)
def test_modes_without_lag_do_not_look_at_the_order(method: str, temporal: str) -> None:
    frames = cross_movie(30).photons(slice(None))
    shuffled = np.random.default_rng(1).permutation(frames)
    images = [fluosr.reconstruct(movie_of(f), method, temporal=temporal, **QUICK).image for f in (frames, shuffled)]
    np.testing.assert_allclose(images[0], images[1], atol=1e-4 * images[0].max())


@pytest.mark.parametrize("temporal", ["TRM", "TRPPM", "TRAC3", "TRAC4"])
def test_every_mode_of_srrf_gives_an_image_and_halves(temporal: str) -> None:
    found = fluosr.reconstruct(cross_movie(100), "srrf", temporal=temporal, **(QUICK | {"halves": True}))
    assert found.image.max() > 0 and found.halves is not None


@pytest.mark.parametrize(
    ("method", "radius", "words"),
    [("srrf", 9.0, r"ring of radius 9 pixels does not fit"), ("esrrf", 20.0, r"radius of 20 pixels looks 18.0")],
)
def test_a_radius_larger_than_the_field_is_refused(method: str, radius: float, words: str) -> None:
    with pytest.raises(UsageError, match=words + ".*--radius"):
        fluosr.reconstruct(cross_movie(4), method, radius=radius, **QUICK)


def test_too_few_frames_for_the_lags_are_refused() -> None:
    with pytest.raises(AcquisitionError, match="3 usable frames; srrf with these parameters needs at least 4"):
        fluosr.reconstruct(cross_movie(3), "srrf", temporal="TRAC4", **QUICK)


@pytest.mark.parametrize("values", [{"temporal": "TRA"}, {"radius": 0.0}, {"interpolation": "linear"}])
def test_wrong_values_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(values))):
        fluosr.reconstruct(cross_movie(4), "esrrf", **values)
