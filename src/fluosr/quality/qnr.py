"""QnR: resolution and fidelity in one figure, for choosing among reconstructions of one movie."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fluosr.errors import UsageError

# nFRC of the finest and of the coarsest resolution of a sweep, as in the authors' software.
FINEST_SCORE, COARSEST_SCORE = 0.925, 0.075


@dataclass(frozen=True, eq=False)
class ResolutionAndFidelity:
    """QnR of every reconstruction of a sweep, and what it was made of.

    Args:
        qnr: (...,) 0 to 1, the higher the better; 0 where ``judged`` is false. Always finite.
        nfrc: (...,) 0 to 1, the logistic of the resolution; 0 where there is none.
        judged: (...,) whether resolution and RSP were both known.
        finest_nm, coarsest_nm: the resolutions that score .925 and .075; None where no resolution is known.
        reason: why nothing was judged, in plain words; None where something was.
    """

    qnr: np.ndarray
    nfrc: np.ndarray
    judged: np.ndarray
    finest_nm: float | None
    coarsest_nm: float | None
    reason: str | None = None

    @property
    def best(self) -> tuple[int, ...] | None:
        """Index of the highest QnR; None where nothing was judged."""
        if not self.judged.any():
            return None
        return tuple(int(i) for i in np.unravel_index(int(np.argmax(self.qnr)), self.qnr.shape))


def resolution_and_fidelity(
    frc_nm: np.ndarray,
    rsp: np.ndarray,
    *,
    finest_nm: float | None = None,
    coarsest_nm: float | None = None,
) -> ResolutionAndFidelity:
    r"""QnR, the harmonic mean of RSP and of the resolution's score, for a sweep of parameters [1].

    QnR = 2 RSP nFRC / (RSP + nFRC)

    nFRC = 1 / (1 + exp(k (FRC - m))),   m = (a + c) / 2,   k = 2 ln(.925 / .075) / (c - a)

    with FRC in nm, a the finest and c the coarsest resolution: a scores .925, c .075, their middle .5. The paper says
    that the resolution is rescaled by a logistic function; the two scores are those of its software (NanoJ-eSRRF). By
    default a and c are the sweep's own finest and coarsest, as there, so QnR ranks within one sweep: sweeps are
    compared only with the same ``finest_nm`` and ``coarsest_nm``. Where all resolutions are equal nFRC is .5.

    A reconstruction without a resolution (no detail confirmed) or without an RSP scores 0, and so does one whose RSP is
    negative.

    Args:
        frc_nm: (...,) resolution by ring correlation, nm; None or NaN where there is none.
        rsp: same shape, the error map's Pearson correlation; None or NaN where there is none.
        finest_nm, coarsest_nm: a and c, nm.

    Raises:
        UsageError: shapes that differ, a resolution or limit that is not positive, a coarsest not above the finest.

    Source:
        [1] Laine et al., Nature Methods 20 (2023) 1949-1956.
    """
    resolution, fidelity = np.asarray(frc_nm, float), np.asarray(rsp, float)
    if resolution.shape != fidelity.shape:
        raise UsageError(f"resolutions {resolution.shape} and RSP {fidelity.shape} must have one shape.")
    known = np.isfinite(resolution)
    if (resolution[known] <= 0).any():
        raise UsageError("a resolution must be positive, in nm.")
    judged = known & np.isfinite(fidelity)
    nfrc = np.zeros(resolution.shape)
    qnr = np.zeros(resolution.shape)
    if not known.any():
        return ResolutionAndFidelity(qnr, nfrc, judged, finest_nm, coarsest_nm, "none of the images has a resolution")
    finest = float(resolution[known].min()) if finest_nm is None else float(finest_nm)
    coarsest = float(resolution[known].max()) if coarsest_nm is None else float(coarsest_nm)
    own = finest_nm is None and coarsest_nm is None
    if not (math.isfinite(finest) and math.isfinite(coarsest) and finest > 0 and (finest < coarsest or own)):
        raise UsageError(
            f"the coarsest resolution ({coarsest} nm) must be above the finest ({finest} nm), both positive."
        )
    nfrc[known] = _logistic(resolution[known], finest, coarsest)
    good = judged & (fidelity > 0)
    qnr[good] = 2 * fidelity[good] * nfrc[good] / (fidelity[good] + nfrc[good])
    reason = None if judged.any() else "no image has both a resolution and an RSP"
    return ResolutionAndFidelity(qnr, nfrc, judged, finest, coarsest, reason)


def _logistic(resolution_nm: np.ndarray, finest_nm: float, coarsest_nm: float) -> np.ndarray:
    from scipy.special import expit

    if finest_nm == coarsest_nm:
        return np.full(resolution_nm.shape, 0.5)
    steepness = math.log(FINEST_SCORE / COARSEST_SCORE) * 2.0 / (coarsest_nm - finest_nm)
    return np.asarray(expit(-steepness * (resolution_nm - (finest_nm + coarsest_nm) / 2.0)))
