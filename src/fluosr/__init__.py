"""fluosr: computational super-resolution for fluorescence microscopy, with the evidence for how far to trust it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = ["__version__", "open_movie", "reconstruct", "write_result"]

if TYPE_CHECKING:
    from fluosr.io.movie import open_movie
    from fluosr.pipeline import reconstruct, write_result

_WHERE = {"open_movie": "fluosr.io.movie", "reconstruct": "fluosr.pipeline", "write_result": "fluosr.pipeline"}


def __getattr__(name: str) -> Any:
    # Imported on first use: `import fluosr` stays fast.
    if name in _WHERE:
        import importlib

        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'fluosr' has no attribute {name!r}")
