"""The simulated wells of the benchmark are independent: no two share cells, responses or noise."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from fluosr.simulate.assays import ASSAYS

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "tables", raising=False)
    spec = importlib.util.spec_from_file_location("phenotype_benchmark", BENCHMARKS / "phenotype_features.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_no_two_wells_share_a_seed(benchmark: ModuleType) -> None:
    wells = [well for assay in ASSAYS for well in benchmark.wells_of(assay)]
    wells += benchmark.wells_of("translocation", benchmark.DIM_PHOTONS)
    seeds = [well.seed for well in wells] + [well.culture.seed for well in wells]
    assert len(set(seeds)) == len(seeds) == 2 * 3 * benchmark.WELLS * len(benchmark.STRENGTHS)
