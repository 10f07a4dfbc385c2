"""What comes out: the super-resolved image with everything needed to judge and repeat it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fluosr.localisations import Localisations

NOTHING_HERE = 4.0  # significance under which an image is no evidence of structure


@dataclass(eq=False)
class Reconstruction:
    """The result of one method on one acquisition.

    Args:
        image: (L Y, L X) float32, photons per fine pixel and frame. Fine pixel (i, j) covers
            [i, i+1) x [j, j+1) / L camera pixels.
        background: (Y, X) float32, photons per camera pixel and frame.
        mean: (Y, X) float32, the mean frame, photons per camera pixel and frame.
        expected: (Y, X) float32, what the forward model says the mean frame should be for this image and background.
        standard_error: (Y, X) float32, standard deviation of the noise of ``mean``, photons.
        pixel_size_nm: size of a fine pixel, nm.
        factor: L.
        method: the method's name.
        parameters: every parameter with the value used, automatic ones included.
        halves: two reconstructions from independent halves of the frames, for the resolution; each like ``image``.
        grain_nm: FWHM of the smallest thing the image can show, where the method has such a limit.
        significance: how many standard deviations the image's light stands above noise and background, at its brightest
            patch of the PSF's size; under 4 there is no evidence of structure.
        uncertainty: (L Y, L X) float32 standard deviation of ``image``, where the method has one.
        maps: further images on the fine grid by name, unit included ("density_per_um2"), where the method has any;
            letters, digits and underscores, for each becomes a file.
        localisations: the molecules that the image was drawn from, where the method finds single molecules.
        fixed_pattern: variance of the mean frame that the camera's fixed pattern adds, over what the frames' own noise
            explains, plus one: 1 for a clean camera. Halves of the frames share the pattern.
        photometric: the image is in photons by the method's own model. Otherwise its unit was the method's own and it
            was scaled to the mean frame: how bright a structure is says less than where it is.
        history: named curves over the iterations, for the report.
        choices: how automatic values were chosen: name -> {"value", "why", optional "x", "y" curve}. "given" marks
            what was asked for, and stands here for its "why".
        warnings: what the reader should know, in plain words.
        citations: BibTeX entries of what was used.
        finished: False when the run was stopped early.
    """

    image: np.ndarray
    background: np.ndarray
    mean: np.ndarray
    expected: np.ndarray
    standard_error: np.ndarray
    pixel_size_nm: float
    factor: int
    method: str
    parameters: dict[str, Any]
    halves: tuple[np.ndarray, np.ndarray] | None = None
    grain_nm: float | None = None
    significance: float | None = None
    uncertainty: np.ndarray | None = None
    maps: dict[str, np.ndarray] = field(default_factory=dict)
    localisations: Localisations | None = None
    fixed_pattern: float = 1.0
    photometric: bool = True
    history: dict[str, list[float]] = field(default_factory=dict)
    choices: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    citations: list[str] = field(default_factory=list)
    finished: bool = True
