"""From a movie to a folder: what is written, on which device, and what is never touched."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from pydantic import Field

import fluosr
from fluosr import checkpoint, pipeline
from fluosr.errors import OutputError, UsageError
from fluosr.io.movie import open_movie
from fluosr.io.write import write_movie
from fluosr.methods.base import MethodParameters, Run
from fluosr.methods.registry import get_method
from fluosr.pipeline import LOCALISATIONS, OUTPUTS, Result, choose_device, run_to_folder
from tests.commands import contents
from tests.movies import CROSS, cross_movie, frames_of, light_of
from tests.pipeline_runs import FILES, quick, run_quickly


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
