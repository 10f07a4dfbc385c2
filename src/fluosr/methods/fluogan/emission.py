"""Frames of a generator whose emitters fluctuate, model (3) and its kin, and the gradient through their draws.

    y = Poisson(A e + b) + noise,   e drawn about x = G c

Through the outer draw the gradient is that of eqs. (18)-(19): df/dy at the frame stands for d/d(A e + b) E f(y). The
inner draws obey the same law with the photons of one burst, here for e = kappa Poisson(x / kappa):

    d/dx_i E g(e) = E[g(e + kappa 1_i) - g(e)] / kappa,   approximated by E[dg/de_i],

exact for linear g, with an error of second order in kappa dg/de: the coarser the burst, the coarser the rule. For
molecules that blink the same approximation has the same error, as far as g is a parabola: what it leaves out is that
the variance, kappa x, grows with x. With it x is pulled as if e were x. A Gamma variable has a density, and its draws
a derivative of their own, de_i/dx_i (pathwise, without any bias): dg/de_i is multiplied by it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from fluosr.emitters import CompoundPoissonEmitters, Emitters, GammaEmitters, PoissonEmitters
from fluosr.methods.fluogan.setup import Setup
from fluosr.optics.operators import imaging_operator

SMALLEST_SHAPE = 1e-3  # of a Gamma variable: below, its derivative is 0 but for rare huge values, and 1 stands for it
SMALLEST_DRAW = 1e-290  # in double precision


def draw(
    emitters: Emitters, mean: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """One frame's emission, and its derivative with respect to the mean.

    Args:
        emitters: the model.
        mean: (ny, nx) x >= 0, photons per fine pixel.
        generator: source of randomness, on the device of ``mean``.

    Returns:
        e (ny, nx), and de/dx (ny, nx), or None where 1 stands for it.
    """
    if isinstance(emitters, PoissonEmitters):
        return torch.poisson(mean, generator=generator), None
    if isinstance(emitters, CompoundPoissonEmitters):
        kappa = emitters.fano_factor
        return kappa * torch.poisson(mean / kappa, generator=generator), None
    if isinstance(emitters, GammaEmitters):
        shape = (mean / emitters.fano_factor).double()
        # The two functions behind torch.distributions.Gamma, which itself takes no generator.
        drawn = torch._standard_gamma(shape.clamp_min(1e-12), generator=generator)
        slope = torch._standard_gamma_grad(shape.clamp_min(SMALLEST_SHAPE), drawn)
        slope = torch.where(drawn > SMALLEST_DRAW, slope, 0.0)  # its limit at 0, where the digits end
        return (emitters.fano_factor * drawn).to(mean), torch.where(shape < SMALLEST_SHAPE, 1.0, slope).to(mean)
    seed = int(torch.randint(2**62, (1,), generator=generator, device=mean.device))
    sampled = emitters.sample(mean.double().cpu().numpy(), np.random.default_rng(seed))
    return torch.as_tensor(sampled).to(mean), None


@dataclass(eq=False)
class Light:
    """What a batch of frames shows of the emitters, before background and camera.

    Attributes:
        expected: (B, Y, X) A e, photons, bleaching included.
        slopes: B times (ny, nx) de/dx, or None for 1.
    """

    expected: torch.Tensor
    slopes: list[torch.Tensor | None]


class FluctuatingLight:
    """Draws the light of emitters that fluctuate, frame by frame, and pulls gradients back through it.

    Args:
        setup: the operator with its grains, shifts and borders.
        emitters: how x fluctuates.
        check: called before each frame that is drawn, as many molecules take long; may raise to stop.
    """

    def __init__(self, setup: Setup, emitters: Emitters, check: Callable[[], None] = lambda: None) -> None:
        self.emitters, self._check = emitters, check
        self._grains = setup.operator
        acquisition = setup.acquisition
        self._fine = imaging_operator(
            acquisition.field_shape,
            setup.factor,
            acquisition.psf,
            acquisition.pixel_size_nm,
            shifts=setup.shifts,
            periodic=setup.parameters.borders == "periodic",
            dtype=setup.operator.dtype,
            device=setup.operator.device,
            grid=setup.operator.grid,
        )

    def sample(
        self, sources: torch.Tensor, groups: torch.Tensor, levels: torch.Tensor, generator: torch.Generator
    ) -> Light:
        """One frame for each drift group in ``groups``.

        Args:
            sources: the grains c; negative ones, which only an extrapolated point has, give no light.
            groups: (B,) drift groups.
            levels: (B, 1, 1) brightness of each frame (bleaching).
            generator: source of randomness.

        Raises:
            StopRequested: the user asked to stop.
        """
        mean = self._grains.spread(sources).clamp_min(0.0)
        frames, slopes = [], []
        for group, level in zip(groups.tolist(), levels.flatten().tolist(), strict=True):
            self._check()
            emission, slope = draw(self.emitters, mean * level, generator)
            frames.append(self._fine.forward_one(emission, group))
            slopes.append(slope)
        return Light(torch.stack(frames), slopes)

    def beyond_straight_through(self, light: Light, groups: torch.Tensor, pull: torch.Tensor) -> torch.Tensor | None:
        """What the draws' own derivative adds to the gradient of the grains, beside de/dx = 1; None where nothing.

        Args:
            light: the frames' light, as it was drawn.
            groups: (B,) drift groups.
            pull: (B, Y, X) df/dy of each frame.
        """
        total = None
        for slope, group, image in zip(light.slopes, groups.tolist(), pull, strict=True):
            if slope is not None:
                placed = torch.zeros((self._fine.n_groups, *image.shape), dtype=image.dtype, device=image.device)
                placed[group] = image
                part = (slope - 1.0) * self._fine.adjoint(placed)
                total = part if total is None else total + part
        if total is None:
            return None
        sources = torch.zeros(self._grains.shape, dtype=total.dtype, device=total.device, requires_grad=True)
        (pulled,) = torch.autograd.grad((self._grains.spread(sources) * total).sum(), sources)
        return pulled
