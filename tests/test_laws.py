"""The table of laws: what every method must obey. A new method enters with one row in ``ROWS``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import fluosr
from fluosr import checkpoint
from fluosr.acquisition import Acquisition
from fluosr.errors import ReconstructionInterrupted
from fluosr.methods.base import Run
from fluosr.methods.registry import get_method, method_names
from fluosr.pipeline import run_to_folder
from fluosr.reconstruction import Reconstruction
from tests.models import POISSON, give_models
from tests.movies import CROSS, cross_movie, frames_of, light_of, movie_of

States = dict[str, dict[str, torch.Tensor]]


@dataclass(frozen=True)
class Row:
    """One method with small parameters, and how closely it obeys.

    Args:
        name: of the row.
        method: of the method.
        parameters: small enough for a test; nothing is chosen automatically and no time order is looked at.
        automatic: what to add so that the method chooses for itself and makes all it can make.
        shift_tolerance: of the image's difference, smoothed over half a camera pixel, over its peak.
        centroid_tolerance: fine pixels.
        point_radius_px: how far around its peak a point's image reaches, camera pixels.
        bias_photons: per camera pixel and frame, by which the method's own data term makes the fit darker.
        still_bias_photons: by which frames that vary less than their photons must make the fit darker.
        blinking: the movies' light blinks, for methods that see nothing of steady light.
    """

    name: str
    method: str
    parameters: dict[str, Any]
    automatic: dict[str, Any] = field(default_factory=dict)
    shift_tolerance: float = 0.04
    centroid_tolerance: float = 0.05
    point_radius_px: int = 2
    bias_photons: float = 0.0
    still_bias_photons: float = 0.0
    blinking: bool = False


FLUOGAN = {"factor": 3, "iterations": 200, "sparsity": 0.7, "smoothness": 1.0, "drift": False, "halves": False}
ADVERSARIAL = {"iterations": 100, "discriminator": True, "adversarial_iterations": 12, "batch": 4}
PLAIN = {"factor": 3, "drift": False, "bleaching": False, "halves": False}
CHOOSING = {"drift": True, "bleaching": True, "halves": True}
UNTRAINED = {"iterations": 10, "batch": 1, "patch_px": 8, "filters": 2, "frame_samples": 1, "samples": 2}
ROWS = [
    Row("fluogan", "fluogan", FLUOGAN, {"drift": True, "halves": True, "sparsity": None, "smoothness": None}),
    Row(
        "fluogan with discriminator",
        "fluogan",
        FLUOGAN | ADVERSARIAL,
        {"halves": True, "iterations": 60},
    ),
    Row(
        "fluogan as in the paper",
        "fluogan",
        FLUOGAN | {"grain_nm": 0.0, "background_spacing_nm": 0.0, "data_term": "paper", "borders": "periodic"},
        bias_photons=0.5,  # the minimum of |phi - ybar|^2 + sum(phi), eq. 14's expectation
    ),
    Row("mean", "mean", PLAIN, CHOOSING, point_radius_px=5),
    Row("richardson-lucy", "richardson-lucy", PLAIN | {"iterations": 30}, CHOOSING | {"iterations": None}),
    Row("sparse", "sparse", PLAIN | {"iterations": 200, "sparsity": 0.7}, CHOOSING | {"sparsity": None}),
    Row(
        "sparse, Poisson",
        "sparse",
        PLAIN | {"iterations": 200, "sparsity": 0.7, "likelihood": "poisson"},
        CHOOSING | {"iterations": 60},
    ),
    # Frames are deconvolved on the camera's grid, where a sharpened point is hardly sampled: .03 camera pixels.
    Row("sacd", "sacd", PLAIN, CHOOSING, centroid_tolerance=0.12),
    # Steady light has no cross-cumulants, and its auto-cumulants at lag 0 are noise upon noise.
    Row("sofi", "sofi", PLAIN, CHOOSING | {"emitter_maps": True}, point_radius_px=4, blinking=True),
    Row(
        "sofi, auto",
        "sofi",
        PLAIN | {"kind": "auto", "order": 3, "lag": 0},
        CHOOSING,
        point_radius_px=4,
        blinking=True,
    ),
    # Steady light has no covariance beyond its noise. All light of the blinking movies blinks together, though, as no
    # independent emitters do, and at the published tolerance the rim of a sparse support has not come to rest: what it
    # is then hangs on what else the field holds. (The same law where both are right: tests/methods/test_colorme.py.)
    Row(
        "colorme",
        "colorme",
        PLAIN | {"penalty": "l1", "sparsity": 4.0},
        CHOOSING | {"sparsity": None, "iterations": 100},
        shift_tolerance=0.1,
        blinking=True,
    ),
    Row("colorme, TV", "colorme", PLAIN | {"penalty": "tv", "sparsity": 4.0, "iterations": 400}, blinking=True),
    Row(
        "sparcom",
        "sparcom",
        PLAIN | {"sparsity": 4.0},
        CHOOSING | {"sparsity": None},
        shift_tolerance=0.1,
        blinking=True,
    ),
    Row(
        "sparcom, median",
        "sparcom",
        PLAIN | {"sparsity": 4.0, "baseline": "median"},
        shift_tolerance=0.1,
        blinking=True,
    ),
    # Grains, because single fine pixels take hundreds of iterations to come to rest on light that all blinks together.
    # (With them, where emitters fluctuate by themselves: tests/methods/test_covariance.py.)
    Row(
        "covariance",
        "covariance",
        PLAIN | {"sparsity": 1.0, "iterations": 60, "grain_nm": 100.0, "fall_back": False},
        CHOOSING | {"sparsity": None, "iterations": 12},
        centroid_tolerance=0.1,  # the pull towards zero takes light from the weaker of the pixels that share a point
        still_bias_photons=0.5,  # (1 - g) / 2 where the variance is g times that of photons
        blinking=True,
    ),
    Row("srrf", "srrf", PLAIN, CHOOSING | {"temporal": "TRAC2"}, point_radius_px=4),
    Row("esrrf", "esrrf", PLAIN, CHOOSING | {"temporal": "TAC2"}, point_radius_px=4),
    # With the published power 4 no light explains the image, and its scale in photons depends on what the border cuts.
    # A bright point's peak is narrower than the fine pixels whose centres it is asked at.
    Row("musical", "musical", PLAIN | {"indicator_power": 2.0}, CHOOSING, centroid_tolerance=0.1),
    Row(
        "musical, threshold given",
        "musical",
        PLAIN | {"indicator_power": 2.0, "signal_log10": -1.0},
        CHOOSING,
        centroid_tolerance=0.1,
    ),
    # A network of so few steps has learnt little of the frames: what it misses of their mean is put back.
    Row("divnoising", "divnoising", PLAIN | UNTRAINED, CHOOSING | {"noise_model": "gaussian"}, point_radius_px=5),
    # Any name of a model will do here: see tests/models.py.
    Row("unfolded", "unfolded", PLAIN | {"model": "any"}, CHOOSING),
    # So few steps leave bright points on a dim background half way: what lies beside them still moves.
    Row(
        "unfolded, Poisson",
        "unfolded",
        PLAIN | {"model": POISSON},
        shift_tolerance=0.06,
        centroid_tolerance=0.15,
    ),
    Row(
        "unfolded, semi-blind",
        "unfolded",
        PLAIN | {"model": "any", "semi_blind": True},
        CHOOSING,
        blinking=True,
    ),
    # The stand-in for its network shows pixels as blocks, cut at the frame's mean.
    Row("deep-storm", "deep-storm", PLAIN | {"model": "any"}, CHOOSING, centroid_tolerance=0.2, point_radius_px=5),
    # The cross is no single molecule anywhere. A molecule is drawn into the whole fine pixel that it lies in.
    Row("spot-fitting", "spot-fitting", PLAIN | {"fit_probability": 0.0}, CHOOSING, centroid_tolerance=0.5),
]
FRAMES_PER_CHUNK = 20
every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


@pytest.fixture(autouse=True)
def short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Laws ask nothing of how well a prior is chosen, but run the choice many times."""
    monkeypatch.setattr("fluosr.methods.covariance.regularisation.TRIAL_ITERATIONS", 4)
    for module in ("regularisation", "maker"):
        monkeypatch.setattr(f"fluosr.methods.covariance.{module}.SPARSITIES", (2.0, 0.5))


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    give_models(monkeypatch)


def image_of(row: Row, movie: Acquisition, *, seed: int = 0, **changes: Any) -> np.ndarray:
    return fluosr.reconstruct(movie, row.method, seed=seed, **(row.parameters | changes)).image


def relative(image: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(image - other).max() / image.max())


def test_every_method_has_a_row() -> None:
    assert {row.method for row in ROWS} == set(method_names())


@every_row
@pytest.mark.parametrize("shift", [(1, 0), (-2, 1), (2, -3)])
def test_a_movie_shifted_by_whole_pixels_shifts_the_image(row: Row, shift: tuple[int, int]) -> None:
    frames = frames_of(light_of(CROSS), blinking=row.blinking)
    factor = row.parameters["factor"]
    still = image_of(row, movie_of(frames))
    moved = image_of(row, movie_of(np.roll(frames, shift, (1, 2))))
    expected = np.roll(still, [factor * n for n in shift], (0, 1))
    inside = (slice(3 * factor, -3 * factor),) * 2
    difference = gaussian_filter(expected - moved, factor / 2)[inside]
    assert np.abs(difference).max() < row.shift_tolerance * gaussian_filter(moved, factor / 2).max()


@every_row
@pytest.mark.parametrize("gain", [2, 3])
def test_more_grey_values_per_photon_change_nothing_in_photons(row: Row, gain: int) -> None:
    frames = frames_of(light_of(CROSS, background=3.0), blinking=row.blinking)
    once = image_of(row, movie_of(frames + 50, offset=50.0, read_noise=0.5))
    more = image_of(row, movie_of(gain * (frames + 50), gain=float(gain), offset=50.0 * gain, read_noise=0.5))
    assert relative(once, more) < 1e-5


@every_row
@pytest.mark.parametrize("factor", [3, 4])
def test_a_point_source_stays_where_it_was(row: Row, factor: int) -> None:
    for y, x in ((8.0, 9.0), (7.5, 9.5), (8.2, 8.7), (6.13, 10.71)):
        movie = movie_of(frames_of(light_of([(y, x, 20_000.0)], background=2.0), blinking=row.blinking))
        image = image_of(row, movie, factor=factor)
        found = centroid_around_peak(image, row.point_radius_px * factor)
        assert np.abs(found - np.array([y, x]) * factor).max() < row.centroid_tolerance, (y, x)


def centroid_around_peak(image: np.ndarray, radius: int) -> np.ndarray:
    """(y, x) in fine pixels from the upper left corner."""
    y, x = np.unravel_index(image.argmax(), image.shape)
    part = image[y - radius : y + radius + 1, x - radius : x + radius + 1].astype(float)
    part -= part.min()  # an even background has no place of its own
    offsets = np.arange(-radius, radius + 1) + 0.5
    return np.array([y + offsets @ part.sum(1) / part.sum(), x + offsets @ part.sum(0) / part.sum()])


@every_row
def test_frames_in_another_order_give_the_same_image(row: Row) -> None:
    if get_method(row.method).uses_time_order:
        pytest.skip(f"{row.method} reads the order of the frames")
    if row.parameters.get("discriminator"):
        pytest.skip("the discriminator is shown frames drawn by their number")
    frames = frames_of(light_of(CROSS, background=3.0), blinking=row.blinking)
    shuffled = np.random.default_rng(3).permutation(frames)
    assert relative(image_of(row, movie_of(frames)), image_of(row, movie_of(shuffled))) < 1e-3


@every_row
@pytest.mark.parametrize(
    "frames",
    [np.full((40, 16, 18), 100, np.uint16), np.zeros((40, 16, 18), np.uint16), np.full((40, 16, 18), 3.7, np.float32)],
    ids=["counts", "dark", "real numbers"],
)
def test_a_constant_movie_gives_a_flat_image_and_says_nothing_here(row: Row, frames: np.ndarray) -> None:
    found = fluosr.reconstruct(movie_of(frames), row.method, **row.parameters)
    factor = row.parameters["factor"]
    assert np.isfinite(found.image).all()
    assert np.ptp(found.image) * factor**2 <= 1e-3 * frames.max()
    darker = row.bias_photons + row.still_bias_photons
    np.testing.assert_allclose(found.expected, frames[0], rtol=0.02, atol=darker + 1e-6)
    assert any("Nothing here" in warning for warning in found.warnings)


@every_row
@pytest.mark.parametrize("photons", [0.05, 3.0, 200.0])
def test_pure_noise_says_nothing_here(row: Row, photons: float) -> None:
    movie = movie_of(frames_of(np.full((16, 18), photons)))
    found = fluosr.reconstruct(movie, row.method, **(row.parameters | row.automatic))
    assert any("Nothing here" in warning for warning in found.warnings)
    assert found.significance is not None and found.significance < 4.0


@every_row
@pytest.mark.parametrize("automatic", [False, True], ids=["given", "automatic"])
def test_structure_is_something(row: Row, automatic: bool) -> None:
    movie = cross_movie(blinking=True)
    found = fluosr.reconstruct(movie, row.method, **(row.parameters | (row.automatic if automatic else {})))
    assert not any("Nothing here" in warning for warning in found.warnings)


@every_row
@pytest.mark.parametrize(("factor", "field"), [(3, (16, 18)), (4, (13, 11)), (1, (12, 9))])
def test_the_result_is_finite_of_the_promised_shape_and_sign(row: Row, factor: int, field: tuple[int, int]) -> None:
    movie = movie_of(frames_of(light_of([(6.0, 5.0, 200.0)], field, background=1.0), blinking=row.blinking))
    found = fluosr.reconstruct(movie, row.method, **(row.parameters | row.automatic | {"factor": factor}))
    fine = (field[0] * factor, field[1] * factor)
    images = {"image": found.image, "background": found.background, "mean": found.mean, "expected": found.expected}
    images |= {f"half {i}": half for i, half in enumerate(found.halves or ())}
    for name, image in images.items():
        assert image.shape == (fine if name in ("image", "half 0", "half 1") else field), name
        assert image.dtype == np.float32, name
        assert np.isfinite(image).all(), name
        if get_method(row.method).non_negative:
            assert image.min() >= 0.0, name
    assert found.pixel_size_nm == pytest.approx(100.0 / factor)
    assert (found.factor, found.method, found.finished) == (factor, row.method, True)
    assert (found.standard_error > 0).all()
    assert found.citations and found.citations[0].startswith("@")


@every_row
def test_light_is_kept(row: Row) -> None:
    found = fluosr.reconstruct(cross_movie(blinking=row.blinking), row.method, **row.parameters)
    assert found.expected.sum() == pytest.approx(found.mean.sum() - row.bias_photons * found.mean.size, rel=0.02)


@every_row
def test_the_same_seed_gives_the_same_bits(row: Row) -> None:
    movie, parameters = cross_movie(blinking=row.blinking), row.parameters | row.automatic
    first = fluosr.reconstruct(movie, row.method, seed=5, **parameters)
    second = fluosr.reconstruct(movie, row.method, seed=5, **parameters)
    assert same_bits(first, second)


def same_bits(first: Reconstruction, second: Reconstruction) -> bool:
    halves = zip(first.halves or (), second.halves or (), strict=True)
    return (
        first.image.tobytes() == second.image.tobytes()
        and first.background.tobytes() == second.background.tobytes()
        and all(a.tobytes() == b.tobytes() for a, b in halves)
        and first.history == second.history
        and first.parameters == second.parameters
        and first.finished == second.finished
    )


Event = tuple[str, int]


def events_of(row: Row, movie: Acquisition) -> tuple[list[Event], Reconstruction]:
    """Every progress report of an uninterrupted run, and its result."""
    events: list[Event] = []
    run = Run(on_progress=lambda stage, done, total: events.append((stage, done)))
    whole = fluosr.reconstruct(movie, row.method, run=run, **(row.parameters | row.automatic))
    return events, whole


def points_to_stop(events: list[Event]) -> list[Event]:
    """First, middle and last event of every stage, and the middle one of what the halves repeat."""
    chosen: list[Event] = []
    for stage in dict.fromkeys(name for name, _ in events):
        own = [event for event in events if event[0] == stage]
        middle = own[len(own) // 2]
        chosen += [middle] if stage.startswith("half") else [own[0], middle, own[-1]]
    return list(dict.fromkeys(chosen))


def stopper(at: Event) -> tuple[Run, Callable[[], States]]:
    """A run that is asked to stop at an event, and what it saved last."""
    saved: States = {}

    def progress(stage: str, done: int, total: int) -> None:
        if (stage, done) == at:
            run.stop_requested = True

    def keep(states: States) -> None:
        saved.clear()
        saved.update({name: {key: value.clone() for key, value in named.items()} for name, named in states.items()})

    run = Run(on_progress=progress, on_checkpoint=keep)
    return run, lambda: saved


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Movies of tests come in several chunks, as those of users do."""
    y, x = cross_movie().field_shape
    monkeypatch.setattr("fluosr.corrections.movie.CHUNK_BYTES", FRAMES_PER_CHUNK * 4 * y * x)
    monkeypatch.setattr("fluosr.methods.covariance.fit.COARSE_STEPS", 3)  # done anew in each of many runs


@every_row
def test_one_frame_at_a_time_gives_the_same_image(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    movie = cross_movie(blinking=row.blinking)
    whole = image_of(row, movie)
    monkeypatch.setattr("fluosr.corrections.movie.CHUNK_BYTES", 1)
    assert relative(whole, image_of(row, movie)) < 1e-3  # sums over chunks are rounded in another order


@pytest.mark.usefixtures("small_chunks")
@every_row
def test_an_interrupted_and_resumed_run_equals_an_uninterrupted_one(row: Row) -> None:
    movie, parameters = cross_movie(blinking=row.blinking), row.parameters | row.automatic
    events, whole = events_of(row, movie)
    for at in points_to_stop(events):
        run, saved = stopper(at)
        try:
            early = fluosr.reconstruct(movie, row.method, run=run, **parameters)
            assert not early.finished, at
            assert any("stopped early" in warning for warning in early.warnings), at
            assert early.image.shape == whole.image.shape and np.isfinite(early.image).all(), at
            assert early.fixed_pattern < 1.5, at  # the frames that are missing are no pattern of the camera
        except ReconstructionInterrupted:
            pass
        resumed = fluosr.reconstruct(movie, row.method, run=Run(states=saved()), **parameters)
        assert same_bits(resumed, whole), at


@pytest.mark.usefixtures("small_chunks")
@every_row
def test_a_run_interrupted_again_and_again_equals_an_uninterrupted_one(row: Row, tmp_path: Path) -> None:
    movie = cross_movie(blinking=row.blinking)
    parameters = get_method(row.method).build(**(row.parameters | row.automatic))
    events, _ = events_of(row, movie)
    whole = run_to_folder(movie, tmp_path / "whole", method=row.method, parameters=parameters, make_report=False)
    broken = tmp_path / "broken"
    stops = points_to_stop(events)
    for number, at in enumerate(stops):
        run, _ = stopper(at)
        options: dict[str, Any] = {"method": row.method, "parameters": parameters, "make_report": False}
        try:
            stopped = run_to_folder(movie, broken, resume=number > 0, run=run, **options)
            assert not stopped.reconstruction.finished, at
            assert (broken / "reconstruction.ome.tif").is_file()
        except ReconstructionInterrupted:
            pass
        assert (broken / checkpoint.FILE_NAME).is_file(), at
    resumed = run_to_folder(movie, broken, resume=True, **options)
    assert same_bits(resumed.reconstruction, whole.reconstruction)
    assert not (broken / checkpoint.FILE_NAME).exists()
    for name in ("reconstruction.ome.tif", "background.tif", "mean.tif"):
        assert pixels(broken / name) == pixels(tmp_path / "whole" / name)


def pixels(path: Path) -> bytes:
    import tifffile

    return tifffile.imread(path).tobytes()


@every_row
def test_tiles_with_the_stated_halo_equal_the_whole(row: Row) -> None:
    method = get_method(row.method)
    if not method.local:
        pytest.skip(
            f"{method.name} is not local: its scale in photons, or its regularisation, comes from the whole field"
        )
    assert method.halo_nm is not None
    movie, factor = cross_movie(blinking=row.blinking), row.parameters["factor"]
    halo = int(np.ceil(method.halo_nm / movie.pixel_size_nm))
    height, width = movie.field_shape
    whole = image_of(row, movie)
    for half, (start, stop) in enumerate(((0, width // 2), (width // 2, width))):
        left, right = max(start - halo, 0), min(stop + halo, width)
        tile = image_of(row, movie.select(window=(0, left, height, right - left)))
        inside = tile[:, (start - left) * factor : (stop - left) * factor]
        assert relative(whole[:, start * factor : stop * factor], inside) < 1e-3, half
