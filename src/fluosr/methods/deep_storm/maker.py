"""Frames through the trained network, and the molecules at the peaks of its maps."""

from __future__ import annotations

import numpy as np
import torch

from fluosr.corrections.movie import CorrectedMovie
from fluosr.errors import ModelError
from fluosr.localisations import Localisations
from fluosr.methods.base import Run
from fluosr.methods.deep_storm.heatmap import HEIGHT, peaks, prepared
from fluosr.methods.deep_storm.model import TrainedDeepStorm
from fluosr.methods.image_maker import ImageMaker
from fluosr.methods.trained_model import fingerprint_array, refuse_another_model

BATCH_PIXELS = 2**18  # fine pixels computed at once


class DeepStormMaker(ImageMaker):
    """Mean of the frames' maps, in molecules per fine pixel and frame, with the molecules at their peaks.

    The maps say where molecules are, and not how bright: the image is scaled to the mean frame like any other whose
    unit is the method's own.

    Args:
        movie: corrected frames.
        model: trained for them.
        name: of the model, as the user gave it.
        threshold: of a peak, molecules.
        device: where to compute.
    """

    def __init__(
        self, movie: CorrectedMovie, model: TrainedDeepStorm, name: str, threshold: float, device: str
    ) -> None:
        super().__init__()
        self._network, self._device, self._threshold = model.network.to(device), device, threshold
        self._factor = model.instrument.factor
        self._fine_nm = movie.acquisition.pixel_size_nm / self._factor
        self._fingerprint = model.fingerprint
        height, width = movie.field_shape
        self._sum = np.zeros((height * self._factor, width * self._factor))
        self._batch = max(1, BATCH_PIXELS // self._sum.size)
        self._count = 0
        self._found: list[Localisations] = []
        why = f"given; its files have the fingerprint {model.fingerprint}"
        self.choices["model"] = {"value": name, "why": why, "given": True}

    def add(self, numbers: np.ndarray, frames: np.ndarray) -> None:
        """See :class:`ImageMaker`."""
        for start in range(0, len(frames), self._batch):
            part = torch.as_tensor(frames[start : start + self._batch], dtype=torch.float32, device=self._device)
            with torch.no_grad():
                maps = self._network(prepared(part, self._factor)).clamp_min(0.0)
            self._sum += maps.sum(0, dtype=torch.float64).cpu().numpy()
            found = peaks(maps, HEIGHT * self._threshold, self._fine_nm)
            self._found.append(Localisations(np.asarray(numbers)[start + found.frame], found.x_nm, found.y_nm))
        self._count += len(frames)

    @property
    def molecules(self) -> Localisations:
        """All that were found so far."""
        self._found = [Localisations.joined(self._found)]
        return self._found[0]

    def state(self) -> dict[str, np.ndarray]:
        """See :class:`ImageMaker`."""
        counts = {"count": np.array(self._count), "model": fingerprint_array(self._fingerprint)}
        molecules = {f"molecules.{name}": column for name, column in self.molecules.arrays().items()}
        return counts | molecules | {"sum": self._sum}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """See :class:`ImageMaker`.

        Raises:
            CheckpointError: the model's files have changed.
        """
        refuse_another_model(state["model"], self._fingerprint)
        self._count, self._sum = int(state["count"]), state["sum"].copy()
        self._found = [
            Localisations(
                **{
                    key.removeprefix("molecules."): value
                    for key, value in state.items()
                    if key.startswith("molecules.")
                }
            )
        ]

    def image(self, run: Run, stage: str) -> np.ndarray:
        """(L Y, L X) molecules per fine pixel and frame."""
        self.localisations = self.molecules
        if not np.isfinite(self._sum).all():
            raise ModelError(f"the network of {self.choices['model']['value']} gives no numbers; train it anew.")
        if not len(self.localisations):
            self.warnings = ["No peak of any map reaches the threshold: the table of molecules is empty."]
        return self._sum / (HEIGHT * max(1, self._count))

    def image_so_far(self) -> np.ndarray | None:
        """The same from the frames there are."""
        return self.image(Run(), "") if self._count else None
