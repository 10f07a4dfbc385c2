"""Ctrl-C in every phase of a command, and --resume."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tifffile

from fluosr import checkpoint
from tests.cli_runs import FACTS, QUICK, cross_file, environment, record_of
from tests.commands import fluosr


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    return cross_file(tmp_path / "in")


def interrupt(command: list[str], after: float) -> subprocess.CompletedProcess[str]:
    """Start it, wait until it says how long it will take, wait a little more, and press Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fluosr.cli", *command],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    said = process.stderr.readline()
    time.sleep(after)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(command, process.returncode, out, said + err)


def test_ctrl_c_keeps_what_there_is_and_resume_ends_with_the_same_bits(movie: Path, tmp_path: Path) -> None:
    arguments = ["reconstruct", movie, *FACTS, *QUICK, "--iterations", "20000"]
    broken = [str(argument) for argument in (*arguments, "--output", tmp_path / "broken")]
    stopped = interrupt(broken, 0.3)
    assert stopped.returncode == 130, stopped.stderr
    assert "Stopped." in stopped.stderr and "--resume" in stopped.stderr and "Traceback" not in stopped.stderr
    assert (tmp_path / "broken" / checkpoint.FILE_NAME).is_file()
    assert tifffile.imread(tmp_path / "broken" / "reconstruction.ome.tif").shape == (48, 54)
    assert record_of(tmp_path / "broken")["finished"] is False

    refused = fluosr(*broken, "--resume", "--seed", "5")
    assert refused.code == 1 and "seed was 0, is 5. Resuming would mix two runs" in refused.err

    resumed = fluosr(*broken, "--resume")
    assert resumed.code == 0, resumed.err
    assert "s in 2 legs, peak memory" in resumed.out and len(record_of(tmp_path / "broken")["legs_s"]) == 2
    assert not (tmp_path / "broken" / checkpoint.FILE_NAME).exists()
    whole = fluosr(*arguments, "--output", tmp_path / "whole")
    assert whole.code == 0, whole.err
    for name in ("reconstruction.ome.tif", "background.tif"):
        first, second = (tifffile.imread(tmp_path / folder / name) for folder in ("broken", "whole"))
        assert first.tobytes() == second.tobytes(), name


@pytest.mark.parametrize(
    "where", ["fluosr.io.movie.open_movie", "fluosr.cli.reconstruct.get_method", "fluosr.pipeline.judge"]
)
def test_ctrl_c_is_answered_in_every_phase(
    where: str, movie: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(where, interrupted)
    found = fluosr("reconstruct", movie, *FACTS, *QUICK, "-o", tmp_path / "out")
    assert (found.code, found.out) == (130, "")
    assert found.err.endswith("Stopped.") and "Traceback" not in found.err


def test_ctrl_c_while_options_are_read_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("typer.core.TyperGroup.make_context", interrupted)
    found = fluosr("methods")
    assert (found.code, found.err) == (130, "Stopped.")


@pytest.mark.parametrize("imported", ["typer", "fluosr.cli", "fluosr.methods.registry", "tifffile", "torch"])
def test_ctrl_c_while_importing_is_answered(imported: str, movie: Path, tmp_path: Path) -> None:
    code = f"""
import signal, sys
class Interrupt:
    def find_spec(self, name, *_):
        if name == {imported!r}:
            signal.raise_signal(signal.SIGINT)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits that it is ignored
sys.meta_path.insert(0, Interrupt())
from fluosr.__main__ import main
main()
"""
    arguments = ("reconstruct", movie, *FACTS, *QUICK, "-o", tmp_path / "out")
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], env=environment(), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "Stopped.")


def test_ctrl_c_before_there_is_an_image_says_so_and_can_be_resumed(movie: Path, tmp_path: Path) -> None:
    arguments = ("reconstruct", movie, *FACTS, "--iterations", "50", "--no-halves", "--no-report", "-o", tmp_path / "o")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fluosr.methods.fluogan.method.estimate", lambda *_: signal.raise_signal(signal.SIGINT))
        patch.setattr("fluosr.progress.ProgressBar.estimate", lambda *_: None)
        stopped = fluosr(*arguments)
    assert stopped.code == 130
    assert "Stopped. There was no image yet" in stopped.err and "--resume" in stopped.err
    assert {path.name for path in (tmp_path / "o").iterdir()} == {checkpoint.FILE_NAME}
    resumed = fluosr(*arguments, "--resume")
    assert resumed.code == 0, resumed.err
    assert record_of(tmp_path / "o")["resumed"] is True


def test_nothing_to_resume_is_said(movie: Path, tmp_path: Path) -> None:
    found = fluosr("reconstruct", movie, *FACTS, *QUICK, "--resume", "-o", tmp_path / "out")
    assert found.code == 1 and "nothing to resume" in found.err
