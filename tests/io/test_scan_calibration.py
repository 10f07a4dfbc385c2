"""From files of repeats to JSON, and back to ranges that a degradation draws from; bad files are refused."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from fluosr.corrections.scan_result import UNITS
from fluosr.degradations.confocal import RandomisedConfocal
from fluosr.errors import ImageReadError, UsageError
from fluosr.io.scan_calibration import FORMAT, VERSION, calibrate_files, read_ranges, write_calibration
from tests.commands import contents, fluosr
from tests.confocal import repeats

OPTICS = {"pixel_size_nm": 100.0, "fwhm_nm": (250.0, 270.0), "dose_photons": (1.0, 10.0), "factor": 1}


def tiff(path: Path, frames: np.ndarray) -> Path:
    tifffile.imwrite(path, frames, photometric="minisblack")
    return path


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibration")
    path = folder / "calibration.json"
    write_calibration(path, calibrate_files([tiff(folder / "a.tif", repeats(0, 8))], offset_adu=100.0))
    return path


def spoilt(stored: Path, folder: Path, change) -> Path:
    values = json.loads(stored.read_text())
    change(values)
    path = folder / "spoilt.json"
    path.write_text(json.dumps(values))
    return path


def test_every_value_has_its_unit_its_interval_and_how_it_was_found(stored):
    values = json.loads(stored.read_text())
    assert set(values["values"]) == set(UNITS)
    for name, found in values["values"].items():
        assert found["low"] <= found["value"] <= found["high"] and found["confidence"] == 0.95
        assert found["unit"] == UNITS[name] and found["how"]
    assert values["scan"]["bidirectional"] is True and values["bits"] >= 8 and values["fields"] == ["a.tif"]


def test_it_is_read_back_into_ranges_that_a_degradation_draws_from(stored):
    values = json.loads(stored.read_text())["values"]
    ranges = read_ranges(stored, **OPTICS)
    for name in ("phase_px", "lag_px", "read_noise_adu", "jitter_px", "gain_times_excess_adu_per_e"):
        assert getattr(ranges, name) == pytest.approx((values[name]["low"], values[name]["high"]))
    assert ranges.excess_noise == (1.2, 1.5) and ranges.offset_adu == (100.0, 100.0) and ranges.bidirectional
    generator = torch.Generator().manual_seed(0)
    frame = RandomisedConfocal(ranges).degrade(torch.rand(2, 48, 48, generator=generator), generator)
    assert frame.shape == (2, 48, 48) and float(frame.mean()) > 90


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v.update(format="other"), "no calibration of a scanning microscope"),
        (lambda v: v.update(version=9), "calibrate again"),
        (lambda v: v["values"].pop("lag_px"), "'lag_px' is missing"),
        (lambda v: v["values"]["lag_px"].update(low=None), "lag_px has no finite interval"),
        (lambda v: v["values"]["lag_px"].update(low=9.0), "lag_px has no finite interval"),
        (lambda v: v.update(scan=[]), "damaged"),
        (lambda v: v.update(bits="twelve"), "bits"),
    ],
)
def test_a_file_that_is_no_calibration_is_refused(stored, tmp_path, change, words):
    with pytest.raises(ImageReadError, match=r"spoilt\.json") as raised:
        read_ranges(spoilt(stored, tmp_path, change), **OPTICS)
    assert words in str(raised.value)


def test_no_file_and_no_json_are_refused(stored, tmp_path):
    with pytest.raises(ImageReadError, match="does not exist"):
        read_ranges(tmp_path / "none.json", **OPTICS)
    (tmp_path / "half.json").write_bytes(stored.read_bytes()[:100])
    with pytest.raises(ImageReadError, match="no JSON, or damaged"):
        read_ranges(tmp_path / "half.json", **OPTICS)
    with pytest.raises(UsageError, match=r"calibration.json: .*1, 2 or 4"):
        read_ranges(stored, **{**OPTICS, "factor": 3})


def test_the_command_measures_and_writes(tmp_path):
    files = [tiff(tmp_path / name, repeats(seed, 6)) for seed, name in enumerate(("a.tif", "b.tif"))]
    made = fluosr("calibrate", *files, "--output", tmp_path / "c.json", "--offset", 100, "--scan", "bidirectional")
    assert made.code == 0, made.err
    assert "2 fields, 12 frames: from repeats" in made.out and "lag of the amplifier: 0." in made.out
    values = json.loads((tmp_path / "c.json").read_text())
    assert values["values"]["offset_adu"]["how"] == "given" and "(given)" in values["scan"]["how"]
    low, high = (values["values"]["gain_times_excess_adu_per_e"][end] for end in ("low", "high"))
    assert low < 26.0 < high and math.isfinite(values["brightest_adu"])


def test_one_frame_falls_back_and_says_so(tmp_path):
    path = tiff(tmp_path / "one.tif", repeats(0, 1, side=96)[0])
    made = fluosr("calibrate", path, "-o", tmp_path / "c.json")
    assert made.code == 0 and "one.tif holds one frame" in made.out and "intervals are wider" in made.out
    assert json.loads((tmp_path / "c.json").read_text())["way"] == "single frame"
    more = tiff(tmp_path / "more.tif", repeats(1, 4))
    both = fluosr("calibrate", more, path, "-o", tmp_path / "c.json")
    assert "one.tif holds one frame and was left out" in both.out and "from repeats" in both.out


def of_two_sizes(folder):
    with tifffile.TiffWriter(folder / "f.tif") as writer:
        for side in (64, 48):
            writer.write(np.full((side, side), 7, np.uint16), photometric="minisblack", metadata=None)


def with_nan(folder):
    frames = repeats(0, 4).astype(np.float32)
    frames[2, 5, 5] = np.nan
    tiff(folder / "f.tif", frames)


@pytest.mark.parametrize(
    ("make", "arguments", "words", "code"),
    [
        (of_two_sizes, (), "f.tif", 1),
        (with_nan, (), "frame 2 holds NaN", 1),
        (lambda f: tiff(f / "f.tif", np.full((4, 64, 64), 9, np.uint8)), (), "is constant", 1),
        (lambda f: tiff(f / "f.tif", np.repeat(repeats(0, 1), 4, 0)), (), "one image repeated", 1),
        (lambda f: tiff(f / "f.tif", np.minimum(repeats(0, 4), 90)), ("--bits", "6"), "Lower the laser power", 1),
        (lambda f: tiff(f / "f.tif", repeats(0, 12, drift_px=2.0, peak=40.0)), (), "the sample moves", 1),
        (lambda f: tiff(f / "f.tif", repeats(0, 4)), ("--scan", "sideways"), "bidirectional, one-way", 2),
        (lambda f: tiff(f / "f.tif", repeats(0, 4)), ("--crop", "1,0,32,32"), "even line", 2),
        (lambda f: tiff(f / "f.tif", repeats(0, 4)), ("--output", "f.tif"), "never written to", 2),
        (lambda f: tiff(f / "f.tif", repeats(0, 4)), ("--frames", "0:9"), "there are 4", 2),
        (lambda f: tiff(f / "f.tif", repeats(0, 4)), ("f.tif",), "named twice", 2),
        (lambda f: tiff(f / "f.tif", repeats(0, 4)), ("--offset", "nan"), "--offset must be a number", 2),
    ],
)  # fmt: skip
def test_bad_input_gets_words_and_loses_nothing(tmp_path, monkeypatch, make, arguments, words, code):
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "calibration.json").write_text(json.dumps({"format": FORMAT, "version": VERSION}))
    before = contents(tmp_path)
    ended = fluosr("calibrate", "f.tif", *arguments)
    assert ended.code == code and words in ended.err, ended
    assert contents(tmp_path) == before


def test_nothing_but_an_earlier_calibration_is_replaced(tmp_path: Path, stored: Path) -> None:
    path = tiff(tmp_path / "a.tif", repeats(0, 4))
    (tmp_path / "link.tif").symlink_to(path)
    (tmp_path / "model.json").write_text("{}")
    tiff(tmp_path / "other.tif", repeats(1, 4))
    (tmp_path / "folder").mkdir()
    before = contents(tmp_path)
    for file, output, code, said in (
        ("link.tif", "a.tif", 2, "one of the files to read"),
        ("folder/../a.tif", "a.tif", 2, "one of the files to read"),
        ("a.tif", "other.tif", 1, "no calibration"),
        ("a.tif", "model.json", 1, "no calibration"),
        ("a.tif", "folder", 1, "is a folder"),
    ):
        told = fluosr("calibrate", tmp_path / file, "--output", tmp_path / output)
        assert told.code == code and said in told.err and not told.out
    told = fluosr("calibrate", path, "--output", "")
    assert told.code == 1 and "is a folder" in told.err
    assert contents(tmp_path) == before
    (tmp_path / "earlier.json").write_bytes(stored.read_bytes())
    told = fluosr("calibrate", path, "--output", tmp_path / "earlier.json")
    assert told.code == 0 and (tmp_path / "earlier.json").read_bytes() != stored.read_bytes()
