"""The command line as users meet it: options, exit codes, words, and Ctrl-C."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from typer.main import get_command

import fluosr as package
from fluosr import checkpoint, cli, doctor
from fluosr.errors import OutputError
from fluosr.io.write import write_movie, write_tiff
from fluosr.methods.registry import get_method, method_names
from tests.commands import contents, fluosr
from tests.movies import CROSS, frames_of, light_of

FACTS = ("--fwhm", "300", "--gain", "1", "--offset", "0", "--read-noise", "0")
QUICK = ("--factor", "3", "--iterations", "60", "--sparsity", "0.7", "--smoothness", "1", "--no-halves", "--no-report")
CONTRACT = [
    "--method",
    "--pixel-size",
    "--fwhm",
    "--factor",
    "--output",
    "--discriminator",
    "--no-discriminator",
    "--iterations",
    "--seed",
    "--device",
    "--crop",
    "--frames",
    "--na",
    "--wavelength",
    "--psf",
    "--gain",
    "--offset",
    "--read-noise",
    "--preset",
    "--resume",
]


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    frames = frames_of(light_of(CROSS, background=3.0))
    write_movie(folder / "cross.tif", frames, len(frames), np.uint16, 100.0, 0.05)
    return folder / "cross.tif"


def record_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


# Options and help.


@pytest.mark.parametrize("option", CONTRACT)
def test_every_option_of_the_contract_is_there(option: str) -> None:
    command = get_command(cli.app).commands["reconstruct"]  # type: ignore[attr-defined]
    names = [name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)]
    assert option in names
    assert option in fluosr("reconstruct", "--help").out


def test_every_option_says_what_it_is() -> None:
    commands = get_command(cli.app).commands  # type: ignore[attr-defined]
    for name in ("reconstruct", "info"):
        for parameter in commands[name].params:
            assert parameter.help, parameter.name


def test_every_parameter_of_a_method_is_an_option() -> None:
    text = fluosr("reconstruct", "--help").out
    for method in map(get_method, method_names()):
        for name in method.parameters.model_fields:
            assert "--" + name.replace("_", "-") in text


@pytest.mark.parametrize("command", [(), ("simulate",)])
def test_without_a_command_the_help_is_shown(command: tuple[str, ...]) -> None:
    found = fluosr(*command)
    assert "Usage:" in found.out + found.err and "Commands" in found.out + found.err
    assert found.code in (0, 2)  # typer changed its mind


def test_help_lists_the_commands() -> None:
    found = fluosr("--help")
    assert found.code == 0
    for name in ("reconstruct", "simulate", "limit", "info", "methods", "doctor"):
        assert name in found.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["reconstrukt"], ["No such command", "reconstruct"]),
        (["reconstruct"], ["Missing argument", "movie"]),
        (["reconstruct", "x.tif", "--iteration", "5"], ["--iteration", "--iterations"]),
        (["reconstruct", "x.tif", "--method", "fluogn"], ["no method 'fluogn'", "did you mean fluogan"]),
        (["reconstruct", "x.tif", "--preset", "papr"], ["no preset 'papr'", "did you mean paper"]),
        (["reconstruct", "x.tif", "--factor", "two"], ["--factor", "whole number"]),
        (["reconstruct", "x.tif", "--factor", "0"], ["factor", "greater than or equal to 1"]),
        (["reconstruct", "x.tif", "--data-term", "median"], ["data_term", "mean-weighted"]),
        (["reconstruct", "x.tif", "--seed", "-1"], ["--seed"]),
        (["reconstruct", "x.tif", "--fwhm", "300", "--na", "1.4"], ["--fwhm", "--na", "exclude"]),
        (["reconstruct", "x.tif", "--na", "1.4"], ["--na needs --wavelength"]),
        (["simulate", "argo", "--fluctuations", "wild"], ["--fluctuations wild", "poisson", "blinking"]),
        (["simulate", "argo", "--fluctuations", "fano", "--fano", "-1"], ["Fano factor", "-1"]),
        (["simulate", "argo", "--fano", "30"], ["--fano goes with"]),
        (["simulate", "argo", "--on-time", "0.1"], ["--on-time", "blinking"]),
        (["simulate", "argo", "--fluctuations", "blinking", "--on-time", "0"], ["on time", "positive"]),
        (["simulate", "argo", "--gain", "nowhere.tif"], ["nowhere.tif", "neither a number nor a file"]),
        (["simulate", "filaments", "--count", "0"], ["filaments", "0"]),
        (["simulate", "argo", "--separations", "a,b"], ["--separations a,b", "nanometres"]),
        (["simulate", "argo", "--frames", "1"], ["--frames"]),
        (["simulate", "argo", "--photons", "20000"], ["9.", "ADU", "16 bits", "lower --photons, --gain"]),
        (["simulate", "argo", "--photons", "nan"], ["photons"]),
        (["simulate", "argo", "--line-length", "inf"], ["line_length_nm"]),
        (["reconstruct", "x.tif", "--generator-step", "5"], ["--generator-step"]),
        (["simulate", "argo", "--separations", "", "--no-control"], ["line"]),
    ],
)
def test_a_wrong_use_exits_with_2_and_says_what_is_right(
    arguments: list[str], words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = fluosr(*arguments)
    assert found.code == 2
    for word in words:
        assert word in found.err
    assert "Traceback" not in found.err
    assert list(tmp_path.iterdir()) == []


# Errors.


def test_no_traceback_unless_asked_for(tmp_path: Path) -> None:
    absent = tmp_path / "absent.tif"
    plain = run_process("reconstruct", absent)
    assert plain.returncode == 1
    assert plain.stderr.strip() == f"fluosr: {absent} does not exist; check the name and the folder."
    debug = run_process("reconstruct", absent, "--debug")
    assert debug.returncode == 1
    assert "Traceback" in debug.stderr and "ImageReadError" in debug.stderr


def run_process(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fluosr.cli", *map(str, arguments)], env=environment(), capture_output=True, text=True
    )


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(package.__file__).parents[1])}


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MemoryError(), 1, "not enough memory"),
        (OSError(5, "Input/output error", "x.tif"), 1, "Input/output error"),
        (ZeroDivisionError("by zero"), 1, "should not (ZeroDivisionError: by zero). Run it with --debug"),
        (KeyboardInterrupt(), 130, "Stopped."),
    ],
)
def test_whatever_happens_ends_in_words(
    error: BaseException, code: int, words: str, monkeypatch: pytest.MonkeyPatch, movie: Path, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("fluosr.pipeline.run_to_folder", fail)
    found = fluosr("reconstruct", movie, *FACTS, "-o", tmp_path / "out")
    assert found.code == code
    assert words in found.err and "Traceback" not in found.err


def test_debug_lets_any_error_through(monkeypatch: pytest.MonkeyPatch, movie: Path, tmp_path: Path) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("fluosr.pipeline.run_to_folder", fail)
    with pytest.raises(ZeroDivisionError):
        fluosr("--debug", "reconstruct", movie, *FACTS, "-o", tmp_path / "out")


# The main job.


def test_reconstruct_writes_its_files_and_says_what_it_found(movie: Path, tmp_path: Path) -> None:
    before = contents(movie.parent)
    found = fluosr("reconstruct", movie, *FACTS, "--iterations", "80", "--output", tmp_path / "out")
    assert found.code == 0, found.err
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"reconstruction.ome.tif", "background.tif", "mean.tif", "run.json", "report.html"}
    for words in ("Resolution", "Residuals:", "Time", "peak memory", "report.html"):
        assert words in found.out
    assert "About" in found.err and "MB of memory" in found.err
    record = record_of(tmp_path / "out")
    assert record["command"][:2] == ["fluosr", "reconstruct"]
    assert record["parameters"]["factor"] == record["choices"]["factor"]["value"]
    assert contents(movie.parent) == before


def test_options_reach_the_run(movie: Path, tmp_path: Path) -> None:
    found = fluosr(
        "reconstruct", movie, *QUICK, "--pixel-size", "90", "--na", "0.9", "--wavelength", "525", "--gain", "2",
        "--offset", "10", "--read-noise", "1.5", "--crop", "1,2,12,14", "--frames", "5:45:2", "--seed", "11",
        "--device", "cpu", "--discriminator", "--adversarial-iterations", "2", "--batch", "3", "-o", tmp_path / "out",
    )  # fmt: skip
    assert found.code == 0, found.err
    record = record_of(tmp_path / "out")
    described = record["movie"]
    assert (described["shape"], described["pixel_size_nm"]) == ([20, 12, 14], 90.0)
    assert described["frame_interval_s"] == pytest.approx(0.1)
    assert described["psf"]["model"] == "airy" and described["psf"]["wavelength_nm"] == 525.0
    camera = described["camera"]
    assert (camera["gain_adu_per_e"], camera["offset_adu"], camera["read_noise_e"]) == (2.0, 10.0, 1.5)
    assert (record["seed"], record["device"]) == (11, "cpu")
    parameters = record["parameters"]
    assert (parameters["discriminator"], parameters["adversarial_iterations"], parameters["batch"]) == (True, 2, 3)
    assert (parameters["factor"], parameters["iterations"], parameters["sparsity"]) == (3, 60, 0.7)
    assert tifffile.imread(tmp_path / "out" / "reconstruction.ome.tif").shape == (36, 42)


def test_a_measured_psf_is_read(movie: Path, tmp_path: Path) -> None:
    y, x = np.indices((21, 21)) - 10
    write_tiff(tmp_path / "bead.tif", np.exp(-(y**2 + x**2) / (2 * 4.2**2)), 30.0)
    arguments = ("--psf", tmp_path / "bead.tif", "--gain", "1", "--offset", "0", "--read-noise", "0")
    found = fluosr("reconstruct", movie, *QUICK, *arguments, "-o", tmp_path / "out")
    assert found.code == 0, found.err
    psf = record_of(tmp_path / "out")["movie"]["psf"]
    assert psf["model"] == "measured" and psf["fwhm_nm"] == pytest.approx(4.2 * 2.3548 * 30, rel=0.05)


def test_the_papers_preset_is_used_and_given_values_win(movie: Path, tmp_path: Path) -> None:
    quick = ("--iterations", "30", "--adversarial-iterations", "2", "--factor", "2", "--no-halves", "--no-report")
    found = fluosr("reconstruct", movie, *FACTS, "--preset", "paper", *quick, "-o", tmp_path / "out")
    assert found.code == 0, found.err
    parameters = record_of(tmp_path / "out")["parameters"]
    assert (parameters["batch"], parameters["discriminator_rate"], parameters["borders"]) == (32, 1e-6, "periodic")
    assert (parameters["iterations"], parameters["factor"]) == (30, 2)


def test_the_camera_is_estimated_where_it_is_not_given(movie: Path, tmp_path: Path) -> None:
    found = fluosr("reconstruct", movie, *QUICK, "--fwhm", "300", "-o", tmp_path / "out")
    assert found.code == 0, found.err
    certainty = record_of(tmp_path / "out")["movie"]["camera"]["certainty"]
    assert len(certainty) == 3 and all("given" not in text for text in certainty.values())


def test_without_a_resolution_it_says_why(movie: Path, tmp_path: Path) -> None:
    found = fluosr("reconstruct", movie, *FACTS, *QUICK, "-o", tmp_path / "out")
    assert "Resolution: no resolution was measured" in found.out
    assert "reconstruction.ome.tif" in found.out and not (tmp_path / "out" / "report.html").exists()


# Ctrl-C and --resume.


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


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fluosr", "--version"], env=environment(), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.strip()) == (0, f"fluosr {package.__version__}")


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


# The other commands.


def test_simulate_argo_writes_the_movie_and_its_truth(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "argo.tif"
    found = fluosr(
        "simulate", "argo", "--output", path, "--frames", "12", "--separations", "120,240", "--line-length", "1000",
        "--photons", "20", "--angle", "20", "--seed", "4",
    )  # fmt: skip
    assert found.code == 0, found.err
    names = {"argo.tif", "argo-truth.ome.tif", "argo-background.tif", "argo-phantom.json"}
    assert {p.name for p in path.parent.iterdir()} == names
    assert all(name in found.out for name in names)
    frames, truth = tifffile.imread(path), tifffile.imread(path.parent / "argo-truth.ome.tif")
    assert frames.dtype == np.uint16 and len(frames) == 12
    assert truth.shape == (6 * frames.shape[1], 6 * frames.shape[2])
    phantom = json.loads((path.parent / "argo-phantom.json").read_text())
    assert phantom["phantom"]["kind"] == "ArgoPhantom"
    assert phantom["phantom"]["separations_nm"] == [120.0, 240.0] and phantom["seed"] == 4
    again = fluosr("info", path)
    assert again.code == 0 and "12 frames of" in again.out and "pixel size: 100 nm" in again.out


@pytest.mark.parametrize("kind", ["poisson", "double-poisson", "fano", "gamma", "blinking"])
def test_simulate_filaments_with_emitters_of_any_kind(tmp_path: Path, kind: str) -> None:
    tifffile.imwrite(tmp_path / "gain.tif", np.linspace(1, 3, 20 * 24, dtype=np.float32).reshape(20, 24))
    fano = () if kind in ("poisson", "double-poisson") else ("--fano", "20")
    found = fluosr(
        "simulate", "filaments", "-o", tmp_path / "f.tif", "--height", "20", "--width", "24", "--frames", "6",
        "--fluctuations", kind, *fano, "--gain", tmp_path / "gain.tif", "--factor", "2",
    )  # fmt: skip
    assert found.code == 0, found.stderr
    assert tifffile.imread(tmp_path / "f.tif").shape == (6, 20, 24)
    record = json.loads((tmp_path / "f-phantom.json").read_text())
    assert record["emitters"]["fano_factor"] == pytest.approx({"poisson": 0.0, "double-poisson": 1.0}.get(kind, 20.0))
    assert record["phantom"]["kind"] == "FilamentPhantom"
    assert record["camera"]["maps"]["gain_adu_per_e"]["shape"] == [20, 24]


def test_simulated_values_that_saturate_are_counted(tmp_path: Path) -> None:
    quick = ("--frames", "5", "--separations", "120", "--line-length", "600", "--no-control", "--background", "0")
    found = fluosr("simulate", "argo", "-o", tmp_path / "a.tif", *quick, "--photons", "100", "--gain", "640")
    assert found.code == 0, found.err
    saturated = int((tifffile.imread(tmp_path / "a.tif") == 65535).sum())
    phantom = json.loads((tmp_path / "a-phantom.json").read_text())
    assert phantom["saturated"] == saturated > 0 and f"Note: {saturated} values" in found.err
    assert phantom["below_zero"] > 0 and f"Note: {phantom['below_zero']} values" in found.err
    assert "lower --photons" in found.err and "raise --offset" in found.err


def test_a_simulation_larger_than_memory_or_disk_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = fluosr("simulate", "argo", "-o", tmp_path / "a.tif", "--line-length", "100000000")
    assert found.code == 1 and "GiB of memory" in found.err
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(2**30, 2**30 - 2**20, 2**20))
    found = fluosr("simulate", "argo", "-o", tmp_path / "a.tif")
    assert found.code == 1 and "0.0009766 GiB are free there" in found.err
    assert list(tmp_path.iterdir()) == []


def test_the_same_seed_simulates_the_same_movie(tmp_path: Path) -> None:
    quick = ("--frames", "3", "--separations", "120", "--line-length", "600", "--no-control")
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert fluosr("simulate", "argo", "-o", tmp_path / f"{name}.tif", *quick, "--seed", seed).code == 0
    first, second, other = (tifffile.imread(tmp_path / f"{name}.tif") for name in "abc")
    assert np.array_equal(first, second) and not np.array_equal(first, other)


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


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_output_without_a_name_is_refused(here: Path) -> None:
    write_movie(here / "movie.tif", frames_of(light_of(CROSS)), 50, np.uint16, 100.0, None)
    done = fluosr("reconstruct", "movie.tif", "--fwhm", "300", "--method", "mean", "--output", "")
    assert done.code == 2 and "no folder was named" in done.err
    assert [path.name for path in here.iterdir()] == ["movie.tif"]


def test_a_simulation_overwrites_nothing_but_a_simulation(here: Path) -> None:
    (here / "argo-truth.ome.tif").write_bytes(b"mine")
    command = ("simulate", "argo", "--separations", "120", "--frames", "2", "--output", "argo.tif")
    done = fluosr(*command)
    assert done.code == 1 and "no earlier simulation" in done.err
    assert (here / "argo-truth.ome.tif").read_bytes() == b"mine"
    (here / "argo-truth.ome.tif").unlink()
    assert fluosr(*command).code == 0
    assert fluosr(*command).code == 0


def test_a_name_that_is_not_utf_8_is_no_obstacle(here: Path) -> None:
    name = b"m\xfcvie.tif".decode("utf-8", "surrogateescape")
    try:
        write_movie(here / name, frames_of(light_of(CROSS)), 50, np.uint16, 100.0, None)
    except (OSError, UnicodeError, OutputError):
        pytest.skip("this file system takes no such names")
    done = fluosr("reconstruct", name, "--fwhm", "300", "--method", "mean", "--factor", "2")
    assert done.code == 0, done.err
    assert json.loads((here / "out" / "run.json").read_text(encoding="utf-8"))["method"] == "mean"


def test_a_wavelength_in_micrometres_is_named(here: Path) -> None:
    write_movie(here / "movie.tif", frames_of(light_of(CROSS)), 50, np.uint16, 100.0, None)
    done = fluosr("reconstruct", "movie.tif", "--na", "1.4", "--wavelength", "0.525")
    assert done.code != 0 and "--wavelength 525" in done.err


def test_a_parameter_of_a_preset_can_be_made_automatic_again(here: Path) -> None:
    write_movie(here / "movie.tif", frames_of(light_of(CROSS)), 50, np.uint16, 100.0, None)
    done = fluosr("reconstruct", "movie.tif", *FACTS, "--method", "musical", "--preset", "paper", "--factor", "2",
                  "--signal-log10", "automatic", "--no-halves", "--no-report")  # fmt: skip
    assert done.code == 0, done.err
    assert json.loads((here / "out" / "run.json").read_text(encoding="utf-8"))["parameters"]["signal_log10"] is None
    refused = fluosr("reconstruct", "movie.tif", *FACTS, "--method", "musical", "--signal-log10", "much")
    assert refused.code == 2 and "'much' is not a number, nor 'automatic'" in refused.err
