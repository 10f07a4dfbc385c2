"""Molecules found frame by frame, or the true ones: where, how bright, how surely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from fluosr.errors import UsageError

TOO_LATE = 2**62  # frame number
FARTHEST_NM = 1e9  # a metre: no field is wider
COLUMNS = ("x_nm", "y_nm", "photons", "background", "uncertainty_nm")


def _unknown() -> np.ndarray:
    return np.zeros(0)


def beyond_any_field(coordinates_nm: np.ndarray) -> np.ndarray:
    """The rows whose coordinate is not finite, or further than :data:`FARTHEST_NM` from the movie's corner."""
    return np.flatnonzero(~(np.abs(coordinates_nm) <= FARTHEST_NM))


@dataclass(frozen=True, eq=False)
class Localisations:
    """A table with one row for each molecule and frame, ordered by frame.

    Coordinates begin at the outer corner of the movie's first pixel: the centre of camera pixel (i, j) lies at
    x = (j + 1/2) pixels, y = (i + 1/2) pixels. What is not known of any row may be left out and is NaN.

    Args:
        frame: (N,) from 0.
        x_nm: (N,) along the columns, nm.
        y_nm: (N,) along the rows, nm.
        photons: (N,) of the molecule in the frame.
        background: (N,) photons per camera pixel around it.
        uncertainty_nm: (N,) standard deviation of either coordinate, nm.

    Raises:
        UsageError: columns of other lengths, negative or fractional frame numbers, or numbers or coordinates that are
            not finite or further than a metre away.
    """

    frame: np.ndarray
    x_nm: np.ndarray
    y_nm: np.ndarray
    photons: np.ndarray = field(default_factory=_unknown)
    background: np.ndarray = field(default_factory=_unknown)
    uncertainty_nm: np.ndarray = field(default_factory=_unknown)

    def __post_init__(self) -> None:
        given = np.asarray(self.frame).reshape(-1)
        n = given.size
        # Before they become integers, which hold neither NaN nor more.
        if not ((given >= 0) & (given < TOO_LATE) & (np.floor(given) == given)).all():
            raise UsageError("localisations: frame numbers must be whole and not below 0 (nor beyond 2^62).")
        frame = given.astype(np.int64)
        order = np.argsort(frame, kind="stable")
        object.__setattr__(self, "frame", frame[order])
        for name in COLUMNS:
            values = np.asarray(getattr(self, name), float).reshape(-1)
            if not values.size and name not in ("x_nm", "y_nm"):
                values = np.full(n, np.nan)
            if len(values) != n:
                raise UsageError(f"localisations: {n} frame numbers, but {len(values)} values of {name}.")
            if name in ("x_nm", "y_nm") and (wild := beyond_any_field(values)).size:
                raise UsageError(
                    f"localisations, row {wild[0]}: {name} is {values[wild[0]]:g}; a coordinate is a finite number of "
                    "nanometres, and no field reaches beyond a metre."
                )
            object.__setattr__(self, name, values[order])

    def __len__(self) -> int:
        return len(self.frame)

    @classmethod
    def none(cls) -> Localisations:
        """The empty table."""
        return cls(np.zeros(0, int), np.zeros(0), np.zeros(0))

    @classmethod
    def joined(cls, tables: Sequence[Localisations]) -> Localisations:
        """One table of several."""
        if not tables:
            return cls.none()
        return cls(**{item.name: np.concatenate([getattr(t, item.name) for t in tables]) for item in fields(cls)})

    def arrays(self) -> dict[str, np.ndarray]:
        """Every column by its name, for a checkpoint or a file; ``Localisations(**arrays)`` is the way back."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def where(self, mask: np.ndarray) -> Localisations:
        """The rows of an (N,) bool mask, or of row numbers."""
        return Localisations(**{name: column[mask] for name, column in self.arrays().items()})

    def in_frame(self, number: int) -> Localisations:
        """The rows of one frame."""
        first, last = np.searchsorted(self.frame, (number, number + 1))
        return self.where(np.arange(first, last))

    def shifted(self, frames: int) -> Localisations:
        """The same with other frame numbers: ``frames`` is added to each."""
        columns = {name: getattr(self, name) for name in COLUMNS}
        return Localisations(self.frame + frames, **columns)

    def rendered(self, field_shape: tuple[int, int], factor: int, pixel_size_nm: float) -> np.ndarray:
        """(L Y, L X) float32: photons in each fine pixel, over all frames; molecules outside the field are left out.

        Args:
            field_shape: (Y, X), camera pixels.
            factor: L.
            pixel_size_nm: of a camera pixel, nm.

        Raises:
            UsageError: the photons of some molecules, or of all, are not known.
        """
        unknown = int((~np.isfinite(self.photons)).sum())
        if unknown:
            raise UsageError(
                f"localisations: the photons of {unknown} of {len(self)} molecules are not known, and their light "
                "cannot be drawn; counted() draws molecules instead."
            )
        return self._drawn(self.photons, field_shape, factor, pixel_size_nm)

    def counted(self, field_shape: tuple[int, int], factor: int, pixel_size_nm: float) -> np.ndarray:
        """(L Y, L X) float32: molecules in each fine pixel, over all frames; the rest is as of :meth:`rendered`."""
        return self._drawn(np.ones(len(self)), field_shape, factor, pixel_size_nm)

    def _drawn(
        self, weights: np.ndarray, field_shape: tuple[int, int], factor: int, pixel_size_nm: float
    ) -> np.ndarray:
        fine_nm, shape = pixel_size_nm / factor, (field_shape[0] * factor, field_shape[1] * factor)
        rows, columns = (np.floor(c / fine_nm).astype(np.int64) for c in (self.y_nm, self.x_nm))
        inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
        flat = np.bincount(rows[inside] * shape[1] + columns[inside], weights[inside], shape[0] * shape[1])
        return flat.reshape(shape).astype(np.float32)
