"""Where single molecules may lie: anywhere, along filaments, or on the walls of tubes that run together in places."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np

from fluosr.errors import UsageError
from fluosr.simulate.filaments import LARGEST_NM, MOST_FILAMENTS, FilamentPhantom

WALL_TO_WALL_NM = 5.0  # between the tubes of a bundle
TANGENT_NM = 400.0  # over which a bundle's direction is taken: its tubes stay smooth where the course turns


class Structure(Protocol):
    """A sample on which molecules are placed one by one."""

    @property
    def field_shape(self) -> tuple[int, int]:
        """(Y, X), camera pixels."""

    @property
    def pixel_size_nm(self) -> float:
        """Camera pixel, nm."""

    def places(self, count: int, generator: np.random.Generator) -> np.ndarray:
        """(count, 2) random places (y, x) inside the field, nm from its outer corner."""

    def describe(self) -> dict[str, Any]:
        """Everything that it was made from, for the record."""


@dataclass(frozen=True)
class RandomPoints:
    """Molecules anywhere in the field, each place as likely as any.

    Args:
        field_shape: (Y, X), camera pixels.
        pixel_size_nm: camera pixel.

    Raises:
        UsageError: no field, or a pixel that cannot be.
    """

    field_shape: tuple[int, int] = (64, 64)
    pixel_size_nm: float = 100.0

    def __post_init__(self) -> None:
        if len(self.field_shape) != 2 or min(self.field_shape) < 1:
            raise UsageError(f"the field of the points is (Y, X), camera pixels, got {self.field_shape}.")
        if not (math.isfinite(self.pixel_size_nm) and 0 < self.pixel_size_nm <= LARGEST_NM):
            raise UsageError(f"the pixel size must be positive (nm), got {self.pixel_size_nm}.")

    def places(self, count: int, generator: np.random.Generator) -> np.ndarray:
        """(count, 2) (y, x), nm."""
        return generator.uniform(size=(count, 2)) * np.array(self.field_shape) * self.pixel_size_nm

    def describe(self) -> dict[str, Any]:
        """Everything that it was made from."""
        return {"kind": type(self).__name__, **asdict(self)}


@dataclass(frozen=True)
class Filaments:
    """Molecules evenly along the curves of a network, and evenly over their width.

    Args:
        network: its curves, their width, field and pixel.

    Raises:
        UsageError: no curve crosses the field.
    """

    network: FilamentPhantom
    _courses: _Courses = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_courses", _Courses(self.network.curves(), self, self.network.width_nm / 2))

    @property
    def field_shape(self) -> tuple[int, int]:
        """(Y, X), camera pixels."""
        return self.network.shape

    @property
    def pixel_size_nm(self) -> float:
        """Camera pixel, nm."""
        return self.network.pixel_size_nm

    def places(self, count: int, generator: np.random.Generator) -> np.ndarray:
        """(count, 2) (y, x), nm."""
        return self._courses.places(count, generator, lambda u: self.network.width_nm * (u - 0.5))

    def describe(self) -> dict[str, Any]:
        """Everything that it was made from."""
        return {"kind": type(self).__name__, "network": self.network.describe()}


@dataclass(frozen=True)
class BundledTubes:
    """Hollow tubes, labelled at random over their walls, that run side by side in places and part in others.

    Each bundle follows a worm-like chain across the field. At a length s along it, its tubes lie side by side in the
    plane, at distances

        d(s) = D + 5 nm + apart max(0, sin(2 pi s / period + phase))^2

    from each other: along half of each period they touch, nearly. The wall of a tube seen from above is bright at its
    rims, for a label lies at D/2 sin(angle) from the axis, every angle as likely as any. The tubes of the ISBI
    challenge of 2013 are of this kind; their courses are not these.

    Args:
        shape: (Y, X) of the field, camera pixels.
        count: number of tubes.
        per_bundle: at most so many follow one course.
        diameter_nm: D.
        apart_nm: how much further apart they are where they part most.
        period_nm: from parting to parting.
        length_nm, persistence_nm, pixel_size_nm, seed: as of :class:`FilamentPhantom`, of the bundles' courses.

    Raises:
        UsageError: no tube, a length that cannot be, or none that crosses the field.
    """

    shape: tuple[int, int] = (64, 64)
    count: int = 9
    per_bundle: int = 3
    diameter_nm: float = 25.0
    apart_nm: float = 300.0
    period_nm: float = 6000.0
    length_nm: float = 12_000.0
    persistence_nm: float = 10_000.0
    pixel_size_nm: float = 100.0
    seed: int = 0
    _courses: _Courses = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MOST_FILAMENTS or self.per_bundle < 1:
            raise UsageError(f"there are 1 to {MOST_FILAMENTS} tubes, got {self.count}, {self.per_bundle} a bundle.")
        for name in ("apart_nm", "period_nm"):
            if not (0 <= getattr(self, name) <= LARGEST_NM) or self.period_nm == 0:
                raise UsageError(f"{name} of tubes must not be negative nor above a millimetre.")
        object.__setattr__(self, "_courses", _Courses(self.curves(), self, self.diameter_nm / 2))

    @property
    def field_shape(self) -> tuple[int, int]:
        """(Y, X), camera pixels."""
        return self.shape

    def curves(self) -> list[np.ndarray]:
        """For each tube the (n, 2) points of its axis, (y, x) in nm from the field's outer corner."""
        bundles = FilamentPhantom(
            self.shape,
            math.ceil(self.count / self.per_bundle),
            self.diameter_nm,
            self.length_nm,
            self.persistence_nm,
            self.pixel_size_nm,
            self.seed,
        )
        generator = np.random.default_rng((self.seed, bundles.count))
        phases = generator.uniform(0, 2 * math.pi, bundles.count)
        # The middle of a course is put into the middle half of the field, so that the tubes cross it.
        middles = generator.uniform(0.25, 0.75, (bundles.count, 2)) * np.array(self.shape) * self.pixel_size_nm
        tubes = []
        for number, (chain, phase, middle) in enumerate(zip(bundles.curves(), phases, middles, strict=True)):
            course = chain + middle - chain[len(chain) // 2]
            step = float(np.hypot(*(course[1] - course[0])))
            along = np.arange(len(course)) * step
            wave = np.clip(np.sin(2 * math.pi * along / self.period_nm + phase), 0.0, None) ** 2
            spacing = self.diameter_nm + WALL_TO_WALL_NM + self.apart_nm * wave
            reach = math.ceil(TANGENT_NM / 2 / step)
            rows = np.arange(len(course))
            chord = course[np.minimum(rows + reach, rows[-1])] - course[np.maximum(rows - reach, 0)]
            normal = np.stack([chord[:, 1], -chord[:, 0]], axis=1) / np.hypot(*chord.T)[:, None]
            own = min(self.per_bundle, self.count - number * self.per_bundle)
            sides = np.arange(own) - (own - 1) / 2
            tubes += [course + side * spacing[:, None] * normal for side in sides]
        return tubes

    def places(self, count: int, generator: np.random.Generator) -> np.ndarray:
        """(count, 2) (y, x), nm."""
        return self._courses.places(count, generator, lambda u: self.diameter_nm / 2 * np.sin(2 * math.pi * u))

    def describe(self) -> dict[str, Any]:
        """Everything that it was made from."""
        return {"kind": type(self).__name__, **{k: v for k, v in vars(self).items() if not k.startswith("_")}}


class _Courses:
    """The pieces of curves in and near the field, from which places are drawn evenly along their length."""

    def __init__(self, curves: Sequence[np.ndarray], structure: Structure, reach_nm: float) -> None:
        self.field_nm = np.array(structure.field_shape) * structure.pixel_size_nm
        if not any(self._inside(curve).any() for curve in curves):
            raise UsageError("nothing of the structure lies in the field: more of it, or another --network-seed.")
        starts = np.concatenate([curve[:-1] for curve in curves])
        moves = np.concatenate([np.diff(curve, axis=0) for curve in curves])
        reach = reach_nm + float(np.hypot(*moves.T).max())
        near = ((starts > -reach) & (starts < self.field_nm + reach)).all(axis=1)
        self.starts, self.moves = starts[near], moves[near]
        lengths = np.hypot(*self.moves.T)
        self.ends = np.cumsum(lengths)
        self.normals = np.stack([self.moves[:, 1], -self.moves[:, 0]], axis=1) / lengths[:, None]

    def _inside(self, places: np.ndarray) -> np.ndarray:
        return np.asarray(((places >= 0) & (places < self.field_nm)).all(axis=1))

    def places(
        self, count: int, generator: np.random.Generator, across: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """(count, 2) places inside the field; ``across`` turns even random numbers into distances from the axis, nm."""
        found: list[np.ndarray] = [np.zeros((0, 2))]
        missing = count
        while missing:
            along, part, side = generator.uniform(size=(3, 2 * missing + 8))
            piece = np.minimum(np.searchsorted(self.ends, along * self.ends[-1], side="right"), len(self.ends) - 1)
            drawn = self.starts[piece] + part[:, None] * self.moves[piece] + across(side)[:, None] * self.normals[piece]
            found.append(drawn[self._inside(drawn)][:missing])
            missing -= len(found[-1])
        return np.concatenate(found)
