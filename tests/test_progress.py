"""What is said while a run goes on, where nobody watches a bar."""

from __future__ import annotations

import pytest

from fluosr import progress


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [100.0]
    monkeypatch.setattr("fluosr.progress.time.monotonic", lambda: now[0])
    with progress.ProgressBar() as bar:
        for done in range(100):
            now[0] += 1.0
            bar.progress("image", done, 100)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["image: 30 %", "image: 61 %", "image: 92 %"]
