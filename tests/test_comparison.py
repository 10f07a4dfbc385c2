"""Several methods on one movie: all run, failures told, evidence before looks, stopped and gone on with."""

from __future__ import annotations

import json
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from fluosr import machine
from fluosr.acquisition import Acquisition
from fluosr.comparison import SAVED, compare
from fluosr.errors import OutputError, UsageError
from fluosr.io.saved import load_reconstruction
from fluosr.io.write import write_movie
from fluosr.methods.base import Run
from fluosr.quality.judge import Quality
from fluosr.report.compare_page import Comparison, Entry
from tests.commands import contents, fluosr
from tests.movies import CROSS, cross_movie, frames_of, light_of, movie_of

QUICK = {"iterations": "60", "sparsity": "0.7", "smoothness": "1"}
SETTINGS = {"fluogan": QUICK}
BOTH = ("mean", "fluogan")
FACTS = ("--fwhm", "300", "--gain", "1", "--offset", "0", "--read-noise", "0")


def compare_quickly(movie: Acquisition, output: Path, methods: tuple[str, ...] = BOTH, **options: Any) -> Comparison:
    return compare(movie, methods, output, **({"settings": SETTINGS, "factor": 2} | options))


def record_of(output: Path) -> dict[str, Any]:
    found = json.loads((output / "compare.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Comparison]:
    output = tmp_path_factory.mktemp("compare") / "out"
    return output, compare_quickly(cross_movie(), output, command=["fluosr", "compare"])


def test_every_method_leaves_its_own_whole_run(finished: tuple[Path, Comparison]) -> None:
    output, _ = finished
    assert {path.name for path in output.iterdir()} == {"compare.html", "compare.json", *BOTH}
    for name in BOTH:
        files = {path.name for path in (output / name).iterdir()}
        assert files >= {"reconstruction.ome.tif", "background.tif", "mean.tif", "run.json", "report.html", SAVED}
        image = tifffile.imread(output / name / "reconstruction.ome.tif")
        assert image.shape == (32, 36)
        np.testing.assert_array_equal(load_reconstruction(output / name / SAVED).image, image)


def test_the_record_holds_order_and_figures(finished: tuple[Path, Comparison]) -> None:
    record = record_of(finished[0])
    assert [row["method"] for row in record["methods"]] == ["fluogan", "mean"]  # fluogan explains the movie
    assert [row["rank"] for row in record["methods"]] == [1, 2]
    assert (record["factor"], record["fine_pixel_size_nm"], record["nothing_here"]) == (2, 50.0, False)
    assert len(record["order"]) == 5 and record["line"]["length_nm"] > 300
    for row in record["methods"]:
        assert row["state"] == "finished" and row["found_structure"] and row["time_s"] > 0
        assert row["peak_memory_mb"] > 50 and row["quality"]["residuals"]["verdict"]
        assert row["parameters"]["factor"] == 2


def test_the_page_shows_all_and_says_how_it_orders(finished: tuple[Path, Comparison]) -> None:
    output, found = finished
    page = (output / "compare.html").read_text(encoding="utf-8")
    for sentence in found.order:
        assert sentence in page
    assert page.count("data:image/png;base64,") == 4 and "Nothing here" not in page
    assert 'href="fluogan/report.html"' in page


def test_a_common_grid_is_chosen_where_none_is_given(tmp_path: Path) -> None:
    found = compare(cross_movie(), ["mean"], tmp_path)
    assert found.factor == 6 and found.entries[0].reconstruction is not None
    assert found.entries[0].reconstruction.factor == 6


def failing(*names: str) -> Any:
    """``run_to_folder`` with methods that fail."""
    from fluosr.pipeline import run_to_folder

    def run(acquisition: Any, folder: Path, **options: Any) -> Any:
        if options["method"] in names:
            raise ValueError("the <b>matrix</b> is singular")
        return run_to_folder(acquisition, folder, **options)

    return run


def test_a_method_that_fails_says_why_and_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluosr.comparison.run_to_folder", failing("fluogan"))
    told: list[str] = []
    found = compare_quickly(cross_movie(), tmp_path, ("fluogan", "mean"), tell=told.append)
    assert [(entry.method, entry.state) for entry in found.entries] == [("mean", "finished"), ("fluogan", "failed")]
    assert "matrix" in str(found.entries[1].reason) and any("fluogan failed" in text for text in told)
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;matrix&lt;/b&gt; is singular" in page and "<b>matrix" not in page
    assert record_of(tmp_path)["methods"][1]["rank"] is None


def test_without_any_image_the_page_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluosr.comparison.run_to_folder", failing(*BOTH))
    found = compare_quickly(cross_movie(), tmp_path)
    assert found.shown == [] and not found.nothing_here
    assert "No method yielded a picture" in (tmp_path / "compare.html").read_text(encoding="utf-8")


def test_where_there_is_nothing_nothing_is_claimed(tmp_path: Path) -> None:
    movie = movie_of(frames_of(np.full((16, 18), 20.0)))
    found = compare_quickly(movie, tmp_path)
    assert found.nothing_here
    record = record_of(tmp_path)
    assert record["nothing_here"] and record["line"] is None
    assert [(row["method"], row["rank"]) for row in record["methods"]] == [(name, None) for name in BOTH]
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert page.index("Nothing here") < page.index("<h2>The methods</h2>")
    assert "Across the structure" not in page and "none claimed" in page and "there is no order" in page
    assert found.order[1] not in page


# Resuming.


def test_finished_methods_come_from_disk_and_the_rest_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("fluosr.comparison.run_to_folder", failing("mean"))
        compare_quickly(cross_movie(), tmp_path)
    before = contents(tmp_path / "fluogan")
    found = compare_quickly(cross_movie(), tmp_path, resume=True)
    assert {entry.method: entry.from_disk for entry in found.entries} == {"fluogan": True, "mean": False}
    assert all(entry.state == "finished" for entry in found.entries)
    assert contents(tmp_path / "fluogan") == before


def test_from_disk_everything_is_as_it_was(finished: tuple[Path, Comparison]) -> None:
    output, _ = finished
    before = record_of(output)
    second = compare_quickly(cross_movie(), output, resume=True, command=["fluosr", "compare"])
    assert all(entry.from_disk for entry in second.entries)
    after = record_of(output)
    for record in (before, after):
        for row in record["methods"]:
            del row["from_disk"]
    assert after == before


@pytest.mark.parametrize("change", ["parameter", "seed", "movie", "damaged"])
def test_what_depends_on_other_facts_runs_anew(change: str, tmp_path: Path) -> None:
    compare_quickly(cross_movie(), tmp_path, ("mean",))
    options: dict[str, Any] = {"parameter": {"settings": {"mean": {"drift": False}}}, "seed": {"seed": 1}}.get(
        change, {}
    )
    if change == "damaged":
        (tmp_path / "mean" / SAVED).write_bytes(b"no")
    told: list[str] = []
    movie = cross_movie(seed=1) if change == "movie" else cross_movie()
    found = compare_quickly(movie, tmp_path, ("mean",), resume=True, tell=told.append, **options)
    assert not found.entries[0].from_disk and found.entries[0].state == "finished"
    assert any(text.startswith("mean runs anew") for text in told)


def test_a_run_that_fails_again_is_not_taken_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare_quickly(cross_movie(), tmp_path, ("mean",))
    monkeypatch.setattr("fluosr.comparison.run_to_folder", failing("mean"))
    assert compare_quickly(cross_movie(), tmp_path, ("mean",)).entries[0].state == "failed"
    assert not (tmp_path / "mean" / SAVED).exists()


# Stopping.


def interrupting(at: str) -> Any:
    """A watch that presses Ctrl-C once, when a method reaches a stage."""
    pressed: list[str] = []

    def watch(name: str) -> Run:
        def progress(stage: str, done: int, total: int) -> None:
            if name == at and not pressed:
                pressed.append(stage)
                signal.raise_signal(signal.SIGINT)

        return Run(on_progress=progress)

    return watch


@pytest.mark.parametrize("at", BOTH)
def test_ctrl_c_keeps_what_is_finished_and_resume_goes_on(at: str, tmp_path: Path) -> None:
    stopped = compare_quickly(cross_movie(), tmp_path, watch=interrupting(at))
    states = {entry.method: entry.state for entry in stopped.entries}
    assert stopped.stopped
    assert states["mean"] == ("stopped" if at == "mean" else "finished")
    assert states["fluogan"] == ("not run" if at == "mean" else "stopped")
    assert record_of(tmp_path)["stopped"]
    assert "--resume goes on" in (tmp_path / "compare.html").read_text(encoding="utf-8")
    found = compare_quickly(cross_movie(), tmp_path, resume=True)
    assert not found.stopped and all(entry.state == "finished" for entry in found.entries)
    assert {e.method: e.from_disk for e in found.entries} == {"mean": at == "fluogan", "fluogan": False}


def test_a_stopped_command_ends_with_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluosr.progress.ProgressBar.run", lambda self, name="": interrupting("mean")(name))
    found = fluosr("compare", film(tmp_path), *FACTS, "--methods", "mean,fluogan", "-o", tmp_path / "out")
    assert found.code == 130 and "--resume" in found.err


# Order.


def entry(state: str = "finished", significance: float = 50.0, rms: float = 1.0, nm: float | None = 100.0) -> Entry:
    from tests.report.test_page import reconstruction

    made = reconstruction(significance=significance)
    made.mean[:] = made.expected + rms * made.standard_error * np.where(np.indices(made.mean.shape).sum(0) % 2, 1, -1)
    from fluosr.quality.judge import judge

    quality: Quality = judge(made)
    residuals = replace(quality.residuals, rms=rms, at_noise_level=rms == 1.0)
    resolution = None if nm is None or quality.resolution is None else replace(quality.resolution, resolution_nm=nm)
    quality = replace(quality, residuals=residuals, resolution=resolution)
    return Entry("mean", state, made, quality, {})  # type: ignore[arg-type]


def test_the_order_is_the_one_that_is_printed() -> None:
    from fluosr.comparison import _comparison

    wanted = [
        entry(nm=80.0),
        entry(nm=100.0),
        entry(nm=None),
        entry(rms=1.5, nm=50.0),
        entry(rms=0.5, nm=50.0),
        entry(rms=4.0, nm=None),
        entry(significance=3.0, nm=None),
        entry(state="stopped", nm=60.0),
        Entry("mean", "failed", reason="no"),
        Entry("mean", "not run"),
    ]
    shuffled = [wanted[number] for number in (7, 3, 9, 0, 5, 8, 2, 4, 6, 1)]
    assert list(_comparison(shuffled, 2, stopped=False).entries) == wanted


# The command.


def film(folder: Path) -> Path:
    frames = frames_of(light_of(CROSS, background=3.0))
    write_movie(folder / "cross.tif", frames, len(frames), np.uint16, 100.0, 0.05)
    return folder / "cross.tif"


def test_the_command_compares(tmp_path: Path) -> None:
    settings = [text for name, value in QUICK.items() for text in ("--set", f"fluogan.{name}={value}")]
    found = fluosr(
        "compare", film(tmp_path), *FACTS, "--methods", "mean,fluogan", "--factor", "2", *settings, "-o", tmp_path / "o"
    )
    assert found.code == 0, found.err
    assert found.out.index("fluogan: resolution") < found.out.index("mean: resolution") and "compare.html" in found.out
    assert record_of(tmp_path / "o")["command"][:2] == ["fluosr", "compare"]
    assert record_of(tmp_path / "o")["methods"][0]["parameters"]["iterations"] == 60


WRONG = [
    (["--methods", ""], "names no method"),
    (["--methods", "maen"], "did you mean mean?"),
    (["--methods", "mean,mean"], "names mean twice"),
    (["--methods", "mean", "--set", "mean.drft=no"], "did you mean drift"),
    (["--methods", "mean", "--set", "fluogan.iterations=3"], "not one of the methods"),
    (["--methods", "mean", "--set", "mean.drift=perhaps"], "drift"),
    (["--methods", "fluogan", "--set", "fluogan.iterations=0"], "greater than or equal to 1"),
    (["--methods", "mean", "--set", "nonsense"], "METHOD.PARAMETER=VALUE"),
    (["--methods", "mean", "--factor", "0"], "--factor"),
    (["--methods", "mean", "--device", "abacus"], "no such kind of device"),
    ([], "--methods"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=[" ".join(a) or "nothing" for a, _ in WRONG])
def test_a_wrong_call_is_refused_in_words(arguments: list[str], words: str, tmp_path: Path) -> None:
    movie = film(tmp_path)
    before = contents(tmp_path)
    found = fluosr("compare", movie, *FACTS, "-o", tmp_path / "out", *arguments)
    assert (found.code, found.out) == (2, "") and words in found.err
    assert contents(tmp_path) == before


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "compare.html").write_text("mine")
    with pytest.raises(OutputError, match="no earlier run of fluosr left there"):
        compare_quickly(cross_movie(), tmp_path)
    with pytest.raises(UsageError, match="no method"):
        compare(cross_movie(), ["nothing"], tmp_path / "o")
    assert contents(tmp_path) == {"compare.html": b"mine"}


def test_the_count_of_the_largest_memory_begins_anew() -> None:
    if not machine.reset_peak_memory():
        pytest.skip("this system goes on counting")
    before = machine.peak_memory_mb()
    block = np.ones(2**24)  # 128 MB
    high = machine.peak_memory_mb()
    del block
    assert high > before + 100 and machine.reset_peak_memory()
    assert machine.peak_memory_mb() < high - 100


def test_where_memory_cannot_be_counted_anew_the_page_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "reset_peak_memory", lambda: False)
    compare_quickly(cross_movie(), tmp_path, ("mean",))
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert re.search(r"[MG]B \*", page) and "not of this method alone" in page  # of all that ran in the process before
    assert record_of(tmp_path)["methods"][0]["peak_memory_is_its_own"] is False


def test_a_method_that_failed_leaves_no_empty_folder(tmp_path: Path) -> None:
    found = compare(movie_of(frames_of(light_of(CROSS), 3)), ["mean", "sofi"], tmp_path / "out", factor=2)
    assert [entry.state for entry in found.entries if entry.method == "sofi"] == ["failed"]
    assert (tmp_path / "out" / "mean" / "run.json").exists() and not (tmp_path / "out" / "sofi").exists()
