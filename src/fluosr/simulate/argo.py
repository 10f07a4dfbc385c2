"""The ARGO phantom: sets of four parallel lines whose middle pair closes in, 30 nm at a time (paper, Fig. 4)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from fluosr.errors import UsageError
from fluosr.optics.sampling import Grid

SEPARATIONS_NM = tuple(float(d) for d in range(0, 391, 30))

LARGEST_NM = 1e9
LENGTHS = ("line_width_nm", "outer_gap_nm", "pitch_nm", "line_length_nm", "margin_nm", "pixel_size_nm")


@dataclass(frozen=True)
class LineSet:
    """One set of parallel lines.

    Args:
        centre_nm: (y, x) of the set's middle, nm from the field's upper left corner.
        offsets_nm: signed distance of every line from the middle, along the normal, nm, ascending.
        separation_nm: centre-to-centre distance d of the middle pair; None for the single-line control.
    """

    centre_nm: tuple[float, float]
    offsets_nm: tuple[float, ...]
    separation_nm: float | None


@dataclass(frozen=True)
class ArgoPhantom:
    """Sets of four parallel lines and a single line as control.

    Args:
        separations_nm: d of each set, centre to centre; one set for each.
        line_width_nm: width of every line.
        outer_gap_nm: from an outer line to its neighbour, centre to centre.
        pitch_nm: from one set's middle to the next, along their normal.
        line_length_nm: length of the lines.
        margin_nm: dark border around the pattern.
        angle_deg: rotation of the lines, counter-clockwise, 0 for upright lines (along y). The sets' middles stay on a
            row, so that a tilted pattern fits a low field.
        control: add the single line, to the right of the last set.
        pixel_size_nm: camera pixel the field is rounded to.

    Raises:
        UsageError: no line at all, or a length that cannot be.
    """

    separations_nm: tuple[float, ...] = SEPARATIONS_NM
    line_width_nm: float = 100.0
    outer_gap_nm: float = 650.0
    pitch_nm: float = 2700.0
    line_length_nm: float = 3000.0
    margin_nm: float = 500.0
    angle_deg: float = 0.0
    control: bool = True
    pixel_size_nm: float = 100.0
    sets: tuple[LineSet, ...] = field(init=False)
    field_shape: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        for name in LENGTHS:
            value = getattr(self, name)
            if not 0 <= value <= LARGEST_NM or (value == 0 and name != "margin_nm"):
                raise UsageError(f"a phantom's {name} lies above 0 and below a metre, got {value:g} nm.")
        if not (math.isfinite(self.angle_deg) and abs(self.angle_deg) < 90):
            raise UsageError(f"lines tilt by less than 90 degrees, got {self.angle_deg}.")
        if not all(0 <= d <= LARGEST_NM for d in self.separations_nm):
            raise UsageError(f"distances of lines lie between 0 and a metre, got {self.separations_nm} nm.")
        if not self.separations_nm and not self.control:
            raise UsageError("a phantom needs at least one set of lines, or its control.")
        angle = math.radians(self.angle_deg)
        step = self.pitch_nm / math.cos(angle)
        half_set = max(self.separations_nm, default=0.0) / 2 + self.outer_gap_nm + self.line_width_nm / 2
        lean = abs(math.sin(angle))
        reach_x = half_set * math.cos(angle) + lean * self.line_length_nm / 2 + self.margin_nm
        height = math.cos(angle) * self.line_length_nm + 2 * lean * half_set + 2 * self.margin_nm
        count = len(self.separations_nm) + self.control
        width = 2 * reach_x + (count - 1) * step
        sets = []
        for number in range(count):
            centre = (height / 2, reach_x + number * step)
            if number < len(self.separations_nm):
                d = self.separations_nm[number]
                offsets = (-d / 2 - self.outer_gap_nm, -d / 2, d / 2, d / 2 + self.outer_gap_nm)
                sets.append(LineSet(centre, offsets, d))
            else:
                sets.append(LineSet(centre, (0.0,), None))
        object.__setattr__(self, "sets", tuple(sets))
        shape = (math.ceil(height / self.pixel_size_nm), math.ceil(width / self.pixel_size_nm))
        object.__setattr__(self, "field_shape", shape)

    @property
    def normal(self) -> tuple[float, float]:
        """(y, x) unit vector across the lines."""
        angle = math.radians(self.angle_deg)
        return -math.sin(angle), math.cos(angle)

    @property
    def direction(self) -> tuple[float, float]:
        """(y, x) unit vector along the lines."""
        angle = math.radians(self.angle_deg)
        return math.cos(angle), math.sin(angle)

    def render(self, grid: Grid) -> np.ndarray:
        """The emitters on a fine grid: (ny, nx) float64, 1 where a line covers a fine pixel whole.

        Each line is area-sampled, so that a line of any width and angle carries its light to a fraction of a pixel.
        Overlapping lines add up.
        """
        ny, nx = grid.shape
        fine_nm = self.pixel_size_nm / grid.factor
        y = ((np.arange(ny) + 0.5) / grid.factor - grid.margin)[:, None] * self.pixel_size_nm
        x = ((np.arange(nx) + 0.5) / grid.factor - grid.margin)[None, :] * self.pixel_size_nm
        image = np.zeros((ny, nx))
        (normal_y, normal_x), (along_y, along_x) = self.normal, self.direction
        for line_set in self.sets:
            dy, dx = y - line_set.centre_nm[0], x - line_set.centre_nm[1]
            along = dy * along_y + dx * along_x
            ends = _strip_coverage(along, self.line_length_nm, fine_nm, self.angle_deg)
            across = dy * normal_y + dx * normal_x
            for offset in line_set.offsets_nm:
                line = _strip_coverage(across - offset, self.line_width_nm, fine_nm, self.angle_deg) * ends
                # At a tilted line's four corners the product of the two strips is not quite the covered area.
                exact = self.line_width_nm * self.line_length_nm / fine_nm**2
                inside = line[[0, -1]].max() + line[:, [0, -1]].max() < 1e-9
                image += line * (exact / line.sum()) if inside and line.any() else line
        return image

    def describe(self) -> dict[str, Any]:
        """Everything that it was made from, and where its lines came to lie."""
        return {"kind": type(self).__name__, **asdict(self)}


def _strip_coverage(distance: np.ndarray, width: float, pixel: float, angle_deg: float) -> np.ndarray:
    """Fraction of a square pixel that an infinite strip covers; ``distance`` from the pixel's centre to its axis."""
    upper, lower = (_half_plane_coverage(distance + side * width / 2, pixel, angle_deg) for side in (1, -1))
    return np.clip(upper - lower, 0.0, None)


def _half_plane_coverage(distance: np.ndarray, pixel: float, angle_deg: float) -> np.ndarray:
    """Fraction of a square pixel with signed distance below ``distance``: the distribution of a sum of two uniforms."""
    angle = math.radians(angle_deg)
    a, b = sorted((abs(math.cos(angle)) * pixel, abs(math.sin(angle)) * pixel), reverse=True)
    if b < 1e-9 * pixel:
        return np.clip(distance / a + 0.5, 0.0, 1.0)
    # Area under a trapezoid of base a + b, top a - b and unit area, up to ``distance``.
    ramp = [np.clip(distance + s, 0.0, None) ** 2 for s in ((a + b) / 2, (a - b) / 2, -(a - b) / 2, -(a + b) / 2)]
    return np.clip((ramp[0] - ramp[1] - ramp[2] + ramp[3]) / (2 * a * b), 0.0, 1.0)
