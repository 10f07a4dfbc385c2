"""Pixel size and frame interval as the makers of TIFF files write them: OME, ImageJ, MetaMorph, Zeiss, Micro-Manager.

The resolution tags of a plain TIFF are not among them: most programs write 72 dots per inch and mean nothing by it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

if TYPE_CHECKING:
    import tifffile

NANOMETRES = {
    "m": 1e9, "cm": 1e7, "mm": 1e6, "µm": 1e3, "um": 1e3, "micron": 1e3, "microns": 1e3, "micrometer": 1e3,
    "micrometre": 1e3, "nm": 1.0, "nanometer": 1.0, "nanometre": 1.0, "pm": 1e-3, "å": 0.1, "inch": 2.54e7,
    "in": 2.54e7,
}  # fmt: skip
SECONDS = {
    "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "µs": 1e-6, "us": 1e-6, "ns": 1e-9,
    "min": 60.0, "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hour": 3600.0, "hours": 3600.0,
}  # fmt: skip
SQUARE_TOLERANCE = 0.01


@dataclass(frozen=True)
class Calibration:
    """What the file says of its grid.

    Args:
        pixel_sizes_nm: (y, x), nm; None where not stated.
        frame_interval_s: seconds; None where not stated.
        source: who wrote it, such as "OME" or "ImageJ".
    """

    pixel_sizes_nm: tuple[float, float] | None = None
    frame_interval_s: float | None = None
    source: str = ""

    @property
    def is_square(self) -> bool:
        """The two sides differ by no more than 1 %."""
        if self.pixel_sizes_nm is None:
            return True
        y, x = self.pixel_sizes_nm
        return abs(y - x) <= SQUARE_TOLERANCE * max(y, x)


def read_calibration(tif: tifffile.TiffFile, ome: ElementTree.Element | None) -> Calibration:
    """What an open TIFF says of its pixel size and frame interval; nothing where nobody trusted wrote it.

    Args:
        tif: the open file.
        ome: its OME-XML, parsed; None where it has none.
    """
    readers = (
        ("OME", lambda: _ome(ome) if ome is not None else None),
        ("ImageJ", lambda: _imagej(tif)),
        ("MetaMorph", lambda: _metamorph(tif)),
        ("Zeiss LSM", lambda: _zeiss(tif)),
        ("Micro-Manager", lambda: _micromanager(tif)),
    )
    sizes: tuple[float, float] | None = None
    interval: float | None = None
    sources = []
    for name, reader in readers:
        found = reader()
        if found is None:
            continue
        if (sizes is None and found[0] is not None) or (interval is None and found[1] is not None):
            sources.append(name)
        sizes = sizes or found[0]
        interval = interval or found[1]
    return Calibration(sizes, interval, " and ".join(sources))


_Found = tuple[tuple[float, float] | None, float | None] | None


def _positive(value: Any, scale: float | None = 1.0) -> float | None:
    try:
        number = float(value) * float(scale)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _pair(y: float | None, x: float | None) -> tuple[float, float] | None:
    y, x = y or x, x or y
    return (y, x) if y is not None and x is not None else None


def _unit(table: dict[str, float], text: Any, default: str | None = None) -> float | None:
    word = str(text if text is not None else default).strip().replace("\\u00B5", "µ").replace("μ", "µ")
    return table.get(word) or table.get(word.lower())


def _ome(root: ElementTree.Element) -> _Found:
    pixels = root.find(".//{*}Pixels")
    if pixels is None:
        return None
    attributes = pixels.attrib
    y, x = (
        _positive(attributes.get(f"PhysicalSize{a}"), _unit(NANOMETRES, attributes.get(f"PhysicalSize{a}Unit"), "µm"))
        for a in "YX"
    )
    interval = _positive(attributes.get("TimeIncrement"), _unit(SECONDS, attributes.get("TimeIncrementUnit"), "s"))
    if interval is None:
        planes = [p for p in pixels.findall("{*}Plane") if p.get("TheC", "0") == "0" and p.get("TheZ", "0") == "0"]
        times = [_positive(p.get("DeltaT"), _unit(SECONDS, p.get("DeltaTUnit"), "s")) or 0.0 for p in planes]
        interval = _positive(np.median(np.diff(times))) if len(times) > 1 else None
    return _pair(y, x), interval


def _imagej(tif: tifffile.TiffFile) -> _Found:
    metadata = tif.imagej_metadata
    if not metadata:
        return None
    scale = _unit(NANOMETRES, metadata.get("unit"))
    sides = []
    for tag in (283, 282):  # YResolution, XResolution: pixels per unit
        value = tif.pages.first.tags.valueof(tag)
        numerator, denominator = value if isinstance(value, tuple) and len(value) == 2 else (0, 0)
        sides.append(_positive(denominator / numerator, scale) if numerator and scale else None)
    interval = _positive(metadata.get("finterval"), _unit(SECONDS, metadata.get("tunit"), "s"))
    return _pair(*sides), interval


def _metamorph(tif: tifffile.TiffFile) -> _Found:
    metadata = tif.stk_metadata if tif.is_stk else None
    if not metadata:
        return None
    scale = _unit(NANOMETRES, metadata.get("CalibrationUnits")) if metadata.get("SpatialCalibration") else None
    sizes = _pair(_positive(metadata.get("YCalibration"), scale), _positive(metadata.get("XCalibration"), scale))
    times = np.ravel(metadata.get("TimeCreated", ())).astype(float)  # milliseconds of the day
    return sizes, _positive(np.median(np.diff(times)), 1e-3) if times.size > 1 else None


def _zeiss(tif: tifffile.TiffFile) -> _Found:
    metadata = tif.lsm_metadata if tif.is_lsm else None
    if not metadata:
        return None
    sizes = _pair(_positive(metadata.get("VoxelSizeY"), 1e9), _positive(metadata.get("VoxelSizeX"), 1e9))
    return sizes, _positive(metadata.get("TimeIntervall"))


def _micromanager(tif: tifffile.TiffFile) -> _Found:
    metadata = (tif.micromanager_metadata or {}).get("Summary")
    if not isinstance(metadata, dict):
        return None
    size = _positive(metadata.get("PixelSize_um"), 1e3)
    return _pair(size, size), _positive(metadata.get("Interval_ms"), 1e-3)
