"""What all tests share: one thread, laws that repeat, and where the reference data lies."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

DATA = Path(os.environ.get("FLUOSR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of reference data, which never is part of the repository."""
    if not DATA.is_dir():
        pytest.skip(f"reference data not found at {DATA} (set FLUOSR_DATA to its folder)")
    return DATA
