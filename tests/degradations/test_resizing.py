"""Resizing: what stays constant, whose mean stays, and where things lie afterwards."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fluosr.degradations.resizing import MODES, resize

SHAPES = [(61, 46), (17, 23), (12, 9), (90, 75)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_constant_image_stays_constant(mode, antialias, shape):
    found = resize(torch.full((2, 61, 46), 0.3), shape, mode, antialias=antialias)
    assert found.shape == (2, *shape)
    torch.testing.assert_close(found, torch.full((2, *shape), 0.3))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_mean_is_kept(mode, shape):
    images = torch.rand(4, 61, 46, generator=torch.Generator().manual_seed(0))
    # Overlapping areas and borders weigh some pixels more than others: the noise of the mean, and not more.
    np.testing.assert_allclose(resize(images, shape, mode).mean((1, 2)), images.mean((1, 2)), atol=0.02)


def test_areas_are_means_of_blocks():
    images = torch.rand(2, 12, 20, generator=torch.Generator().manual_seed(0))
    blocks = images.reshape(2, 4, 3, 5, 4).mean((2, 4))
    torch.testing.assert_close(resize(images, (4, 5), "area"), blocks)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("shape", [(33, 42), (90, 80), (30, 30), (120, 120)])
def test_a_blob_stays_where_it_was(mode, antialias, shape):
    y, x = np.meshgrid((np.arange(60) + 0.5) / 60, (np.arange(60) + 0.5) / 60, indexing="ij")
    blob = torch.as_tensor(np.exp(-((y - 0.4) ** 2 + (x - 0.55) ** 2) / 2 / 0.08**2))[None]
    found = resize(blob, shape, mode, antialias=antialias)[0].numpy()
    rows, columns = ((np.arange(n) + 0.5) / n for n in shape)
    assert (found.sum(1) * rows).sum() / found.sum() == pytest.approx(0.4, abs=2e-3)
    assert (found.sum(0) * columns).sum() / found.sum() == pytest.approx(0.55, abs=2e-3)


def test_without_antialiasing_pixels_are_passed_over():
    images = torch.zeros(1, 60, 60)
    images[0, 5::10, 5::10] = 1.0
    assert float(resize(images, (6, 6), "bilinear").mean()) == pytest.approx(0.01, rel=0.1)
    assert float(resize(images, (6, 6), "bilinear", antialias=False).mean()) == pytest.approx(0.25)
