"""A run that is stopped keeps what there is, and goes on only where it may."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors

from fluosr import checkpoint, pipeline
from fluosr.errors import CheckpointError, OutputError
from fluosr.io.movie import open_movie
from fluosr.io.write import write_movie
from fluosr.methods.base import Run
from fluosr.pipeline import Result, run_to_folder
from tests.commands import contents
from tests.movies import CROSS, cross_movie, frames_of, light_of
from tests.pipeline_runs import FILES, quick, run_quickly


def stop_at(stage: str, count: int = 1) -> Run:
    seen = 0

    def progress(name: str, done: int, total: int) -> None:
        nonlocal seen
        seen += name == stage
        if seen == count:
            run.stop_requested = True

    run = Run(on_progress=progress)
    return run


def test_a_stopped_run_keeps_its_image_and_its_checkpoint(tmp_path: Path) -> None:
    stopped = run_quickly(cross_movie(), tmp_path, run=stop_at("image"), make_report=True)
    assert not stopped.reconstruction.finished
    assert {path.name for path in tmp_path.iterdir()} == FILES | {checkpoint.FILE_NAME}
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["finished"] is False
    assert any("--resume" in warning for warning in record["warnings"])
    assert "stopped early" in (tmp_path / "report.html").read_text()
    whole = run_quickly(cross_movie(), tmp_path, resume=True, make_report=True)
    assert whole.record["resumed"] is True and whole.reconstruction.finished
    assert {path.name for path in tmp_path.iterdir()} == FILES


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"parameters": quick(iterations=101)}, "iterations was 100, is 101"),
        ({"parameters": quick(sparsity=1.4)}, "sparsity was 0.7, is 1.4"),
        ({"seed": 1}, "seed was 0, is 1"),
        ({"movie": cross_movie(seed=1)}, "the movie is another one, or was changed"),
        ({"movie": cross_movie(40)}, "shape was [50, 16, 18], is [40, 16, 18]"),
        ({"movie": cross_movie(fwhm_nm=310.0)}, "psf.fwhm_nm was 300.0, is 310.0"),
        ({"movie": cross_movie(gain=1.1)}, "camera.gain_adu_per_e was 1.0, is 1.1"),
        ({"movie": cross_movie(pixel_size_nm=101.0)}, "pixel_size_nm was 100.0, is 101.0"),
    ],
    ids=lambda change: next(iter(change)) if isinstance(change, dict) else "",
)
def test_another_run_is_not_resumed_and_it_is_said_why(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    run_quickly(cross_movie(), tmp_path, run=stop_at("image"))
    before = contents(tmp_path)
    options = dict(change)
    with pytest.raises(CheckpointError, match="would mix two runs") as caught:
        run_quickly(options.pop("movie", cross_movie()), tmp_path, resume=True, **options)
    assert words in str(caught.value)
    assert contents(tmp_path) == before


def test_the_time_of_all_legs_is_told(tmp_path: Path) -> None:
    run_quickly(cross_movie(), tmp_path, run=stop_at("image"))
    path = tmp_path / checkpoint.FILE_NAME
    facts = json.loads(safetensors.safe_open(str(path), framework="pt").metadata()["facts"])
    states = checkpoint.load(tmp_path, facts).states
    checkpoint.save(tmp_path, checkpoint.Checkpoint(states, (100.0, 20.0)), facts)
    run_quickly(cross_movie(), tmp_path, resume=True, run=stop_at("image"))
    record = run_quickly(cross_movie(), tmp_path, resume=True, make_report=True).record
    assert record["legs_s"][:2] == (100.0, 20.0) and len(record["legs_s"]) == 4
    assert record["time_s"] == pytest.approx(sum(record["legs_s"])) and record["time_s"] > 120
    assert json.loads((tmp_path / "run.json").read_text())["time_s"] == record["time_s"]
    assert "in 4 legs" in (tmp_path / "report.html").read_text()


def test_there_is_nothing_to_resume_in_a_new_folder_or_after_the_end(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nothing to resume"):
        run_quickly(cross_movie(), tmp_path, resume=True)
    run_quickly(cross_movie(), tmp_path)
    before = contents(tmp_path)
    with pytest.raises(CheckpointError, match="nothing to resume"):
        run_quickly(cross_movie(), tmp_path, resume=True)
    assert contents(tmp_path) == before


def test_a_moved_movie_may_be_resumed(tmp_path: Path) -> None:
    frames = frames_of(light_of(CROSS, background=3.0))
    facts: dict[str, Any] = {"fwhm_nm": 300.0, "gain": 1.0, "offset": 0.0, "read_noise": 0.0}
    write_movie(tmp_path / "one.tif", frames, len(frames), np.uint16, 100.0, None)
    run_quickly(open_movie(tmp_path / "one.tif", **facts), tmp_path / "out", run=stop_at("image"))
    (tmp_path / "sub").mkdir()
    (tmp_path / "one.tif").rename(tmp_path / "sub" / "two.tif")
    whole = run_quickly(open_movie(tmp_path / "sub" / "two.tif", **facts), tmp_path / "out", resume=True)
    assert whole.reconstruction.finished


def test_checkpoints_are_saved_while_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluosr.methods.base.CHECKPOINT_SECONDS", 0.0)
    seen: list[bool] = []
    run = Run(on_progress=lambda *_: seen.append((tmp_path / checkpoint.FILE_NAME).is_file()))
    run_quickly(cross_movie(), tmp_path, run=run)
    assert seen[-1] and not (tmp_path / checkpoint.FILE_NAME).exists()


def test_ctrl_c_asks_once_and_the_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    run = Run()
    with pipeline.stop_on_signals(run):
        signal.raise_signal(signal.SIGINT)
        assert run.stop_requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    run = Run()
    with pipeline.stop_on_signals(run):
        signal.raise_signal(signal.SIGTERM)
    assert run.stop_requested


def test_ctrl_c_while_writing_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = pipeline.write_ome_tiff

    def interrupted(*arguments: Any, **options: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        write(*arguments, **options)

    monkeypatch.setattr(pipeline, "write_ome_tiff", interrupted)
    assert run_quickly(cross_movie(), tmp_path, make_report=True).reconstruction.finished
    assert {path.name for path in tmp_path.iterdir()} == FILES


def test_a_run_in_a_thread_needs_no_signals(tmp_path: Path) -> None:
    results: list[Result] = []
    thread = threading.Thread(target=lambda: results.append(run_quickly(cross_movie(), tmp_path)))
    thread.start()
    thread.join()
    assert results[0].reconstruction.finished


def test_a_stopped_run_is_not_lost_to_a_new_one(tmp_path: Path) -> None:
    (tmp_path / checkpoint.FILE_NAME).write_bytes(b"hours of computing")
    made = run_to_folder(cross_movie(), tmp_path, method="mean", make_report=False)
    assert (tmp_path / checkpoint.KEPT_NAME).read_bytes() == b"hours of computing"
    assert any(checkpoint.KEPT_NAME in warning for warning in made.reconstruction.warnings)


def test_two_runs_do_not_write_into_one_folder(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    from fluosr.io.lock import only_run_in

    assert fcntl
    with only_run_in(tmp_path), pytest.raises(OutputError, match="another run is writing"):
        run_to_folder(cross_movie(), tmp_path, method="mean", make_report=False)
    assert run_to_folder(cross_movie(), tmp_path, method="mean", make_report=False).reconstruction.finished
