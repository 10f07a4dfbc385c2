"""PULSE, BRGM (pixel) and bicubic: their own constraints, and that each has its misfit."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from fluosr.errors import UsageError
from fluosr.latent import brgm, pulse
from fluosr.latent.bicubic import bicubic_images
from fluosr.latent.degradation import Bicubic
from fluosr.latent.flow_lesson import drawn_codes
from fluosr.latent.gaussianisation import ElementwiseGaussian
from fluosr.latent.parameters import BrgmParameters, PulseParameters
from fluosr.latent.result import PlausibleImages
from fluosr.methods.base import Run
from tests.latent.small import made_generator
from tests.restorers import seeded

FOUR = Bicubic(32, 4)
PULSE = PulseParameters(iterations=25, fit_codes=2000)
BRGM = BrgmParameters(iterations=25, fit_codes=2000)


def coarse_of(count: int) -> np.ndarray:
    made = made_generator()
    return FOUR(made.samples(count, seeded(7))).numpy()


def pairs_of(codes: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(codes[i], codes[j]) for i in range(len(codes)) for j in range(i + 1, len(codes))]


def test_the_terms_between_layers_are_sums_over_pairs() -> None:
    codes = torch.randn(2, 5, 6, generator=seeded(), dtype=torch.float64)
    for n in range(2):
        cosines = torch.stack([torch.nn.functional.cosine_similarity(a, b, 0) for a, b in pairs_of(codes[n])])
        torch.testing.assert_close(brgm.cosine_distance(codes)[n], (1 - cosines).sum())
        torch.testing.assert_close(pulse.squared_angles(codes)[n], cosines.acos().square().sum())
    same = codes[:, :1].expand(-1, 5, -1).clone().requires_grad_()
    (brgm.cosine_distance(same) + pulse.squared_angles(same)).sum().backward()  # no angle has no slope, and no NaN
    assert same.grad is not None and bool(torch.isfinite(same.grad).all())


def test_pulse_stays_on_its_sphere_and_comes_nearer() -> None:
    made, coarse = made_generator(), coarse_of(3)
    run = Run(seed=3)
    found = pulse.pulse(made, FOUR, coarse, PULSE, run)
    drawn = torch.Generator().manual_seed(run.stream_seed("whitening") % 2**63)
    whitened = ElementwiseGaussian.fitted(drawn_codes(made.network, 2000, drawn))
    starts = torch.Generator().manual_seed(run.stream_seed("start") % 2**63)
    start = torch.randn(3, 8, 6, generator=starts)
    assert found.codes is not None and found.history is not None
    v = whitened(torch.from_numpy(found.codes))
    torch.testing.assert_close(v.norm(dim=2), start.norm(dim=2), rtol=1e-4, atol=1e-4)
    assert (found.history["loss"][-1] < found.history["loss"][0]).all()


def test_brgm_comes_nearer_and_a_stronger_prior_keeps_it_nearer_the_mean() -> None:
    made, coarse = made_generator(), coarse_of(2)
    far = []
    for weight in (0.01, 100.0, 1e6):
        found = brgm.brgm_pixel(made, FOUR, coarse, BRGM.model_copy(update={"weight_w": weight}))
        assert found.method == "BRGM (pixel)" and found.history is not None
        far.append(float(found.history["w"][-1].mean()))
        if weight == 0.01:
            assert (found.history["loss"][-1] < found.history["loss"][0]).all()
    assert all(more > less for more, less in pairwise(far))


def test_layers_are_held_together_more_above_a_factor_of_16() -> None:
    made, losses = made_generator(), {}
    for factor in (16, 32):
        degrade = Bicubic(32, factor)
        coarse = degrade(made.samples(1, seeded(7))).numpy()
        history = brgm.brgm_pixel(made, degrade, coarse, BRGM.model_copy(update={"iterations": 2})).history
        assert history is not None
        rest = history["loss"] - 0.001 * history["pixel"] - 100 * history["w"]
        losses[factor] = float(rest[1, 0] / history["cosine"][1, 0])
    assert losses[16] == pytest.approx(0.1, rel=0.05) and losses[32] == pytest.approx(1.0, rel=0.05)


def test_bicubic_invents_nothing() -> None:
    made = made_generator()
    flat = np.broadcast_to(np.array([300.0, 90.0])[:, None, None], (1, 2, 8, 8)).copy()
    flat[0, :, 4, 4] += 1
    found = bicubic_images(made, FOUR, flat)
    np.testing.assert_allclose(found.images[0, :, :8, :8], flat[0, :, :1, :1].repeat(8, 1).repeat(8, 2), rtol=1e-5)
    assert found.images.shape == (1, 2, 32, 32) and found.misfit_grey.max() < 0.1


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", ["pulse", "brgm"])
def test_a_batch_changes_nothing(name: str, batch: int) -> None:
    made, coarse = made_generator(), coarse_of(3)
    few = {"iterations": 4, "batch": batch}

    def found(update: dict[str, int]) -> PlausibleImages:
        if name == "pulse":
            return pulse.pulse(made, FOUR, coarse, PULSE.model_copy(update=few | update))
        return brgm.brgm_pixel(made, FOUR, coarse, BRGM.model_copy(update=few | update))

    np.testing.assert_allclose(found({}).images, found({"batch": 3}).images, rtol=2e-3)


def test_coarse_images_that_do_not_fit_are_refused() -> None:
    made = made_generator()
    for method in (pulse.pulse, brgm.brgm_pixel, bicubic_images):
        with pytest.raises(UsageError, match="channels DNA, GFP"):
            method(made, FOUR, coarse_of(1)[:, :1])
