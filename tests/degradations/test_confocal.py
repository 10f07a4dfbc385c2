"""Laws of the whole microscope: light kept, mean and variance as computed, lines displaced by d, seeds that repeat."""

import math
from dataclasses import replace

import pytest
import torch

from fluosr.degradations.confocal import RandomisedConfocal, VideoRateConfocal
from fluosr.degradations.microscope import CONTINUOUS, ScanningMicroscope, ScanningRanges
from fluosr.errors import OpticsError, UsageError

PLAIN = ScanningMicroscope(pixel_size_nm=100.0, fwhm_nm=250.0, dose_photons=2.0)
FULL = replace(
    PLAIN,
    background_photons=0.5,
    dark_e=0.2,
    phase_px=0.4,
    jitter_px=0.1,
    lag_px=0.6,
    gain_adu_per_e=20.0,
    excess_noise=1.3,
    offset_adu=100.0,
    read_noise_adu=8.0,
)
RANGES = ScanningRanges(
    pixel_size_nm=100.0,
    fwhm_nm=(230.0, 260.0),
    dose_photons=(1.0, 20.0),
    phase_px=(0.3, 0.5),
    jitter_px=(0.0, 0.2),
    lag_px=(0.0, 1.0),
    gain_times_excess_adu_per_e=(20.0, 26.0),
    excess_noise=(1.2, 1.5),
    offset_adu=(90.0, 110.0),
    read_noise_adu=(5.0, 9.0),
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def sharp(count=2, factor=2, side=24):
    return 3 * torch.rand(count, factor * side, factor * side, generator=seeded(9))


def spot(factor, side=40):
    image = torch.zeros(1, factor * side, factor * side)
    image[:, factor * side // 2 - 1, factor * side // 2 + 3] = 500.0
    return image


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_light_is_kept_away_from_the_borders(factor):
    mean = VideoRateConfocal(replace(PLAIN, factor=factor, lag_px=0.8, phase_px=0.5, gain_adu_per_e=3.0))
    frame = mean.mean(spot(factor))
    assert frame.shape == (1, 40, 40) and frame.dtype == torch.float32
    assert float(frame.sum()) == pytest.approx(500.0 * 2.0 * 3.0, rel=1e-5)


@pytest.mark.parametrize("phase", [0.3, -0.7, 1.0])
def test_the_phase_moves_even_lines_by_d_and_odd_ones_back(phase):
    image = spot(2)
    places = torch.arange(40) + 0.5

    def centroids(d):
        lines = VideoRateConfocal(replace(PLAIN, phase_px=d)).mean(image)[0, 16:24].double()
        return (lines * places).sum(1) / lines.sum(1)

    moved = centroids(phase) - centroids(0.0)
    wanted = torch.tensor([phase, -phase] * 4, dtype=torch.float64)
    assert torch.allclose(moved, wanted, atol=1e-3)


def test_frames_have_the_mean_and_the_variance_of_the_closed_forms():
    flat = torch.ones(400, 40, 48)
    microscope = replace(FULL, jitter_px=0.0, background_photons=0.0)
    frames = VideoRateConfocal(microscope).degrade(flat, seeded()).double()[..., 2:-2]
    light = 2.0 * 4 + 0.2
    assert float(frames.mean()) == pytest.approx(100 + 20 * light, rel=2e-3)
    # White noise through y_n = r y + (1 - r) x keeps (1 - r) / (1 + r) of its variance; the line's first pixel is a
    # steady start, so its first columns vary more, and whole numbers add 1/12.
    r = math.exp(-1 / 0.6)
    wanted = (20**2 * 1.3 * light + 8**2) * (1 - r) / (1 + r) + 1 / 12
    assert float(frames[..., 4:-4].var(0).mean()) == pytest.approx(wanted, rel=0.02)
    residual = frames - frames.mean(0)
    along = (residual[..., 5:-4] * residual[..., 4:-5]).mean() / residual.var()
    assert float(along) == pytest.approx(r, abs=0.01)


def test_the_mean_of_many_frames_is_the_mean_with_jitter():
    image = sharp(1)
    microscope = VideoRateConfocal(replace(FULL, jitter_px=0.3, read_noise_adu=0.0))
    frames = microscope.degrade(image.expand(800, -1, -1), seeded()).double()
    error = (frames.mean(0) - microscope.mean(image)[0].double()) / (frames.std(0) / math.sqrt(800))
    assert abs(float(error.mean())) < 0.3 and float(error.std()) == pytest.approx(1.0, abs=0.1)


def test_a_batch_is_its_images_one_by_one_in_mean_and_a_seed_gives_the_same_bits():
    random, images = RandomisedConfocal(RANGES), sharp(3)
    drawn = random.parameters(3, seeded(4), images.device)
    together = random.mean(images, drawn)
    for i in range(3):
        one = {name: value[i : i + 1] for name, value in drawn.items()}
        assert torch.allclose(random.mean(images[i : i + 1], one)[0], together[i], rtol=1e-5)
    first, again, other = (random.degrade(images, seeded(s)) for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.dtype == torch.float32


def test_a_range_of_no_width_is_the_microscope():
    values = {name: (getattr(FULL, name),) * 2 for name in CONTINUOUS if name != "gain_adu_per_e"}
    ranges = ScanningRanges(pixel_size_nm=100.0, gain_times_excess_adu_per_e=(26.0, 26.0), **values)
    images, generator = sharp(), seeded()
    drawn = RandomisedConfocal(ranges).parameters(2, generator, images.device)
    found = RandomisedConfocal(ranges).mean(images, drawn)
    assert torch.allclose(found, VideoRateConfocal(FULL).mean(images), rtol=1e-5)


def test_drawn_numbers_lie_in_their_ranges_and_the_product_is_what_is_known():
    drawn = RANGES.draw(4000, seeded())
    assert set(drawn) == set(CONTINUOUS)
    product = drawn["gain_adu_per_e"] * drawn["excess_noise"]
    for name, (low, high) in RANGES.items():
        value = product if name == "gain_times_excess_adu_per_e" else drawn[name]
        assert low - 1e-4 <= float(value.min()) <= low + 0.02 * (high - low) + 1e-4
        assert high - 0.02 * (high - low) - 1e-4 <= float(value.max()) <= high + 1e-4
    assert float(drawn["dose_photons"].log().mean()) == pytest.approx(math.log(20) / 2, abs=0.06)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fwhm_nm": 0.0}, "fwhm_nm"),
        ({"dose_photons": -1.0}, "dose_photons"),
        ({"jitter_px": -0.1}, "jitter_px"),
        ({"excess_noise": 0.9}, "between 1"),
        ({"factor": 3}, "1, 2 or 4"),
        ({"bits": 0}, "bits"),
        ({"offset_adu": math.nan}, "offset_adu"),
        ({"phase_px": 0.3, "bidirectional": False}, "unidirectional"),
    ],
)
def test_no_such_microscope(change, words):
    with pytest.raises(UsageError, match=words):
        replace(PLAIN, **change)


def test_ranges_and_images_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match="lag_px"):
        replace(RANGES, lag_px=(1.0, 0.5))
    with pytest.raises(UsageError, match="between 1"):
        replace(RANGES, excess_noise=(0.0, 1.2))
    camera = VideoRateConfocal(PLAIN)
    with pytest.raises(UsageError, match="multiples of 2"):
        camera.mean(torch.ones(1, 41, 40))
    with pytest.raises(UsageError, match="negative"):
        camera.mean(-torch.ones(1, 40, 40))
    with pytest.raises(OpticsError, match="larger image"):
        camera.mean(torch.ones(1, 8, 8))
    with pytest.raises(UsageError, match="parameters that were drawn"):
        RandomisedConfocal(RANGES).mean(torch.ones(1, 40, 40))
    assert RandomisedConfocal(RANGES).describe()["lag_px"] == (0.0, 1.0)
    assert camera.describe()["fwhm_nm"] == 250.0 and camera.factor == 2
