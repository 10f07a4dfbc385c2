"""What bad input gets, one row a case, through the command line: words, an exit code, and nothing lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import tifffile

from fluosr.io.write import write_movie, write_tiff
from fluosr.pipeline import OUTPUTS
from tests.commands import contents, fluosr
from tests.movies import CROSS, frames_of, light_of

Maker = Callable[[Path], Path]

OPTICS = ("--pixel-size", "100", "--fwhm", "300")
CAMERA = ("--gain", "1", "--offset", "0", "--read-noise", "0")
QUICK = ("--factor", "2", "--iterations", "40", "--no-halves", "--no-report", "--sparsity", "0.7", "--smoothness", "1")
ALL = (*OPTICS, *CAMERA, *QUICK)


@dataclass(frozen=True)
class Case:
    """One kind of bad input.

    Args:
        what: in words.
        make: writes the input into a folder and returns its path.
        words: what standard error (on failure) or the notes (on success) must contain.
        code: exit code; 0 where it works and warns.
        arguments: of ``fluosr reconstruct``, less input and output.
    """

    what: str
    make: Maker
    words: tuple[str, ...]
    code: int = 1
    arguments: tuple[str, ...] = ALL
    patches: dict[str, object] = field(default_factory=dict)


def cross(n_frames: int = 40) -> np.ndarray:
    return frames_of(light_of(CROSS, background=3.0), n_frames)


def tiff(frames: np.ndarray, **options: object) -> Maker:
    def make(folder: Path) -> Path:
        tifffile.imwrite(folder / "movie.tif", frames, photometric="minisblack", **options)
        return folder / "movie.tif"

    return make


def good(folder: Path) -> Path:
    return tiff(cross())(folder)


def raw(content: bytes) -> Maker:
    def make(folder: Path) -> Path:
        (folder / "movie.tif").write_bytes(content)
        return folder / "movie.tif"

    return make


def cut_short(folder: Path) -> Path:
    path = folder / "movie.tif"
    with tifffile.TiffWriter(path) as tif:
        for frame in cross():
            tif.write(frame, contiguous=False, metadata=None)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def huge(folder: Path) -> Path:
    """Declares more bytes than any memory has, in a file of a few."""
    path = tiff(cross(1)[0])(folder)
    with tifffile.TiffFile(path) as tif:
        places = [tif.pages.first.tags[name].valueoffset for name in ("ImageWidth", "ImageLength")]
    content = bytearray(path.read_bytes())
    for place in places:
        content[place : place + 4] = (4_000_000).to_bytes(4, "little")
    path.write_bytes(content)
    return path


def colour(folder: Path) -> Path:
    tifffile.imwrite(folder / "movie.tif", np.zeros((20, 16, 18, 3), np.uint8), photometric="rgb")
    return folder / "movie.tif"


def changed(change: Callable[[np.ndarray], None], *, dtype: type = np.uint16, n_frames: int = 40) -> Maker:
    frames = cross(n_frames).astype(dtype)
    change(frames)
    return tiff(frames)


def with_nan(frames: np.ndarray) -> None:
    frames[7, 3, 3] = np.nan


def with_infinity(frames: np.ndarray) -> None:
    frames[9, 3, 3] = np.inf


def with_nonsense(frames: np.ndarray) -> None:
    frames[11, 3, 3] = 1e30


def less_offset(frames: np.ndarray) -> None:
    frames -= 4.0


def saturate(frames: np.ndarray) -> None:
    frames[:, 7:9, 8:10] = np.iinfo(frames.dtype).max


def kill(frames: np.ndarray) -> None:
    frames[:, 5, 9] = 0
    frames[:, 10, 4] = 0


def drifting(folder: Path) -> Path:
    places = np.linspace(-2.4, 2.4, 200)
    points = [(y, x, 6 * p) for y, x, p in CROSS]
    light = [light_of([(y + d + 4, x + d + 4, p) for y, x, p in points], (24, 26), 3.0) for d in places]
    return tiff(np.random.default_rng(0).poisson(np.stack(light)).astype(np.uint16))(folder)


def unlabelled_depth(folder: Path) -> Path:
    tifffile.imwrite(folder / "movie.tif", cross(), imagej=True, metadata={"axes": "ZYX"})
    return folder / "movie.tif"


CASES = [
    Case("an absent file", lambda folder: folder / "absent.tif", ("absent.tif does not exist", "check the name")),
    Case("a folder", lambda folder: folder, ("is a folder", "name the TIFF file")),
    Case("an empty file", raw(b""), ("is empty (0 bytes)", "copy it again")),
    Case("a file that is no TIFF", raw(b"not an image at all"), ("is not a TIFF",)),
    Case("a PNG", raw(b"\x89PNG\r\n\x1a\n" + bytes(40)), ("is a PNG image", "save it as TIFF")),
    Case("one frame", tiff(cross(1)), ("1 frame(s)", "at least 2", "time axis")),
    Case("a field of three pixels", tiff(cross()[:, :3]), ("3 x 18 pixels", "at least 4 x 4")),
    Case("NaN", changed(with_nan, dtype=np.float32), ("frame 7 holds NaN or infinite values", "--frames")),
    Case("NaN, camera unknown", changed(with_nan, dtype=np.float32), ("frame 7 holds NaN",), 1, (*OPTICS, *QUICK)),
    Case("infinity", changed(with_infinity, dtype=np.float32), ("frame 9 holds NaN or infinite values", "--frames")),
    Case("values no camera gives", changed(with_nonsense, dtype=np.float64), ("frame 11 holds values beyond 1e+12",)),
    Case("colour", colour, ("colour image", "Split Channels")),
    Case("complex values", tiff(cross().astype(np.complex64)), ("complex64 values", "integers or real numbers")),
    Case("a file cut short", cut_short, ("is cut short or damaged", "--frames 0:", "copy it again")),
    Case("more bytes than there is memory", huge, ("4000000 x 4000000 pixels", "cannot hold", "damaged")),
    Case("every pixel saturated", tiff(np.full((40, 16, 18), 65535, np.uint16)), ("no usable pixel", "saturated")),
    Case("frames along depth", unlabelled_depth, ("along Z (depth)", "--time-axis Z"), 2),
    Case("no pixel size", good, ("pixel size", "--pixel-size (nm)"), 2, ("--fwhm", "300", *CAMERA, *QUICK)),
    Case("no PSF", good, ("point spread function", "--fwhm (nm)", "--psf FILE"), 2, ("--pixel-size", "100", *CAMERA)),
    Case("neither", good, ("pixel size", "point spread function"), 2, (*CAMERA, *QUICK)),
    Case(
        "a FWHM below the pixel",
        good,
        ("FWHM (90 nm) is smaller than the pixel (100 nm)", "nanometres"),
        2,
        ("--pixel-size", "100", "--fwhm", "90", *CAMERA, *QUICK),
    ),
    Case(
        "micrometres taken for nanometres",
        good,
        ("FWHM (0.3 nm) is smaller than the pixel", "both are in nanometres"),
        2,
        ("--pixel-size", "100", "--fwhm", "0.3", *CAMERA, *QUICK),
    ),
    Case(
        "a PSF larger than the field",
        good,
        ("FWHM (5000 nm) is larger than the field (1600 x 1800 nm)", "--crop"),
        2,
        ("--pixel-size", "100", "--fwhm", "5000", *CAMERA, *QUICK),
    ),
    Case("a negative pixel size", good, ("must be positive",), 2, ("--pixel-size", "-5", "--fwhm", "300", *CAMERA)),
    Case("a gain of zero", good, ("gain must be positive",), 2, (*OPTICS, "--gain", "0", "--offset", "0", *QUICK)),
    Case("an absent PSF file", good, ("bead.tif does not exist",), 1, ("--pixel-size", "100", "--psf", "bead.tif")),
    Case("an unknown method", good, ("no method 'sofy'", "did you mean sofi"), 2, (*ALL, "--method", "sofy")),
    Case("a crop outside", good, ("leaves the field of 16 x 18",), 2, (*ALL, "--crop", "0,0,20,20")),
    Case("frames outside", good, ("there are 40",), 2, (*ALL, "--frames", "0:50")),
    Case("frames that cannot be understood", good, ("start:stop",), 2, (*ALL, "--frames", "first ten")),
    Case(
        "a factor that needs more memory than there is",
        good,
        ("factor of 24 on 16 x 18", "GiB are free", "--factor 1", "fits", "--crop"),
        1,
        (*OPTICS, *CAMERA, "--factor", "24"),
        {"fluosr.methods.fluogan.setup.free_memory_bytes": lambda device: 15_000_000},
    ),
    Case(
        "a field too small for the discriminator",
        tiff(cross()[:, :7, :7]),
        ("at least 8 x 8", "--no-discriminator"),
        2,
        (*ALL, "--discriminator"),
    ),
    # What works, and warns.
    Case(
        "negative frames", changed(less_offset, dtype=np.float32), ("negative values", "--offset"), 0, (*OPTICS, *QUICK)
    ),
    Case("fewer than 20 frames", tiff(cross(12)), ("Only 12 frames", "fewer than 20"), 0),
    Case("two frames", tiff(cross(2)), ("Only 2 frames",), 0),
    Case("saturated pixels", changed(saturate), ("4 of 288 pixels are saturated", "left out", "expose less"), 0),
    Case("saturated 8-bit pixels", changed(saturate, dtype=np.uint8), ("4 of 288 pixels are saturated",), 0),
    Case("dead pixels", changed(kill), ("2 of 288 pixels are dead", "left out"), 0),
    Case("a constant movie", tiff(np.full((40, 16, 18), 100, np.uint16)), ("Nothing here",), 0),
    Case(
        "a constant movie, camera unknown",
        tiff(np.full((40, 16, 18), 100, np.uint16)),
        ("Nothing here",),
        0,
        (*OPTICS, *QUICK),
    ),
    Case("a dark movie", tiff(np.zeros((40, 16, 18), np.uint16)), ("Nothing here",), 0),
    Case("a drift above 3 pixels", drifting, ("drifts by", "pixels during the movie", "above 3 pixels"), 0),
    Case("an offset above all light", good, ("above all light", "--offset"), 0, (*ALL, "--offset", "30000")),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_bad_input_is_answered_in_words_and_nothing_is_lost(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    path = case.make(folder)
    before = contents(folder)
    monkeypatch.chdir(tmp_path)
    for target, value in case.patches.items():
        monkeypatch.setattr(target, value)
    found = fluosr("reconstruct", path, *case.arguments, "--output", output)
    assert found.code == case.code, found.err
    said = found.err if case.code else found.out
    for words in case.words:
        assert words in said
    assert "Traceback" not in found.err and "should not" not in found.err
    assert contents(folder) == before
    if case.code:
        assert not found.out
        assert contents(output) == {} if output.exists() else True
    else:
        assert set(contents(output)) == set(OUTPUTS) - {"report.html", "checkpoint.safetensors", "localisations.csv"}
        assert np.isfinite(tifffile.imread(output / "reconstruction.ome.tif")).all()
        json.loads((output / "run.json").read_text())


@pytest.mark.parametrize("case", [case for case in CASES if case.code], ids=lambda case: case.what)
def test_a_failure_leaves_the_results_of_an_earlier_run(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    output.mkdir()
    for name in ("reconstruction.ome.tif", "background.tif", "mean.tif", "run.json", "report.html"):
        (output / name).write_bytes(b"of an earlier run")
    path = case.make(folder)
    before = contents(output)
    monkeypatch.chdir(tmp_path)
    for target, value in case.patches.items():
        monkeypatch.setattr(target, value)
    assert fluosr("reconstruct", path, *case.arguments, "--output", output).code == case.code
    assert contents(output) == before


def test_a_report_is_made_of_a_constant_movie(tmp_path: Path) -> None:
    path = tiff(np.full((40, 16, 18), 100, np.uint16))(tmp_path)
    found = fluosr("reconstruct", path, *OPTICS, "--iterations", "40", "--output", tmp_path / "out")
    assert found.code == 0, found.err
    assert "Nothing here" in found.out and "no evidence of structure" in found.out
    assert "Nothing here" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_the_whole_frames_of_a_file_cut_short_can_be_used(tmp_path: Path) -> None:
    path = cut_short(tmp_path)
    refused = fluosr("reconstruct", path, *ALL, "--output", tmp_path / "out")
    advice = refused.err.split("--frames ")[1].split()[0].strip(",.")
    found = fluosr("reconstruct", path, *ALL, "--frames", advice, "--output", tmp_path / "out")
    assert found.code == 0, found.err
    assert json.loads((tmp_path / "out" / "run.json").read_text())["movie"]["shape"][0] == int(advice.split(":")[1])


def test_frames_with_nan_can_be_left_out(tmp_path: Path) -> None:
    path = changed(with_nan, dtype=np.float32)(tmp_path)
    found = fluosr("reconstruct", path, *ALL, "--frames", "8:40", "--output", tmp_path / "out")
    assert found.code == 0, found.err


def test_a_psf_that_is_empty_or_tiny_is_refused(tmp_path: Path) -> None:
    path = good(tmp_path)
    for image, words in ((np.zeros((9, 9)), "empty"), (np.ones((2, 2)), "at least 3 x 3")):
        write_tiff(tmp_path / "bead.tif", image, 100.0)
        found = fluosr("reconstruct", path, "--pixel-size", "100", "--psf", tmp_path / "bead.tif", *CAMERA, *QUICK)
        assert found.code == 2 and words in found.err


@pytest.mark.parametrize("shape", [(2, 4, 4), (3, 4, 9), (25, 5, 4)])
def test_the_smallest_movies_are_reconstructed(shape: tuple[int, int, int], tmp_path: Path) -> None:
    frames = np.random.default_rng(0).poisson(20.0, shape).astype(np.uint16)
    write_movie(tmp_path / "tiny.tif", frames, len(frames), np.uint16, 100.0, None)
    arguments = ("--fwhm", "220", "--iterations", "30", "--output", tmp_path / "out")
    found = fluosr("reconstruct", tmp_path / "tiny.tif", *arguments)
    assert found.code == 0, found.err
    assert (tmp_path / "out" / "report.html").is_file()
