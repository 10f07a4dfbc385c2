"""Frames through a trained network, one batch after the other; or the movie's variance, once."""

from __future__ import annotations

import time

import numpy as np
import torch

from fluosr.corrections.movie import CorrectedMovie
from fluosr.errors import AcquisitionError
from fluosr.localisations import Localisations
from fluosr.methods.base import Run
from fluosr.methods.image_maker import ImageMaker
from fluosr.methods.trained_model import fingerprint_array, refuse_another_model
from fluosr.methods.unfolded.background import background_levels
from fluosr.methods.unfolded.matrices import grid_for
from fluosr.methods.unfolded.molecules import molecules_in
from fluosr.methods.unfolded.network import UnfoldedGradient
from fluosr.methods.unfolded.parameters import UnfoldedParameters

BATCH_PIXELS = 2**20  # fine pixels computed at once: what fits the processor's caches is faster than large batches
COUNTS = "molecules_per_pixel"


class UnfoldedMaker(ImageMaker):
    """Mean of the frames' images, with the molecules above the level of detection.

    Args:
        movie: corrected frames.
        network: trained for them.
        fingerprint: of the model's files.
        parameters: see :class:`UnfoldedParameters`.
        device: where to compute.
    """

    def __init__(
        self,
        movie: CorrectedMovie,
        network: UnfoldedGradient,
        fingerprint: str,
        parameters: UnfoldedParameters,
        device: str,
    ) -> None:
        super().__init__()
        self._network, self._device, self._field_shape = network.to(device), device, movie.field_shape
        self._fine_nm = movie.acquisition.pixel_size_nm / network.physics.factor
        background = parameters.background
        self._background = network.physics.background_photons if background is None else background
        self._fingerprint = fingerprint
        self._parts: list[Localisations] = []  # tables of the batches so far, joined when they are asked for
        learned = {"fwhm_nm": network.fwhm_nm, "detection_photons": network.detection_photons}
        learned |= network.in_the_papers_numbers()
        self.choices = {name: {"value": value, "why": "of the model"} for name, value in learned.items()}
        why = f"given; its files have the fingerprint {fingerprint}"
        self.choices["model"] = {"value": parameters.model, "why": why, "given": True}
        grid = grid_for(network.physics, movie.field_shape)
        self._batch = max(1, BATCH_PIXELS // (grid.shape[0] * grid.shape[1]))
        self._sum = np.zeros(grid.fine_field_shape)
        self._first = np.zeros(movie.field_shape, np.float32)
        self._moments = np.zeros((2, *movie.field_shape))
        self._count = 0

    def add(self, numbers: np.ndarray, frames: np.ndarray) -> None:
        """See :class:`ImageMaker`."""
        if self._network.physics.semi_blind:
            self._add_moments(frames)
        else:
            for start in range(0, len(frames), self._batch):
                self._add_images(numbers[start : start + self._batch], frames[start : start + self._batch])
        self._count += len(frames)

    def _add_moments(self, frames: np.ndarray) -> None:
        if not self._count:
            self._first = np.array(frames[0], np.float32)
        less = frames.astype(float) - self._first
        self._moments[0] += less.sum(0)
        self._moments[1] += (less**2).sum(0)

    def _add_images(self, numbers: np.ndarray, frames: np.ndarray) -> None:
        images, background = self._images(frames)
        self._sum += images.sum(0, dtype=np.float64)
        level = self._network.detection_photons
        found = molecules_in(images, np.asarray(numbers), background, level, self._fine_nm)
        self._parts.append(found)

    def _molecules(self) -> Localisations:
        self._parts = [Localisations.joined(self._parts)]
        return self._parts[0]

    def _images(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, L Y, L X) images of (B, Y, X) frames, and the (B,) backgrounds assumed.

        Raises:
            AcquisitionError: the algorithm diverges.
        """
        known = self._background
        background = background_levels(frames) if known is None else np.full(len(frames), known)
        with torch.no_grad():
            given = torch.as_tensor(np.ascontiguousarray(frames, np.float32), device=self._device)
            images = self._network(given, torch.as_tensor(background, dtype=given.dtype, device=self._device))
        if not bool(images.isfinite().all()):
            raise AcquisitionError(
                "the model's steps diverge on these frames: they are far brighter or dimmer than those it was trained "
                "on. Check --gain, --offset and --background, or train a model on frames like these."
            )
        return images.cpu().numpy(), background

    def state(self) -> dict[str, np.ndarray]:
        """See :class:`ImageMaker`."""
        state = {"count": np.array(self._count), "model": fingerprint_array(self._fingerprint)}
        if self._network.physics.semi_blind:
            return state | {"moments": self._moments, "first": self._first}
        molecules = {f"molecules.{name}": column for name, column in self._molecules().arrays().items()}
        return state | molecules | {"sum": self._sum}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """See :class:`ImageMaker`.

        Raises:
            CheckpointError: the model's files have changed.
        """
        refuse_another_model(state["model"], self._fingerprint)
        self._count = int(state["count"])
        if self._network.physics.semi_blind:
            self._moments, self._first = state["moments"].copy(), state["first"].copy()
            return
        self._sum = state["sum"].copy()
        self._parts = [
            Localisations(
                **{
                    key.removeprefix("molecules."): value
                    for key, value in state.items()
                    if key.startswith("molecules.")
                }
            )
        ]

    def image(self, run: Run, stage: str) -> np.ndarray:
        """(L Y, L X) photons per fine pixel and frame; of a semi-blind model the emitters' variance."""
        if not self._network.physics.semi_blind:
            self.localisations = self._molecules()
            if not len(self.localisations):
                self.warnings = ["No light of any frame reaches the model's level: the table of molecules is empty."]
            factor = self._network.physics.factor
            self.maps = {COUNTS: self.localisations.counted(self._field_shape, factor, factor * self._fine_nm)}
            return self._sum / max(1, self._count)
        mean, square = self._moments / max(1, self._count)
        variance = (square - mean**2) * (self._count / max(1, self._count - 1))
        return self._images(variance[None])[0][0]

    def image_so_far(self) -> np.ndarray | None:
        """The same from the frames there are; None where a variance would be of fewer than two."""
        return self.image(Run(), "") if self._count >= (2 if self._network.physics.semi_blind else 1) else None

    def solving_seconds(self) -> float:
        """Of a semi-blind model one image, which is tried on zeros."""
        if not self._network.physics.semi_blind:
            return 0.0
        started = time.perf_counter()
        self._images(np.zeros((1, *self._field_shape), np.float32))
        return time.perf_counter() - started
