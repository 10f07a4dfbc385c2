"""The arm of a training by its name, with the calibration that it needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fluosr.degradations.confocal import RandomisedConfocal
from fluosr.degradations.two_stage import TwoStageParameters
from fluosr.errors import UsageError
from fluosr.io.scan_calibration import read_brightest_photons, read_ranges
from fluosr.restoration.arms import Arm, physics_arm, synthetic_arm
from fluosr.restoration.fields import Field

WIDTH_DOUBT = 0.1  # of the blur that the user states
NO_BLUR_PX = 0.25  # FWHM, pixels of the bad images: next to nothing beside the pixel itself
DOSE_DOUBT = (0.5, 2.0)  # other fields are dimmer or brighter than those that a calibration saw


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
        pixel_size_nm: of the bad images; the physics arm needs it.
        fwhm_nm: of the physics arm: what blurs the bad images beyond the good ones, which an objective has blurred
            already; next to nothing where both were taken with the same.

    Raises:
        UsageError: the physics arm without its facts, or facts that the arm has no use for.
        ImageReadError: a calibration that cannot be read.
    """
    if name == "physics":
        if calibration is None or pixel_size_nm is None:
            missing = "--calibration" if calibration is None else "--pixel-size"
            raise UsageError(f"the physics arm needs {missing}: what it makes are that microscope's images.")
        blur_nm = NO_BLUR_PX * pixel_size_nm if fwhm_nm is None else fwhm_nm
        counted = read_brightest_photons(calibration)
        least, most = (share * photons / scale**2 for share, photons in zip(DOSE_DOUBT, counted, strict=True))
        ranges = read_ranges(
            calibration,
            pixel_size_nm=pixel_size_nm,
            fwhm_nm=((1 - WIDTH_DOUBT) * blur_nm, (1 + WIDTH_DOUBT) * blur_nm),
            dose_photons=(least, most),
            factor=scale,
        )
        return Arm(physics_arm(RandomisedConfocal(ranges), fields), ranges.describe())
    given = {"--calibration": calibration, "--fwhm": fwhm_nm}
    useless = [option for option, value in given.items() if value is not None]
    if useless:
        raise UsageError(f"{useless[0]} is of the physics arm; --arm {name} has no use for it.")
    if name == "synthetic":
        parameters = TwoStageParameters()
        return Arm(synthetic_arm(scale, parameters), parameters.describe())
    return Arm(None, {})
