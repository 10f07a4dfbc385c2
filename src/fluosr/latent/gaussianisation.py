"""How Gaussian transformed codes are: their squared norms against chi-squared (section 3.2 and Fig. 1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from fluosr.generation.model import TrainedGenerator
from fluosr.latent.flow import LatentFlow
from fluosr.latent.flow_lesson import drawn_codes

SAMPLES = 5000
PULSE_SLOPE = 5.0  # the mapping ends in a leaky ReLU of slope 1/5: this one takes it back


@dataclass(frozen=True, eq=False)
class ElementwiseGaussian:
    """PULSE's transform: leaky ReLU of slope 5, then each coordinate less its mean, over its standard deviation.

    Args:
        mean, spread: (d,) of the codes after the leaky ReLU.

    Source:
        S. Menon et al., PULSE, CVPR (2020).
    """

    mean: torch.Tensor
    spread: torch.Tensor

    @classmethod
    def fitted(cls, codes: torch.Tensor) -> ElementwiseGaussian:
        """To codes w (N, d)."""
        opened = torch.nn.functional.leaky_relu(codes, PULSE_SLOPE)
        return cls(opened.mean(0), opened.std(0))

    def __call__(self, w: torch.Tensor) -> torch.Tensor:
        """w (..., d) -> v (..., d)."""
        return (torch.nn.functional.leaky_relu(w, PULSE_SLOPE) - self.mean) / self.spread

    def inverse(self, v: torch.Tensor) -> torch.Tensor:
        """v (..., d) -> w (..., d)."""
        return torch.nn.functional.leaky_relu(v * self.spread + self.mean, 1 / PULSE_SLOPE)


@dataclass(frozen=True, eq=False)
class NormCheck:
    """Squared norms of codes and how far their distribution is from chi-squared.

    Args:
        squared_norms: name of the transform -> (N,).
        distances: name -> Kolmogorov-Smirnov distance, 0 to 1.
        latent_features: d, the degrees of freedom.
    """

    squared_norms: dict[str, np.ndarray]
    distances: dict[str, float]
    latent_features: int


def chi_squared_distance(squared_norms: np.ndarray, degrees: int) -> float:
    """max |empirical - true distribution function| of squared norms (N,) against chi-squared with d degrees."""
    from scipy import stats

    return float(stats.kstest(squared_norms, stats.chi2(degrees).cdf).statistic)


@torch.no_grad()
def check_norms(
    made: TrainedGenerator,
    flow: LatentFlow,
    elementwise: ElementwiseGaussian,
    generator: torch.Generator,
    *,
    samples: int = SAMPLES,
) -> NormCheck:
    """|z|^2, |w|^2, |PULSE(w)|^2 and |F(w)|^2 of fresh codes, as in Fig. 1.

    Args:
        made: whose codes.
        flow: fitted to other codes of the same generator.
        elementwise: likewise.
        generator: draws the codes, on the processor.
        samples: how many.
    """
    d = made.network.latent_features
    w = drawn_codes(made.network, samples, generator)
    z = torch.randn(samples, d, generator=generator)
    transformed = {"Z": z, "W": w, "element-wise": elementwise(w), "flow": flow(w)[0]}
    norms = {name: values.double().square().sum(1).cpu().numpy() for name, values in transformed.items()}
    return NormCheck(norms, {name: chi_squared_distance(values, d) for name, values in norms.items()}, d)
