"""What frames tell about their parameters: Fisher information, and estimating functions with bursts.

A frame y with mean mu and covariance Sigma is asked through functions of z = y - mu that are zero on average,

    g_i^T z,  g_i = Sigma^-1 dmu_i                                   (the mean)
    1/2 [z^T M_i z - tr(M_i Sigma)],  M_i = Sigma^-1 dSigma_i Sigma^-1   (the covariance)

which together are the score of a Gaussian. Emission in bursts, e_k = kappa Poisson(x_k / kappa), is not Gaussian: the
variance of these functions then holds third and fourth cumulants, which are computed here without approximation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fluosr.errors import UsageError
from fluosr.limits.moments import Moments, without_traces

SINGULAR = 1e-12  # least eigenvalue of an information matrix scaled to a unit diagonal
NEGLIGIBLE = 1e-11  # eigenvalue, likewise, under which a combination of estimating functions is left out


class TooCloseError(UsageError):
    """Two so close that the arithmetic cannot tell their places from their brightnesses."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Estimating functions: P of the mean, Q of the covariance.

    Attributes:
        linear: (P, m) g.
        quadratic: (Q, m, m) M, symmetric.
    """

    linear: np.ndarray
    quadratic: np.ndarray

    @classmethod
    def gaussian(cls, moments: Moments) -> Scores:
        """Those that the score of a Gaussian adds up, K of each."""
        inverse = _inverse(moments.covariance)
        half = without_traces(inverse @ moments.covariance_slopes)
        return cls(moments.mean_slopes @ inverse, without_traces(half @ inverse))

    def split(self) -> Scores:
        """With diagonals and the rest of the quadratic ones apart: pixels alone hold shot noise, pairs of them none."""
        diagonal = self.quadratic * np.eye(self.quadratic.shape[-1])
        return Scores(self.linear, np.concatenate([diagonal, self.quadratic - diagonal]))

    def sensitivity(self, moments: Moments) -> np.ndarray:
        """(P + Q, K) by how much the functions' means move for a parameter: [g dmu^T; 1/2 tr(M dSigma)]."""
        slopes = moments.covariance_slopes
        quadratic = 0.5 * self.quadratic.reshape(len(self.quadratic), -1) @ slopes.reshape(len(slopes), -1).T
        return np.vstack([self.linear @ moments.mean_slopes.T, quadratic])

    def values(self, moments: Moments, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        """(P + Q,) mean of the functions over frames with this mean frame (m,) and covariance about it (m, m)."""
        z = mean - moments.mean
        excess = covariance + np.outer(z, z) - moments.covariance
        return np.concatenate([self.linear @ z, 0.5 * np.einsum("qij,ij->q", self.quadratic, excess)])

    def variance(self, moments: Moments) -> np.ndarray:
        """(P + Q, P + Q) variance over frames of emitters that burst, Poisson counts and read noise.

        With a_k a column of A, bursts of kappa photons come at the rate x_k / kappa, and each leaves Poisson(kappa a_k)
        counts. The cumulants of order r add up the bursts' raw moments of that order; the background adds its mean.
        """
        linear, quadratic = self.linear, self.quadratic
        kappa, light, x = moments.fano_factor, moments.response, moments.emission
        count = len(quadratic)
        diagonal = np.diagonal(quadratic, axis1=1, axis2=2)  # (Q, m)
        product = quadratic @ light  # (Q, m, n), M a
        alpha = np.einsum("qmn,mn->qn", product, light)  # a^T M a
        beta = diagonal @ light  # sum_p M_pp a_p
        gamma = linear @ light  # g^T a
        weighted = light * x
        spread = np.einsum("qmn,mn->qm", product, weighted)  # sum_k x_k a_k (M a_k)
        flat = quadratic.reshape(count, -1)

        third = gamma * x @ (kappa**2 * alpha + kappa * beta).T
        third += 2.0 * kappa * linear @ spread.T + (linear * moments.mean) @ diagonal.T

        mixed = kappa**2 * (alpha * x) @ beta.T + 2.0 * kappa * spread @ diagonal.T
        fourth = kappa**3 * (alpha * x) @ alpha.T + mixed + mixed.T + kappa * (beta * x) @ beta.T
        fourth += 4.0 * kappa**2 * (product * weighted).reshape(count, -1) @ product.reshape(count, -1).T
        fourth += 2.0 * kappa * (flat * (weighted @ light.T).ravel()) @ flat.T
        fourth += (diagonal * moments.mean) @ diagonal.T

        turned = quadratic @ moments.covariance  # tr(M Sigma N Sigma) takes it once, and once transposed
        gaussian = 2.0 * turned.reshape(count, -1) @ turned.transpose(0, 2, 1).reshape(count, -1).T
        return np.block(
            [
                [linear @ moments.covariance @ linear.T, 0.5 * third],
                [0.5 * third.T, 0.25 * (gaussian + fourth)],
            ]
        )


def gaussian_information(scores: Scores, moments: Moments) -> np.ndarray:
    """(K, K) Fisher information of one Gaussian frame, ``scores`` being :meth:`Scores.gaussian`:

    F_ij = dmu_i^T Sigma^-1 dmu_j + 1/2 tr(Sigma^-1 dSigma_i Sigma^-1 dSigma_j)
    """
    count = len(moments.mean_slopes)
    sensitivity = scores.sensitivity(moments)
    return sensitivity[:count] + sensitivity[count:]


def mean_information(moments: Moments, covariance: np.ndarray | None = None) -> np.ndarray:
    """(K, K) information of the mean frame alone, for each frame: dmu^T Sigma^-1 dmu; that of kappa is zero.

    Args:
        moments: of one frame.
        covariance: (m, m) Sigma, where it is not that of the frames.
    """
    sigma = moments.covariance if covariance is None else covariance
    return moments.mean_slopes @ _inverse(sigma) @ moments.mean_slopes.T


def best_weights(scores: Scores, moments: Moments) -> tuple[np.ndarray, np.ndarray]:
    """The combination of estimating functions that tells most about the parameters.

    With D their sensitivity and V their variance it is D^T V^-1, and what it tells is D^T V^-1 D.

    Returns:
        (K, P + Q) weights; (K, K) information of one frame.
    """
    sensitivity, variance = scores.sensitivity(moments), scores.variance(moments)
    size = np.sqrt(np.diagonal(variance)).copy()
    size[size == 0] = 1.0
    values, vectors = np.linalg.eigh(variance / np.outer(size, size))
    kept = values > NEGLIGIBLE * values[-1]
    inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T / np.outer(size, size)
    weights = sensitivity.T @ inverse
    return weights, weights @ sensitivity


def sandwich(scores: Scores, moments: Moments) -> np.ndarray:
    """(K, K) covariance, times T, of the estimator that takes frames with bursts for Gaussian: F^-1 J F^-1.

    J is the variance of the Gaussian score, of which ``scores``, :meth:`Scores.gaussian`, are the parts (Godambe 1960;
    White 1982).
    """
    count = len(moments.mean_slopes)
    variance = scores.variance(moments)
    scatter = sum(variance[i * count : (i + 1) * count, j * count : (j + 1) * count] for i in (0, 1) for j in (0, 1))
    inverse = inverse_of(gaussian_information(scores, moments))
    return inverse @ scatter @ inverse


def inverse_of(information: np.ndarray) -> np.ndarray:
    """Inverse of an information matrix, (K, K), whatever the units of its parameters.

    Raises:
        TooCloseError: it is singular to the precision of the arithmetic.
        UsageError: some of the unknowns do not change the frames at all.
    """
    size = np.sqrt(np.diagonal(information))
    scale = np.outer(size, size)
    if not (np.isfinite(scale).all() and size.min() > 0):
        raise UsageError("the frames tell nothing about some of the unknowns; is there any light?")
    values, vectors = np.linalg.eigh(information / scale)
    if values[0] < SINGULAR:
        raise TooCloseError(
            "the two are too close for the arithmetic: their positions cannot be told from their brightnesses to 12 "
            "digits. Give larger separations."
        )
    return (vectors / values) @ vectors.T / scale


def _inverse(matrix: np.ndarray) -> np.ndarray:
    from scipy.linalg import cho_factor, cho_solve

    try:
        factor = cho_factor(matrix, lower=True)
    except np.linalg.LinAlgError:
        raise UsageError(
            "pixels at the rim get no light and have no noise: give a background or a read noise above 0."
        ) from None
    inverse = cho_solve(factor, np.eye(len(matrix)))
    return without_traces((inverse + inverse.T) / 2.0)
