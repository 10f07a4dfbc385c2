"""How bright the molecules of the ISBI 2013 movie are: its own grey values at the true places, over its own gain."""

from __future__ import annotations

from typing import Any

import numpy as np
import tifffile
from scipy.optimize import nnls
from tables import DATA

from fluosr.optics.psf import FWHM_PER_SIGMA, gaussian_integrals

MOVIE = DATA / "smlm" / "SIMULATED_isbi2013_bundled_tubes_361f.tif"
EVERY = 6  # frames from one that is fitted to the next
DIM = 0.8  # share of the pixels whose noise the gain is taken of: in bright ones the places' own errors show too


def light_of_the_movie(rows: np.ndarray, pixel_nm: float, fwhm_nm: float) -> dict[str, Any]:
    """Fit every molecule's light at its true place, and the noise of what is left over.

    Args:
        rows: (N, 3) frame from 1, x and y in nm.
        pixel_nm, fwhm_nm: of the movie.

    Returns:
        gain (ADU per photon), offset (ADU), background (photons per pixel) and photons of a molecule, mean and median.
    """
    movie = tifffile.imread(MOVIE).astype(float)
    sigma, edges = fwhm_nm / FWHM_PER_SIGMA / pixel_nm, np.arange(movie.shape[1], dtype=float)[:, None]
    means, squares, lights, levels = [], [], [], []
    for number in range(0, len(movie), EVERY):
        x, y = rows[rows[:, 0] == number + 1, 1:].T / pixel_nm
        along = [gaussian_integrals(edges, 1.0, places, sigma) for places in (y, x)]
        spots = np.einsum("ik,jk->ijk", *along).reshape(-1, len(x))
        design = np.column_stack([spots, np.ones(len(spots))])
        found, _ = nnls(design, movie[number].ravel())
        mean = design @ found
        freedom = len(mean) - np.count_nonzero(found)
        means.append(mean)
        squares.append((movie[number].ravel() - mean) ** 2 * len(mean) / freedom)
        lights.append(found[:-1])
        levels.append(found[-1])
    mean, square, light = map(np.concatenate, (means, squares, lights))
    dim = mean <= np.quantile(mean, DIM)
    gain, intercept = np.polyfit(mean[dim], square[dim], 1, w=1.0 / mean[dim])
    offset = -intercept / gain
    return {
        "gain": float(gain),
        "offset": float(offset),
        "background": float((np.mean(levels) - offset) / gain),
        "photons_mean": float(light.mean() / gain),
        "photons_median": float(np.median(light) / gain),
        "frames": len(means),
    }
