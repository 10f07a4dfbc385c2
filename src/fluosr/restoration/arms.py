"""Where bad images come from when only good ones are at hand: two ways to make them, each with its grey scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fluosr.degradations.confocal import Confocal
from fluosr.degradations.two_stage import TwoStageParameters, two_stage
from fluosr.errors import UsageError
from fluosr.restoration.examples import Degrade
from fluosr.restoration.fields import Field

DARKEST = 0.005  # share of a good image's pixels that are taken for its dark level
BRIGHTEST = 0.999  # share of them below what counts as white, and below what a calibration calls the brightest


@dataclass(frozen=True, eq=False)
class Arm:
    """How bad images are made.

    Args:
        degrade: does it; None where they were recorded.
        facts: what it does, as plain values, for the record.
    """

    degrade: Degrade | None
    facts: Mapping[str, Any]


def synthetic_arm(scale: int, parameters: TwoStageParameters) -> Degrade:
    """The two-stage pipeline of Real-ESRGAN, on each image between its darkest and its brightest values.

    The darkest .5 % and the brightest .1 % of its pixels are cut there, in the good image too: 8 bits have such ends.

    Args:
        scale: s.
        parameters: probabilities and ranges.
    """

    def degrade(high: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        black, white = (_quantile(high, share) for share in (DARKEST, BRIGHTEST))
        shown = ((high - black) / max(white - black, 1e-30)).clamp(0.0, 1.0)
        return two_stage(shown, scale, generator, parameters), shown

    return degrade


def physics_arm(confocal: Confocal, fields: Sequence[Field]) -> Degrade:
    """A scanning microscope: good images give the light, it gives optics, counts, detector and lines.

    The fields share one scale, so that a dim field stays dim: 1 is the mean light of the brightest pixels above the
    darkest. What is to be learnt is the good image at the grey values that its light has in the bad one.

    Args:
        confocal: the microscope, or one drawn anew for every image; its dose is that of the brightest pixels.
        fields: whose good images set the scale.

    Raises:
        UsageError: good images without light.
    """
    dark = min(_quantile(torch.as_tensor(field.high), DARKEST) for field in fields)
    unit = float(np.mean([_quantile(torch.as_tensor(field.high), BRIGHTEST) - dark for field in fields]))
    if not unit > 0:
        raise UsageError("the good images are constant: they hold no light to make bad ones from.")

    def degrade(high: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        light = ((high - dark) / unit).clamp(min=0.0)
        drawn = confocal.parameters(len(light), generator, light.device)
        of = {name: value[:, None, None] for name, value in drawn.items()}
        counted = of["dose_photons"] * confocal.factor**2 * light + of["background_photons"] + of["dark_e"]
        wanted = of["offset_adu"] + of["gain_adu_per_e"] * counted
        return confocal.degrade(light, generator, drawn), wanted

    return degrade


def _quantile(image: torch.Tensor, share: float) -> float:
    ordered = image.flatten().sort().values  # torch.quantile takes no more than 16 million values
    return float(ordered[round(share * (len(ordered) - 1))])
