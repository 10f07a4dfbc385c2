"""Fields of cells as a confocal microscope takes them twice: fast and poorly, many times, and once slowly and well."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from fluosr.degradations.confocal import VideoRateConfocal
from fluosr.degradations.microscope import ScanningMicroscope
from fluosr.optics.sampling import Grid
from fluosr.simulate.cell_structures import cell_phantom

# Photons of a pixel of the slow scan over those of one of the fast: .08 frames/s of four times the pixels, for 20.
SLOW_DOSE = 62.0
SLOW_SIGNAL = 4.0  # grey values of the slow scan over those of the fast: more light, for which the gain is lowered
SLOW_BITS = 16


@dataclass(frozen=True)
class ConfocalField:
    """One field, the fast scan of it, and the slow one: one way, without jitter or lag, on pixels ``factor`` finer.

    Args:
        structure: see :func:`~fluosr.simulate.cell_structures.cell_phantom`.
        shape: (Y, X), pixels of the fast scan.
        microscope: of the fast scan; its dose is what a fine pixel sends that the structure covers whole.
        seed: of the field and of every frame.
        slow_dose: photons of a pixel of the slow scan over those of one of the fast.
    """

    structure: str
    shape: tuple[int, int]
    microscope: ScanningMicroscope
    seed: int = 0
    slow_dose: float = SLOW_DOSE

    @cached_property
    def light(self) -> torch.Tensor:
        """(s Y, s X) float32, 1 where the structure covers a fine pixel whole."""
        phantom = cell_phantom(self.structure, self.shape, self.microscope.pixel_size_nm, self.seed)
        return torch.as_tensor(phantom.render(Grid(self.shape, self.microscope.factor)), dtype=torch.float32)

    @property
    def slow_microscope(self) -> ScanningMicroscope:
        """The same optics and detector, scanning slowly, at a gain that suits the light."""
        fast = self.microscope
        return replace(
            fast,
            pixel_size_nm=fast.pixel_size_nm / fast.factor,
            dose_photons=self.slow_dose * fast.factor**2 * fast.dose_photons,
            background_photons=self.slow_dose * fast.background_photons,
            dark_e=self.slow_dose * fast.dark_e,
            factor=1,
            phase_px=0.0,
            jitter_px=0.0,
            lag_px=0.0,
            gain_adu_per_e=fast.gain_adu_per_e * SLOW_SIGNAL / self.slow_dose,
            bits=SLOW_BITS,
            bidirectional=False,
            even_lines_return=False,
        )

    def fast_frames(self, repeats: int) -> np.ndarray:
        """(R, Y, X) uint16 or, beyond 16 bits, uint32, ADU."""
        confocal = VideoRateConfocal(self.microscope)
        generator = self._generator("fast")
        frames = [confocal.degrade(self.light[None], generator)[0].numpy() for _ in range(repeats)]
        return np.stack(frames).astype(np.uint16 if self.microscope.bits <= 16 else np.uint32)

    def slow_frame(self) -> np.ndarray:
        """(s Y, s X) uint16, ADU."""
        slow = VideoRateConfocal(self.slow_microscope)
        return slow.degrade(self.light[None], self._generator("slow"))[0].numpy().astype(np.uint16)

    def clean_frame(self) -> np.ndarray:
        """(s Y, s X) float32, ADU: what the slow scan would be without noise."""
        return VideoRateConfocal(self.slow_microscope).mean(self.light[None])[0].numpy()

    def describe(self) -> dict[str, Any]:
        """Everything that it was made from, for the record."""
        return {
            "structure": self.structure,
            "shape": list(self.shape),
            "seed": self.seed,
            "fast": self.microscope.describe(),
            "slow": self.slow_microscope.describe(),
        }

    def _generator(self, scan: str) -> torch.Generator:
        words = np.random.SeedSequence([self.seed, *scan.encode()]).generate_state(1, np.uint64)
        return torch.Generator().manual_seed(int(words[0]) % 2**63)
