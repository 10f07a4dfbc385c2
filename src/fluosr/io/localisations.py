"""Tables of localisations in files: CSV in ThunderSTORM's columns, or Picasso's HDF5, as the name ends."""

from __future__ import annotations

import math
from pathlib import Path

from fluosr.acquisition import SMALLEST_PIXEL_NM
from fluosr.errors import UsageError
from fluosr.io.picasso import read_hdf5, write_hdf5
from fluosr.io.thunderstorm import FIRST_FRAME, read_csv, write_csv
from fluosr.io.write import StrPath
from fluosr.localisations import Localisations

MOST_FRAMES = 2**32  # that Picasso's numbers can count
CSV, CSV_GZ, HDF5 = (".csv",), (".csv.gz",), (".hdf5", ".h5")


def is_picasso(path: StrPath) -> bool:
    """Does the name end as that of a Picasso file?"""
    return Path(path).name.lower().endswith(HDF5)


def read_localisations(
    path: StrPath, *, pixel_size_nm: float | None = None, first_frame: int = FIRST_FRAME
) -> Localisations:
    """A table from a file.

    Args:
        path: ``.csv``, ``.csv.gz``, ``.hdf5`` or ``.h5``.
        pixel_size_nm: camera pixel, nm; only for Picasso's files that do not say it, and then it goes before theirs.
        first_frame: number of the movie's first frame in a CSV; Picasso's always count from 0.

    Returns:
        The localisations: frames from 0, coordinates in nm from the outer corner of the first pixel.

    Raises:
        ImageReadError: absent, damaged, or a file of something else; the line or row is named.
        MissingMetadataError: a Picasso file whose pixel size is not known.
        UsageError: another suffix, frames that cannot be, or h5py is needed and not installed.
    """
    path = Path(path)
    if pixel_size_nm is not None:
        check_pixel_size(pixel_size_nm)
    if is_picasso(path):
        return read_hdf5(path, pixel_size_nm)
    if path.name.lower().endswith(CSV + CSV_GZ):
        return read_csv(path, first_frame)
    raise UsageError(
        f"{path}: localisations are read from {', '.join(CSV + CSV_GZ + HDF5)}, known by how the name ends."
    )


def write_localisations(
    path: StrPath,
    table: Localisations,
    *,
    pixel_size_nm: float,
    field_shape: tuple[int, int],
    n_frames: int,
    psf_sigma_nm: float | None = None,
) -> None:
    """A table to a file. Reading it again gives the same: to the bit from CSV, to float32 from Picasso's.

    Args:
        path: ``.csv``, ``.hdf5`` or ``.h5``; folders above it are made.
        table: what is written; a column of which nothing is known is left out of a CSV.
        pixel_size_nm: camera pixel, nm.
        field_shape: (Y, X) of the movie, camera pixels.
        n_frames: of the movie.
        psf_sigma_nm: standard deviation of the PSF, where known; for Picasso's ``sx`` and ``sy``.

    Raises:
        OutputError: it cannot be written; what was there is untouched.
        UsageError: another suffix, a pixel size, field or number of frames that cannot be, or h5py is not installed.
    """
    path = Path(path)
    check_name(path)
    check_pixel_size(pixel_size_nm)
    if min(field_shape) < 1 or not 1 <= n_frames <= MOST_FRAMES:
        raise UsageError(f"{path}: a movie has frames and pixels, got {n_frames} frames of {field_shape} pixels.")
    if len(table) and table.frame[-1] >= n_frames:
        raise UsageError(f"{path}: localisations in frame {table.frame[-1]}, and the movie has {n_frames} frames.")
    if is_picasso(path):
        facts = {"pixel_size_nm": pixel_size_nm, "field_shape": field_shape, "n_frames": n_frames}
        write_hdf5(path, table, psf_sigma_nm=psf_sigma_nm, **facts)  # type: ignore[arg-type]
    else:
        write_csv(path, table)


def check_name(path: Path) -> None:
    """See that the name ends as one that can be written.

    Raises:
        UsageError: it does not.
    """
    if not path.name.lower().endswith(CSV + HDF5):
        raise UsageError(
            f"{path}: localisations are written as {', '.join(CSV + HDF5)}; end the name with one of them."
        )


def check_pixel_size(pixel_size_nm: float) -> None:
    """See that it can be one, nm.

    Raises:
        UsageError: it cannot.
    """
    if not (math.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise UsageError(f"the pixel size must be positive (nm), got {pixel_size_nm}.")
    if pixel_size_nm < SMALLEST_PIXEL_NM:
        raise UsageError(
            f"a pixel of {pixel_size_nm:.4g} nm is smaller than any camera's; lengths are in nanometres: was "
            f"{1000 * pixel_size_nm:.4g} meant?"
        )
