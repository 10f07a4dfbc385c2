"""How close an image comes to a known truth: correlation, and error after the best scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FLAT = 4 * float(np.finfo(np.float32).eps)  # spread of an image, relative to its size, that is only rounding


@dataclass(frozen=True)
class Fidelity:
    """Agreement with the truth.

    Attributes:
        correlation: Pearson's, over all fine pixels.
        nrmse: min over s of |s image - truth| / |truth|.
        scale: the s of that minimum; 1 when photons are kept.
        photons_ratio: sum of the image over sum of the truth.
        shift_px: (y, x) displacement of the image against the truth, fine pixels, from the slope of the
            cross-spectrum's phase at low frequencies.
    """

    correlation: float
    nrmse: float
    scale: float
    photons_ratio: float
    shift_px: tuple[float, float]


def fidelity(image: np.ndarray, truth: np.ndarray) -> Fidelity:
    """Compare an image with the truth, both (ny, nx) on one fine grid.

    Raises:
        ValueError: shapes differ or the truth is constant.
    """
    image, truth = np.asarray(image, float), np.asarray(truth, float)
    if image.shape != truth.shape:
        raise ValueError(f"image {image.shape} and truth {truth.shape} lie on different grids")
    if truth.std() == 0:
        raise ValueError("the truth is constant: nothing to compare with")
    spread = image.std()
    correlation = float(np.corrcoef(image.ravel(), truth.ravel())[0, 1]) if spread > 0 else 0.0
    scale = best_scale(image, truth)
    nrmse = float(np.linalg.norm(scale * image - truth) / np.linalg.norm(truth))
    ratio = float(image.sum() / truth.sum())
    return Fidelity(correlation, nrmse, scale, ratio, displacement(image, truth))


def best_scale(image: np.ndarray, truth: np.ndarray) -> float:
    """The s of min |s image - truth|^2 over all pixels; 0 for an image of zeros."""
    energy = float((image * image).sum())
    return float((image * truth).sum()) / energy if energy > 0 else 0.0


def gain_and_offset(image: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """The a >= 0 and b of min |a image + b - truth|^2, both of one shape.

    A flat image, and one that falls where the truth rises, have a = 0: a gain never turns an image over.
    """
    image_mean, truth_mean = float(image.mean()), float(truth.mean())
    deviation = image - image_mean
    # What is left of a flat image is rounding, which a large enough gain would fit to anything.
    flat = float((deviation * deviation).sum()) <= FLAT**2 * float((image * image).sum())
    gain = 0.0 if flat else max(best_scale(deviation, truth - truth_mean), 0.0)
    return gain, truth_mean - gain * image_mean


def displacement(
    image: np.ndarray, reference: np.ndarray, *, periods_px: tuple[float, float] = (12.0, 64.0)
) -> tuple[float, float]:
    """(y, x) shift of ``image`` against ``reference``, in pixels: least squares on the cross-spectrum's phase.

    Args:
        image, reference: (ny, nx), dark at their borders (nothing is windowed).
        periods_px: shortest and longest period used. Finer structure is noise; coarser phase tells of brightness that
            varies over the field (a background left in, a slope), not of place.
    """
    cross = np.fft.fft2(image - np.mean(image)) * np.conj(np.fft.fft2(reference - np.mean(reference)))
    fy, fx = np.fft.fftfreq(image.shape[0])[:, None], np.fft.fftfreq(image.shape[1])[None, :]
    frequency = np.hypot(fy, fx)
    inside = (frequency <= 1.0 / periods_px[0]) & (frequency >= 1.0 / periods_px[1])
    weight = np.abs(cross[inside])
    if weight.sum() == 0:
        return 0.0, 0.0
    phase = -np.angle(cross[inside]) / (2 * np.pi)
    fy, fx = (np.broadcast_to(f, cross.shape)[inside] for f in (fy, fx))
    normal = np.array([[weight @ (fy * fy), weight @ (fy * fx)], [weight @ (fy * fx), weight @ (fx * fx)]])
    right = np.array([weight @ (fy * phase), weight @ (fx * phase)])
    dy, dx = np.linalg.lstsq(normal, right, rcond=None)[0]
    return float(dy), float(dx)
