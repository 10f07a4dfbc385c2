"""Light of points in pixels: against quadrature, against the imaging operator, and its derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fluosr.errors import OpticsError
from fluosr.limits.moments import PairModel
from fluosr.limits.response import pixel_response
from fluosr.limits.scene import Experiment, Pair
from fluosr.optics.operators import imaging_operator
from fluosr.optics.psf import AiryPSF, GaussianPSF, MeasuredPSF, PointSpreadFunction

PLACES = np.array([[0.0, 0.0], [37.0, -61.0], [-140.0, 222.0]])
GAUSSIAN, AIRY = GaussianPSF(324.0), AiryPSF(1.3, 820.0)


@pytest.mark.parametrize("psf", [GAUSSIAN, AIRY], ids=["gaussian", "airy"])
def test_a_point_is_the_psf_integrated_over_each_pixel(psf: PointSpreadFunction) -> None:
    found, _, _ = pixel_response(psf, (5, 6), 100.0, PLACES)
    fine = (np.arange(-3000, 3000, 5.0) + 2.5)[:, None], (np.arange(-3000, 3000, 5.0) + 2.5)[None]
    for number, (y, x) in enumerate(PLACES):
        radius = np.hypot(fine[0] - y, fine[1] - x)
        if isinstance(psf, AiryPSF):
            light = psf(radius) * np.pi * (psf.na / psf.wavelength_nm) ** 2 * 25.0
        else:
            light = np.exp(-(radius**2) / (2 * GAUSSIAN.sigma_nm**2)) / (2 * np.pi * GAUSSIAN.sigma_nm**2) * 25.0
        inside = light[550:650, 540:660].reshape(5, 20, 6, 20).sum((1, 3))  # 5 x 6 pixels of 20 samples
        np.testing.assert_allclose(found[:, number], inside.ravel(), rtol=1e-3, atol=2e-4 * inside.max())


@pytest.mark.parametrize("psf", [GAUSSIAN, AIRY], ids=["gaussian", "airy"])
def test_its_derivatives_are_those_of_finite_differences(psf: PointSpreadFunction) -> None:
    _, by_y, by_x = pixel_response(psf, (6, 5), 100.0, PLACES)
    for slope, step in ((by_y, [0.01, 0.0]), (by_x, [0.0, 0.01])):
        ends = [pixel_response(psf, (6, 5), 100.0, PLACES + sign * np.array(step))[0] for sign in (1, -1)]
        np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 0.02, rtol=1e-5, atol=1e-12)


def test_lines_are_those_of_the_imaging_operator() -> None:
    operator = imaging_operator((16, 16), 12, GAUSSIAN, 100.0, dtype=torch.float64)
    y, x = ((np.arange(n) + 0.5) / 12 - operator.grid.margin - 8.0 for n in operator.grid.shape)
    fine = 100.0 / 12
    lines = np.zeros(operator.grid.shape)
    for offset in (-100.0, 100.0):
        across = np.clip((50.0 - np.abs(x * 100.0 - offset)) / fine + 0.5, 0.0, 1.0)
        lines += np.outer(np.clip((400.0 - np.abs(y * 100.0)) / fine + 0.5, 0.0, 1.0), across)
    wanted = operator.forward(torch.as_tensor(lines / lines.sum()))[0].numpy()
    model = PairModel(Experiment(GAUSSIAN, background_fraction=0.0), Pair(width_nm=100.0), (16, 16))
    parameters = model.parameters(200.0)
    found = model.moments(parameters).mean.reshape(16, 16) / parameters[model.names.index("photons")]
    np.testing.assert_allclose(found, wanted, atol=1e-4 * wanted.max())


def test_a_tilted_pair_is_the_upright_one_turned() -> None:
    means = []
    for angle in (45.0, -45.0):
        model = PairModel(Experiment(), Pair(angle_deg=angle), (14, 14))
        means.append(model.moments(model.parameters(150.0)).mean.reshape(14, 14))
    np.testing.assert_allclose(means[0], np.rot90(means[1]), rtol=1e-9)


@pytest.mark.parametrize("shape", ["lines", "points"])
@pytest.mark.parametrize("separation_nm", [30.0, 250.0])
def test_the_brightest_pixel_holds_the_photons_that_were_asked_for(shape: str, separation_nm: float) -> None:
    experiment = Experiment(photons=7.0, background_fraction=0.0)
    pair = Pair(shape, width_nm=60.0)  # type: ignore[arg-type]
    light = []
    for centre in np.arange(-50.0, 50.0, 2.5):
        model = PairModel(experiment, pair, (17, 17))
        light.append(model.moments(model.parameters(separation_nm, centre)).mean.max())
    assert max(light) == pytest.approx(7.0, rel=2e-3)


def test_a_measured_psf_is_refused() -> None:
    bead = MeasuredPSF(GAUSSIAN.kernel(50.0), 50.0)
    with pytest.raises(OpticsError, match="Gaussian or an Airy"):
        pixel_response(bead, (4, 4), 100.0, PLACES)
