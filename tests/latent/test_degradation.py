"""D: linear, means kept, as slow references have it, and its gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from fluosr.camera import Camera
from fluosr.errors import UsageError
from fluosr.latent.degradation import Bicubic, Degradation, Microscope, exposed
from fluosr.latent.disturbances import with_blur, with_gaussian_noise, with_salt_and_pepper
from fluosr.optics.psf import AiryPSF, GaussianPSF
from tests.restorers import seeded

GAUSSIAN, AIRY = GaussianPSF(fwhm_nm=900.0), AiryPSF(na=0.4, wavelength_nm=600.0)
ALL = {
    "bicubic 8": Bicubic(32, 8),
    "bicubic 16": Bicubic(64, 16),
    "bicubic 32": Bicubic(64, 32),
    "Gaussian": Microscope(32, 4, GAUSSIAN, 200.0),
    "Airy": Microscope(32, 8, AIRY, 200.0),
}


def sharp(resolution: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(3, 2, resolution, resolution, generator=seeded(seed), dtype=torch.float64)


def side(degradation: Degradation) -> int:
    return 64 if degradation.factor in (16, 32) else 32


@pytest.mark.parametrize("name", ALL)
def test_it_is_linear_keeps_constants_and_takes_each_image_for_itself(name: str) -> None:
    degrade = ALL[name]
    images = sharp(side(degrade))
    coarse = degrade(images)
    assert coarse.shape == (3, 2, side(degrade) // degrade.factor, side(degrade) // degrade.factor)
    torch.testing.assert_close(degrade(7 * images - 3), 7 * coarse - 3)
    torch.testing.assert_close(degrade(images[1:2]), coarse[1:2])
    turned = degrade(images.transpose(2, 3)).transpose(2, 3)
    torch.testing.assert_close(turned, coarse)
    torch.testing.assert_close(degrade(images.float()), coarse.float())


@pytest.mark.parametrize("name", ["bicubic 8", "Gaussian", "Airy"])
def test_its_gradient_is_that_of_differences(name: str) -> None:
    degrade = ALL[name]
    images = sharp(side(degrade))[:1, :1].requires_grad_()
    weights = torch.rand(degrade(images).shape, generator=seeded(5), dtype=torch.float64)
    (degrade(images) * weights).sum().backward()
    assert images.grad is not None
    for y, x in ((0, 0), (3, 17), (31, 8)):
        more = images.detach().clone()
        more[0, 0, y, x] += 1.0
        difference = ((degrade(more) - degrade(images.detach())) * weights).sum()
        torch.testing.assert_close(images.grad[0, 0, y, x], difference)


@pytest.mark.parametrize(("resolution", "factor"), [(32, 8), (64, 16), (128, 32), (32, 32)])
def test_bicubic_is_the_common_antialiased_one(resolution: int, factor: int) -> None:
    images = sharp(resolution)
    common = torch.nn.functional.interpolate(images, scale_factor=1 / factor, mode="bicubic", antialias=True)
    torch.testing.assert_close(Bicubic(resolution, factor)(images), common)


def test_the_microscope_blurs_and_averages() -> None:
    image = sharp(64)[:1, :1]
    sigma_px = GAUSSIAN.sigma_nm / 100.0
    finer = np.kron(image[0, 0].numpy(), np.ones((3, 3)))  # its integral over pixels, nearly
    blurred = gaussian_filter(finer, 3 * sigma_px, mode="nearest", truncate=6)
    reference = blurred.reshape(8, 24, 8, 24).mean((1, 3))
    found = Microscope(64, 8, GAUSSIAN, 100.0)(image)[0, 0].numpy()
    np.testing.assert_allclose(found, reference, atol=2e-3)
    assert np.ptp(reference) > 0.02  # ten times that


def test_a_large_field_has_a_gradient_too() -> None:
    images = torch.rand(1, 1, 256, 256, generator=seeded()).requires_grad_()
    Microscope(256, 2, GaussianPSF(300.0), 100.0)(images).sum().backward()
    assert images.grad is not None
    torch.testing.assert_close(images.grad.sum(), torch.tensor(128.0**2))


@pytest.mark.parametrize(("resolution", "factor"), [(32, 3), (32, 64), (32, 0)])
def test_a_factor_that_does_not_fit_is_refused(resolution: int, factor: int) -> None:
    with pytest.raises(UsageError, match="that divide a side of 32"):
        Bicubic(resolution, factor)


def test_a_camera_counts_the_light_above_the_dark() -> None:
    coarse = np.full((400, 2, 4, 4), 300.0)
    camera = Camera(2.0, 100.0, 3.0)
    counted = exposed(coarse, np.array([100.0, 0.0]), np.array([0.5, 2.0]), camera, np.random.default_rng(0))
    np.testing.assert_allclose(counted.mean((0, 2, 3)), 300, atol=1)
    # 100 and 600 photons, and 3 electrons rms: in grey values twice, and half as much.
    np.testing.assert_allclose(counted.std((0, 2, 3)), [2 * np.sqrt(109), np.sqrt(609) / 2], rtol=0.03)


def test_disturbances_are_as_strong_as_they_say() -> None:
    flat = torch.zeros(20, 2, 32, 32)
    assert float(with_gaussian_noise(flat, 0.3, seeded()).std()) == pytest.approx(0.3, rel=0.02)
    hit = with_salt_and_pepper(flat, 0.1, -1.0, 1.0, seeded())
    shares = [float((hit == value).float().mean()) for value in (-1.0, 0.0, 1.0)]
    assert shares == pytest.approx([0.05, 0.9, 0.05], abs=0.005)
    assert not torch.equal(hit[:, 0], hit[:, 1])
    images = sharp(32)
    reference = gaussian_filter(images[2, 1].numpy(), 1.5, mode="nearest", truncate=4)
    np.testing.assert_allclose(with_blur(images, 1.5)[2, 1].numpy(), reference, atol=1e-6)


def test_disturbances_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="share"):
        with_salt_and_pepper(sharp(32), 1.5, 0.0, 1.0, seeded())
    with pytest.raises(UsageError, match="sigma_px"):
        with_blur(sharp(32), 0.0)
