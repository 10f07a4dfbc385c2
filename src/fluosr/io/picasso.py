"""Localisations as Picasso keeps them: a table ``locs`` in an HDF5 file, its facts in a ``.yaml`` beside it.

Picasso counts in camera pixels from the centre of the first one: its fits give the index of a pixel for a spot in the
middle of that pixel (``picasso/gausslq.py``, ``_sum_and_center_of_mass`` and ``_locs_from_fits``; seen in version
0.11.3). Ours count from the outer corner, half a pixel further out.
"""

from __future__ import annotations

import io
import json
import math
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fluosr import __version__
from fluosr.errors import ImageReadError, MemoryLimitError, MissingMetadataError, UsageError
from fluosr.io.damage import decoder_errors, first_bytes
from fluosr.io.write import write_bytes, write_text
from fluosr.localisations import Localisations, beyond_any_field
from fluosr.machine import available_memory_bytes

if TYPE_CHECKING:
    import h5py

HDF5 = b"\x89HDF\r\n\x1a\n"
CENTRE = 0.5  # of a pixel, from its outer corner, in pixels
DTYPE = np.dtype(
    [("frame", "u4"), *((name, "f4") for name in ("x", "y", "photons", "sx", "sy", "bg", "lpx", "lpy"))]
)  # as Picasso's own files have it
LARGEST = float(np.finfo(np.float32).max)
READ = ("frame", "x", "y", "photons", "bg", "lpx", "lpy")
UNKNOWN = "fluosr_unknown"  # attribute of the table: columns of which nothing is known
NAMES = {"photons": "photons", "background": "bg", "uncertainty_nm": "lpx"}


def read_hdf5(path: Path, pixel_size_nm: float | None = None) -> Localisations:
    """The localisations of a Picasso file.

    The uncertainty is the root of the mean square of ``lpx`` and ``lpy``; 0 there means that it is not known.

    Args:
        path: the file.
        pixel_size_nm: of a camera pixel, nm; None for what the file, or the ``.yaml`` beside it, says.

    Raises:
        ImageReadError: absent, damaged, or an HDF5 file of something else.
        MissingMetadataError: no pixel size, neither given nor in the file.
        MemoryLimitError: the table is larger than the memory.
        UsageError: h5py is not installed, or frames or coordinates that cannot be.
    """
    head = first_bytes(path, len(HDF5), "Picasso file")
    if head != HDF5:
        raise ImageReadError(f"{path} is no HDF5 file, whatever its name says.")
    h5py = _h5py()
    with decoder_errors(path, "read"), h5py.File(path, "r") as file:
        stored = file.get("locs")
        names = getattr(getattr(stored, "dtype", None), "names", None) or ()
        absent = [name for name in ("frame", "x", "y") if name not in names]
        if absent or stored.ndim != 1:
            inside = ", ".join(list(file)[:8]) or "nothing"
            raise ImageReadError(
                f"{path} holds no localisations: Picasso keeps them as a table 'locs' with frame, x and y, and this "
                f"file holds {inside}."
            )
        if stored.size * stored.dtype.itemsize * 4 > available_memory_bytes():
            raise MemoryLimitError(f"{path}: its {stored.size:,} localisations are more than there is memory for.")
        if pixel_size_nm is None:
            pixel_size_nm = _pixel_size(path, file)
        unknown = {str(name) for name in stored.attrs.get(UNKNOWN, ())}
        columns = {name: _numbers(path, stored, name) for name in names if name in READ and name not in unknown}
    values = {ours: columns[theirs] for ours, theirs in NAMES.items() if theirs in columns}
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is told of
        if "lpx" in columns:
            other = columns.get("lpy", columns["lpx"])
            spread = np.sqrt((columns["lpx"] ** 2 + other**2) / 2) * pixel_size_nm
            values["uncertainty_nm"] = np.where((spread > 0) & (spread < np.inf), spread, np.nan)
        x_nm, y_nm = ((columns[name] + CENTRE) * pixel_size_nm for name in "xy")
    for name in ("frame", "x", "y"):
        bad = np.flatnonzero(~np.isfinite(columns[name]))
        if bad.size:
            raise ImageReadError(f"{path}, row {bad[0]}: {name} is not a finite number.")
    for name, column in (("x", x_nm), ("y", y_nm)):
        bad = beyond_any_field(column)
        if bad.size:
            raise ImageReadError(
                f"{path}, row {bad[0]}: {name} is {column[bad[0]]:g} nm, and no field reaches beyond a metre. Delete "
                "the row, or correct it."
            )
    try:
        return Localisations(columns["frame"], x_nm, y_nm, **values)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def _numbers(path: Path, stored: h5py.Dataset, name: str) -> np.ndarray:
    """One column, float64 or as it is if whole."""
    if stored.dtype[name].kind not in "iuf":
        raise ImageReadError(f"{path}: its column {name!r} holds {stored.dtype[name]}, not numbers.")
    values = np.asarray(stored.fields(name)[()])
    return values.astype(float) if name != "frame" else values


def _pixel_size(path: Path, file: h5py.File) -> float:
    """What the file's own facts say, nm: those beside it go first, and of several the last, as Picasso has it."""
    said: list[object] = []
    with suppress(OSError):
        beside = path.with_suffix(".yaml").read_text(encoding="utf-8", errors="replace")
        said += reversed(re.findall(r"^Pixelsize: *(\S+)", beside, re.MULTILINE))
    with suppress(LookupError, TypeError, ValueError):  # since Picasso 0.11: the same as JSON
        inside = json.loads(file["metadata"].asstr()[()])
        said += [facts["Pixelsize"] for facts in reversed(inside) if "Pixelsize" in facts]
    for value in said:
        with suppress(TypeError, ValueError):
            size = float(str(value))
            if math.isfinite(size) and size > 0:
                return size
    raise MissingMetadataError(
        f"{path}: its coordinates are in pixels, and how large one is stands neither in it nor in "
        f"{path.with_suffix('.yaml').name}: give --pixel-size (nm; pixel_size_nm in Python)."
    )


def write_hdf5(
    path: Path,
    table: Localisations,
    *,
    pixel_size_nm: float,
    field_shape: tuple[int, int],
    n_frames: int,
    psf_sigma_nm: float | None = None,
) -> None:
    """A Picasso file, and the ``.yaml`` beside it that versions before 0.11 need.

    Picasso drops rows with NaN, so that what is not known is written as 0; of columns of which nothing is known
    fluosr's reader knows it again. Picasso also drops what lies less than half a pixel from the field's upper or left
    border, for there its coordinates are negative.

    Args:
        path: where to.
        table: the localisations.
        pixel_size_nm: camera pixel, nm.
        field_shape: (Y, X), camera pixels.
        n_frames: of the movie.
        psf_sigma_nm: standard deviation of the PSF, for ``sx`` and ``sy``; None where not known.

    Raises:
        OutputError: it cannot be written; what was there is untouched.
        UsageError: h5py is not installed, or a number that single precision cannot hold.
    """
    h5py = _h5py()
    rows = np.zeros(len(table), DTYPE)
    rows["frame"] = table.frame
    rows["x"], rows["y"] = table.x_nm / pixel_size_nm - CENTRE, table.y_nm / pixel_size_nm - CENTRE
    rows["photons"], rows["bg"] = (_single(path, table, name) for name in ("photons", "background"))
    rows["lpx"] = rows["lpy"] = _single(path, table, "uncertainty_nm") / pixel_size_nm
    rows["sx"] = rows["sy"] = (psf_sigma_nm or 0.0) / pixel_size_nm
    facts = {
        "Generated by": f"fluosr {__version__}",
        "Width": int(field_shape[1]),
        "Height": int(field_shape[0]),
        "Frames": int(n_frames),
        "Pixelsize": float(pixel_size_nm),
    }
    unknown = [theirs for ours, theirs in NAMES.items() if not np.isfinite(getattr(table, ours)).any()]
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        stored = file.create_dataset("locs", data=rows)
        if len(table):
            stored.attrs[UNKNOWN] = np.array(unknown, h5py.string_dtype())
        file.create_dataset("metadata", data=json.dumps([facts]))
    write_bytes(path, memory.getvalue())
    # Numbers and quoted texts are the same in YAML as in JSON.
    write_text(path.with_suffix(".yaml"), "".join(f"{key}: {json.dumps(value)}\n" for key, value in facts.items()))


def _single(path: Path, table: Localisations, name: str) -> np.ndarray:
    """A column that single precision can hold; what is not known is 0."""
    values = getattr(table, name)
    values = np.where(np.isfinite(values), values, 0.0)
    bad = np.flatnonzero(np.abs(values) > LARGEST)
    if bad.size:
        raise UsageError(
            f"{path}, row {bad[0]} (frame {table.frame[bad[0]]}): {name} is {values[bad[0]]:g}, more than the single "
            "precision of Picasso's files can hold. Delete the row, or correct it."
        )
    return values


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise UsageError(
            'Picasso\'s HDF5 files need the package h5py: pip install "fluosr[picasso]", or pip install h5py. '
            "CSV needs nothing."
        ) from None
    return h5py
