"""The commands that only say something: info, methods, doctor."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluosr import doctor
from fluosr.methods.registry import get_method, method_names
from tests.cli_runs import cross_file
from tests.commands import fluosr


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    return cross_file(tmp_path / "in")


def test_info_says_what_is_there_and_what_is_missing(movie: Path) -> None:
    found = fluosr("info", movie)
    assert found.code == 0
    for words in ("50 frames of 16 x 18 pixels", "uint16", "pixel size: 100 nm", "frame interval: 0.05 s", "camera"):
        assert words in found.out
    assert "still to be given: --fwhm" in found.out
    part = fluosr("info", movie, "--frames", "0:10", "--crop", "0,0,8,8")
    assert part.code == 0


def test_methods_lists_parameters_with_defaults() -> None:
    found = fluosr("methods")
    assert found.code == 0
    for name in method_names():
        method = get_method(name)
        assert f"{name}: {' '.join(method.summary.split())}" in found.out
        for preset in method.presets:
            assert f"--preset {preset}" in found.out
        for parameter, field in method.parameters.model_fields.items():
            assert "--" + parameter.replace("_", "-") in found.out
            assert " ".join((field.description or "").split()) in found.out


def test_doctor_says_what_this_machine_can_do() -> None:
    found = fluosr("doctor")
    assert found.code == 0, found.out
    for words in ("Python", "torch", "CPU cores", "GiB of memory", "adjoint agree"):
        assert words in found.out
    assert "WRONG" not in found.out


def test_doctor_is_content_without_what_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "OPTIONAL", {"a-package-that-is-not-there": "odd files", "numpy": "all"})
    found = fluosr("doctor")
    assert found.code == 0 and "numpy " in found.out
    assert "a-package-that-is-not-there is not installed, which only odd files would need: pip install" in found.out


def test_doctor_fails_where_something_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "NEEDED", (*doctor.NEEDED, "a-package-that-is-not-there"))
    found = fluosr("doctor")
    assert found.code == 1
    assert "WRONG a-package-that-is-not-there" in found.out
