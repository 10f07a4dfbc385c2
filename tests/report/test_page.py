"""The report page: self-contained, escaped, whole for any reconstruction."""

import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import fluosr.report.page as page
from fluosr.acquisition import Acquisition, ArrayFrames
from fluosr.camera import Camera
from fluosr.localisations import Localisations
from fluosr.optics.psf import GaussianPSF
from fluosr.quality.judge import judge
from fluosr.reconstruction import Reconstruction
from fluosr.report.pieces import duration

SECTIONS = [
    "headline",
    "pictures",
    "zoom",
    "residuals",
    "resolution",
    "choices",
    "convergence",
    "parameters",
    "cite",
    "reproduce",
]
VOID = {"meta", "img", "br", "hr", "link", "input"}


def acquisition(shape=(30, 32), **more):
    frames = ArrayFrames(np.zeros((50, *shape), np.uint8))
    return Acquisition(
        frames, 100.0, GaussianPSF(300.0), Camera(2.0, 100.0, 1.5, (("gain_adu_per_e", "given by hand"),)), **more
    )


def reconstruction(shape=(30, 32), factor=2, seed=0, **more):
    """Smooth spots, their mean frame with noise, everything optional present."""
    generator = np.random.default_rng(seed)
    fine = (shape[0] * factor, shape[1] * factor)
    image = np.clip(gaussian_filter(generator.standard_normal(fine), 2), 0, None).astype(np.float32)
    expected = 10 + 5 * generator.random(shape)
    error = np.full(shape, 0.2)
    mean = expected + error * generator.standard_normal(shape)
    halves = tuple((image + 0.01 * generator.standard_normal((2, *fine))).astype(np.float32))
    fields = {
        "image": image,
        "background": np.full(shape, 4.0),
        "mean": mean,
        "expected": expected,
        "standard_error": error,
        "pixel_size_nm": 100.0 / factor,
        "factor": factor,
        "method": "fluogan",
        "parameters": {"iterations": 100, "lambda_1": 0.1, "border_nm": 300.0, "seed": 4},
        "halves": halves,
        "uncertainty": 0.1 * image,
        "history": {"objective": [9.0, 3.0, 1.5, 1.2], "gap": [-1.0, 0.5, float("nan"), 0.1]},
        "choices": {
            "lambda_1": {"value": 0.1, "why": "held-out likelihood", "x": [0.01, 0.1, 1, 10], "y": [3, 1, 2, 4]},
            "factor": {"value": factor, "why": "PSF and pixel"},
        },
        "warnings": ["The gain was estimated."],
        "citations": ["@article{someone2023, title = {A & B}}"],
    }
    return Reconstruction(**{**fields, **more})


RUN = {
    "parameters": {"iterations": 100, "lambda_1": 0.1},
    "versions": {"fluosr": "0.1", "torch": "2.13"},
    "seed": 4,
    "time_s": 75.2,
    "legs_s": [70.0, 5.2],
    "peak_memory_mb": 210.0,
    "command": ["fluosr", "reconstruct", "my movie.tif"],
    "citation": ["@article{someone2023, title = {A & B}}"],
}


class Balanced(HTMLParser):
    """Checks that tags close in order; collects ids, what is loaded, and the text that shows."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.loads, self.tags, self.text = [], [], [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        attributes = dict(attrs)
        assert len(attributes) == len(attrs), f"an attribute twice in <{tag}>"
        if "id" in attributes:
            self.ids.append(attributes["id"])
        self.loads += [v for k, v in attrs if k in ("src", "href", "srcset", "data", "action", "poster")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        self.text += data


def render(made, taken=None, run=RUN):
    taken = taken or acquisition(made.mean.shape)
    html = page.render_report(made, taken, quality=judge(made), run=run)
    parsed = Balanced()
    parsed.feed(html)
    parsed.close()
    assert not parsed.open
    assert len(set(parsed.ids)) == len(parsed.ids)
    missing = [s for s in SECTIONS if s not in parsed.ids]
    assert not missing, missing
    assert all(load.startswith("data:image/png;base64,") for load in parsed.loads)
    assert "script" not in parsed.tags
    assert not re.search(r"url\(|@import|nan nm|None nm", html)
    assert len(html) < 5e6
    return html, parsed


def test_what_an_image_of_molecules_leaves_out_is_no_warning():
    made = reconstruction(warnings=[])
    made.mean[:15] += 3.0
    _, parsed = render(made)
    assert "Usual causes" in parsed.text and "card bad" in page.sections.headline(made, acquisition(), judge(made), RUN)
    made.localisations = Localisations([0, 1], [100.0, 200.0], [100.0, 200.0])
    _, parsed = render(made)
    assert "Usual causes" not in parsed.text and "warnings" not in parsed.ids
    assert "card bad" not in page.sections.headline(made, acquisition(), judge(made), RUN)
    assert "it shows the molecules found, not all light" in parsed.text
    assert "No test of this image" in parsed.text and "others may be" in parsed.text


def test_whole_page():
    html, parsed = render(reconstruction())
    assert html.startswith("<!DOCTYPE html>")
    assert {"warnings", "uncertainty"} <= set(parsed.ids)
    assert len(parsed.loads) == 7
    for text in (
        "1 min 15 s",
        "210 MB",
        "The gain was estimated.",
        "fluosr reconstruct 'my movie.tif'",
        "2 legs",
        "given by hand",
    ):
        assert text in parsed.text, text
    assert parsed.text.count("someone2023") == 2  # once as citation, once in the record
    assert "chosen automatically" in parsed.text
    assert re.search(r"halves agree down to \d+\u00a0nm", parsed.text)


def test_nothing_is_loaded_from_a_network():
    html, _ = render(reconstruction(citations=["@misc{x, url = {https://example.org}}"]))
    assert not re.search(r"""(src|href|srcset)\s*=\s*["']?(https?:|//|ftp:)""", html)
    assert "default-src 'none'" in html


HOSTILE = "<script>alert(1)</script>\"'><img src=https://example.org/x.png>&amp;$\\frac{$"


def test_names_and_texts_are_escaped():
    made = reconstruction(
        method=HOSTILE,
        parameters={HOSTILE: HOSTILE},
        history={HOSTILE: [1.0, 2.0]},
        choices={HOSTILE: {"value": HOSTILE, "why": HOSTILE, "x": [1, 2], "y": [1, 2], "x_label": HOSTILE}},
        warnings=[HOSTILE],
        citations=[HOSTILE],
    )
    taken = acquisition(name=HOSTILE, warnings=(HOSTILE,), provenance={"path": HOSTILE})
    run = {"command": [HOSTILE], "versions": {HOSTILE: HOSTILE}, "citation": HOSTILE, "other": {HOSTILE: [HOSTILE]}}
    html, parsed = render(made, taken, run)
    assert "<script" not in html
    assert "https://example.org/x.png" not in parsed.loads
    assert "<script>alert(1)</script>" in parsed.text


def test_optional_parts_may_be_missing():
    made = reconstruction(
        halves=None, uncertainty=None, history={}, choices={}, warnings=[], citations=[], parameters={}
    )
    _, parsed = render(made, run={})
    assert "warnings" not in parsed.ids
    assert "uncertainty" not in parsed.ids
    assert "not measured" in parsed.text
    assert "not recorded" in parsed.text
    assert len(parsed.loads) == 3


@pytest.mark.parametrize(
    "run",
    [
        {"time_s": None, "peak_memory_mb": None, "command": None, "seed": None},
        {"parameters": {"a": {"b": {"c_nm": 3.0}}, "list": list(range(1000)), "array": np.zeros((40, 40))}},
        {"time_s": float("nan"), "huge": "x" * 200_000},
    ],
)
def test_odd_records(run):
    render(reconstruction(), run=run)


def test_values_that_are_not_finite():
    made = reconstruction()
    made.image[3:5, 7] = np.nan
    made.image[9, 9] = np.inf
    made.mean[4, 4] = np.nan
    made.background[:] = np.nan
    made.uncertainty[:] = np.inf
    made.standard_error[0] = np.inf
    made.halves[0][2, 2] = np.nan
    made.history["objective"] = [float("nan")] * 4
    _, parsed = render(made)
    assert "3 pixel(s) of the reconstruction hold no finite number" in parsed.text
    assert "hold no finite number" in parsed.text


@pytest.mark.parametrize("value", [0.0, 3.5, -1e-30, 1e20])
def test_constant_images(value):
    made = reconstruction()
    for name in ("image", "background", "mean", "expected", "uncertainty"):
        getattr(made, name)[:] = value
    made.halves = (made.image.copy(), made.image.copy())
    _, parsed = render(made)
    assert "constant" in parsed.text


def test_one_iteration_and_one_trial():
    made = reconstruction(
        history={"objective": [2.0], "empty": [], "zeros": [0.0]},
        choices={
            "a": {"value": 1.0, "why": "only one", "x": [1.0], "y": [2.0]},
            "b": {"value": "auto", "why": "text", "x": [1, 2, 3], "y": [1, None, 2]},
            "c": {"value": 5, "why": "lengths differ", "x": [1, 2, 3], "y": [1]},
            "d": {"value": -5, "why": "outside", "x": [1, 100, 1000], "y": [1, 100, 1000]},
            "e": {"value": None, "why": "words", "x": ["small", "large"], "y": [1, 2]},
        },
    )
    render(made)


def test_what_was_given_is_not_said_to_be_chosen():
    for given in (True, False):
        choice = {"value": "mine", "why": "its fingerprint is 0123", "given": given}
        _, parsed = render(reconstruction(parameters={"model": "mine"}, choices={"model": choice}))
        assert "its fingerprint is 0123" in parsed.text
        assert ("chosen automatically, see above" in parsed.text) == (not given)


def test_many_curves_are_bounded():
    _, parsed = render(reconstruction(history={f"curve {i}": [1.0, 2.0] for i in range(40)}))
    assert "28 more curves" in parsed.text


def test_stopped_run_is_said_first():
    _, parsed = render(reconstruction(finished=False))
    assert "stopped before its end" in parsed.text
    assert parsed.text.index("stopped before its end") < parsed.text.index("Before and after")


def test_structure_and_dependent_halves_are_warned_of():
    made = reconstruction(warnings=[])
    made.mean[:] = made.expected + 1.0
    made.halves = (made.image, made.image.copy())
    _, parsed = render(made)
    warned = parsed.text[parsed.text.index("Before you use this image") : parsed.text.index("Before and after")]
    assert "Structure is left" in warned
    assert "not independent" in warned


@pytest.mark.parametrize(("shape", "factor"), [((4, 4), 1), ((4, 90), 4), ((90, 4), 3), ((17, 23), 7), ((5, 600), 2)])
def test_any_shape(shape, factor):
    made = reconstruction(shape, factor)
    frames = ArrayFrames(np.zeros((50, *shape), np.uint8))
    render(made, Acquisition(frames, 100.0, GaussianPSF(300.0), Camera()))


def test_large_noise_stays_under_five_megabytes():
    generator = np.random.default_rng(0)
    shape, fine = (400, 420), (1600, 1680)
    made = replace(
        reconstruction(shape, 1, history={}, choices={}),
        image=generator.random(fine, np.float32),
        uncertainty=generator.random(fine, np.float32),
        background=generator.random(shape),
        halves=None,
        factor=4,
        pixel_size_nm=25.0,
    )
    html, parsed = render(made)
    assert len(html) < 5e6
    assert "Larger than the page" in parsed.text


def test_maps_are_shown_in_their_unit_and_with_their_name():
    fine = reconstruction().image.shape
    maps = {"density_per_um2": np.ones(fine), "lifetime_ms": np.full(fine, np.nan), "brightness": np.zeros(fine)}
    _, parsed = render(reconstruction(maps=maps))
    assert "maps" in parsed.ids and all(f"maps/{name}.tif" in parsed.text for name in maps)
    assert "maps" not in render(reconstruction())[1].ids


def test_same_input_same_page():
    assert render(reconstruction())[0] == render(reconstruction())[0]


def test_written_whole(tmp_path, monkeypatch):
    written = {}
    module = type(sys)("fluosr.io.write")
    module.write_text = lambda path, text: written.update({path: text})
    monkeypatch.setitem(sys.modules, "fluosr.io.write", module)
    made = reconstruction()
    assert page.write_report(tmp_path / "r.html", made, acquisition(), quality=judge(made), run=RUN) is None
    assert written[tmp_path / "r.html"].endswith("</html>\n")


def test_core_does_not_import_matplotlib():
    code = "import sys, fluosr, fluosr.quality.judge; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.02, "20 ms"), (8.31, "8.3 s"), (59.99, "60.0 s"), (119.7, "2 min 00 s"), (7261, "2 h 01 min")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
