"""Mean and covariance of a frame that shows a pair, with their derivatives by everything that is not known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fluosr.limits.response import pixel_response
from fluosr.limits.scene import Experiment, Pair, sigma_nm

TRACE = 1e-150  # the square of which is still an ordinary number


@dataclass(frozen=True, eq=False)
class Moments:
    """The moments of one frame, photoelectrons, m pixels and K parameters.

    Attributes:
        mean: (m,) mu.
        covariance: (m, m) Sigma.
        mean_slopes: (K, m) d mu / d theta.
        covariance_slopes: (K, m, m) d Sigma / d theta.
        response: (m, n) A, the share of each emitter's light in each pixel.
        emission: (n,) x, mean photons per frame of each emitter.
        fano_factor: kappa.
    """

    mean: np.ndarray
    covariance: np.ndarray
    mean_slopes: np.ndarray
    covariance_slopes: np.ndarray
    response: np.ndarray
    emission: np.ndarray
    fano_factor: float


def without_traces(values: np.ndarray) -> np.ndarray:
    """Far from the pair light falls to 1e-300: it changes no sum, and processors take ten times as long for it."""
    return np.where(np.abs(values) < TRACE, 0.0, values)


@dataclass(frozen=True)
class Line:
    """One line (or point) of a pair: where its middle is, nm from the window's middle, and its photons per frame."""

    across_nm: float
    along_nm: float
    photons: float


@dataclass(frozen=True)
class PairModel:
    """A pair in a window of camera pixels:

        mu = A x + b,   Sigma = kappa A diag(x) A^T + diag(mu) + read_noise^2 I

    Args:
        experiment: the microscope, the camera and the movie.
        pair: the lines or points.
        window: (Y, X) camera pixels.
        along_nm: where the lines' middles lie along their direction, nm from the window's middle; known.
        slope: the background is a plane and not even.
        equal: both are known to be equally bright.

    Its parameters are a vector in the order of :attr:`names`. Sums and differences of the two stand there, and not the
    two: close pairs are told from each other's derivatives only so.
    """

    experiment: Experiment
    pair: Pair
    window: tuple[int, int]
    along_nm: float = 0.0
    slope: bool = False
    equal: bool = False

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What the entries of the parameter vector are.

        Middle and difference of the places across the lines (of points also along), nm; sum and difference of the
        brightnesses, photons per frame; background, photons per pixel and frame, and its slopes from the window's
        middle to its rim; kappa.
        """
        along = ("along_nm", "stagger_nm") if self.pair.shape == "points" else ()
        plane = ("slope_y", "slope_x") if self.slope else ()
        apart = () if self.equal else ("imbalance",)
        return ("centre_nm", "separation_nm", *along, "photons", *apart, "background", *plane, "fano_factor")

    def parameters(self, separation_nm: float, centre_nm: float = 0.0) -> np.ndarray:
        """(K,) the parameters of the experiment's pair at this separation.

        Args:
            separation_nm: d.
            centre_nm: where its middle lies across the lines, nm from the window's middle.
        """
        values = {
            "centre_nm": centre_nm,
            "separation_nm": separation_nm,
            "along_nm": self.along_nm,
            "photons": 2.0 * self.pair.brightness(self.experiment, separation_nm),
            "background": self.experiment.background_photons,
            "fano_factor": self.experiment.fano_factor,
        }
        return np.array([values.get(name, 0.0) for name in self.names])

    def lines(self, parameters: np.ndarray) -> tuple[Line, Line]:
        """The two lines (points) that the parameters mean."""
        value = dict(zip(self.names, (float(v) for v in parameters), strict=True))
        along, stagger = value.get("along_nm", self.along_nm), value.get("stagger_nm", 0.0)
        first, second = (
            Line(
                value["centre_nm"] + side * value["separation_nm"] / 2,
                along + side * stagger / 2,
                (value["photons"] + side * value.get("imbalance", 0.0)) / 2,
            )
            for side in (-1, 1)
        )
        return first, second

    def places(self, line: Line, nodes: np.ndarray) -> np.ndarray:
        """(n, 2) y and x, nm from the window's middle, of (n, 2) places along and across a line, nm from its middle."""
        along, across = line.along_nm + nodes[:, :1], line.across_nm + nodes[:, 1:]
        return along * self.pair.direction + across * self.pair.normal

    def moments(self, parameters: np.ndarray) -> Moments:
        """All moments at these parameters, (K,)."""
        names, pixels = self.names, self.window[0] * self.window[1]
        value = dict(zip(names, (float(v) for v in parameters), strict=True))
        kappa = value["fano_factor"]
        mean, mean_slopes = np.zeros(pixels), np.zeros((len(names), pixels))
        shared, shared_slopes = np.zeros((pixels, pixels)), np.zeros((len(names), pixels, pixels))  # A diag(x) A^T
        responses, emissions = [], []
        nodes, share = self._nodes
        for side, line in zip((-1, 1), self.lines(parameters), strict=True):
            light, by_y, by_x = pixel_response(
                self.experiment.psf, self.window, self.experiment.pixel_size_nm, self.places(line, nodes)
            )
            image, product = light @ share, (light * share) @ light.T
            mean += line.photons * image
            shared += line.photons * product
            changes = {("photons", "imbalance"): (image, product)}
            for pair_of, vector in (
                (("centre_nm", "separation_nm"), self.pair.normal),
                (("along_nm", "stagger_nm"), self.pair.direction),
            ):
                slope = line.photons * (by_y * vector[0] + by_x * vector[1])
                half = (slope * share) @ light.T
                changes[pair_of] = (slope @ share, half + half.T)
            for (both, apart), (by_mean, by_shared) in changes.items():
                # Brightness is a sum, and place a middle: half of the sum goes to each, all of the middle.
                for name, weight in ((both, 0.5 if both == "photons" else 1.0), (apart, side / 2)):
                    if name in names:
                        mean_slopes[names.index(name)] += weight * by_mean
                        shared_slopes[names.index(name)] += weight * by_shared
            responses.append(light)
            emissions.append(line.photons * share)
        for name, shape in self._background.items():
            mean_slopes[names.index(name)] = shape
            mean = mean + value[name] * shape
        covariance, covariance_slopes = kappa * shared, kappa * shared_slopes
        covariance_slopes[names.index("fano_factor")] = shared
        diagonal = np.arange(pixels)
        covariance[diagonal, diagonal] += mean + self.experiment.read_noise_e**2
        covariance_slopes[:, diagonal, diagonal] += mean_slopes
        covariance, covariance_slopes = without_traces(covariance), without_traces(covariance_slopes)
        return Moments(
            mean, covariance, mean_slopes, covariance_slopes, np.hstack(responses), np.concatenate(emissions), kappa
        )

    @cached_property
    def _nodes(self) -> tuple[np.ndarray, np.ndarray]:
        return self.pair.nodes(sigma_nm(self.experiment.psf))

    @cached_property
    def _background(self) -> dict[str, np.ndarray]:
        y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in self.window), indexing="ij")
        shapes = {"background": np.ones(y.size)}
        return shapes | ({"slope_y": y.ravel(), "slope_x": x.ravel()} if self.slope else {})
