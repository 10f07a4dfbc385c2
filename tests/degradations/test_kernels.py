"""Kernels: sums, symmetries, widths, the sinc filter's frequencies; how often each is drawn; blurring beside scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, ndimage

from fluosr.degradations.kernels import (
    SIZES_PX,
    KernelParameters,
    blur,
    draw_sinc_kernels,
    gaussian_kernels,
    plateau_kernels,
    sinc_kernels,
    sometimes,
)
from fluosr.errors import UsageError

MANY = 4000
AXIS = np.arange(21) - 10.0


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def one(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


def often(found: np.ndarray, probability: float) -> bool:
    """Whether so many of the draws came out true, to 4.5 standard deviations."""
    return bool(abs(found.mean() - probability) < 4.5 * math.sqrt(probability * (1 - probability) / len(found)))


@settings(max_examples=30)
@given(
    st.sampled_from(SIZES_PX),
    st.tuples(st.floats(0.2, 3), st.floats(0.2, 3)),
    st.floats(-math.pi, math.pi),
    st.floats(0.5, 4),
    st.floats(math.pi / 5, math.pi),
)
def test_a_kernel_sums_to_one_is_the_same_seen_from_behind_and_ends_at_its_size(size, sigmas, angle, beta, cutoff):
    sizes, sigma = torch.tensor([size]), torch.tensor([sigmas], dtype=torch.float64)
    turned = (sizes, sigma, one(angle), one(beta))
    for kernels in (gaussian_kernels(*turned), plateau_kernels(*turned), sinc_kernels(sizes, one(cutoff))):
        assert kernels.shape == (1, 21, 21)
        assert float(kernels.sum()) == pytest.approx(1, abs=1e-12)
        torch.testing.assert_close(kernels, kernels.flip(1, 2), rtol=1e-12, atol=1e-15)
        outside = np.maximum(abs(AXIS[:, None]), abs(AXIS[None])) > size // 2
        assert not kernels[0].numpy()[outside].any()


@pytest.mark.parametrize("angle", [0.0, 0.4, -2.0])
def test_a_gaussian_is_as_wide_along_each_axis_as_it_should_be(angle):
    kernel = gaussian_kernels(torch.tensor([21]), torch.tensor([[2.0, 1.0]]).double(), one(angle), one(1.0))[0].numpy()
    found = np.array(
        [
            [(kernel * AXIS[None] ** 2).sum(), (kernel * AXIS[None] * AXIS[:, None]).sum()],
            [(kernel * AXIS[None] * AXIS[:, None]).sum(), (kernel * AXIS[:, None] ** 2).sum()],
        ]
    )
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    np.testing.assert_allclose(found, turn @ np.diag([4.0, 1.0]) @ turn.T, atol=2e-3)


def test_generalised_kernels_and_plateaus_follow_their_formulas():
    sizes, sigmas = torch.tensor([21, 21]), torch.tensor([[2.0, 2.0], [2.0, 2.0]]).double()
    betas, angles = torch.tensor([0.5, 3.0]).double(), torch.zeros(2).double()
    radius = np.hypot(AXIS[:, None], AXIS[None])
    for kernels, law in (
        (gaussian_kernels(sizes, sigmas, angles, betas), lambda q, b: np.exp(-(q**b) / 2)),
        (plateau_kernels(sizes, sigmas, angles, betas), lambda q, b: 1 / (1 + q**b)),
    ):
        for kernel, beta in zip(kernels.numpy(), betas.tolist(), strict=True):
            np.testing.assert_allclose(kernel / kernel[10, 10], law((radius / 2) ** 2, beta), atol=1e-12)


def test_the_sinc_filter_is_the_disc_of_frequencies_seen_in_space():
    cutoff = 1.4
    kernel = sinc_kernels(torch.tensor([21]), one(cutoff))[0].numpy()

    def wave(y: int, x: int) -> float:
        """The disc's inverse Fourier transform, summed over its chords."""

        def chord(angle: float) -> float:
            half = cutoff * math.sin(angle)
            return 2 * half**2 * np.sinc(x * half / math.pi) * math.cos(cutoff * math.cos(angle) * y)

        return float(integrate.quad(chord, 0, math.pi, epsabs=1e-10)[0])

    for y, x in ((0, 1), (2, 3), (7, 0), (10, 10)):
        assert kernel[10 + y, 10 + x] / kernel[10, 10] == pytest.approx(wave(y, x) / wave(0, 0), abs=1e-6)


@pytest.mark.parametrize("cutoff", [math.pi / 3, 1.6, 2.2])
def test_the_sinc_filter_passes_what_lies_below_its_cutoff_and_stops_what_lies_above(cutoff):
    kernel = sinc_kernels(torch.tensor([21]), one(cutoff))[0].numpy()
    for angle in (0.0, 0.5, math.pi / 4):
        for share, wanted in ((0.0, 1.0), (0.3, 1.0), (0.6, 1.0), (1.0, 0.5), (1.4, 0.0)):
            frequency = share * cutoff
            phase = frequency * (AXIS[:, None] * math.sin(angle) + AXIS[None] * math.cos(angle))
            assert (kernel * np.cos(phase)).sum() == pytest.approx(wanted, abs=0.13)


def test_forms_are_drawn_as_often_as_they_should_be():
    # With both widths 1, the value at one pixel's distance tells plateaus, and the one at its diagonal tells beta.
    kernels = KernelParameters(sigma_px=(1.0, 1.0)).draw(MANY, generator()).numpy()
    sinc = kernels.min((1, 2)) < 0
    assert often(sinc, 0.1)
    near, diagonal = (kernels[~sinc, 10 + k, 11] / kernels[~sinc, 10, 10] for k in (0, 1))
    plateau = np.isclose(near, 0.5)
    assert often(plateau, 0.15)
    np.testing.assert_allclose(near[~plateau], math.exp(-0.5))
    beta = np.log2(-2 * np.log(diagonal[~plateau]))
    assert often(~np.isclose(beta, 1), 0.15 / 0.85)
    generalised = beta[~np.isclose(beta, 1)]
    assert 0.5 <= generalised.min() < 0.55 and 3.8 < generalised.max() <= 4
    assert often(generalised < 1, 0.5)
    flat = np.log2(1 / diagonal[plateau] - 1)
    assert flat.min() == pytest.approx(1) and 1.95 < flat.max() <= 2 + 1e-9
    assert often(np.isclose(flat, 1), 0.5)


def test_widths_angles_and_sizes_are_drawn_over_their_ranges():
    kernels = KernelParameters(sinc_probability=0.0).draw(MANY, generator(1)).numpy()
    assert often(np.isclose(kernels, kernels.swapaxes(1, 2)[:, ::-1], atol=1e-12).all((1, 2)), 0.69)
    gaussian = KernelParameters(probabilities=(0, 1, 0, 0, 0, 0), sinc_probability=0.0).draw(MANY, generator(2)).numpy()
    q = -2 * np.log(np.stack([gaussian[:, 10, 11], gaussian[:, 11, 10]]) / gaussian[:, 10, 10] + 1e-300)
    # 1 / sigma^2 along both axes sum to those along x and y, whatever the angle.
    assert (q.sum(0) >= 2 / 9 - 1e-6).all() and (q.sum(0) <= 2 / 0.04 + 1e-6).all()
    assert q.sum(0).min() < 2 / 8 and q.sum(0).max() > 30
    # Plateaus reach as far as their size.
    plateau = KernelParameters(probabilities=(0, 0, 0, 0, 1, 0), sinc_probability=0.0).draw(MANY, generator(3))
    widths = (plateau[:, 10] > 0).sum(1).numpy()
    assert all(often(widths == size, 1 / 8) for size in SIZES_PX)


def test_the_last_sinc_filter_and_a_blur_come_as_often_as_asked_for():
    kernels = draw_sinc_kernels(MANY, 0.8, math.pi / 3, generator())
    nothing = (kernels[:, 10, 10] == 1).numpy()
    assert often(nothing, 0.2)
    assert (kernels.numpy()[~nothing].min((1, 2)) < 0).all()
    blurs = sometimes(torch.full((MANY, 3, 3), 1 / 9), 0.8, generator(1))
    assert often((blurs[:, 1, 1] == 1).numpy(), 0.2)
    images = torch.rand(1, 9, 8, generator=generator())
    assert torch.equal(blur(images, sometimes(torch.full((1, 3, 3), 1 / 9), 0.0, generator())), images)


def test_each_image_is_convolved_with_its_own_kernel():
    images = torch.rand(3, 13, 30, generator=generator())  # smaller than the largest kernel
    kernels = torch.rand(3, 21, 21, generator=generator(1), dtype=torch.float64)
    kernels /= kernels.sum((1, 2), keepdim=True)
    found = blur(images, kernels).numpy()
    for image, kernel, blurred in zip(images.numpy(), kernels.numpy(), found, strict=True):
        np.testing.assert_allclose(blurred, ndimage.convolve(image.astype(float), kernel, mode="nearest"), atol=1e-5)


def test_same_seed_same_kernels():
    first, again, other = (KernelParameters().draw(20, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize(
    "wrong",
    [
        {"probabilities": (0.5, 0.5)},
        {"probabilities": (0.5, 0.5, 0.5, -0.5, 0, 0)},
        {"sinc_probability": 1.2},
        {"sigma_px": (0.0, 3.0)},
        {"sigma_px": (3.0, 2.0)},
        {"beta_plateau": (1.5, 2.0)},
    ],
)
def test_what_cannot_be_drawn_is_refused(wrong):
    with pytest.raises(UsageError):
        KernelParameters(**wrong)
