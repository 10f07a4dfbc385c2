"""Richardson-Lucy of frames, against plain convolutions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import convolve2d

from fluosr.optics.psf import GaussianPSF
from fluosr.solvers.frame_deconvolution import FrameDeconvolution

KERNEL = GaussianPSF(300.0).kernel(100.0)


def slow(frame: np.ndarray, iterations: int) -> np.ndarray:
    """x <- x H^T(d / H x) / H^T 1 on a field with a margin; H is convolve2d cut to the field."""
    margin = KERNEL.shape[0] // 2
    image = np.pad(frame, margin, mode="edge")
    seen = np.maximum(convolve2d(np.ones(frame.shape), KERNEL, mode="full"), 1e-4)
    for _ in range(iterations):
        blurred = convolve2d(image, KERNEL, mode="valid")
        image = image * convolve2d(frame / blurred, KERNEL, mode="full") / seen
    return image[margin:-margin, margin:-margin]


@pytest.mark.parametrize("field", [(11, 8), (5, 6)])
def test_it_is_the_formula(field: tuple[int, int]) -> None:
    frames = np.random.default_rng(0).poisson(9.0, (3, *field)).astype(np.float32)
    found = FrameDeconvolution(field, KERNEL, 7).apply(frames)
    for frame, one in zip(frames, found, strict=True):
        np.testing.assert_allclose(one, slow(frame.astype(float), 7), rtol=2e-3, atol=2e-3)


def test_an_even_frame_stays_even_up_to_its_border() -> None:
    frames = np.full((1, 9, 10), 4.0, np.float32)
    np.testing.assert_allclose(FrameDeconvolution((9, 10), KERNEL, 20).apply(frames), frames, rtol=1e-4)


def test_darkness_and_no_iterations_change_nothing() -> None:
    dark = np.zeros((2, 9, 10), np.float32)
    assert not FrameDeconvolution((9, 10), KERNEL, 5).apply(dark).any()
    frames = np.random.default_rng(0).random((2, 9, 10)).astype(np.float32)
    np.testing.assert_array_equal(FrameDeconvolution((9, 10), KERNEL, 0).apply(frames), frames)
