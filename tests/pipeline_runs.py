"""What tests of the pipeline share: a quick run into a folder, and the files that it leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fluosr.acquisition import Acquisition
from fluosr.methods.base import MethodParameters
from fluosr.methods.registry import get_method
from fluosr.pipeline import Result, run_to_folder

FILES = {"reconstruction.ome.tif", "background.tif", "mean.tif", "run.json", "report.html"}
QUICK = {"factor": 3, "iterations": 100, "sparsity": 0.7, "smoothness": 1.0, "halves": False}


def quick(**changes: Any) -> MethodParameters:
    """Of FluoGAN, few iterations."""
    return get_method("fluogan").build(**(QUICK | changes))


def run_quickly(movie: Acquisition, output: Path, **options: Any) -> Result:
    """A run into a folder with such parameters, without a report unless it is asked for."""
    return run_to_folder(movie, output, **({"parameters": quick(), "make_report": False} | options))
