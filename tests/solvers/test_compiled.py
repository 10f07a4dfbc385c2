"""Compiled functions work where nothing can be kept on disk."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from numba import njit

import fluosr
from fluosr.solvers.compiled import compiled


def add_up(values: np.ndarray) -> float:
    total = 0.0
    for value in values:
        total += value
    return total


def test_without_a_place_for_the_cache_a_function_is_compiled_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(**options: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    with pytest.raises(RuntimeError, match="cannot cache"):
        njit(cache=True)(add_up)
    assert compiled(nogil=True)(add_up)(np.arange(5.0)) == 10.0


def test_every_compiled_function_is_of_this_kind() -> None:
    sources = Path(fluosr.__file__).parent.rglob("*.py")
    assert [path.name for path in sources if "import njit" in path.read_text(encoding="utf-8")] == ["compiled.py"]
