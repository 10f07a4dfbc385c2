"""The arm of a training by its name, with the calibration that it needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fluosr.degradations.confocal import RandomisedConfocal
from fluosr.degradations.microscope import Range
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
    background_photons: Range | None = None,
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
        background_photons: of the physics arm: (least, most) photons that a pixel of the bad images has where the good
            ones are darkest, between which each image draws its own; none if not given. The dose is what the brightest
            pixels of the calibration have besides.

    Raises:
        UsageError: the physics arm without its facts, a background brighter than the calibrated fields, or facts that
            the arm has no use for.
        ImageReadError: a calibration that cannot be read.
    """
    if name == "physics":
        if calibration is None or pixel_size_nm is None:
            missing = "--calibration" if calibration is None else "--pixel-size"
            raise UsageError(f"the physics arm needs {missing}: what it makes are that microscope's images.")
        blur_nm = NO_BLUR_PX * pixel_size_nm if fwhm_nm is None else fwhm_nm
        background = background_photons or (0.0, 0.0)
        counted = _above(background, read_brightest_photons(calibration))
        least, most = (share * photons / scale**2 for share, photons in zip(DOSE_DOUBT, counted, strict=True))
        ranges = read_ranges(
            calibration,
            pixel_size_nm=pixel_size_nm,
            fwhm_nm=((1 - WIDTH_DOUBT) * blur_nm, (1 + WIDTH_DOUBT) * blur_nm),
            dose_photons=(least, most),
            factor=scale,
            background_photons=background,
        )
        return Arm(physics_arm(RandomisedConfocal(ranges), fields), ranges.describe())
    given = {"--calibration": calibration, "--fwhm": fwhm_nm, "--background": background_photons}
    useless = [option for option, value in given.items() if value is not None]
    if useless:
        raise UsageError(f"{useless[0]} is of the physics arm; --arm {name} has no use for it.")
    if name == "synthetic":
        parameters = TwoStageParameters()
        return Arm(synthetic_arm(scale, parameters), parameters.describe())
    return Arm(None, {})


def _above(background: Range, counted: Range) -> Range:
    """The photons of the brightest pixels that are not background.

    Raises:
        UsageError: none are.
    """
    middle = sum(background) / 2
    if not middle < counted[0]:
        raise UsageError(
            f"--background {background[0]:g}:{background[1]:g}: the brightest pixels of the calibration have "
            f"{counted[0]:.3g} to {counted[1]:.3g} photons, background included: give less."
        )
    return counted[0] - middle, counted[1] - middle
