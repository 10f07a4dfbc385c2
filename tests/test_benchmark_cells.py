"""Cells of a benchmark are kept one by one: what is done is not done again, and what is left is taken up."""

from __future__ import annotations

import importlib.util
import json
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    path = Path(__file__).parents[1] / "benchmarks" / "tables.py"
    spec = importlib.util.spec_from_file_location("tables_of_benchmarks", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    return module


def test_a_run_that_dies_is_taken_up_where_it_was(tables: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    done: list[str] = []

    def work(key: str, dies: bool) -> dict[str, Any]:
        if dies:
            raise KeyboardInterrupt
        done.append(key)
        return {"value": len(done)}

    def jobs(dying: str) -> list[tuple[str, Any]]:
        return [(key, partial(work, key, key == dying)) for key in ("a", "b", "c")]

    with pytest.raises(KeyboardInterrupt):
        tables.Cells("bench").fill(jobs("b"), lambda cell: cell["value"])
    path = tables.RESULTS / "bench.cells.json"
    assert json.loads(path.read_text()) == {"a": {"value": 1}}
    tables.Cells("bench", minutes=1e-9).fill(jobs(""), lambda cell: cell["value"])
    assert done == ["a"]
    tables.Cells("bench").fill(jobs(""), lambda cell: cell["value"])
    assert done == ["a", "b", "c"] and capsys.readouterr().out.split() == ["a", "1", "b", "2", "c", "3"]
    assert json.loads(path.read_text()) == {"a": {"value": 1}, "b": {"value": 2}, "c": {"value": 3}}
    assert [each.name for each in tables.RESULTS.iterdir()] == [path.name]
