"""The two stages: how often each thing is drawn, what they leave alone, seeds, sizes; beside scipy with all fixed."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from fluosr.degradations.kernels import KernelParameters
from fluosr.degradations.resizing import MODES, resize
from fluosr.degradations.two_stage import SECOND_STAGE, StageParameters, TwoStageParameters, two_stage
from fluosr.errors import UsageError

MANY = 900
SILENT = {"gaussian_probability": 1.0, "gaussian_levels": (1e-6, 1e-6), "jpeg_quality": (95.0, 95.0)}
FIXED = {"resize_probabilities": (0.0, 0.0, 1.0), **SILENT}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth(*shape: int) -> torch.Tensor:
    images = torch.rand(shape, generator=generator(7))
    return torch.nn.functional.avg_pool2d(images[:, None], 7, 1, 3, count_include_pad=False)[:, 0]


def near(found: float, probability: float) -> bool:
    return abs(found - probability) < 4.5 * math.sqrt(probability * (1 - probability) / MANY)


@pytest.mark.parametrize(
    ("stage", "blurred", "sigma", "resized", "sizes", "levels", "scales"),
    [
        (StageParameters(), 1.0, 3.0, (0.2, 0.7, 0.1), (0.15, 1.5), (1, 30), (0.05, 3.0)),
        (SECOND_STAGE, 0.8, 1.5, (0.3, 0.4, 0.3), (0.3, 1.2), (1, 25), (0.05, 2.5)),
    ],
    ids=["first", "second"],
)
def test_a_stage_is_drawn_as_often_and_over_the_ranges_as_it_should_be(
    stage, blurred, sigma, resized, sizes, levels, scales
):
    source = generator()
    drawn = [stage.draw(1, source) for _ in range(MANY)]
    factors = np.array([d.factor for d in drawn])
    for part, probability in zip((factors > 1, factors < 1, factors == 1), resized, strict=True):
        assert near(part.mean(), probability)
    assert sizes[0] <= factors.min() < sizes[0] + 0.05 and sizes[1] - 0.05 < factors.max() <= sizes[1]
    assert all(near(np.mean([d.mode == mode for d in drawn]), 1 / 3) for mode in MODES)
    assert near(np.mean([d.gaussian for d in drawn]), 0.5)
    for wanted, (low, high), gaussian in ((levels, levels, True), (scales, scales, False)):
        found = np.array([float(d.strengths) for d in drawn if d.gaussian == gaussian]) * (255 if gaussian else 1)
        assert low <= found.min() and found.max() <= high, wanted
        assert found.mean() == pytest.approx((low + high) / 2, abs=4.5 * (high - low) / math.sqrt(12 * len(found)))
    qualities = np.array([float(d.qualities) for d in drawn])
    assert 30 <= qualities.min() < 31 and 94 < qualities.max() <= 95
    sharp = np.mean([float(d.kernels[0, 10, 10]) == 1 for d in drawn])
    assert near(1 - sharp, blurred) if blurred < 1 else sharp < 0.05  # a kernel of .2 pixels is nearly sharp
    assert stage.kernels.sigma_px == (0.2, sigma)


def test_the_end_is_drawn_as_it_should_be_and_nothing_can_be_changed():
    parameters = TwoStageParameters()
    assert (parameters.final_sinc_probability, parameters.sinc_before_jpeg) == (0.8, 0.5)
    assert parameters.final_sinc_cutoff == pytest.approx(math.pi / 3)
    assert parameters.describe()["second"]["kernels"]["sigma_px"] == (0.2, 1.5)
    with pytest.raises(FrozenInstanceError):
        parameters.antialias = True  # type: ignore[misc]


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("size", [(60, 36), (44, 140), (4, 12)])
def test_any_size_comes_back_divided_by_the_scale(scale, size):
    found = two_stage(smooth(3, *size), scale, generator(1))
    assert found.shape == (3, size[0] // scale, size[1] // scale) and found.dtype == torch.float32
    assert float(found.min()) >= 0 and float(found.max()) <= 1
    torch.testing.assert_close(found * 255, (found * 255).round(), atol=1e-4, rtol=0)


def test_same_seed_same_bits_and_images_are_independent():
    images = smooth(4, 48, 48)
    first, again, other = (two_stage(images, 2, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(two_stage(images[:2], 2, generator()), first[:2])
    together = two_stage(images, 2, generator(), images_per_draw=3)
    assert together.shape == first.shape and not torch.equal(together, first)


def test_images_of_one_draw_share_what_they_must_and_no_more():
    twins = smooth(1, 64, 64).repeat(2, 1, 1)
    for seed in range(4):
        one, two = two_stage(twins, 2, generator(seed), images_per_draw=2)
        assert not torch.equal(one, two)
    kernels = KernelParameters(sigma_px=(0.7, 0.7), probabilities=(1, 0, 0, 0, 0, 0), sinc_probability=0.0)
    resized_alone = TwoStageParameters(
        first=StageParameters(kernels=kernels, **SILENT),
        second=replace(SECOND_STAGE, kernels=kernels, blur_probability=1.0, **SILENT),
        final_sinc_probability=0.0,
    )
    apart = []
    for seed in range(4):
        (one, two), (other, another) = (
            two_stage(twins, 2, generator(seed), resized_alone, images_per_draw=count) for count in (2, 1)
        )
        assert float((one - two).abs().max()) <= 2 / 255  # noise of a millionth may turn a grey level
        apart.append(float((other - another).abs().max()))
    assert max(apart) > 4 / 255


@pytest.mark.parametrize("antialias", [True, False])
def test_a_constant_image_stays_constant_but_for_noise_and_compression(antialias):
    parameters = TwoStageParameters(
        first=StageParameters(**SILENT), second=replace(SECOND_STAGE, **SILENT), antialias=antialias
    )
    for seed in range(8):
        found = two_stage(torch.full((2, 50, 34), 0.6), 2, generator(seed), parameters)
        assert float((found - 0.6).abs().max()) < 3 / 255


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_with_everything_fixed_it_is_two_blurs_and_one_of_three_resizings(scale):
    gaussian = {"probabilities": (1, 0, 0, 0, 0, 0), "sinc_probability": 0.0}
    parameters = TwoStageParameters(
        first=StageParameters(kernels=KernelParameters(sigma_px=(0.7, 0.7), **gaussian), **FIXED),
        second=StageParameters(kernels=KernelParameters(sigma_px=(0.5, 0.5), **gaussian), **FIXED),
        final_sinc_probability=0.0,
        antialias=True,
    )
    images = torch.rand(1, 48, 40, generator=generator(7))
    blurred = torch.as_tensor(ndimage.gaussian_filter(images, (0, 0.7, 0.7), mode="nearest", radius=10))
    blurred = torch.as_tensor(ndimage.gaussian_filter(blurred, (0, 0.5, 0.5), mode="nearest", radius=10))
    best = []
    for seed in range(12):
        found = two_stage(images, scale, generator(seed), parameters)
        errors = [(resize(blurred, found.shape[1:], mode) - found).abs().mean() for mode in MODES]
        best.append(int(np.argmin(errors)))
        assert float(min(errors)) < 2.5 / 255  # two JPEGs of quality 95 lie between
    # Where nothing shrinks the three are one.
    assert set(best) == {0, 1, 2} or scale == 1


def test_the_order_of_the_end_is_drawn():
    images, ends = smooth(1, 64, 64), (0.0, 0.5, 1.0)
    found = [
        [two_stage(images, 2, generator(seed), TwoStageParameters(sinc_before_jpeg=p)) for p in ends]
        for seed in range(8)
    ]
    before = [torch.equal(half, one) for _, half, one in found]
    after = [torch.equal(half, zero) for zero, half, _ in found]
    assert all(a or b for a, b in zip(before, after, strict=True))
    assert not all(before) and not all(after)


@pytest.mark.parametrize(
    ("images", "scale", "word"),
    [
        (torch.zeros(1, 1, 8, 8), 2, r"\(B, Y, X\)"),
        (torch.zeros(1, 8, 8, dtype=torch.float64), 2, "float32"),
        (torch.zeros(0, 8, 8), 2, r"\(B, Y, X\)"),
        (torch.zeros(1, 8, 9), 2, "8 x 9 pixels do not divide"),
        (torch.full((1, 8, 8), 1.5), 2, "between 0 and 1"),
        (torch.full((1, 8, 8), math.nan), 2, "between 0 and 1"),
    ],
)
def test_images_that_cannot_be_degraded_are_refused(images, scale, word):
    with pytest.raises(UsageError, match=word):
        two_stage(images, scale, generator())


@pytest.mark.parametrize(
    "wrong",
    [
        {"resize_probabilities": (0.5, 0.5, 0.5)},
        {"blur_probability": -0.1},
        {"resize_range": (0.5, 0.9)},
        {"jpeg_quality": (30.0, 101.0)},
        {"jpeg_quality": (0.5, 90.0)},
        {"poisson_scale": (0.0, 1.0)},
    ],
)
def test_parameters_that_cannot_be_are_refused(wrong):
    with pytest.raises(UsageError):
        StageParameters(**wrong)
    with pytest.raises(UsageError):
        TwoStageParameters(sinc_before_jpeg=2.0)
    with pytest.raises(UsageError, match="images_per_draw"):
        two_stage(torch.zeros(1, 8, 8), 2, generator(), images_per_draw=0)
