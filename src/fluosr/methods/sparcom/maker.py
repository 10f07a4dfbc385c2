"""SPARCOM from its one step: the variances are the image."""

from __future__ import annotations

import numpy as np

from fluosr.methods.base import Run
from fluosr.methods.second_order.maker import SecondOrderMaker


class SparcomMaker(SecondOrderMaker):
    """The image's unit is made photons by the mean frame."""

    def image(self, run: Run, stage: str) -> np.ndarray:
        """(L Y, L X) variance, photons squared."""
        _, state, _ = self.find_variances(run, stage)
        return self.cropped(state.point)

    def image_so_far(self) -> np.ndarray | None:
        """The last variances."""
        found = self.variances_so_far()
        return None if found is None else self.cropped(found[0])
