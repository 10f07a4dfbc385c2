"""The translocation assay: a protein that moves from the cytoplasm into the nucleus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from fluosr.simulate.culture import AdherentCell, CellCulture, CultureMaps, streaks

UNTREATED_RATIO, TREATED_RATIO = 0.25, 4.0  # concentration in the nucleus over that in the cytoplasm
EXPRESSION = 0.5  # standard deviation of its logarithm from cell to cell
CLOSE_NM = 3000.0  # of the cytoplasm beside the nucleus
GRAIN = 0.16  # of the protein, standard deviation of its logarithm


@dataclass(frozen=True)
class Translocation:
    """DNA, a protein that moves into the nucleus (as NF-kappa B does under TNF-alpha), and actin.

    A cell of the strength s has the concentration ratio nucleus/cytoplasm

        r = .25 (4 / .25)^s

    and as much protein as before: what enters the nucleus leaves the cytoplasm.
    """

    name = "translocation"
    channels = ("DNA", "protein", "actin")

    def light(
        self,
        culture: CellCulture,
        maps: CultureMaps,
        cells: Sequence[AdherentCell],
        strengths: np.ndarray,
        generator: np.random.Generator,
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """What shines on the fine grid, and what is true of each cell.

        Args:
            culture: for its textures.
            maps, cells: of the culture.
            strengths: (n,) of the phenotype, 0 to 1.
            generator: of expression and textures; it is drawn from in the same way whatever the strengths are.

        Returns:
            (3, ny, nx) brightness, about 1 where it is common; and for each cell the concentrations' ratio, that of the
            light over the nucleus to that over the cytoplasm close to it, and the protein's whole amount.
        """
        count = len(cells)
        amount = generator.lognormal(0, EXPRESSION, count)
        texture = culture.texture({700.0: 1.0, 2500.0: 0.7}, generator)
        fibres = streaks(culture.texture({320.0: 1.0}, generator), maps, cells, 14.0, radial=False)
        ratio = UNTREATED_RATIO * (TREATED_RATIO / UNTREATED_RATIO) ** strengths
        grain = np.exp(GRAIN * texture.at(*np.meshgrid(maps.y_nm, maps.x_nm, indexing="ij")))
        nuclear, cytoplasm = maps.nuclear * (maps.nucleus >= 0) * grain, maps.cytoplasm * grain
        inside, outside = maps.sums(nuclear, maps.nucleus, count), maps.sums(cytoplasm, maps.owner, count)
        # The same amount, spread over both rooms by the ratio.
        dilute = amount * (0.5 * inside + outside) / np.maximum(ratio * inside + outside, 1e-9)
        of_cytoplasm = maps.spread(dilute, maps.owner)
        of_nucleus = maps.spread(dilute * ratio, maps.nucleus)
        protein = of_cytoplasm * cytoplasm + of_nucleus * nuclear
        stain = maps.spread(generator.lognormal(0, 0.2, count), maps.owner)
        cortex = np.exp(-(((1 - maps.remoteness) / 0.06 - 1) ** 2))
        actin = stain * (maps.cytoplasm * (0.55 + 0.5 * np.exp(0.7 * fibres - 0.25)) + 0.35 * cortex)
        truth = {
            "concentration_ratio": ratio,
            "light_ratio": _light_ratio(protein, maps, count),
            "amount": amount * (0.5 * inside + outside),
        }
        return np.stack([maps.dna, protein, actin]), truth


def _light_ratio(protein: np.ndarray, maps: CultureMaps, count: int) -> np.ndarray:
    """(count,) mean light over each nucleus over that within ``CLOSE_NM`` of it, in its own cell; NaN without one."""
    fine_nm = float(maps.y_nm[1] - maps.y_nm[0])
    outside = maps.nucleus < 0
    close = outside & (ndimage.distance_transform_edt(outside) <= CLOSE_NM / fine_nm)
    around = np.where(close, maps.owner, -1)
    ones = np.ones(protein.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        over, beside = (
            maps.sums(protein, labels, count) / maps.sums(ones, labels, count) for labels in (maps.nucleus, around)
        )
        return np.asarray(over / beside)
