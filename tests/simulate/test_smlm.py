"""Movies of single molecules: what is expected of them, where they are, how long they shine."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fluosr.camera import Camera
from fluosr.errors import MemoryLimitError, OutputError, UsageError
from fluosr.io.localisations import read_localisations
from fluosr.io.movie import open_movie
from fluosr.io.simulation import bytes_of_molecules, save_molecules
from fluosr.localisations import Localisations
from fluosr.optics.psf import AiryPSF, GaussianPSF
from fluosr.optics.spots import light_of_points
from fluosr.simulate.filaments import FilamentPhantom
from fluosr.simulate.smlm import SimulatedMolecules, expected_light
from fluosr.simulate.structures import BundledTubes, Filaments, RandomPoints, Structure
from tests.commands import contents

CLEAN = Camera(gain_adu_per_e=1.0, offset_adu=0.0, read_noise_e=0.0)


@dataclass(frozen=True)
class OnePlace:
    """A structure where every molecule is at one place."""

    y_nm: float
    x_nm: float
    field_shape: tuple[int, int] = (16, 20)
    pixel_size_nm: float = 100.0

    def places(self, count: int, generator: np.random.Generator) -> np.ndarray:
        return np.tile([self.y_nm, self.x_nm], (count, 1))

    def describe(self) -> dict[str, Any]:
        return {"kind": "one place"}


def molecules(structure: Structure | None = None, **changes: Any) -> SimulatedMolecules:
    return SimulatedMolecules(
        structure or RandomPoints((16, 20)), **({"n_frames": 50, "active": 4.0, "camera": CLEAN} | changes)
    )


def test_the_mean_of_many_frames_is_the_expected_image() -> None:
    """Little's law: rate x on-time molecules are on at a moment, each with its photons per frame."""
    movie = molecules(OnePlace(730.0, 980.0), n_frames=6000, on_time_frames=2.0, photons=500.0, photon_spread=0.5)
    spot = light_of_points((16, 20), np.array([7.3]), np.array([9.8]), np.array([1.0]), movie.psf.sigma_nm / 100)
    wanted = movie.rate * 2.0 * 500.0 * spot + movie.background_image
    mean = np.mean(list(movie.frames()), axis=0)
    light = (mean - movie.background_image).sum()
    # One molecule gives exponential x lognormal photons: variance (2 (1 + .25) ) (mean)^2, 8000 of them.
    error = math.sqrt(2 * 1.25 / (movie.rate * 6000))
    assert light == pytest.approx(movie.rate * 1000.0 * spot.sum(), rel=4 * error)
    scaled = mean - movie.background_image - spot * light / spot.sum()
    assert np.abs(scaled).max() < 5 * math.sqrt(wanted.max() / 6000)
    centres = (np.arange(16) + 0.5) @ (mean - 10.0).sum(1) / light, (np.arange(20) + 0.5) @ (mean - 10.0).sum(0) / light
    assert centres == pytest.approx((7.3, 9.8), abs=0.02)


def test_a_molecule_at_a_known_place_has_its_centroid_there_without_noise() -> None:
    movie = molecules(OnePlace(810.0, 1033.0), n_frames=20, background=0.0)
    light = sum(movie.expected_frames())
    total = light.sum()
    assert total == pytest.approx(movie.truth().photons.sum(), rel=1e-9)
    assert (np.arange(16) + 0.5) @ light.sum(1) / total == pytest.approx(8.10, abs=1e-3)
    assert (np.arange(20) + 0.5) @ light.sum(0) / total == pytest.approx(10.33, abs=1e-3)


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.floats(0.2, 8.0))
def test_frames_hold_the_photons_of_their_molecules(seed: int, on_time: float) -> None:
    inside = FilamentPhantom((40, 40), count=3, length_nm=500.0, seed=4)
    movie = molecules(Filaments(inside), n_frames=5, on_time_frames=on_time, background=0.0, seed=seed)
    for expected, emission in zip(movie.expected_frames(), movie.emissions(), strict=True):
        table = emission.table
        margin = np.minimum.reduce([table.x_nm, table.y_nm, 4000 - table.x_nm, 4000 - table.y_nm])
        sure, all_of_them = table.photons[margin > 800].sum(), table.photons.sum()
        assert sure - 1e-6 <= expected.sum() <= all_of_them * (1 + 1e-9)


def test_molecules_are_on_for_an_exponential_time_and_begin_at_any_moment() -> None:
    movie = molecules(n_frames=2000, active=5.0, on_time_frames=2.5, photons=1.0, photon_spread=0.0)
    rows = [(e.table.frame, e.molecule, e.table.photons) for e in movie.emissions()]
    frame, molecule, on = (np.concatenate(column) for column in zip(*rows, strict=True))
    names, first = np.unique(molecule, return_index=True)
    times = np.bincount(molecule, on)[names]
    whole = (frame[first] > 0) & (frame[first] < 1900)
    assert stats.kstest(times[whole], "expon", args=(0, 2.5)).pvalue > 1e-3
    assert on.max() <= 1 + 1e-12
    # In the middle of a life the whole frame is lit.
    last = np.array([frame[molecule == name].max() for name in names[:200]])
    middle = [
        on[(molecule == name) & (frame > frame[first[k]]) & (frame < last[k])] for k, name in enumerate(names[:200])
    ]
    np.testing.assert_allclose(np.concatenate(middle), 1.0)
    # As many shine in a frame as was asked for, in the first as in any other.
    counts = np.bincount(frame, minlength=2000)
    assert counts.mean() == pytest.approx(5.0, abs=4 * math.sqrt(5.0 * (1 + 2 * 2.5) / 2000))
    beginnings = [len(next(iter(replace(movie, seed=seed).emissions())).table) for seed in range(400)]
    assert np.mean(beginnings) == pytest.approx(5.0, abs=4 * math.sqrt(5.0 / 400))


def test_molecules_keep_their_place_and_their_brightness_spreads_as_told() -> None:
    movie = molecules(n_frames=3000, on_time_frames=6.0, photons=800.0, photon_spread=0.4, seed=2)
    rows = [(e.molecule, e.table.x_nm, e.table.photons) for e in movie.emissions()]
    molecule, x, photons = (np.concatenate(column) for column in zip(*rows, strict=True))
    brightest = np.zeros(molecule.max() + 1)
    np.maximum.at(brightest, molecule, photons)
    life = np.bincount(molecule)
    whole = brightest[life >= 3]  # of those some frame is lit throughout
    assert whole.mean() == pytest.approx(800.0, rel=4 * 0.4 / math.sqrt(len(whole)))
    assert whole.std() / whole.mean() == pytest.approx(0.4, rel=0.15)
    for name in range(0, 200, 7):
        assert len(np.unique(x[molecule == name])) == 1


def test_the_camera_adds_what_cameras_add() -> None:
    camera = Camera.of(np.full((16, 20), 2.0), 100.0, np.full((16, 20), 3.0))
    movie = molecules(n_frames=400, active=1e-6, background=20.0, background_variation=0.6, camera=camera)
    frames = np.stack(list(movie.frames()))
    expected = 2.0 * movie.background_image + 100.0
    assert expected.max() / expected.min() > 1.05
    wanted = 4.0 * (movie.background_image + 9.0)
    assert np.abs((frames.mean(0) - expected) / np.sqrt(wanted / 400)).max() < 5
    np.testing.assert_allclose(frames.var(0).mean(), wanted.mean(), rtol=0.05)
    assert movie.background_image.mean() == pytest.approx(20.0, rel=0.05)


def test_a_table_alone_gives_the_frames_back() -> None:
    movie = molecules(n_frames=6)
    truth = movie.truth()
    for number, expected in enumerate(movie.expected_frames()):
        light = expected_light(truth.in_frame(number), (16, 20), 100.0, movie.psf)
        np.testing.assert_allclose(light + movie.background_image, expected, rtol=1e-12)
    with pytest.raises(UsageError, match="photons"):
        expected_light(Localisations([0], [1.0], [1.0]), (16, 20), 100.0, movie.psf)


def test_the_seed_makes_the_movie() -> None:
    first, again, other = (list(molecules(seed=seed).frames()) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    movie = molecules(seed=1)
    np.testing.assert_array_equal(movie.truth().x_nm, movie.truth().x_nm)
    assert (
        len({tuple(p) for p in BundledTubes(seed=3).curves()[0]} & {tuple(p) for p in BundledTubes().curves()[0]}) == 0
    )


# Structures.


@pytest.mark.parametrize(
    "structure",
    [RandomPoints((20, 30), 50.0), Filaments(FilamentPhantom((20, 30), pixel_size_nm=50.0)), BundledTubes((20, 30))],
    ids=lambda structure: type(structure).__name__,
)
def test_places_lie_in_the_field_and_follow_the_generator(structure: Structure) -> None:
    places = structure.places(3000, np.random.default_rng(0))
    field = np.array(structure.field_shape) * structure.pixel_size_nm
    assert places.shape == (3000, 2) and (places >= 0).all() and (places < field).all()
    np.testing.assert_array_equal(places, structure.places(3000, np.random.default_rng(0)))
    assert structure.places(0, np.random.default_rng(0)).shape == (0, 2)
    json.dumps(structure.describe())


def straight(kind: str) -> tuple[Structure, np.ndarray, np.ndarray]:
    """A straight structure of one curve: itself, the curve's begin, and its direction."""
    if kind == "filament":
        network = FilamentPhantom((60, 60), 1, 200.0, 300.0, persistence_nm=1e6, seed=0)
        structure: Structure = Filaments(network)
        (curve,) = network.curves()
    else:
        structure = BundledTubes((60, 60), 1, 1, 200.0, length_nm=300.0, persistence_nm=1e6, seed=3)
        (curve,) = structure.curves()
    return structure, curve[0], (curve[-1] - curve[0]) / np.linalg.norm(curve[-1] - curve[0])


def test_labels_are_even_along_and_over_a_filament_and_on_the_wall_of_a_tube() -> None:
    distributions = {"filament": stats.uniform(-100, 200), "tube": stats.arcsine(-100, 200)}
    for kind, across in distributions.items():
        structure, begin, direction = straight(kind)
        from_begin = structure.places(4000, np.random.default_rng(1)) - begin
        side = from_begin @ np.array([direction[1], -direction[0]])
        assert stats.kstest(side, across.cdf).pvalue > 1e-3, kind
        along = from_begin @ direction
        assert stats.kstest(along, stats.uniform(along.min(), np.ptp(along)).cdf).pvalue > 1e-3, kind


def test_tubes_of_a_bundle_touch_in_places_and_part_in_others() -> None:
    first, second, third = BundledTubes(count=3, per_bundle=3, seed=5).curves()
    gap = np.hypot(*(first - second).T)
    assert gap.min() == pytest.approx(30.0, abs=1e-6) and gap.max() == pytest.approx(330.0, rel=0.01)
    assert 0.35 < (gap < 31.0).mean() < 0.7
    np.testing.assert_allclose(np.hypot(*(second - third).T), gap, rtol=1e-9)
    assert [len(BundledTubes(count=n, per_bundle=3).curves()) for n in (1, 3, 4, 7)] == [1, 3, 4, 7]


# What cannot be, and what is written.


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"active": 0.0}, UsageError, "positive active"),
        ({"active": -1.0}, UsageError, "positive active"),
        ({"active": 1e13}, MemoryLimitError, "take fewer"),
        ({"on_time_frames": 0.0}, UsageError, "positive on_time_frames"),
        ({"photons": math.nan}, UsageError, "positive photons"),
        ({"n_frames": 0}, UsageError, "positive n_frames"),
        ({"photon_spread": -0.1}, UsageError, "photon_spread .* not be negative"),
        ({"photon_spread": math.inf}, UsageError, "photon_spread .* is a number"),
        ({"background": -1.0}, UsageError, "background .* not be negative"),
        ({"background_variation": 1.5}, UsageError, "0 to 1 of its mean"),
        ({"structure": RandomPoints((3, 20))}, UsageError, "at least 4 x 4"),
        ({"psf": AiryPSF(1.4, 600.0)}, UsageError, "Gaussian PSF"),
        ({"camera": Camera.of(np.ones((5, 5)))}, UsageError, "both must be the same"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        molecules(**change)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RandomPoints((0, 3)), "field of the points"),
        (lambda: RandomPoints((4, 4), 0.0), "pixel size must be positive"),
        (lambda: BundledTubes(count=0), "tubes, got 0"),
        (lambda: BundledTubes(period_nm=0.0), "of tubes must not be negative"),
        (lambda: BundledTubes(diameter_nm=-1.0), "width_nm lies above 0"),
        (lambda: Filaments(FilamentPhantom((4, 4), count=1, length_nm=100.0, seed=0)), "nothing of the structure"),
    ],
)
def test_a_structure_that_cannot_be_is_refused(make: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make()


def test_the_files_hold_the_movie_and_its_truth(tmp_path: Path) -> None:
    camera = Camera(gain_adu_per_e=2.0, offset_adu=50.0, read_noise_e=1.0)
    movie = molecules(OnePlace(730.0, 980.0), camera=camera, photons=3000.0, on_time_frames=4.0)
    saved = save_molecules(movie, tmp_path / "a" / "m.tif")
    assert [path.name for path in saved.files] == ["m.tif", "m-truth.csv", "m-simulation.json"]
    opened = open_movie(saved.files[0], fwhm_nm=260.0, gain=2.0, offset=50.0, read_noise=1.0)
    assert opened.pixel_size_nm == pytest.approx(100.0) and opened.frames.shape == (50, 16, 20)
    frames = opened.frames.read(slice(None))
    np.testing.assert_array_equal(frames, np.clip(np.rint(list(movie.frames())), 0, 65535))
    truth = read_localisations(saved.files[1])
    np.testing.assert_array_equal(truth.photons, movie.truth().photons)
    np.testing.assert_array_equal(truth.frame, movie.truth().frame)
    names = [int(line.rsplit(",", 1)[1]) for line in saved.files[1].read_text().splitlines()[1:]]
    assert names == np.concatenate([e.molecule for e in movie.emissions()]).tolist()
    record = json.loads(saved.files[2].read_text())
    assert record["structure"] == {"kind": "one place"} and record["saturated"] == record["below_zero"] == 0
    assert (record["active"], record["photons"], record["seed"]) == (4.0, 3000.0, 0)


def test_what_no_simulation_left_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "m-truth.csv").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(OutputError, match="no earlier simulation left that there"):
        save_molecules(molecules(), tmp_path / "m.tif")
    assert contents(tmp_path) == before
    (tmp_path / "m-truth.csv").unlink()
    save_molecules(molecules(), tmp_path / "m.tif")
    first = contents(tmp_path)
    save_molecules(molecules(seed=1), tmp_path / "m.tif")
    assert all(contents(tmp_path)[name] != first[name] for name in first)


def test_molecules_so_many_that_all_pixels_saturate_are_refused(tmp_path: Path) -> None:
    crowded = molecules(active=4e4, on_time_frames=3.0, photons=1000.0)
    with pytest.raises(UsageError, match=r"a camera of 16 bits ends at 65535: lower --photons, --density"):
        save_molecules(crowded, tmp_path / "m.tif")
    assert contents(tmp_path) == {}


def test_the_brightest_are_no_dimmer_than_the_mean_of_the_movie() -> None:
    crowded = molecules(active=2000.0, on_time_frames=3.0, photons=100.0)
    mean = float(np.mean([crowded.camera.to_adu(frame).mean() for frame in crowded.expected_frames()]))
    assert mean == pytest.approx(crowded.brightest_adu, rel=0.15)  # light is lost beyond the borders


def test_files_and_time_are_foreseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    movie = molecules(active=300.0, photons=50.0, n_frames=40)
    saved = save_molecules(movie, tmp_path / "m.tif")
    assert bytes_of_molecules(movie) == pytest.approx(sum(file.stat().st_size for file in saved.files), rel=0.15)
    assert 0.0 < movie.seconds_needed() < 60.0
    usage = shutil.disk_usage(tmp_path)._replace(free=bytes_of_molecules(movie) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OutputError, match="the movie and its truth take"):
        save_molecules(movie, tmp_path / "n.tif")
    assert set(contents(tmp_path)) == {file.name for file in saved.files}


def test_a_camera_that_would_saturate_is_refused(tmp_path: Path) -> None:
    bright = molecules(photons=1e6, camera=Camera(gain_adu_per_e=4.0, offset_adu=100.0))
    with pytest.raises(UsageError, match="a camera of 16 bits ends at 65535"):
        save_molecules(bright, tmp_path / "m.tif")
    assert contents(tmp_path) == {}
    share = light_of_points(
        (9, 9), np.array([4.5]), np.array([4.5]), np.array([1.0]), GaussianPSF(260.0).sigma_nm / 100
    )
    assert bright.brightest_adu == pytest.approx(4.0 * (1e6 * share.max() + 10.0) + 100.0, rel=1e-6)
