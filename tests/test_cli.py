"""The command line as users meet it: options, exit codes and words; and its main job."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.main import get_command

import fluosr as package
from fluosr import cli
from fluosr.errors import OutputError
from fluosr.io.write import write_movie, write_tiff
from fluosr.methods.registry import get_method, method_names
from tests.cli_runs import FACTS, QUICK, cross_file, environment, record_of
from tests.commands import contents, fluosr
from tests.movies import CROSS, frames_of, light_of

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
    return cross_file(tmp_path / "in")


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


def test_an_option_without_effect_is_told_once_and_kept_in_the_record(movie: Path, tmp_path: Path) -> None:
    found = fluosr("reconstruct", movie, *FACTS, *QUICK, "--batch", "8", "-o", tmp_path / "out")
    words = "--batch has no effect without --discriminator."
    assert found.code == 0 and (found.err + found.out).count(words) == 1 and f"Note: {words}" in found.err
    assert record_of(tmp_path / "out")["warnings"].count(words) == 1


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


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fluosr", "--version"], env=environment(), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.strip()) == (0, f"fluosr {package.__version__}")


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
