"""The pages of comparison and sweep: self-contained, escaped, whole for whatever came out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fluosr.quality.judge import judge
from fluosr.report.compare_page import Comparison, Entry, as_density, common_limits, render_comparison
from fluosr.report.profile import choose_line, light_along, to_equal_area
from fluosr.report.sweep_page import Cell, Sweep, render_sweep
from tests.movies import CROSS, light_of
from tests.report.test_page import Balanced, acquisition, reconstruction

EVIL = '<script>alert("x")</script><img src=http://x onerror=y>&"\''


def checked(page: str) -> Balanced:
    parsed = Balanced()
    parsed.feed(page)
    parsed.close()
    assert not parsed.open and "script" not in parsed.tags
    assert len(set(parsed.ids)) == len(parsed.ids)
    inside = [load for load in parsed.loads if load.startswith("data:image/png;base64,")]
    links = [load for load in parsed.loads if load not in inside]
    assert all(link.endswith("/report.html") and ":" not in link for link in links)
    assert "default-src 'none'" in page and "nan nm" not in page and "None nm" not in page
    return parsed


def entry(name: str = "fluogan", **more: Any) -> Entry:
    made = reconstruction(significance=20.0, **more)
    return Entry(name, "finished", made, judge(made), {"time_s": 3.0, "peak_memory_mb": 300.0}, None, True)


def comparison(*entries: Entry, **more: Any) -> Comparison:
    facts: dict[str, Any] = {"factor": 2, "order": ("First.",), "nothing_here": False, "stopped": False}
    return Comparison(entries, **{**facts, **more})


@pytest.mark.parametrize("count", [1, 2, 5, 10])
def test_any_number_of_methods_fits_on_the_page(count: int) -> None:
    entries = [entry(f"method{number}", seed=number) for number in range(count)]
    page = render_comparison(comparison(*entries), acquisition(), {})
    parsed = checked(page)
    assert all(f"method{number}" in parsed.text for number in range(count)) and len(page) < 5e6


def test_texts_from_outside_are_escaped() -> None:
    entries = [
        entry("mean", warnings=[EVIL]),
        replace_reason(entry("fluogan"), EVIL),
        Entry("sofi", "failed", reason=EVIL),
    ]
    page = render_comparison(
        comparison(*entries, order=(EVIL,)), acquisition(name=EVIL, warnings=(EVIL,)),
        {"command": ["fluosr", EVIL], "device": EVIL, "versions": {EVIL: EVIL}},
    )  # fmt: skip
    assert EVIL in checked(page).text and "<img src=http" not in page


def replace_reason(found: Entry, reason: str) -> Entry:
    return replace(found, reason=reason)


@pytest.mark.parametrize("value", [np.nan, 0.0, -1.0])
def test_images_without_light_or_number_do_not_break_the_page(value: float) -> None:
    found = entry()
    assert found.reconstruction is not None
    found.reconstruction.image[:] = value
    found.reconstruction.mean[:] = value
    checked(render_comparison(comparison(found, entry("mean")), acquisition(), {}))


def test_methods_without_an_image_alone_make_a_page() -> None:
    entries = [Entry("mean", "failed", reason="no memory"), Entry("sofi", "not run")]
    text = checked(render_comparison(comparison(*entries, stopped=True), acquisition(), {})).text
    assert "No method yielded a picture" in text and "Stopped" in text and "no memory" in text


def test_where_nothing_is_found_no_resolution_stands_on_the_page() -> None:
    found = entry()
    assert found.quality is not None and found.quality.resolution is not None
    nm = f"{found.quality.resolution.resolution_nm:.0f} nm"
    assert nm in checked(render_comparison(comparison(found), acquisition(), {})).text
    text = checked(render_comparison(comparison(found, nothing_here=True), acquisition(), {})).text
    assert nm not in text and "none claimed" in text and text.index("Nothing here") < text.index("The methods")


def test_contrast_is_the_same_for_all_and_no_image_alone_decides_it() -> None:
    images = [np.full((4, 4), value) for value in (1.0, 3.0, 1000.0)]
    assert common_limits(images) == (0.0, 3.0)
    assert common_limits([]) == (0.0, 1.0) and common_limits([np.zeros((3, 3))]) == (0.0, 1.0)
    assert as_density(np.ones((2, 2)), 50.0)[0, 0] == pytest.approx(400.0)


@pytest.mark.parametrize("angle_deg", [0.0, 30.0, 90.0, 140.0])
def test_the_line_crosses_what_stands_out_at_right_angles(angle_deg: float) -> None:
    angle = np.deg2rad(angle_deg)
    y, x = np.mgrid[:60, :60] + 0.5
    across = (y - 30) * np.cos(angle) - (x - 30) * np.sin(angle)  # a bright line at this angle from the x axis
    mean = 10 + 50 * np.exp(-(across**2) / 2 / 1.5**2)
    line = choose_line(mean, 100.0, 300.0)
    assert line is not None
    assert abs(np.sin(line.angle_rad - angle)) > 0.999
    along, light = light_along(line, mean, 100.0, 300.0)
    assert abs(along[light.argmax()] - line.length_nm / 2) < 60  # the structure is in its middle
    area = to_equal_area(along, light)
    assert area.min() == 0 and np.trapezoid(area, along) / 1000 == pytest.approx(1)


def test_the_line_stays_in_the_field_and_even_images_have_none() -> None:
    for field in ((16, 18), (5, 40), (6, 6)):
        line = choose_line(light_of(CROSS, field, 3.0), 100.0, 300.0)
        assert line is not None
        y0, x0, y1, x1 = line.ends
        assert min(y0, y1) >= -1e-6 and max(y0, y1) <= 100 * field[0] + 1e-6
        assert min(x0, x1) >= -1e-6 and max(x0, x1) <= 100 * field[1] + 1e-6
    assert choose_line(np.full((9, 9), 3.0), 100.0, 300.0) is None
    assert choose_line(np.full((9, 9), np.nan), 100.0, 300.0) is None
    assert not to_equal_area(np.arange(5.0), np.ones(5)).any()


def sweep_of(values: dict[str, list[Any]], **more: Any) -> Sweep:
    import itertools

    cells = []
    for number, choice in enumerate(itertools.product(*values.values())):
        varied = dict(zip(values, choice, strict=True))
        cells.append(Cell(varied, "finished", None, 100.0 + number, None, 0.9, 20.0, 1.0, 2.0, [], 0.5, 0.6))
    facts: dict[str, Any] = {"best": 0, "nothing_here": False, "stopped": False, "best_run": "Done."}
    return Sweep("esrrf", values, tuple(cells), **{**facts, **more})


def pictures_of(sweep: Sweep) -> dict[int, tuple[np.ndarray, float]]:
    return {number: (np.ones((20, 20)), 50.0) for number, cell in enumerate(sweep.cells) if cell.state == "finished"}


@pytest.mark.parametrize(
    "values",
    [
        {"radius": [1.0, 2.0, 3.0]},
        {"temporal": ["AVG", "VAR"]},
        {"radius": [1.0]},
        {"radius": [1.0, 2.0], "sensitivity": [1.0, 2.0, 3.0]},
        {"radius": [1.0], "sensitivity": [1.0, 2.0, 3.0]},
        {"radius": [float(n) for n in range(12)], "sensitivity": [1.0, 2.0]},
        {"a": [1, 2], "b": [True, False], "c": [None, 0.5]},
        {"radius": [float(n) for n in range(70)]},
    ],
    ids=lambda values: " x ".join(str(len(v)) for v in values.values()),
)
def test_a_sweep_over_any_parameters_makes_a_page(values: dict[str, list[Any]]) -> None:
    sweep = sweep_of(values)
    page = render_sweep(
        sweep, acquisition(), dict(list(pictures_of(sweep).items())[:60]), {}, ["fluosr", "reconstruct"]
    )
    assert "The best cell" in checked(page).text and len(page) < 5e6


def test_a_best_cell_that_does_not_explain_the_movie_is_doubted() -> None:
    sweep = sweep_of({"radius": [1.0, 2.0]})
    doubt = "does not explain the movie"
    assert doubt not in checked(render_sweep(sweep, acquisition(), {}, {}, None)).text
    sweep.cells[0].residual_rms = 4.7
    assert doubt in checked(render_sweep(sweep, acquisition(), {}, {}, None)).text


def test_cells_without_figures_are_shown_as_such_and_texts_are_escaped() -> None:
    sweep = sweep_of({"radius": [1.0, 2.0], EVIL: [EVIL, "VAR"]}, stopped=True, best_run=EVIL)
    sweep.cells[1].state, sweep.cells[1].reason = "failed", EVIL
    sweep.cells[1].resolution_nm = sweep.cells[1].rsp = sweep.cells[1].qnr = sweep.cells[1].nfrc = None
    sweep.cells[2].warnings.append(EVIL)
    page = render_sweep(sweep, acquisition(name=EVIL), pictures_of(sweep), {"command": [EVIL]}, ["fluosr", EVIL])
    assert EVIL in checked(page).text and "<img src=http" not in page
