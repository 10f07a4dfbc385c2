"""Localisations as CSV: what was written comes back, other writers' habits are understood, bad files are named."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluosr.errors import FluosrError, ImageReadError, OutputError, UsageError
from fluosr.io.localisations import read_localisations, write_localisations
from fluosr.localisations import COLUMNS, Localisations
from tests.commands import contents

MOVIE: dict[str, Any] = {"pixel_size_nm": 107.3, "field_shape": (40, 64), "n_frames": 9}
SUFFIXES = (".csv", ".hdf5", ".h5")


def some(n: int = 30, seed: int = 0) -> Localisations:
    random = np.random.default_rng(seed)
    x, y = random.uniform(60.0, 4000.0, (2, n))
    return Localisations(random.integers(0, 9, n), x, y, *random.uniform(0.5, 3000.0, (3, n)))


def same(first: Localisations, second: Localisations) -> None:
    np.testing.assert_array_equal(first.frame, second.frame)
    for name in COLUMNS:
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=0, err_msg=name)


@settings(max_examples=25)
@given(st.integers(0, 40), st.integers(0, 1000), st.sets(st.sampled_from(COLUMNS[2:])))
def test_what_was_written_comes_back(
    tmp_path_factory: pytest.TempPathFactory, n: int, seed: int, known: set[str]
) -> None:
    table = some(n, seed)
    table = Localisations(table.frame, table.x_nm, table.y_nm, **{name: getattr(table, name) for name in known})
    folder = tmp_path_factory.mktemp("tables")
    write_localisations(folder / "t.csv", table, **MOVIE)
    same(read_localisations(folder / "t.csv"), table)  # to the bit


def test_what_a_row_does_not_know_comes_back_as_unknown_from_csv(tmp_path: Path) -> None:
    table = Localisations([0, 1], [1.0, 2.0], [3.0, 4.0], photons=[np.nan, 5.0])
    write_localisations(tmp_path / "t.csv", table, **MOVIE)
    same(read_localisations(tmp_path / "t.csv"), table)
    assert "NaN" in (tmp_path / "t.csv").read_text()


def test_the_columns_are_those_of_thunderstorm_and_frames_count_from_one(tmp_path: Path) -> None:
    write_localisations(tmp_path / "t.csv", some(), **MOVIE)
    head, first, *_ = (tmp_path / "t.csv").read_text().splitlines()
    assert head == '"id","frame","x [nm]","y [nm]","intensity [photon]","offset [photon]","uncertainty [nm]"'
    assert first.startswith(f"1,{some().frame[0] + 1},{float(some().x_nm[0])!r},")


@pytest.mark.parametrize(
    "text",
    [
        '"id","frame","x [nm]","y [nm]","sigma [nm]","intensity [photon]","offset [photon]","bkgstd [photon]",'
        '"uncertainty [nm]"\n1,1,150.5,250,130,900,12,3.5,7\n2,3,1e2,50,130,800,11,3.5,8\n',
        "y [nm],x [nm],uncertainty_xy [nm],frame,offset [photon],intensity [photon]\n"
        "250,150.5,7,1.0,12,900\n\n50,100,8,3.0,11,800\n",
        "\ufeffFrame; X_nm; y_nm; photons; background; uncertainty_nm\r\n"
        "1; 150.5; 250; 900; 12; 7\r\n3;100;50;800;11;8",
        "frame\tx_nm\ty_nm\tphotons\tbackground\tuncertainty_nm\n3\t100\t50\t800\t11\t8\n1\t150.5\t250\t900\t12\t7\n",
    ],
    ids=["ThunderSTORM", "other order and blank lines", "spreadsheet", "tabs, frames not in order"],
)
def test_tables_of_other_programs_are_understood(tmp_path: Path, text: str) -> None:
    wanted = Localisations([0, 2], [150.5, 100.0], [250.0, 50.0], [900, 800], [12, 11], [7, 8])
    (tmp_path / "t.csv").write_text(text, encoding="utf-8", newline="")
    same(read_localisations(tmp_path / "t.csv"), wanted)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress((tmp_path / "t.csv").read_bytes()))
    same(read_localisations(tmp_path / "t.csv.gz"), wanted)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_spreadsheets_unicode_text_is_read(tmp_path: Path, encoding: str) -> None:
    mark = "" if encoding == "utf-16" else "\ufeff"  # what only "utf-16" writes by itself
    data = f"{mark}frame\tx_nm\ty_nm\tµ\r\n3\t100\t50\tµ\r\n1\t150.5\t250\t\r\n".encode(encoding)
    wanted = Localisations([0, 2], [150.5, 100.0], [250.0, 50.0])
    (tmp_path / "t.csv").write_bytes(data)
    same(read_localisations(tmp_path / "t.csv"), wanted)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(data))
    same(read_localisations(tmp_path / "t.csv.gz"), wanted)
    (tmp_path / "t.csv").write_bytes(data[: data.index("2".encode(encoding)[-2:]) + 1])
    with pytest.raises(ImageReadError, match="line 3"):
        read_localisations(tmp_path / "t.csv")


def test_what_is_left_out_or_empty_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("frame,x_nm,y_nm,photons\n1,2,3,\n2,4,5,600\n")
    table = read_localisations(tmp_path / "t.csv")
    np.testing.assert_array_equal(table.photons, [np.nan, 600.0])
    assert np.isnan(table.background).all() and np.isnan(table.uncertainty_nm).all()
    (tmp_path / "t.csv").write_text("frame,x_nm,y_nm\n")
    assert len(read_localisations(tmp_path / "t.csv")) == 0


def test_frames_may_count_from_zero(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("frame,x_nm,y_nm\n0,2,3\n4,4,5\n")
    np.testing.assert_array_equal(read_localisations(tmp_path / "t.csv", first_frame=0).frame, [0, 4])
    with pytest.raises(UsageError, match=r"line 2: frame 0, where the first frame is number 1.*first-frame 0"):
        read_localisations(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (b"", ImageReadError, "is empty (0 bytes)"),
        (b"1,2,3\n4,5,6\n", ImageReadError, "has no column 'frame' nor 'x [nm]' nor 'y [nm]'; its first line is '1,2,"),
        (b"frame,x [px],y [nm]\n1,2,3\n", ImageReadError, "has no column 'x [nm]'"),
        (b"frame,x_nm,y_nm\n1,2,3\n1,two,3\n", ImageReadError, "line 3: 'two' is no number (x [nm])"),
        (
            b"frame;x_nm;y_nm\n1;2,5;3\n",
            ImageReadError,
            "line 2: '2,5' is no number (x [nm]). Numbers are written with",
        ),
        (b"frame,x_nm,y_nm\n1,2,3\n\n1,2\n", ImageReadError, "line 4: 2 values, where the first line names 3 columns"),
        (b"frame,x_nm,y_nm\n1,2,5,3,5\n", ImageReadError, "line 2: 5 values, where the first line names 3 columns"),
        (b"frame,x_nm,y_nm,x_nm\n1,2,3,4\n", ImageReadError, "has two columns named 'x_nm'"),
        (b"frame,x_nm,y_nm\n1,2,\n", ImageReadError, "line 2: '' is no number (y [nm])"),
        (b"frame,x_nm,y_nm\n1,nan,3\n", ImageReadError, "line 2: x [nm] is not a finite number"),
        (b"frame,x_nm,y_nm\n1,2,3\n1,2,1e19\n", ImageReadError, "line 3: y [nm] is 1e+19 nm, and no field reaches"),
        (b"frame,x_nm,y_nm\n1,-1e308,3\n", ImageReadError, "line 2: x [nm] is -1e+308 nm"),
        (b"frame,x_nm,y_nm\ninf,1,3\n", ImageReadError, "line 2: frame is not a finite number"),
        (b"frame,x_nm,y_nm\n1,2,3\n-4,2,3\n", UsageError, "line 3: frame -4; frames are whole numbers from 1 on"),
        (b"frame,x_nm,y_nm\n1.5,2,3\n", UsageError, "line 2: frame 1.5; frames are whole"),
        (b"\x00\x01\x02" * 500, ImageReadError, "has no column"),
        (b"frame,x_nm,y_nm\n1,2,\x00\n", ImageReadError, "line 2"),
        (b"frame,x_nm,y_nm\n" + b'"' + b"1" * 200_000, ImageReadError, "line 2"),
        # Without a time in its head: the bytes are part of the test's name, which must be the same in every worker.
        (gzip.compress(b"frame,x_nm,y_nm\n" + b"1,2,3\n" * 9, mtime=0)[:-9], ImageReadError, "is cut short or damaged"),
        (b"\x1f\x8b\x08\x00nonsense", ImageReadError, "cut short or damaged"),
    ],
)
def test_a_bad_table_is_refused_with_its_line(
    tmp_path: Path, content: bytes, error: type[FluosrError], words: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(error) as raised:
        read_localisations(path)
    assert words in str(raised.value) and str(path) in str(raised.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_not_there_is_told(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ImageReadError, match="does not exist"):
        read_localisations(tmp_path / f"t{suffix}")
    (tmp_path / f"t{suffix}").mkdir()
    with pytest.raises(ImageReadError, match="is a folder"):
        read_localisations(tmp_path / f"t{suffix}")
    if suffix != ".csv":
        pytest.importorskip("h5py")
    with pytest.raises(OutputError, match="a folder of that name"):
        write_localisations(tmp_path / f"t{suffix}", some(), **MOVIE)


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"read from \.csv, \.csv\.gz, \.hdf5, \.h5"):
        read_localisations(tmp_path / "t.xlsx")
    for name in ("t.csv.gz", "t.txt", "t"):
        with pytest.raises(UsageError, match=r"written as \.csv, \.hdf5, \.h5"):
            write_localisations(tmp_path / name, some(), **MOVIE)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pixel_size_nm": 0.0}, "pixel size must be positive"),
        ({"pixel_size_nm": float("nan")}, "pixel size must be positive"),
        ({"field_shape": (0, 4)}, "a movie has frames and pixels"),
        ({"n_frames": 2**33}, "a movie has frames and pixels"),
        ({"n_frames": 8}, "localisations in frame 8, and the movie has 8 frames"),
    ],
)
def test_a_movie_that_cannot_be_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    table = Localisations.joined([some(), Localisations([8], [1.0], [1.0])])
    for suffix in SUFFIXES:
        with pytest.raises(UsageError, match=words):
            write_localisations(tmp_path / f"t{suffix}", table, **(MOVIE | change))
    assert contents(tmp_path) == {}


def test_the_positions_of_a_challenge_are_read(shared_data: Path) -> None:
    table = read_localisations(shared_data / "smlm" / "SIMULATED_isbi2013_bundled_tubes_positions.csv.gz")
    assert len(table) == 81_178 and (table.frame[0], table.frame[-1]) == (0, 360)
    assert table.x_nm.min() > 0 and table.x_nm.max() < 6400
