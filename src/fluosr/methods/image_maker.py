"""What a method that reads corrected frames has to write: something that is fed frames and makes an image."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from fluosr.localisations import Localisations
from fluosr.methods.base import Run

IMAGE = "image"  # the stage of the whole movie


class ImageMaker(ABC):
    """Frames in, an image out.

    Attributes:
        history: named curves over the iterations, for the report.
        choices: how automatic values were chosen, and what a model brought with it; see :class:`Reconstruction`.
        warnings: plain words.
        chosen: parameters with the values used, where these were automatic.
        background, expected: (Y, X) photons, set by :meth:`image` by methods whose image is in photons; None for
            methods whose unit is their own: these are scaled to the mean frame.
        finest_nm: the finest period that the image can hold by construction, nm; None where only the grid limits it.
        maps: further (L Y, L X) results by name, with their unit in the name.
        localisations: the molecules that the image was drawn from, where it was.
        structure: standard deviations by which single frames hold more than noise, of methods that look for molecules
            frame by frame; the mean frame need not show them, nor the halves foretell each other.
        claims_all_light: an image in photons holds all light above the background.
    """

    claims_all_light = True

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.choices: dict[str, dict[str, object]] = {}
        self.warnings: list[str] = []
        self.chosen: dict[str, object] = {}
        self.background: np.ndarray | None = None
        self.expected: np.ndarray | None = None
        self.finest_nm: float | None = None
        self.maps: dict[str, np.ndarray] = {}
        self.localisations: Localisations | None = None
        self.structure: float | None = None

    @abstractmethod
    def add(self, numbers: np.ndarray, frames: np.ndarray) -> None:
        """Take the next frames.

        Args:
            numbers: (k,) frame numbers, ascending; frames are neighbours in time where their numbers are.
            frames: (k, Y, X) float32 photoelectrons; not to be changed.
        """

    @abstractmethod
    def state(self) -> dict[str, np.ndarray]:
        """What was kept of the frames so far; the caller copies it."""

    @abstractmethod
    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Back from :meth:`state`; what is to be changed has to be copied."""

    @abstractmethod
    def image(self, run: Run, stage: str) -> np.ndarray:
        """(L Y, L X), finite and not negative, from the frames added so far.

        Long work tells ``run`` its progress and keeps its states under names that begin with ``stage``.

        Raises:
            StopRequested: the user asked to stop.
        """

    def image_so_far(self) -> np.ndarray | None:
        """What there is after a stop: the image of the frames added so far, or None where there is none yet.

        Methods that iterate in :meth:`image` give their last iterate.
        """
        return self.image(Run(), IMAGE)

    def solving_seconds(self) -> float:
        """What :meth:`image` will take, seconds; 0 where it is short."""
        return 0.0
