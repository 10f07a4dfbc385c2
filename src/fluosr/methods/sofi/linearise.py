"""bSOFI's linearisation: a cumulant of order n goes as brightness to the n; its n-th root adds up again.

The cumulant image is that of the emitters' brightness to the n, seen through U^n, sqrt(n) narrower than the PSF U.
Deconvolved from it, rooted, and seen through a PSF n times narrower than U, the image is linear in brightness
(Geissbuehler et al. 2012). Blurs are done on the cosine series of the image: the field is mirrored at its borders.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

CUT = 0.01  # times n, of the maximum: dimmer is taken for noise


class MirrorBlur:
    """A blur with a Gaussian, integrated over the pixels, of a field that is mirrored at its borders; its own adjoint.

    Args:
        shape: (Y, X) of the images.
        sigma_px: standard deviation, pixels of the image; 0 leaves it as it is.
    """

    def __init__(self, shape: tuple[int, int], sigma_px: float) -> None:
        rows, columns = (_transfer(n, sigma_px) for n in shape)
        self._transfer = rows[:, None] * columns

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """(Y, X) float64 -> (Y, X); of the same sum."""
        from scipy.fft import dctn, idctn

        blurred: np.ndarray = idctn(dctn(image, norm="ortho") * self._transfer, norm="ortho")
        return blurred


def _transfer(n: int, sigma_px: float) -> np.ndarray:
    """(n,) what the blur makes of each cosine: the transform of the kernel's samples, which are none negative."""
    from fluosr.optics.psf import gaussian_integrals

    if sigma_px <= 0:
        return np.ones(n)
    reach = int(np.ceil(6.0 * sigma_px)) + 1
    offsets = np.arange(-reach, reach + 1)
    kernel = gaussian_integrals(offsets - 0.5, 1.0, 0.0, sigma_px)
    return np.cos(np.pi * np.outer(np.arange(n), offsets) / n) @ (kernel / kernel.sum())


def richardson_lucy(image: np.ndarray, blur: MirrorBlur, iterations: int) -> Iterator[np.ndarray]:
    """Deconvolve: x <- x H(y / H x), from an even image.

    Args:
        image: (Y, X) y, not negative, not all 0.
        blur: H, its own adjoint.
        iterations: how many.

    Yields:
        (Y, X) x after each iteration, not negative.
    """
    least = 1e-9 * float(image.max())
    estimate = np.full(image.shape, image.mean())
    for _ in range(iterations):
        ratio = image / np.maximum(blur(estimate), least)
        estimate = estimate * np.maximum(blur(ratio), 0.0)
        yield estimate


def rooted(deconvolved: np.ndarray, order: int, narrow: MirrorBlur) -> np.ndarray:
    """The n-th root, cut under n % of its maximum, seen through the narrow PSF.

    Args:
        deconvolved: (Y, X) not negative.
        order: n.
        narrow: the blur that the result is seen through.
    """
    root = deconvolved ** (1.0 / order)
    root[root < CUT * order * root.max()] = 0.0
    return np.maximum(narrow(root), 0.0)
