"""A method over ranges of its parameters: every cell judged, failures told, the best one named and run whole."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from fluosr import sweep as sweeping
from fluosr.acquisition import Acquisition
from fluosr.errors import CheckpointError, OutputError, UsageError
from fluosr.io.write import write_movie
from fluosr.methods.base import Run
from fluosr.methods.registry import get_method
from fluosr.quality.qnr import resolution_and_fidelity
from fluosr.report.sweep_page import Sweep
from fluosr.settings import plan_sweep
from tests.commands import contents, fluosr
from tests.movies import CROSS, cross_movie, frames_of, light_of, movie_of

FACTS = ("--fwhm", "300", "--gain", "1", "--offset", "0", "--read-noise", "0")
QUICK = {"factor": 2, "iterations": 40, "smoothness": 1.0}


def sweep_quickly(
    movie: Acquisition,
    output: Path,
    vary: str,
    method: str = "mean",
    fixed: dict[str, Any] | None = None,
    **options: Any,
) -> Sweep:
    fixed = fixed or {}
    plan = plan_sweep(get_method(method), vary, None, fixed)
    return sweeping.sweep(movie, method, plan, output, **options)


def record_of(output: Path) -> dict[str, Any]:
    found = json.loads((output / "sweep.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def page_of(output: Path) -> str:
    return (output / "sweep.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sweep]:
    output = tmp_path_factory.mktemp("sweep") / "out"
    told: list[str] = []
    found = sweep_quickly(
        cross_movie(), output, "sparsity=0.3|1.5,grain_nm=0|60", "fluogan", QUICK, seed=3, command=["fluosr", "sweep"],
        command_of=lambda varied: ["fluosr", "reconstruct", *map(str, varied.values())], tell=told.append,
    )  # fmt: skip
    assert told[0] == "4 cells (2 of sparsity x 2 of grain_nm)." and "for all" in told[1]
    return output, found


def test_every_cell_is_judged_and_kept(finished: tuple[Path, Sweep]) -> None:
    output, found = finished
    assert {path.name for path in output.iterdir()} == {"sweep.html", "sweep.json", "cells", "best"}
    record = record_of(output)
    assert record["varied"] == {"sparsity": [0.3, 1.5], "grain_nm": [0.0, 60.0]}
    assert len(record["cells"]) == len(list((output / "cells").iterdir())) == 4
    for cell, row in zip(found.cells, record["cells"], strict=True):
        assert tifffile.imread(output / row["image"]).shape == (32, 36)
        assert row["state"] == "finished" and row["varied"] == cell.varied
        assert 0.8 < row["rsp"] <= 1 and row["significance"] > 4 and row["time_s"] > 0
    scores = resolution_and_fidelity(
        np.array([row["resolution_nm"] for row in record["cells"]], float),
        np.array([r["rsp"] for r in record["cells"]]),
    )
    np.testing.assert_allclose([row["qnr"] or 0.0 for row in record["cells"]], scores.qnr)


def test_the_best_cell_is_named_and_run_whole(finished: tuple[Path, Sweep]) -> None:
    output, found = finished
    assert found.best is not None and not found.stopped
    best = found.cells[found.best]
    assert best.qnr == max(cell.qnr or 0.0 for cell in found.cells)
    record = record_of(output)
    assert record["best"]["parameters"] == best.varied and record["best"]["finished"]
    assert record["best"]["command"] == ["fluosr", "reconstruct", *map(str, best.varied.values())]
    run = json.loads((output / "best" / "run.json").read_text(encoding="utf-8"))
    assert {name: run["parameters"][name] for name in best.varied} == best.varied and run["seed"] == 3
    image = tifffile.imread(output / record["cells"][found.best]["image"])
    np.testing.assert_array_equal(tifffile.imread(output / "best" / "reconstruction.ome.tif"), image)
    assert "fluosr reconstruct " in page_of(output) and "Its full run" in page_of(output)


def test_the_page_shows_two_parameters_as_maps(finished: tuple[Path, Sweep]) -> None:
    page = page_of(finished[0])
    assert page.count("data:image/png;base64,") == 2  # maps, and the sheet of pictures
    assert "<script" not in page and "http" not in page.split("</style>")[1]


@pytest.mark.parametrize(("vary", "figures"), [("factor=1|2", 2), ("factor=1|2,drift=yes|no,bleaching=yes|no", 1)])
def test_one_parameter_is_shown_as_curves_and_more_in_the_table(vary: str, figures: int, tmp_path: Path) -> None:
    found = sweep_quickly(cross_movie(), tmp_path, vary)
    assert all(cell.state == "finished" for cell in found.cells)
    assert page_of(tmp_path).count("data:image/png;base64,") == figures


def failing_at(value: int) -> Any:
    """The mean method, which fails at one factor."""
    real = get_method("mean").load()

    def reconstruct(acquisition: Any, parameters: Any, run: Any) -> Any:
        if parameters.factor == value:
            raise ValueError("the <i>matrix</i> is singular")
        return real(acquisition, parameters, run)

    return lambda: reconstruct


def break_mean(patch: pytest.MonkeyPatch, value: int) -> None:
    from dataclasses import replace

    broken = replace(get_method("mean"), load=failing_at(value))
    patch.setattr("fluosr.sweep.get_method", lambda name: broken)


def test_a_failing_cell_says_why_and_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_mean(monkeypatch, 3)
    found = sweep_quickly(cross_movie(), tmp_path, "factor=2:4")
    assert [cell.state for cell in found.cells] == ["finished", "failed", "finished"]
    assert "matrix" in record_of(tmp_path)["cells"][1]["reason"]
    assert "&lt;i&gt;matrix&lt;/i&gt; is singular" in page_of(tmp_path) and "<i>matrix" not in page_of(tmp_path)
    assert "1 of 3 cells" in page_of(tmp_path)


def test_where_there_is_nothing_nothing_is_claimed(tmp_path: Path) -> None:
    found = sweep_quickly(movie_of(frames_of(np.full((16, 18), 20.0))), tmp_path, "factor=2|3")
    assert found.nothing_here and found.best is None and not (tmp_path / "best").exists()
    page = page_of(tmp_path)
    assert "Nothing here" in page and "The best cell" not in page and "Over the parameters" not in page


# Resuming and stopping.


def test_a_failed_cell_is_tried_again_and_the_others_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        break_mean(patch, 3)
        sweep_quickly(cross_movie(), tmp_path, "factor=2|3")
    before = record_of(tmp_path)["cells"][0]
    found = sweep_quickly(cross_movie(), tmp_path, "factor=2|3", resume=True)
    assert [cell.state for cell in found.cells] == ["finished", "finished"]
    after = record_of(tmp_path)["cells"][0]
    scores = ("qnr", "nfrc")  # these depend on the other cells
    assert {k: v for k, v in after.items() if k not in scores} == {k: v for k, v in before.items() if k not in scores}


def test_a_sweep_goes_on_over_a_wider_range(tmp_path: Path) -> None:
    sweep_quickly(cross_movie(), tmp_path, "factor=3")
    told: list[str] = []
    found = sweep_quickly(cross_movie(), tmp_path, "factor=2:4", resume=True, tell=told.append)
    assert told[0] == "3 cells (3 of factor), 2 of them left."
    assert [cell.state for cell in found.cells] == 3 * ["finished"]
    assert found.cells[1].time_s is not None and len(list((tmp_path / "cells").iterdir())) == 3


@pytest.mark.parametrize("change", ["nothing there", "damaged", "seed", "fixed"])
def test_another_sweep_is_not_gone_on_with(change: str, tmp_path: Path) -> None:
    if change != "nothing there":
        sweep_quickly(cross_movie(), tmp_path, "factor=2")
    if change == "damaged":
        (tmp_path / "sweep.json").write_text("{")
    options: dict[str, Any] = {"seed": {"seed": 1}, "fixed": {"fixed": {"drift": False}}}.get(change, {})
    words = {"nothing there": "nothing to resume", "damaged": "is damaged", "seed": "seed was 0, is 1",
             "fixed": "drift was yes, is no"}  # fmt: skip
    with pytest.raises(CheckpointError, match=words[change]):
        sweep_quickly(cross_movie(), tmp_path, "factor=2", resume=True, **options)


def press_after(cells: int) -> Run:
    def progress(stage: str, done: int, total: int) -> None:
        if done == cells:
            signal.raise_signal(signal.SIGINT)

    return Run(on_progress=progress)


def test_ctrl_c_keeps_the_cells_and_resume_goes_on(tmp_path: Path) -> None:
    stopped = sweep_quickly(cross_movie(), tmp_path, "factor=2:4", run=press_after(1))
    assert stopped.stopped and [cell.state for cell in stopped.cells] == ["finished", "not run", "not run"]
    assert "1 of 3 cells were run" in page_of(tmp_path) and not (tmp_path / "best").exists()
    found = sweep_quickly(cross_movie(), tmp_path, "factor=2:4", resume=True)
    assert not found.stopped and found.best_run is not None and (tmp_path / "best" / "report.html").exists()
    before = contents(tmp_path / "best")
    again = sweep_quickly(cross_movie(), tmp_path, "factor=2:4", resume=True)
    assert again.best == found.best and contents(tmp_path / "best") == before


# The command.


@pytest.fixture
def film(tmp_path: Path) -> Path:
    frames = frames_of(light_of(CROSS, background=3.0))
    write_movie(tmp_path / "cross.tif", frames, len(frames), np.uint16, 100.0, 0.05)
    return tmp_path / "cross.tif"


def test_the_command_sweeps_and_its_best_command_runs(film: Path, tmp_path: Path) -> None:
    found = fluosr(
        "sweep",
        film,
        *FACTS,
        "--method",
        "mean",
        "--vary",
        "factor=2|3",
        "--no-drift",
        "--seed",
        "4",
        "-o",
        tmp_path / "o",
    )
    assert found.code == 0, found.err
    best = record_of(tmp_path / "o")["best"]
    assert best["command"][0] == "fluosr" and "--no-drift" in best["command"] and "--seed" in best["command"]
    again = fluosr(*best["command"][1:], "-o", tmp_path / "again")
    assert again.code == 0, again.err
    images = [tmp_path / folder / "reconstruction.ome.tif" for folder in ("again", "o/best")]
    np.testing.assert_array_equal(*map(tifffile.imread, images))


def test_a_stopped_command_ends_with_130(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluosr.progress.ProgressBar.run", lambda self: press_after(1))
    found = fluosr("sweep", film, *FACTS, "--method", "mean", "--vary", "factor=2:3", "-o", tmp_path / "out")
    assert found.code == 130 and "--resume" in found.err


WRONG = [
    (["--method", "mean"], "--vary"),
    (["--method", "maen", "--vary", "factor=1:2"], "did you mean mean?"),
    (["--method", "mean", "--vary", "facto=1:2"], "did you mean factor?"),
    (["--method", "mean", "--vary", "factor=1:2:0"], "step > 0"),
    (["--method", "mean", "--vary", "factor=0:2"], "greater than or equal to 1"),
    (["--method", "mean", "--vary", "factor=1:2", "--factor", "3"], "given as --factor and in --vary"),
    (["--method", "mean", "--vary", "factor=1:2", "--no-halves"], "leave --no-halves out"),
    (["--method", "mean", "--vary", "halves=yes|no"], "leave --no-halves out"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=[" ".join(a) for a, _ in WRONG])
def test_a_wrong_call_is_refused_in_words(arguments: list[str], words: str, film: Path, tmp_path: Path) -> None:
    before = contents(tmp_path)
    found = fluosr("sweep", film, *FACTS, "-o", tmp_path / "out", *arguments)
    assert (found.code, found.out) == (2, "") and words in found.err
    assert contents(tmp_path) == before


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="no earlier run of fluosr left there"):
        sweep_quickly(cross_movie(), tmp_path, "factor=2")
    with pytest.raises(UsageError, match="no parameter"):
        sweep_quickly(cross_movie(), tmp_path / "o", "radius=2")
    assert contents(tmp_path) == {"cells/mine.txt": b"mine"}


def test_a_best_run_that_failed_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "out"
    sweep_quickly(cross_movie(), output, "factor=1")
    with monkeypatch.context() as broken:

        def fails(*args: Any, **options: Any) -> None:
            raise OutputError("no room")

        broken.setattr(sweeping, "run_to_folder", fails)
        failed = sweep_quickly(cross_movie(), output, "factor=2", resume=True)
    assert failed.best_run is not None and "no room" in failed.best_run
    assert not record_of(output)["best"]["finished"]
    again = sweep_quickly(cross_movie(), output, "factor=2", resume=True)
    assert again.best_run is not None and "best/" in again.best_run
    assert json.loads((output / "best" / "run.json").read_text(encoding="utf-8"))["parameters"]["factor"] == 2


def test_a_stop_while_the_last_cell_is_judged_is_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge, asked = sweeping.judge_cell, []

    def interrupted(*args: Any) -> Any:
        asked.append(1)
        if len(asked) == 2:
            signal.raise_signal(signal.SIGINT)
        return judge(*args)

    monkeypatch.setattr(sweeping, "judge_cell", interrupted)
    found = sweep_quickly(cross_movie(), tmp_path / "out", "factor=1|2")
    assert found.stopped and found.best_run is not None and "--resume" in found.best_run


def test_nothing_of_an_earlier_sweep_lies_beside_a_new_one(tmp_path: Path) -> None:
    output = tmp_path / "out"
    sweep_quickly(cross_movie(), output, "factor=1|2")
    (output / "best" / "note.txt").write_text("mine")
    noise = movie_of(frames_of(np.full((16, 18), 20.0)))
    found = sweep_quickly(noise, output, "factor=3")
    assert found.nothing_here and found.best is None
    assert [path.name for path in (output / "best").iterdir()] == ["note.txt"]
    assert [path.name for path in (output / "cells").iterdir()] == ["factor-3.ome.tif"]


def test_halves_that_share_the_cameras_pattern_have_no_resolution() -> None:
    from dataclasses import replace

    import fluosr as package

    made = package.reconstruct(cross_movie(), "mean", factor=2)
    assert sweeping.judge_cell(made, {}).resolution_nm is not None
    cell = sweeping.judge_cell(replace(made, fixed_pattern=3.0), {})
    assert (
        cell.resolution_nm is None and cell.resolution_reason is not None and "fixed pattern" in cell.resolution_reason
    )
