"""Where bad images come from when only good ones are at hand: two ways to make them, each with its grey scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fluosr.degradations.confocal import Confocal, RandomisedConfocal
from fluosr.degradations.two_stage import TwoStageParameters, two_stage
from fluosr.errors import UsageError
from fluosr.restoration.examples import Degrade
from fluosr.restoration.fields import Field

DARKEST = 0.005  # share of a good image's pixels that are taken for its dark level
BRIGHTEST = 0.999  # share of them below what counts as white, and below what a calibration calls the brightest
WIDTH_DOUBT = 0.1  # of the PSF that the user states
DOSE_DOUBT = (0.5, 2.0)  # other fields are dimmer or brighter than those that a calibration saw


@dataclass(frozen=True, eq=False)
class Arm:
    """How bad images are made.

    Args:
        degrade: does it; None where they were recorded.
        facts: what it does, as plain values, for the record.
    """

    degrade: Degrade | None
    facts: Mapping[str, Any]


def chosen_arm(
    name: str,
    fields: Sequence[Field],
    scale: int,
    *,
    calibration: Path | None = None,
    pixel_size_nm: float | None = None,
    fwhm_nm: float | None = None,
) -> Arm:
    """The arm of that name.

    Args:
        name: paired, synthetic or physics.
        fields: to learn from.
        scale: s.
        calibration: of the physics arm: the file that ``fluosr calibrate`` wrote.
        pixel_size_nm, fwhm_nm: of the bad images; of the physics arm.

    Raises:
        UsageError: the physics arm without its facts, or facts that the arm has no use for.
        ImageReadError: a calibration that cannot be read.
    """
    facts = {"--calibration": calibration, "--pixel-size": pixel_size_nm, "--fwhm": fwhm_nm}
    if name == "physics":
        missing = [option for option, value in facts.items() if value is None]
        if missing or calibration is None or pixel_size_nm is None or fwhm_nm is None:
            raise UsageError(f"the physics arm needs {', '.join(missing)}: what it makes is that microscope's image.")
        from fluosr.io.scan_calibration import read_dose, read_ranges

        least, most = (share * read_dose(calibration) / scale**2 for share in DOSE_DOUBT)
        ranges = read_ranges(
            calibration,
            pixel_size_nm=pixel_size_nm,
            fwhm_nm=((1 - WIDTH_DOUBT) * fwhm_nm, (1 + WIDTH_DOUBT) * fwhm_nm),
            dose_photons=(least, most),
            factor=scale,
        )
        return Arm(physics_arm(RandomisedConfocal(ranges), fields), ranges.describe())
    useless = [option for option in ("--calibration", "--fwhm") if facts[option] is not None]
    if useless:
        raise UsageError(f"{useless[0]} is of the physics arm; --arm {name} has no use for it.")
    if name == "synthetic":
        parameters = TwoStageParameters()
        return Arm(synthetic_arm(scale, parameters), parameters.describe())
    return Arm(None, {})


def synthetic_arm(scale: int, parameters: TwoStageParameters = TwoStageParameters()) -> Degrade:
    """The two-stage pipeline of Real-ESRGAN, on each image between its darkest and its brightest value.

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
