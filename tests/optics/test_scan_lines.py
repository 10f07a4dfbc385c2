"""Laws of the PSF line by line: it is the separable operator with a shift in every line, and light is kept."""

import numpy as np
import pytest
import torch

from fluosr.errors import OpticsError
from fluosr.optics.operators import SeparableOperator
from fluosr.optics.psf import GaussianPSF
from fluosr.optics.sampling import Grid
from fluosr.optics.scan_lines import blur_lines, reach_px

PIXEL = 100.0


def blurred(lines, factor, sigma, shifts):
    width = torch.full((len(lines), 1), sigma, dtype=lines.dtype)
    reach = reach_px(sigma, float(shifts.abs().max()))
    return blur_lines(lines, factor, width, shifts.to(lines.dtype), reach_px=reach)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_each_line_is_the_separable_operator_with_its_shift(factor):
    generator = np.random.default_rng(0)
    margin, field, shifts = 8, (12, 20), (0.0, 0.7, -1.3)
    psf = GaussianPSF(250.0)
    grid = Grid(field, factor, margin)
    # An image inside the margin's dark: its mirror images stay out of sight.
    image = torch.as_tensor(generator.random((field[0] * factor, field[1] * factor)))
    wide = grid.embed(image)
    operator = SeparableOperator(grid, psf, PIXEL, shifts=[(0.0, dx) for dx in shifts], dtype=torch.float64)
    sigma = psf.sigma_nm / PIXEL
    across = blurred(wide.T[None], factor, sigma, torch.zeros(1, 1)).transpose(1, 2)
    for shift, wanted in zip(shifts, operator.forward(wide), strict=True):
        found = blurred(across, factor, sigma, torch.full((1, across.shape[1]), shift))
        inside = found[0, margin:-margin, margin:-margin]
        assert torch.allclose(inside, wanted, atol=1e-5)


def test_lines_with_shifts_of_their_own_do_not_mix():
    lines = torch.rand(2, 5, 60, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shifts = torch.linspace(-1, 1, 10).reshape(2, 5)
    together = blurred(lines, 2, 1.1, shifts)
    for b in range(2):
        for n in range(5):
            alone = blur_lines(
                lines[b : b + 1, n : n + 1],
                2,
                torch.full((1, 1), 1.1, dtype=torch.float64),
                shifts[b : b + 1, n : n + 1].double(),
                reach_px=reach_px(1.1, 1.0),
            )
            assert torch.allclose(together[b, n], alone[0, 0], atol=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.3, -0.9])
def test_light_and_centroid_are_kept(shift):
    lines = torch.zeros(1, 1, 80, dtype=torch.float64)
    lines[0, 0, 41] = 3.0  # centre at 20.75 pixels
    seen = blurred(lines, 2, 0.9, torch.full((1, 1), shift))
    centres = torch.arange(40, dtype=torch.float64) + 0.5
    assert float(seen.sum()) == pytest.approx(3.0, rel=2e-6)
    assert float((seen[0, 0] * centres).sum() / seen.sum()) == pytest.approx(20.75 + shift, abs=1e-4)


def test_an_even_line_stays_even_up_to_its_ends():
    seen = blurred(torch.ones(1, 3, 40), 2, 1.0, torch.tensor([[0.0, 0.5, -0.5]]))
    assert torch.allclose(seen, torch.full_like(seen, 2.0), atol=1e-5)


def test_what_does_not_fit_is_refused():
    with pytest.raises(OpticsError, match="does not divide"):
        blurred(torch.ones(1, 1, 41), 2, 1.0, torch.zeros(1, 1))
    with pytest.raises(OpticsError, match="larger image"):
        blurred(torch.ones(1, 1, 8), 2, 3.0, torch.zeros(1, 1))
