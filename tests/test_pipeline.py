"""From a movie to a folder: what is written, what is kept when stopped, and what is never touched."""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import tifffile
from pydantic import Field

import fluosr
from fluosr import checkpoint, pipeline
from fluosr.acquisition import Acquisition
from fluosr.errors import CheckpointError, OutputError, UsageError
from fluosr.io.localisations import read_localisations
from fluosr.io.movie import open_movie
from fluosr.io.write import write_movie
from fluosr.localisations import Localisations
from fluosr.methods.base import MethodParameters, Run
from fluosr.methods.registry import get_method
from fluosr.pipeline import LOCALISATIONS, OUTPUTS, Result, as_recorded, choose_device, remove_result, run_to_folder
from tests.commands import contents
from tests.movies import CROSS, cross_movie, frames_of, light_of

FILES = {"reconstruction.ome.tif", "background.tif", "mean.tif", "run.json", "report.html"}
QUICK = {"factor": 3, "iterations": 100, "sparsity": 0.7, "smoothness": 1.0, "halves": False}


def quick(**changes: Any) -> MethodParameters:
    return get_method("fluogan").build(**(QUICK | changes))


def run_quickly(movie: Acquisition, output: Path, **options: Any) -> Result:
    return run_to_folder(movie, output, **({"parameters": quick(), "make_report": False} | options))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("finished")
    frames = frames_of(light_of(CROSS, background=3.0))
    write_movie(folder / "cross.tif", frames, len(frames), np.uint16, 100.0, 0.05)
    movie = open_movie(folder / "cross.tif", fwhm_nm=300.0, gain=1.0, offset=0.0, read_noise=0.5)
    parameters = get_method("fluogan").build(factor=3, iterations=100)
    output = folder / "a" / "b"
    return output, run_to_folder(movie, output, parameters=parameters, seed=7, command=["fluosr", "reconstruct"])


def test_all_files_are_there_and_nothing_else(finished: tuple[Path, Result]) -> None:
    assert {path.name for path in finished[0].iterdir()} == FILES
    assert FILES | {checkpoint.FILE_NAME, LOCALISATIONS} == set(OUTPUTS)


@pytest.mark.parametrize(
    ("name", "shape", "pixel_nm"),
    [("reconstruction.ome.tif", (48, 54), 100 / 3), ("background.tif", (16, 18), 100.0), ("mean.tif", (16, 18), 100.0)],
)
def test_images_are_float32_with_their_pixel_size(
    finished: tuple[Path, Result], name: str, shape: tuple[int, int], pixel_nm: float
) -> None:
    with tifffile.TiffFile(finished[0] / name) as tif:
        image = tif.asarray()
        assert (image.shape, image.dtype) == (shape, np.float32)
        page = tif.pages.first
        numerator, denominator = page.tags["XResolution"].value
        micrometres = {"NONE": 1.0, "CENTIMETER": 1e4}[page.tags["ResolutionUnit"].value.name]
        assert micrometres * denominator / numerator == pytest.approx(pixel_nm / 1000, rel=1e-4)
        assert tif.is_ome == name.endswith(".ome.tif")
        if tif.is_ome:
            assert f'PhysicalSizeX="{pixel_nm / 1000:.6f}'[:-2] in tif.ome_metadata
        else:
            assert tif.imagej_metadata["unit"] == "um"


def test_images_are_those_of_the_reconstruction(finished: tuple[Path, Result]) -> None:
    output, result = finished
    made = result.reconstruction
    for name, image in (
        ("reconstruction.ome.tif", made.image),
        ("background.tif", made.background),
        ("mean.tif", made.mean),
    ):
        np.testing.assert_array_equal(tifffile.imread(output / name), image)
    np.testing.assert_allclose(made.mean, frames_of(light_of(CROSS, background=3.0)).mean(0), rtol=1e-5)


def test_the_record_holds_all_that_is_needed_to_repeat_the_run(finished: tuple[Path, Result]) -> None:
    output, _ = finished
    record = json.loads((output / "run.json").read_text(encoding="utf-8"))
    parameters = get_method("fluogan").parameters
    of_emitters = {"fano", "on_time_s", "off_time_s"}  # the default generator's do not fluctuate
    assert set(parameters.model_fields) - of_emitters <= set(record["parameters"])
    assert None not in record["parameters"].values()  # chosen values stand where a parameter was automatic
    assert {"sparsity", "smoothness", "grain_nm"} <= set(record["choices"])
    assert all("value" in choice and choice["why"] for choice in record["choices"].values())
    assert (record["seed"], record["method"], record["finished"], record["resumed"]) == (7, "fluogan", True, False)
    assert record["device"] in ("cpu", "cuda") and record["threads"] >= 1
    assert record["fluosr"] == record["versions"]["fluosr"] == fluosr.__version__
    assert {"python", "torch", "numpy", "scipy"} <= set(record["versions"])
    assert record["time_s"] > 0 and 50 < record["peak_memory_mb"] < 10_000
    assert record["citation"][0].startswith("@article{") and "10.1088/1361-6420/acc889" in record["citation"][0]
    assert record["command"] == ["fluosr", "reconstruct"]
    movie = record["movie"]
    assert (movie["name"], movie["shape"], movie["dtype"]) == ("cross", [50, 16, 18], "uint16")
    assert movie["pixel_size_nm"] == pytest.approx(100.0) and movie["frame_interval_s"] == pytest.approx(0.05)
    assert movie["psf"] == {"model": "gaussian", "fwhm_nm": 300.0}
    assert movie["camera"]["gain_adu_per_e"] == 1.0
    assert movie["provenance"]["path"].endswith("cross.tif") and len(movie["provenance"]["fingerprint"]) == 64
    assert record["fine_pixel_size_nm"] == pytest.approx(100 / 3)
    assert record["quality"]["residuals"]["verdict"] and "resolution" in record["quality"]
    assert isinstance(record["warnings"], list)


def test_the_report_is_one_page_that_opens_offline(finished: tuple[Path, Result]) -> None:
    page = (finished[0] / "report.html").read_text(encoding="utf-8")
    assert page.count("<html") == 1 and "data:image/png;base64," in page
    assert "<link" not in page and 'src="http' not in page


def test_what_python_returns_is_what_the_folder_holds(finished: tuple[Path, Result]) -> None:
    _, result = finished
    movie = cross_movie(read_noise=0.5)
    again = fluosr.reconstruct(movie, seed=7, factor=3, iterations=100)
    np.testing.assert_array_equal(again.image, result.reconstruction.image)


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    run_quickly(cross_movie(), tmp_path)
    run_quickly(cross_movie(seed=1), tmp_path, parameters=quick(factor=2))
    assert tifffile.imread(tmp_path / "reconstruction.ome.tif").shape == (32, 36)
    assert json.loads((tmp_path / "run.json").read_text())["parameters"]["factor"] == 2


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "reconstruction.tif").write_bytes(b"mine too")
    run_quickly(cross_movie(), tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "reconstruction.tif").read_bytes() == b"mine too"


# Maps.


def with_maps(*names: str) -> Any:
    """A method that makes maps of these names beside its image."""
    real = get_method("mean").load()

    def make(acquisition: Acquisition, parameters: Any, run: Run) -> Any:
        made = real(acquisition, parameters, run)
        return replace(made, maps=dict.fromkeys(names, 2 * made.image))

    return replace(get_method("mean"), load=lambda: make)


def run_with_maps(output: Path, patch: pytest.MonkeyPatch, *names: str) -> Result:
    patch.setattr(pipeline, "get_method", lambda name: with_maps(*names))
    return run_to_folder(cross_movie(), output, method="mean", make_report=False)


def test_every_map_is_written_and_those_of_an_earlier_run_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_with_maps(tmp_path, monkeypatch, "density_per_um2", "shift_nm")
    assert {path.name for path in (tmp_path / "maps").iterdir()} == {"density_per_um2.tif", "shift_nm.tif"}
    with tifffile.TiffFile(tmp_path / "maps" / "shift_nm.tif") as tif:
        np.testing.assert_array_equal(tif.asarray(), 2 * result.reconstruction.image)
        numerator, denominator = tif.pages.first.tags["XResolution"].value
        assert 1000 * denominator / numerator == pytest.approx(result.reconstruction.pixel_size_nm, rel=1e-4)
    assert json.loads((tmp_path / "run.json").read_text())["maps"] == ["density_per_um2", "shift_nm"]
    (tmp_path / "maps" / "mine.tif").write_bytes(b"mine")
    run_with_maps(tmp_path, monkeypatch, "shift_nm")
    assert {path.name for path in (tmp_path / "maps").iterdir()} == {"shift_nm.tif", "mine.tif"}


@pytest.mark.parametrize("name", ["../run", "a/b", "", "a b", "a.b", "/etc"])
def test_a_map_whose_name_is_no_files_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputError, match="no name for a file"):
        run_with_maps(tmp_path / "out", monkeypatch, name)
    assert (tmp_path / "out" / "reconstruction.ome.tif").exists() and not (tmp_path / "out" / "maps").exists()


def test_a_folder_of_maps_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "mine.tif").write_bytes(b"mine")
    with pytest.raises(OutputError, match="holds maps, which no earlier run"):
        run_quickly(cross_movie(), tmp_path)


# Localisations.


def run_with_molecules(output: Path, patch: pytest.MonkeyPatch, table: Localisations | None) -> Result:
    real = get_method("mean").load()

    def make(acquisition: Acquisition, parameters: Any, run: Run) -> Any:
        return replace(real(acquisition, parameters, run), localisations=table)

    patch.setattr(pipeline, "get_method", lambda name: replace(get_method("mean"), load=lambda: make))
    return run_to_folder(cross_movie(), output, method="mean", make_report=False)


def test_localisations_are_written_and_those_of_an_earlier_run_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Localisations([0, 4], [100.0, 250.0], [300.0, 1.5], photons=[700.0, 800.0])
    run_with_molecules(tmp_path, monkeypatch, table)
    again = read_localisations(tmp_path / LOCALISATIONS)
    np.testing.assert_array_equal(again.photons, table.photons)
    assert json.loads((tmp_path / "run.json").read_text())["localisations"] == 2
    run_with_molecules(tmp_path, monkeypatch, Localisations.none())
    assert len(read_localisations(tmp_path / LOCALISATIONS)) == 0
    run_with_molecules(tmp_path, monkeypatch, None)
    assert not (tmp_path / LOCALISATIONS).exists()
    (tmp_path / LOCALISATIONS).write_text("mine")  # the record says that no run of ours left it
    run_with_molecules(tmp_path, monkeypatch, None)
    assert (tmp_path / LOCALISATIONS).read_text() == "mine"


def deletions(result: Result) -> list[str]:
    return [warning for warning in result.reconstruction.warnings if "deleted" in warning]


def test_what_goes_of_an_earlier_run_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_with_molecules(tmp_path, monkeypatch, Localisations([0], [100.0], [300.0]))
    assert deletions(run_with_molecules(tmp_path, monkeypatch, Localisations.none())) == []
    said = deletions(run_with_maps(tmp_path, monkeypatch, "density_per_um2", "shift_nm"))
    assert [text.rpartition(": ")[2] for text in said] == ["localisations.csv."]
    (said,) = deletions(run_with_maps(tmp_path, monkeypatch))
    assert said.endswith("was deleted: maps/density_per_um2.tif, maps/shift_nm.tif.")
    assert said in json.loads((tmp_path / "run.json").read_text())["warnings"]
    assert deletions(run_with_maps(tmp_path, monkeypatch)) == []


def test_what_its_owner_took_away_is_not_said_to_be_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_with_molecules(tmp_path, monkeypatch, Localisations([0], [100.0], [300.0]))
    (tmp_path / LOCALISATIONS).rename(tmp_path / "kept.csv")
    assert deletions(run_with_molecules(tmp_path, monkeypatch, None)) == []
    assert (tmp_path / "kept.csv").exists()


def test_localisations_of_a_part_are_placed_in_the_movie_that_was_recorded() -> None:
    movie = cross_movie()
    part = movie.select(frames=range(4, 20, 2), window=(3, 2, 8, 9)).select(frames=range(1, 5))
    placed = as_recorded(Localisations([0, 3], [150.0, 10.0], [250.0, 20.0], photons=[7.0, 8.0]), part)
    np.testing.assert_array_equal(placed.frame, [6, 12])
    np.testing.assert_allclose(placed.x_nm, np.array([150.0, 10.0]) + 2 * movie.pixel_size_nm)
    np.testing.assert_allclose(placed.y_nm, np.array([250.0, 20.0]) + 3 * movie.pixel_size_nm)
    np.testing.assert_array_equal(placed.photons, [7.0, 8.0])
    np.testing.assert_array_equal(part.photons(slice(3, 4))[0], movie.photons(slice(12, 13))[0][3:11, 2:11])


def test_a_result_is_removed_with_its_localisations_and_without_those_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_with_molecules(tmp_path / "ours", monkeypatch, Localisations([0], [100.0], [300.0]))
    remove_result(tmp_path / "ours")
    assert not (tmp_path / "ours").exists()
    run_with_molecules(tmp_path / "theirs", monkeypatch, None)
    (tmp_path / "theirs" / LOCALISATIONS).write_text("mine")
    remove_result(tmp_path / "theirs")
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == [LOCALISATIONS]


def test_localisations_that_are_not_ours_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / LOCALISATIONS).write_text("mine")
    with pytest.raises(OutputError, match=r"holds localisations\.csv, which no earlier run"):
        run_quickly(cross_movie(), tmp_path)
    assert (tmp_path / LOCALISATIONS).read_text() == "mine"


# The output folder.


def test_a_file_as_output_is_refused_and_kept(tmp_path: Path) -> None:
    output = tmp_path / "results"
    output.write_text("mine")
    with pytest.raises(OutputError, match="is a file; --output takes a folder"):
        run_quickly(cross_movie(), output)
    assert output.read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match=r"cannot write to .*Choose another --output"):
        run_quickly(cross_movie(), tmp_path / "file" / "results")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_folder_without_permission_is_refused_before_the_work(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    stages: list[str] = []
    try:
        with pytest.raises(OutputError, match="Permission denied"):
            run_quickly(cross_movie(), tmp_path, run=Run(on_progress=lambda stage, *_: stages.append(stage)))
    finally:
        tmp_path.chmod(0o700)
    assert stages == []


def test_a_folder_that_refuses_files_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    stages: list[str] = []
    with pytest.raises(OutputError, match="Read-only file system"):
        run_quickly(cross_movie(), tmp_path, run=Run(on_progress=lambda stage, *_: stages.append(stage)))
    assert stages == []


@pytest.mark.parametrize("name", ["mean.tif", "background.tif", "reconstruction.ome.tif"])
def test_an_input_under_an_outputs_name_is_not_overwritten(tmp_path: Path, name: str) -> None:
    frames = frames_of(light_of(CROSS, background=3.0))
    path = tmp_path / name
    write_movie(path, frames, len(frames), np.uint16, 100.0, None)
    before = contents(tmp_path)
    movie = open_movie(path, fwhm_nm=300.0, gain=1.0, offset=0.0, read_noise=0.0)
    with pytest.raises(OutputError, match="would be overwritten by its own result"):
        run_quickly(movie, tmp_path)
    link = tmp_path / "another name"
    link.symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(OutputError, match="would be overwritten by its own result"):
        run_quickly(movie, link)
    link.unlink()
    assert contents(tmp_path) == before
    run_quickly(movie, tmp_path / "elsewhere")
    assert path.read_bytes() == before[name]


@pytest.mark.parametrize("full_at", range(1, 6))
def test_a_full_disk_leaves_every_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_at: int) -> None:
    first = run_quickly(cross_movie(), tmp_path, make_report=True)
    before = contents(tmp_path)
    assert set(before) == FILES
    replace, calls = os.replace, 0

    def fill(source: Any, target: Any) -> None:
        nonlocal calls
        calls += 1
        if calls >= full_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", fill)
    with pytest.raises(OutputError, match="No space left on device"):
        run_quickly(cross_movie(seed=1), tmp_path, make_report=True)
    monkeypatch.undo()
    after = contents(tmp_path)
    assert set(after) == FILES  # no half file beside them
    changed = {name for name in FILES if after[name] != before[name]}
    assert len(changed) == full_at - 1
    assert tifffile.imread(tmp_path / "mean.tif").shape == first.reconstruction.mean.shape


# Stopping and going on.


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


# Devices.


def test_auto_takes_what_is_there() -> None:
    assert choose_device("auto") in ("cpu", "cuda")
    assert choose_device("cpu") == "cpu"


@pytest.mark.parametrize(("device", "words"), [("tpu9", "no such kind of device"), ("meta", "only cpu and cuda")])
def test_an_unknown_device_is_refused(device: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        choose_device(device)


def test_cuda_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UsageError, match="shows no CUDA device"):
        choose_device("cuda:0")


def test_a_cuda_device_beyond_those_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert choose_device("cuda") == "cuda" and choose_device("cuda:1") == "cuda:1"
    with pytest.raises(UsageError, match=r"--device cuda:7: this machine shows cuda:0 to cuda:1;"):
        choose_device("cuda:7")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(UsageError, match="shows only cuda:0"):
        choose_device("cuda:1")


# Parameters that need another.


class _Needy(MethodParameters):
    discriminator: bool = False
    generator_steps: int = Field(1, json_schema_extra={"needs": "discriminator"})
    batch: int = 3


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"generator_steps": 2}, ["--generator-steps has no effect without --discriminator."]),
        ({"generator_steps": 2, "discriminator": True}, []),
        ({"batch": 2, "discriminator": False}, []),
        ({}, []),
    ],
)
def test_a_parameter_without_effect_is_told(values: dict[str, Any], said: list[str]) -> None:
    method = replace(get_method("fluogan"), parameters=_Needy)
    assert pipeline.idle_parameters(method, method.build(**values), values) == said


def test_notes_on_the_call_stand_before_the_warnings(tmp_path: Path) -> None:
    result = run_quickly(cross_movie(), tmp_path, notes=["--generator-steps has no effect without --discriminator."])
    assert result.reconstruction.warnings[0].startswith("--generator-steps has no effect")
    assert json.loads((tmp_path / "run.json").read_text())["warnings"][0].startswith("--generator-steps")


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
