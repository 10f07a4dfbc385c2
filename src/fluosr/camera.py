"""The camera: from photoelectrons to grey values (ADU) and back, and what it adds of its own."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fluosr.errors import UsageError

if TYPE_CHECKING:
    import torch

TYPICAL_READ_NOISE_E = 1.5  # rms of today's scientific CMOS cameras; used only where nothing is known


Image = TypeVar("Image", np.ndarray, "torch.Tensor")
Value = float | np.ndarray  # one for all pixels, or a (Y, X) map


@dataclass(frozen=True, eq=False)
class CameraMaps:
    """What differs from pixel to pixel (sCMOS): (Y, X) float32 maps; None where one value holds for all.

    Args:
        gain_adu_per_e, offset_adu, read_noise_e: as in :class:`Camera`.
    """

    gain_adu_per_e: np.ndarray | None = None
    offset_adu: np.ndarray | None = None
    read_noise_e: np.ndarray | None = None

    def items(self) -> Iterator[tuple[str, np.ndarray]]:
        """(name, map) of those that are there."""
        for part in fields(self):
            value = getattr(self, part.name)
            if value is not None:
                yield part.name, value

    @property
    def shape(self) -> tuple[int, int] | None:
        """(Y, X); None without maps."""
        return next((value.shape for _, value in self.items()), None)

    def crop(self, window: tuple[int, int, int, int]) -> CameraMaps:
        """Those of (y, x, height, width), camera pixels."""
        y, x, height, width = window
        return CameraMaps(**{name: value[y : y + height, x : x + width] for name, value in self.items()})


NO_MAPS = CameraMaps()


@dataclass(frozen=True)
class Camera:
    """y = gain * N + offset + gain * read_noise * g, N photoelectrons, g a standard normal variable.

    Args:
        gain_adu_per_e: ADU per photoelectron (alpha of the paper's model 4); with a map, its median.
        offset_adu: grey value without light, ADU; with a map, its median.
        read_noise_e: Gaussian noise, electrons rms (sigma = gain * read_noise in the paper's ADU); with a map, the root
            of its mean square.
        certainty: for each value how it is known: "given", "estimated ...", "assumed ...".
        maps: values of each pixel, which go before the others: see :meth:`of`.

    Raises:
        UsageError: gain not positive, read noise negative, or maps of different shapes.
    """

    gain_adu_per_e: float = 1.0
    offset_adu: float = 0.0
    read_noise_e: float = 0.0
    certainty: tuple[tuple[str, str], ...] = ()
    maps: CameraMaps = NO_MAPS

    def __post_init__(self) -> None:
        if not (math.isfinite(self.gain_adu_per_e) and self.gain_adu_per_e > 0):
            raise UsageError(f"the gain must be positive (ADU per photoelectron), got {self.gain_adu_per_e}.")
        if not math.isfinite(self.offset_adu):
            raise UsageError(f"the offset must be a number (ADU), got {self.offset_adu}.")
        if not (math.isfinite(self.read_noise_e) and self.read_noise_e >= 0):
            raise UsageError(f"the read noise must not be negative (electrons rms), got {self.read_noise_e}.")
        if len({value.shape for _, value in self.maps.items()}) > 1:
            shapes = ", ".join(f"{name} {value.shape}" for name, value in self.maps.items())
            raise UsageError(f"the camera's maps are of different sizes: {shapes}.")

    @classmethod
    def of(
        cls,
        gain: Value = 1.0,
        offset: Value = 0.0,
        read_noise: Value = 0.0,
        certainty: tuple[tuple[str, str], ...] = (),
    ) -> Camera:
        """A camera of numbers, (Y, X) maps, or both.

        Args:
            gain: ADU per photoelectron.
            offset: ADU without light.
            read_noise: electrons rms.
            certainty: how each is known.

        Raises:
            UsageError: a map that is none, or with values that no pixel can have.
        """
        given = {"gain_adu_per_e": gain, "offset_adu": offset, "read_noise_e": read_noise}
        maps = {name: _checked_map(name, value) for name, value in given.items() if np.ndim(value)}
        typical = {name: float(value) for name, value in given.items() if name not in maps}
        for name, value in maps.items():
            wide = value.astype(float)
            typical[name] = float(np.sqrt((wide**2).mean()) if name == "read_noise_e" else np.median(wide))
        return cls(**typical, certainty=certainty, maps=CameraMaps(**maps) if maps else NO_MAPS)

    def crop(self, window: tuple[int, int, int, int]) -> Camera:
        """The camera of a part of the field: (y, x, height, width), camera pixels. Typical values stay."""
        return self if self.maps.shape is None else replace(self, maps=self.maps.crop(window))

    @property
    def read_variance(self) -> Value:
        """Read noise squared, electrons squared: a number, or a (Y, X) map."""
        noise = self.maps.read_noise_e
        return self.read_noise_e**2 if noise is None else noise.astype(float) ** 2

    def to_photons(self, adu: np.ndarray) -> np.ndarray:
        """(...) ADU -> (...) photoelectrons, float32; (..., Y, X) with maps."""
        gain, offset = self._gain_and_offset()
        scale = np.float32(1.0) / gain if isinstance(gain, np.ndarray) else np.float32(1.0 / gain)
        return (np.asarray(adu, np.float32) - np.asarray(offset, np.float32)) * scale

    def to_adu(self, photons: np.ndarray) -> np.ndarray:
        """(...) photoelectrons -> (...) ADU, float32; (..., Y, X) with maps."""
        gain, offset = self._gain_and_offset()
        return np.asarray(photons, np.float32) * np.asarray(gain, np.float32) + np.asarray(offset, np.float32)

    def _gain_and_offset(self) -> tuple[Value, Value]:
        gain, offset = self.maps.gain_adu_per_e, self.maps.offset_adu
        return self.gain_adu_per_e if gain is None else gain, self.offset_adu if offset is None else offset

    def noise_variance(self, expected: Image) -> Image:
        """(...) expected photoelectrons -> (...) variance of a frame, electrons squared: max(phi, 0) + read_noise^2."""
        read: Any = self.read_variance
        if isinstance(read, np.ndarray) and not isinstance(expected, np.ndarray):
            read = expected.new_tensor(read)
        return expected.clip(0.0) + read

    def expose(self, expected: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Frames in ADU, (...) float32, for expected photoelectrons (...): Poisson count, read noise, gain, offset."""
        counts = generator.poisson(expected).astype(np.float32)
        read = self.read_noise_e if self.maps.read_noise_e is None else self.maps.read_noise_e
        noise = generator.standard_normal(counts.shape, dtype=np.float32) * np.asarray(read, np.float32)
        return self.to_adu(counts + noise)

    def describe(self) -> dict[str, object]:
        """All values and how each is known; of maps their size, their range, and a fingerprint."""
        values = {part.name: getattr(self, part.name) for part in fields(self) if part.name != "maps"}
        maps = {
            name: {
                "shape": list(value.shape),
                "range": [float(value.min()), float(value.max())],
                "fingerprint": hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:16],
            }
            for name, value in self.maps.items()
        }
        return {**values, "certainty": dict(self.certainty), **({"maps": maps} if maps else {})}


def _checked_map(name: str, value: Value) -> np.ndarray:
    image = np.asarray(value)
    words = f"the map of the camera's {name}"
    if image.ndim != 2 or image.dtype.kind not in "buif":
        raise UsageError(f"{words} is one (Y, X) image of numbers, got shape {image.shape} of {image.dtype}.")
    image = image.astype(np.float32)
    good = np.isfinite(image)
    if name != "offset_adu":
        good &= image > 0 if name == "gain_adu_per_e" else image >= 0
    if not good.all():
        y, x = (int(n) for n in np.argwhere(~good)[0])
        raise UsageError(
            f"{words}: {int((~good).sum())} values cannot be, the first {image[y, x]:g} at pixel y={y}, x={x}. Replace "
            "those of dead pixels by their neighbours'."
        )
    return image
