"""What this machine can do: versions, memory, devices, and the known traps."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import tempfile
from collections.abc import Iterator

from fluosr import __version__

NEEDED = (
    "torch",
    "numpy",
    "scipy",
    "tifffile",
    "imagecodecs",
    "pydantic",
    "typer",
    "rich",
    "safetensors",
    "matplotlib",
)
OPTIONAL = {"h5py": "Picasso's files"}
GIB = 2**30


def examine() -> Iterator[tuple[str, bool]]:
    """One line a finding, and whether it is as it should be."""
    yield f"fluosr {__version__}", True
    yield f"Python {platform.python_version()} on {platform.platform()}", True
    for name in NEEDED:
        try:
            yield f"{name} {importlib.metadata.version(name)}", True
        except importlib.metadata.PackageNotFoundError:
            yield f"{name} is not installed: pip install fluosr", False
    for name, use in OPTIONAL.items():
        try:
            yield f"{name} {importlib.metadata.version(name)}, for {use}", True
        except importlib.metadata.PackageNotFoundError:
            yield f"{name} is not installed, which only {use} would need: pip install {name}", True
    if importlib.util.find_spec("torchvision"):
        try:
            importlib.import_module("torchvision")
        except Exception as error:
            yield (
                f"torchvision is installed but broken ({error}); fluosr does not need it: pip uninstall torchvision",
                False,
            )
    yield f"{os.cpu_count()} CPU cores", True
    from fluosr.machine import available_memory_bytes

    free = available_memory_bytes() / GIB
    yield f"{free:.1f} GiB of memory free", free > 0.5
    if importlib.util.find_spec("torch") is None:
        return
    import torch

    yield f"torch computes with {torch.get_num_threads()} threads", True
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            size = torch.cuda.get_device_properties(index).total_memory / GIB
            yield f"cuda:{index} {torch.cuda.get_device_name(index)}, {size:.0f} GiB", True
    else:
        yield "no CUDA device: everything runs on the CPU", True
    try:
        with tempfile.NamedTemporaryFile(prefix="fluosr-"):
            yield f"{tempfile.gettempdir()} can be written", True
    except OSError as error:
        yield f"no temporary file can be written: {error.strerror}", False
    yield _small_check()


def _small_check() -> tuple[str, bool]:
    """Run the operator once and compare with its adjoint: catches broken numerical libraries."""
    import torch

    from fluosr.optics.operators import imaging_operator
    from fluosr.optics.psf import GaussianPSF

    operator = imaging_operator((8, 9), 3, GaussianPSF(300.0), 100.0, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    fine = torch.rand(operator.grid.shape, generator=generator, dtype=torch.float64)
    coarse = torch.rand((1, 8, 9), generator=generator, dtype=torch.float64)
    left, right = (operator.forward(fine) * coarse).sum(), (fine * operator.adjoint(coarse)).sum()
    good = bool(abs(left - right) <= 1e-10 * abs(left))
    return (
        "the imaging operator and its adjoint agree" if good else "the imaging operator and its adjoint DISAGREE",
        good,
    )
