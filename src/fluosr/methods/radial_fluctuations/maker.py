"""What SRRF and eSRRF do alike: every frame becomes a fine image, the fine images one over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

import numpy as np

from fluosr.methods.base import Run
from fluosr.methods.image_maker import ImageMaker
from fluosr.methods.radial_fluctuations.macro_pixel import STRONG, corrected, pattern_of
from fluosr.methods.radial_fluctuations.parameters import RadialParameters
from fluosr.methods.radial_fluctuations.temporal import Projection, Statistic, fine_images_held, frames_in_a_row
from fluosr.optics.interpolation import upsampler

RUN_FRAMES = 10  # of a half's runs, for every neighbour that a temporal mode looks at


class RadialMaker(ImageMaker):
    """Frames in, the statistic of their radial images out; only the statistic's sums are kept.

    Args:
        transform: (Y, X) float32 frame -> (L Y, L X) float32 radial image.
        statistic: over time.
        parameters: the method's.
        factor: L.
    """

    def __init__(
        self,
        transform: Callable[[np.ndarray], np.ndarray],
        statistic: Statistic,
        parameters: RadialParameters,
        factor: int,
    ) -> None:
        super().__init__()
        self._transform, self._statistic = transform, statistic
        self._parameters, self._factor = parameters, factor
        self._upsample = upsampler(parameters.interpolation)
        self._projection = Projection(statistic)

    def add(self, numbers: np.ndarray, frames: np.ndarray) -> None:
        """See :class:`ImageMaker`."""
        for number, frame in zip(numbers, frames, strict=True):
            image = self._transform(frame)
            if self._parameters.intensity_weighting:
                image *= self._upsample(frame, self._factor)
            self._projection.add(int(number), image)

    def state(self) -> dict[str, np.ndarray]:
        """See :class:`ImageMaker`."""
        return self._projection.state()

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """See :class:`ImageMaker`."""
        self._projection.restore(state)

    def image(self, run: Run, stage: str) -> np.ndarray:
        """(L Y, L X), in a unit of its own."""
        image = self._projection.image()
        if self._statistic in ("cumulant 3", "cumulant 4") and image.sum() < 0:
            image = -image  # emitters that are on about half of the time have a negative cumulant of order 4
        image = np.maximum(image, 0.0)
        if not self._parameters.macro_pixel_correction:
            return image
        pattern = pattern_of(image, self._factor)
        spread = float(pattern.max() / pattern.min())
        if spread > STRONG:
            self.warnings.append(
                f"The macro-pixel pattern that was divided out varies {spread:.1f}-fold: where a field holds few "
                "structures they are taken for a pattern and moved. Try --no-macro-pixel-correction."
            )
        return corrected(image, pattern)


class DriverOptions(TypedDict):
    """What ``reconstruct_from_frames`` has to know of a statistic."""

    least_frames: int
    run_length: int
    frames_in_a_row: int
    buffers: int
    reads_fluctuations: bool


def driver_options(statistic: Statistic) -> DriverOptions:
    """The options of a statistic."""
    row = frames_in_a_row(statistic)
    # Three passes are held and kept for resuming; on top come a few images of the frame at hand.
    return {
        "least_frames": max(2, row),
        "run_length": 1 if row == 1 else RUN_FRAMES * (row - 1),
        "frames_in_a_row": row,
        "buffers": 10 + 6 * fine_images_held(statistic),
        "reads_fluctuations": statistic == "variance" or statistic.startswith("cumulant"),
    }
