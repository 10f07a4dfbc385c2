"""A reconstruction kept whole: its arrays as safetensors, all else as JSON in the same file; nothing is pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from fluosr.errors import ImageReadError, UsageError
from fluosr.io.write import StrPath, write_bytes
from fluosr.localisations import Localisations
from fluosr.reconstruction import Reconstruction

FORMAT = "fluosr reconstruction 1"
IMAGES = ("image", "background", "mean", "expected", "standard_error", "uncertainty")
ARRAYS = (*IMAGES, "halves", "maps", "localisations")


def save_reconstruction(
    path: StrPath, reconstruction: Reconstruction, *, notes: Mapping[str, Any] | None = None
) -> None:
    """Everything that a reconstruction holds, so that it can be judged and shown again without computing it.

    Args:
        path: where to; folders above it are made.
        reconstruction: what to keep. Values that are not arrays are kept as JSON: a tuple comes back as a list.
        notes: what the caller wants to know again, such as what the result depends on; :func:`load_notes` reads it.

    Raises:
        OutputError: it cannot be written; what was there is untouched.
    """
    from safetensors.numpy import save

    arrays = {name: getattr(reconstruction, name) for name in IMAGES}
    arrays |= {f"halves/{number}": half for number, half in enumerate(reconstruction.halves or ())}
    arrays |= {f"maps/{name}": image for name, image in reconstruction.maps.items()}
    if reconstruction.localisations is not None:
        columns = reconstruction.localisations.arrays()
        arrays |= {f"localisations/{name}": column for name, column in columns.items()}
    stored = {name: np.ascontiguousarray(array) for name, array in arrays.items() if array is not None}
    rest = {f.name: getattr(reconstruction, f.name) for f in fields(reconstruction) if f.name not in ARRAYS}
    metadata = {"format": FORMAT, "values": _text(rest), "notes": _text(notes or {})}
    write_bytes(path, save(stored, metadata=metadata))


def load_reconstruction(path: StrPath) -> Reconstruction:
    """What :func:`save_reconstruction` kept.

    Raises:
        ImageReadError: it is not there, damaged, or no reconstruction.
    """
    return _read(Path(path))[0]


def load_notes(path: StrPath) -> dict[str, Any]:
    """The caller's notes alone; no array is read.

    Raises:
        ImageReadError: it is not there, damaged, or no reconstruction.
    """
    return _read(Path(path), arrays=False)[1]


def _read(path: Path, *, arrays: bool = True) -> tuple[Any, dict[str, Any]]:
    import safetensors

    try:
        with safetensors.safe_open(str(path), framework="np") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError(f"it is not a {FORMAT!r}")
            notes = json.loads(metadata["notes"])
            if not arrays:
                return None, notes
            stored = {name: file.get_tensor(name) for name in sorted(file.keys())}
            values = json.loads(metadata["values"])
        halves = [array for name, array in stored.items() if name.startswith("halves/")]
        maps = {name.removeprefix("maps/"): array for name, array in stored.items() if name.startswith("maps/")}
        table = {n.removeprefix("localisations/"): a for n, a in stored.items() if n.startswith("localisations/")}
        images = {name: stored.get(name) for name in IMAGES}
        made = Reconstruction(
            **images,  # type: ignore[arg-type]
            **values,
            halves=tuple(halves) or None,
            maps=maps,
            localisations=Localisations(**table) if table else None,
        )
    except FileNotFoundError:
        raise ImageReadError(f"{path} is not there.") from None
    except (
        OSError,
        LookupError,
        TypeError,
        ValueError,
        RecursionError,
        UsageError,
        safetensors.SafetensorError,
    ) as error:
        raise ImageReadError(f"{path} is damaged ({error}).") from error
    return made, notes


def _text(value: Any) -> str:
    return json.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return dict(value) if isinstance(value, Mapping) else str(value)
