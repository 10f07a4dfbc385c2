"""No amount of work and no learning rate is without an upper end: what no run would come back from is refused."""

from __future__ import annotations

import pytest

from fluosr.errors import UsageError
from fluosr.methods.registry import get_method, method_names

KINDS = ("iterations", "steps", "batch", "_rate", "samples")
WORK = [
    (method, name)
    for method in method_names()
    for name in get_method(method).parameters.model_fields
    if name.endswith(KINDS)
]


@pytest.mark.parametrize(("method", "name"), WORK, ids=lambda value: value)
def test_a_number_without_measure_is_refused_by_name(method: str, name: str) -> None:
    with pytest.raises(UsageError, match=f"{name}: .* less than or equal to"):
        get_method(method).build(**{name: 10**21})


@pytest.mark.parametrize("noise_e", [1e-30, 9e-4, 2e6, 1e30])
def test_a_noise_that_no_camera_has_is_refused(noise_e: float) -> None:
    with pytest.raises(UsageError, match=r"noise_e: .*(0\.001|1000000)"):
        get_method("divnoising").build(noise_model="gaussian", noise_e=noise_e)
