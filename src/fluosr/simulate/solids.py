"""Tubes and balls filled with dye, seen from above: how bright they are where the eye looks through much of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from fluosr.optics.sampling import Grid

POINTS_PER_FINE_PIXEL = 6  # along its side, by which areas are sampled
AT_A_TIME = 500_000  # points
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, eq=False)
class Tubes:
    """Pieces of round tubes; at the distance d from the axis one sees brightness sqrt(1 - (d / radius)^2).

    Bends are wider than the tube: its inner side does not fold.

    Args:
        starts_nm: (n, 2) (y, x) of each piece's begin.
        moves_nm: (n, 2) from its begin to its end.
        normals: (n, 2, 2) unit vectors across the tube at begin and end: where a tube bends, its pieces join.
        radii_nm: (n,).
        brightness: (n,), at the axis.
    """

    starts_nm: np.ndarray
    moves_nm: np.ndarray
    normals: np.ndarray
    radii_nm: np.ndarray
    brightness: np.ndarray

    @classmethod
    def along(
        cls, curves_nm: np.ndarray, radii_nm: np.ndarray, brightness: np.ndarray, kept: np.ndarray | None = None
    ) -> Tubes:
        """The pieces between the points of curves.

        Args:
            curves_nm: (..., k + 1, 2) (y, x), each point another than the one before.
            radii_nm, brightness: of each piece, (..., k).
            kept: (..., k) bool, which pieces there are; all without.
        """
        moves = np.diff(curves_nm, axis=-2)
        ways = moves / np.linalg.norm(moves, axis=-1, keepdims=True)
        corners = np.concatenate([ways[..., :1, :], ways[..., 1:, :] + ways[..., :-1, :], ways[..., -1:, :]], axis=-2)
        corners = corners / np.maximum(np.linalg.norm(corners, axis=-1, keepdims=True), 1e-9)
        across = np.stack([corners[..., 1], -corners[..., 0]], axis=-1)
        normals = np.stack([across[..., :-1, :], across[..., 1:, :]], axis=-2)
        there = np.ones(moves.shape[:-1], bool) if kept is None else kept
        return cls(curves_nm[..., :-1, :][there], moves[there], normals[there], radii_nm[there], brightness[there])

    @classmethod
    def joined(cls, parts: Sequence[Tubes]) -> Tubes:
        """All pieces in one."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    @property
    def light_nm2(self) -> float:
        """The integral over the plane: pi / 2 radius length brightness of each."""
        return float((np.hypot(*self.moves_nm.T) * self.radii_nm * self.brightness).sum() * math.pi / 2)

    def render(self, grid: Grid, pixel_size_nm: float, points: int = POINTS_PER_FINE_PIXEL) -> np.ndarray:
        """(ny, nx) float64, the mean over each fine pixel; what crosses adds up.

        Args:
            grid: the fine grid.
            pixel_size_nm: camera pixel.
            points: along a fine pixel's side, by which areas are sampled.
        """
        near = _near(grid, pixel_size_nm, self.starts_nm, self.radii_nm + np.hypot(*self.moves_nm.T))
        starts, moves, normals = self.starts_nm[near], self.moves_nm[near], self.normals[near]
        radii, lengths = self.radii_nm[near], np.hypot(*moves.T)
        spacing = pixel_size_nm / grid.factor / points
        along = max(1, math.ceil(float(lengths.max(initial=0)) / spacing))
        across = max(3, math.ceil(2 * float(radii.max(initial=0)) / spacing))
        light = math.pi / 2 * radii * self.brightness[near] * lengths / along
        # On the outer side of a bend a piece is longer, and has more of the light.
        longer = ((normals[:, 1] - normals[:, 0]) * moves).sum(1) / np.maximum(lengths, 1e-9) ** 2

        def strewn() -> Iterable[tuple[np.ndarray, np.ndarray]]:
            for step in range(along):
                share = (step + 0.5) / along
                axis = starts + share * moves
                normal = normals[:, 0] + share * (normals[:, 1] - normals[:, 0])
                # Points closer together at the rims, where the profile is steep: even steps of the angle around the
                # tube. They are moved from step to step, lest they and the pixels make a pattern.
                angles = (np.arange(across) + step * GOLDEN % 1) / across * math.pi
                weights = np.sin(angles) ** 2 * 2 / across
                for some in _parts(across, len(starts)):
                    side = np.cos(angles[some])[:, None] * radii
                    weight = weights[some, None] * light * np.maximum(1 + side * longer, 0)
                    yield (axis + side[..., None] * normal).reshape(-1, 2), weight.ravel()

        return _gathered(grid, pixel_size_nm, strewn())


@dataclass(frozen=True, eq=False)
class Balls:
    """Round balls; at the distance d from the middle one sees brightness sqrt(1 - (d / radius)^2).

    Args:
        centres_nm: (n, 2) (y, x).
        radii_nm: (n,).
        brightness: (n,), in the middle.
    """

    centres_nm: np.ndarray
    radii_nm: np.ndarray
    brightness: np.ndarray

    @property
    def light_nm2(self) -> float:
        """The integral over the plane: 2 pi / 3 radius^2 brightness of each."""
        return float((self.radii_nm**2 * self.brightness).sum() * math.pi * 2 / 3)

    def render(self, grid: Grid, pixel_size_nm: float) -> np.ndarray:
        """(ny, nx) float64, the mean over each fine pixel; what overlaps adds up."""
        near = _near(grid, pixel_size_nm, self.centres_nm, self.radii_nm)
        centres, radii, bright = self.centres_nm[near], self.radii_nm[near], self.brightness[near]
        spacing = pixel_size_nm / grid.factor / POINTS_PER_FINE_PIXEL
        count = max(16, math.ceil(math.pi * (float(radii.max(initial=0)) / spacing) ** 2))
        # Evenly over the disc, along a spiral of golden angles; the profile's mean over the disc is 2/3.
        reach = np.sqrt((np.arange(count) + 0.5) / count)
        angles = 2 * math.pi * GOLDEN * np.arange(count)
        aside = reach[:, None] * np.stack([np.sin(angles), np.cos(angles)], axis=1)
        weights = np.sqrt(1 - reach**2)
        weights /= weights.sum()
        light = 2 * math.pi / 3 * radii**2 * bright

        def strewn() -> Iterable[tuple[np.ndarray, np.ndarray]]:
            for some in _parts(count, len(centres)):
                places = centres + radii[:, None] * aside[some, None]
                yield places.reshape(-1, 2), (weights[some, None] * light).ravel()

        return _gathered(grid, pixel_size_nm, strewn())


def _parts(count: int, each: int) -> Iterable[slice]:
    """So many things of that size each, a few at a time: as slices."""
    at_once = max(1, AT_A_TIME // max(1, each))
    return (slice(begin, begin + at_once) for begin in range(0, count, at_once))


def _near(grid: Grid, pixel_size_nm: float, places_nm: np.ndarray, reach_nm: np.ndarray) -> np.ndarray:
    """Which of the places are near enough to be seen on the grid."""
    margin = grid.margin * pixel_size_nm
    far = np.array(grid.field_shape) * pixel_size_nm + margin
    return np.asarray(((places_nm > -margin - reach_nm[:, None]) & (places_nm < far + reach_nm[:, None])).all(1))


def _gathered(grid: Grid, pixel_size_nm: float, points: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Light (nm^2) at places (nm), gathered in fine pixels as brightness."""
    ny, nx = grid.shape
    fine_nm = pixel_size_nm / grid.factor
    image = np.zeros(ny * nx)
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    count = 0

    def put_down() -> None:
        indices, weights = (np.concatenate(part) for part in zip(*waiting, strict=True))
        image[:] += np.bincount(indices, weights, minlength=ny * nx)
        waiting.clear()

    for places, light in points:
        iy, ix = (np.floor(places / fine_nm).astype(int) + grid.margin * grid.factor).T
        inside = (iy >= 0) & (iy < ny) & (ix >= 0) & (ix < nx)
        waiting.append((iy[inside] * nx + ix[inside], light[inside]))
        count += len(waiting[-1][0])
        if count > AT_A_TIME:
            put_down()
            count = 0
    if waiting:
        put_down()
    return image.reshape(ny, nx) / fine_nm**2
