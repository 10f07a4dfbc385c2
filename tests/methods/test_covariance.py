"""The covariance method from end to end: what it splits, what it says of the emitters, when it lets the mean speak."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import fluosr
from fluosr.acquisition import Acquisition, ArrayFrames
from fluosr.camera import Camera
from fluosr.corrections.fluctuation_estimate import FluctuationEstimate
from fluosr.corrections.intervals import Interval
from fluosr.emitters import CompoundPoissonEmitters, Emitters, SteadyEmitters
from fluosr.errors import AcquisitionError, ReconstructionInterrupted, UsageError
from fluosr.io.movie import open_movie
from fluosr.methods.base import Run
from fluosr.methods.covariance import fall_back, regularisation
from fluosr.methods.covariance.fall_back import covariance_gain
from fluosr.methods.covariance.likelihood import CompositeLikelihood, Noise
from fluosr.methods.covariance.memory import Memory
from fluosr.methods.covariance.moments import PatchMoments
from fluosr.methods.covariance.parameters import CovarianceParameters
from fluosr.methods.covariance.patches import Patches
from fluosr.methods.held_out import sparsest_as_good_as_best
from fluosr.optics.psf import AiryPSF, GaussianPSF, PointSpreadFunction
from fluosr.optics.sampling import Grid
from fluosr.simulate.movie import SimulatedMovie
from tests.methods.covariances import independent_movie
from tests.movies import CROSS, cross_movie, frames_of, light_of, movie_of

PLAIN = {"drift": False, "bleaching": False, "halves": False}
GIVEN = PLAIN | {"factor": 3, "sparsity": 2.0, "iterations": 100, "fall_back": False}
FACTOR = 5  # of the lines: fine pixels of 20 nm


@dataclass(frozen=True)
class Lines:
    """Upright lines of 20 nm that run through a small field."""

    offsets_nm: tuple[float, ...]
    field_shape: tuple[int, int] = (8, 14)
    pixel_size_nm: float = 100.0
    width_nm: float = 20.0

    def render(self, grid: Grid) -> np.ndarray:
        fine_nm = self.pixel_size_nm / grid.factor
        x_px = (np.arange(grid.shape[1]) + 0.5) / grid.factor - grid.margin - self.field_shape[1] / 2
        cover = np.zeros(grid.shape)
        for offset in self.offsets_nm:
            overlap = (fine_nm + self.width_nm) / 2 - np.abs(x_px * self.pixel_size_nm - offset)
            cover += np.clip(overlap, 0.0, min(fine_nm, self.width_nm)) / fine_nm
        return cover

    def describe(self) -> dict[str, Any]:
        return {"offsets_nm": list(self.offsets_nm)}


def film(
    offsets_nm: tuple[float, ...],
    emitters: Emitters,
    *,
    photons: float = 5.0,
    n_frames: int = 500,
    seed: int = 0,
    field: tuple[int, int] = (8, 14),
    psf: PointSpreadFunction | None = None,
) -> Acquisition:
    """Lines under a PSF of 324 nm, read noise of half an electron."""
    camera = Camera(gain_adu_per_e=1.0, offset_adu=0.0, read_noise_e=0.5)
    movie = SimulatedMovie(
        Lines(offsets_nm, field),
        factor=FACTOR,
        psf=psf or GaussianPSF(324.0),
        n_frames=n_frames,
        peak_photons=photons,
        bleaching_time_s=None,
        camera=camera,
        emitters=emitters,
        seed=seed,
    )
    optics: dict[str, Any] = {"fwhm_nm": 324.0}
    if isinstance(psf, AiryPSF):
        optics = {"na": psf.na, "wavelength_nm": psf.wavelength_nm}
    frames = np.stack(list(movie.frames()))
    return open_movie(frames, pixel_size_nm=100.0, gain=1.0, offset=0.0, read_noise=0.5, **optics)


def peaks_of(image: np.ndarray) -> list[int]:
    """Fine columns of the maxima of the light across the lines that rise above half of the highest."""
    profile = np.concatenate([[0.0], image.sum(0), [0.0]])
    tops = [i for i in range(1, len(profile) - 1) if profile[i - 1] <= profile[i] > profile[i + 1]]
    return [i - 1 for i in tops if profile[i] > 0.5 * profile.max()]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_pair_that_the_mean_alone_does_not_split_is_split_and_a_single_line_is_not(seed: int) -> None:
    bursts, found = CompoundPoissonEmitters(100.0), {}
    for offsets in ((-50.0, 50.0), (0.0,)):
        movie = film(offsets, bursts, seed=seed)
        for name, given in (
            ("covariance", PLAIN | {"sparsity": 2.0, "iterations": 150}),
            ("fluogan", {"drift": False, "halves": False}),
        ):
            found[len(offsets), name] = peaks_of(fluosr.reconstruct(movie, name, factor=FACTOR, **given).image)
    assert len(found[1, "covariance"]) == len(found[1, "fluogan"]) == len(found[2, "fluogan"]) == 1
    left, right = found[2, "covariance"]
    assert (right - left) * 100.0 / FACTOR == pytest.approx(100.0, abs=25.0)
    assert (left + right + 1) / 2 == pytest.approx(14 * FACTOR / 2, abs=1.0)


def test_kappa_is_found_with_and_without_the_pull() -> None:
    found = []
    for seed in range(3):
        movie = film((-70.0, 70.0), CompoundPoissonEmitters(100.0), n_frames=1000, seed=seed, field=(12, 14))
        given = PLAIN | {"factor": 4, "iterations": 200, "fall_back": False}
        found.append([fluosr.reconstruct(movie, "covariance", sparsity=s, **given).parameters["fano"] for s in (0, 2)])
    free, pulled = np.mean(found, axis=0)
    assert free == pytest.approx(100.0, rel=0.06)
    assert pulled == pytest.approx(100.0, rel=0.06)  # fitted again, without the pull


def test_light_and_places_hold_under_an_airy_psf() -> None:
    psf = AiryPSF(1.0, 630.0)
    movie = film((0.0,), CompoundPoissonEmitters(100.0), n_frames=200, psf=psf)
    made = fluosr.reconstruct(movie, "covariance", factor=2, sparsity=0.0, iterations=40, fall_back=False, **PLAIN)
    columns = (np.arange(28) + 0.5) / 2
    profile = made.image.sum(0)
    assert (columns @ profile) / profile.sum() == pytest.approx(7.0, abs=0.15)
    assert made.expected.sum() == pytest.approx(made.mean.sum(), rel=0.05)


FIRST = independent_movie(CROSS, 200, background=3.0)


@pytest.mark.parametrize("shift", [(1, 0), (-2, 1)])
def test_a_movie_of_independent_emitters_shifted_shifts_the_image(shift: tuple[int, int]) -> None:
    still, moved = (
        fluosr.reconstruct(movie_of(frames), "covariance", **GIVEN).image
        for frames in (FIRST, np.roll(FIRST, shift, (1, 2)))
    )
    expected = np.roll(still, [3 * n for n in shift], (0, 1))
    inside = (slice(9, -9),) * 2
    difference = gaussian_filter(expected - moved, 1.5)[inside]
    assert np.abs(difference).max() < 0.06 * gaussian_filter(moved, 1.5).max()


@pytest.mark.parametrize(("y", "x"), [(8.0, 9.0), (8.2, 8.7), (6.13, 10.71)])
def test_a_point_that_blinks_stays_where_it_was(y: float, x: float) -> None:
    frames = independent_movie([(y, x, 500.0)], 200, background=2.0)
    image = fluosr.reconstruct(movie_of(frames), "covariance", **GIVEN).image.astype(float)
    rows, columns = ((np.arange(n) + 0.5) / 3 for n in image.shape)
    assert rows @ image.sum(1) / image.sum() == pytest.approx(y, abs=0.05)
    assert columns @ image.sum(0) / image.sum() == pytest.approx(x, abs=0.05)


@pytest.mark.parametrize(
    ("emitters", "photons", "n_frames"),
    [
        (SteadyEmitters(), 30.0, 200),
        (CompoundPoissonEmitters(1.0), 30.0, 200),
        (CompoundPoissonEmitters(100.0), 5.0, 20),
    ],
    ids=["steady", "kappa 1", "too few frames to say"],
)
def test_where_the_covariance_carries_nothing_the_image_is_that_of_the_mean(
    emitters: Emitters, photons: float, n_frames: int
) -> None:
    movie = film((-70.0, 70.0), emitters, photons=photons, n_frames=n_frames)
    made = fluosr.reconstruct(movie, "covariance", factor=3, drift=False, halves=False)
    mean = fluosr.reconstruct(movie, "fluogan", factor=3, drift=False, halves=False)
    assert made.image.tobytes() == mean.image.tobytes() and made.background.tobytes() == mean.background.tobytes()
    assert "covariance of this movie carries nothing" in made.warnings[0]
    assert made.method == "covariance" and len(made.citations) == len(mean.citations) + 1
    assert {key: made.parameters[key] for key in mean.parameters} == mean.parameters, "the record says what was done"


def test_a_movie_that_blinks_is_not_handed_over_to_the_mean() -> None:
    made = fluosr.reconstruct(
        film((0.0,), CompoundPoissonEmitters(100.0), n_frames=200),
        "covariance",
        factor=2,
        sparsity=2.0,
        iterations=5,
        **PLAIN,
    )
    assert not any("carries nothing" in warning for warning in made.warnings)
    assert "minus log-likelihood" in next(iter(made.history))


def test_a_fit_that_goes_ahead_knows_of_memory_and_of_doubts(monkeypatch: pytest.MonkeyPatch) -> None:
    still = FluctuationEstimate(
        fano_factor=Interval(1.0, -1.0, 3.0),
        memory_frames=Interval(3.0, 2.0, 4.0),
        longest_memory_frames=0.0,
        bleaching_frames=Interval(np.inf, 900.0, np.inf),
        gain_ratio=Interval(0.5, 0.4, 0.6),
        frame_interval_s=None,
        n_frames=100,
    )
    monkeypatch.setattr(fall_back, "estimate_fluctuations", lambda acquisition: still)
    lines = film((0.0,), CompoundPoissonEmitters(100.0), n_frames=50)
    for given, nothing in (({}, True), ({"fano": 1e-3}, True), ({"fano": 100.0}, False)):
        found = fall_back.look_at(lines, CovarianceParameters.model_validate(given), Run())
        assert (found.nothing is not None) == nothing
        assert found.memory_frames == 3.0 and found.doubts == (still.gain_warning(1.0),)


def test_options_of_a_fit_that_is_not_made_are_named_and_not_recorded() -> None:
    given = {"factor": 2, "fano": 1e-3, "sparsity": 3.0, "grain_nm": 150.0, "tolerance": 0.5, "halves": False}
    made = fluosr.reconstruct(film((0.0,), CompoundPoissonEmitters(100.0), n_frames=60), "covariance", **given)
    first, second, *_ = made.warnings
    assert "given as 0.001" in first and "carries nothing" in first
    assert "--grain-nm, --sparsity, --tolerance had no effect" in second
    assert not any("follows the covariance" in warning for warning in made.warnings)
    assert "tolerance" not in made.parameters and made.parameters["sparsity"] != 3.0
    assert made.parameters["fano"] == 1e-3


def test_kappa_is_the_emitters_and_the_misfit_one_where_bleaching_was_made_up_for() -> None:
    made = []
    for bleaching_time_s in (None, 4.0 / np.log(10.0)):  # to a tenth over 400 frames
        movie = SimulatedMovie(
            Lines((-200.0, 200.0), (16, 16)),
            factor=FACTOR,
            psf=GaussianPSF(324.0),
            n_frames=400,
            peak_photons=20.0,
            bleaching_time_s=bleaching_time_s,
            camera=Camera(1.0, 0.0, 0.5),
            emitters=CompoundPoissonEmitters(30.0),
        )
        frames = ArrayFrames(np.stack(list(movie.frames())))
        acquisition = Acquisition(frames, 100.0, movie.psf, movie.camera)
        made.append(fluosr.reconstruct(acquisition, "covariance", **GIVEN | {"bleaching": True, "sparsity": 0.5}))
    even, bleached = ({name: one.choices[name]["value"] for name in ("fano", "covariance_misfit")} for one in made)
    assert bleached["fano"] == pytest.approx(30.0, rel=0.15) == even["fano"]
    assert bleached["covariance_misfit"] == pytest.approx(even["covariance_misfit"], rel=0.08)


def test_a_stop_while_the_movie_is_looked_at_leaves_nothing_behind() -> None:
    run = Run(on_progress=lambda stage, done, total: setattr(run, "stop_requested", True))
    with pytest.raises(ReconstructionInterrupted, match="no image yet"):
        fluosr.reconstruct(cross_movie(60), "covariance", run=run, **PLAIN)


def test_too_few_frames_say_how_many_are_needed() -> None:
    with pytest.raises(AcquisitionError, match=r"7 usable frames; covariance .* at least 8"):
        fluosr.reconstruct(cross_movie(7), "covariance", fall_back=False, factor=2)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"fano": -1.0}, "fano.*greater than or equal to 0.000001"),
        ({"fano": 1e10}, "fano.*less than or equal to 1000000"),
        ({"fano": 0.0}, "fano"),
        ({"sparsity": -1.0}, "sparsity"),
        ({"grain_nm": -5.0}, "grain_nm"),
    ],
)
def test_a_value_that_cannot_be_is_named(given: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        fluosr.reconstruct(cross_movie(20), "covariance", **given)


def test_what_a_bad_pixel_says_has_no_influence() -> None:
    random, images = np.random.default_rng(5), []
    for values in (np.zeros(200), np.full(200, 60_000), random.choice([40_000, 60_000], 200)):
        frames = FIRST.copy()
        frames[:, 7, 10] = values
        made = fluosr.reconstruct(movie_of(frames), "covariance", **(GIVEN | {"iterations": 40}))
        assert any("1 of 288 pixels" in warning for warning in made.warnings)
        images.append(made.image)
    for image in images[1:]:
        assert np.abs(image - images[0]).max() < 1e-3 * images[0].max()


def test_a_dead_pixel_leaves_kappa_as_it_was() -> None:
    whole = film((-70.0, 70.0), CompoundPoissonEmitters(100.0), n_frames=400, seed=1, field=(12, 14))
    frames = whole.photons(slice(0, 400)).copy()
    frames[:, 6, 4] = 0.0
    dead = Acquisition(ArrayFrames(frames), whole.pixel_size_nm, whole.psf, Camera(1.0, 0.0, 0.5), name="dead")
    given = PLAIN | {"factor": 3, "iterations": 100, "sparsity": 1.0, "fall_back": False}
    found = [fluosr.reconstruct(movie, "covariance", **given) for movie in (whole, dead)]
    assert any("dead" in warning for warning in found[1].warnings)
    assert found[1].parameters["fano"] == pytest.approx(found[0].parameters["fano"], rel=0.1)
    assert found[1].image.sum() == pytest.approx(found[0].image.sum(), rel=0.05)


def test_frames_that_vary_less_or_more_than_photons_shift_the_light_as_the_page_says() -> None:
    """mu^2 + mu = g m + m^2 for variance g m: about (g - 1) / 2 photons too many."""
    random = np.random.default_rng(0)
    for ratio in (0.0, 0.5, 2.0):
        frames = 20.0 + np.sqrt(20.0 * ratio) * random.standard_normal((400, 12, 12))
        given = GIVEN | {"fano": 1e-3, "sparsity": 4.0}
        made = fluosr.reconstruct(movie_of(frames.astype(np.float32)), "covariance", **given)
        wanted = (np.sqrt(1 + 4 * (20.0 * ratio + 400.0)) - 1) / 2
        assert made.expected.mean() == pytest.approx(wanted, abs=0.1)


def test_frames_that_were_shifted_are_warned_of() -> None:
    still = light_of(CROSS, background=3.0)
    random = np.random.default_rng(0)
    frames = np.concatenate([random.poisson(np.roll(still, n // 20, 1), (10, 16, 18)) for n in range(0, 60, 2)])
    given = GIVEN | {"drift": True, "iterations": 2}
    made = fluosr.reconstruct(movie_of(frames.astype(np.uint16)), "covariance", **given)
    assert any("share some of their shot noise" in warning for warning in made.warnings)


def test_the_worth_of_the_covariance_is_that_of_one_emitter_written_out() -> None:
    """kappa^2 q / 2 with q = sum a^2 / variance, where all pixels have the same variance and light is even."""
    movie = movie_of(frames_of(np.full((30, 30), 4.0), 10))
    random = np.random.default_rng(0)
    mean = random.random((30, 30))
    kernel = GaussianPSF(300.0).kernel(100.0)
    wanted = 0.5 * 7.0**2 * (kernel**2).sum() / 5.0
    assert covariance_gain(movie, mean, np.full((30, 30), 5.0), 7.0) == pytest.approx(wanted)
    assert covariance_gain(movie, np.zeros((30, 30)), np.full((30, 30), 5.0), 7.0) == 0.0


def chosen_for(frames: np.ndarray, monkeypatch: pytest.MonkeyPatch, factor: int = 2) -> tuple[float, list[float]]:
    monkeypatch.setattr(regularisation, "TRIAL_ITERATIONS", 25)
    field = frames.shape[1], frames.shape[2]
    patches = Patches(Grid(field, factor, 2), GaussianPSF(150.0), 100.0)
    moments = PatchMoments(patches, frames.mean(0), 1)
    moments.add(frames)
    return regularisation.choose(
        patches,
        moments,
        Noise(1.0, torch.full(field, 0.01, dtype=torch.float64)),
        torch.as_tensor(frames.mean(0), dtype=torch.float64),
        memory=Memory(),
        grain_fwhm=0.0,
        fano_factor=10.0,
        spacing=4.0,
        advance=lambda done, total: None,
    )


def test_noise_gets_the_strongest_pull_and_structure_with_much_data_a_weaker_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    field, random = (18, 18), np.random.default_rng(1)
    noise = random.poisson(5.0, (300, *field)).astype(np.float32)
    strongest, worse = chosen_for(noise, monkeypatch)
    assert strongest == max(regularisation.SPARSITIES) and min(worse) == 0.0
    a = np.exp(-0.5 * ((np.arange(18)[:, None] - np.arange(0.25, 18, 0.5)[None, :]) / 0.64) ** 2) / 1.6
    lit = np.zeros((36, 36))
    lit[::5, :] = 10.0
    bursts = 10.0 * random.poisson(lit / 10.0, (600, 36, 36))
    frames = random.poisson(np.einsum("yi,tij,xj->tyx", a, bursts, a) + 1.0).astype(np.float32)
    weaker, _ = chosen_for(frames, monkeypatch)
    assert weaker < strongest


def test_patches_whose_mean_frame_varies_most_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    patches = Patches(Grid((40, 40), 1, 1), GaussianPSF(150.0), 100.0)
    mean = torch.ones(40, 40, dtype=torch.float64)
    mean[30:36:2, 30:36] = 9.0
    members = regularisation._most_varied(patches, mean)
    assert len(members) == regularisation.ASKED
    assert max(patches.corners[k] for k in members) == max(patches.corners)
    assert sparsest_as_good_as_best([torch.ones(4), torch.zeros(4)]) == 1


def test_the_misfit_of_frames_of_the_model_is_one() -> None:
    random = np.random.default_rng(0)
    patches = Patches(Grid((9, 9), 1, 1), GaussianPSF(130.0), 100.0)
    frames = 4.0 + 2.0 * random.standard_normal((4000, 9, 9))
    moments = PatchMoments(patches, frames.mean(0), 1)
    moments.add(frames)
    likelihood = CompositeLikelihood(patches, moments.moments(), Noise(1.0, torch.zeros(9, 9, dtype=torch.float64)))
    dark = torch.zeros(patches.grid.shape, dtype=torch.float64)
    flat = torch.full((9, 9), 4.0, dtype=torch.float64)
    assert likelihood.covariance_misfit(dark, flat, 1.0) == pytest.approx(1.0, abs=0.05)
    assert likelihood.covariance_misfit(dark, 2.0 * flat, 1.0) > 2.0
