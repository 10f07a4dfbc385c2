"""JPEG: beside the standard's own arithmetic, what it does to constant images, and to sizes that are not multiples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import fft

from fluosr.degradations.jpeg import jpeg

# ITU-T T.81, Table K.1: luminance.
TABLE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)


def by_the_standard(level: np.ndarray, quality: int) -> np.ndarray:
    """Blocks of 8 x 8, cosine transform, rounded to multiples of the table, and back."""
    share = 50 / quality if quality < 50 else 2 - quality / 50
    steps = np.clip(np.floor(TABLE * share + 0.5), 1, 255)
    found = np.empty_like(level, dtype=float)
    for i in range(0, level.shape[0], 8):
        for j in range(0, level.shape[1], 8):
            waves = fft.dctn(level[i : i + 8, j : j + 8] - 128.0, norm="ortho")
            found[i : i + 8, j : j + 8] = fft.idctn(np.rint(waves / steps) * steps, norm="ortho") + 128
    return np.clip(np.rint(found), 0, 255)


def smooth(*shape: int) -> torch.Tensor:
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.avg_pool2d(images[:, None], 5, 1, 2, count_include_pad=False)[:, 0]


@pytest.mark.parametrize("quality", [30, 50, 75, 95])
def test_it_is_the_standards_arithmetic(quality):
    images = (smooth(1, 40, 48) * 255).round() / 255
    found = jpeg(images, torch.tensor([float(quality)]))[0].numpy() * 255
    wanted = by_the_standard(images[0].numpy() * 255, quality)
    # Integer transforms round a coefficient now and then to the other side.
    assert np.median(abs(found - wanted)) <= 1 and np.mean(abs(found - wanted)) < 1
    lost = np.mean(abs(wanted - images[0].numpy() * 255))
    assert np.mean(abs(found - images[0].numpy() * 255)) == pytest.approx(lost, rel=0.1)


@pytest.mark.parametrize("quality", [30.0, 64.4, 95.0])
def test_a_constant_image_stays_constant_to_half_a_step(quality):
    found = jpeg(torch.full((1, 33, 19), 0.37), torch.tensor([quality]))
    assert float(found.max() - found.min()) == 0
    step = TABLE[0, 0] * (50 / quality if quality < 50 else 2 - quality / 50) / 8
    assert abs(float(found.mean()) - 0.37) * 255 <= step / 2 + 1.5


def test_each_image_has_its_own_quality_and_any_size_comes_back():
    images = smooth(1, 37, 21).repeat(2, 1, 1)
    found = jpeg(images, torch.tensor([30.0, 95.0]))
    assert found.shape == images.shape and found.dtype == images.dtype
    worse, better = (found - images).abs().mean((1, 2)).tolist()
    assert worse > 2 * better
