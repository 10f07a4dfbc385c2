"""Localisations as Picasso keeps them: its places of pixels, its facts, and files that are none of its."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluosr.errors import FluosrError, ImageReadError, MemoryLimitError, MissingMetadataError, UsageError
from fluosr.io.localisations import read_localisations, write_localisations
from fluosr.localisations import COLUMNS, Localisations
from tests.commands import contents

h5py = pytest.importorskip("h5py", reason="Picasso's files need h5py, of the extra 'picasso'")

MOVIE: dict[str, Any] = {"pixel_size_nm": 107.3, "field_shape": (40, 64), "n_frames": 9}


def some(n: int = 30, seed: int = 0) -> Localisations:
    random = np.random.default_rng(seed)
    x, y = random.uniform(60.0, 4000.0, (2, n))
    return Localisations(random.integers(0, 9, n), x, y, *random.uniform(0.5, 3000.0, (3, n)))


@settings(max_examples=25)
@given(st.integers(0, 40), st.integers(0, 1000), st.sets(st.sampled_from(COLUMNS[2:])))
def test_what_was_written_comes_back_to_single_precision(
    tmp_path_factory: pytest.TempPathFactory, n: int, seed: int, known: set[str]
) -> None:
    table = some(n, seed)
    table = Localisations(table.frame, table.x_nm, table.y_nm, **{name: getattr(table, name) for name in known})
    path = tmp_path_factory.mktemp("tables") / "t.hdf5"
    write_localisations(path, table, **MOVIE)
    again = read_localisations(path)
    np.testing.assert_array_equal(again.frame, table.frame)
    for name in COLUMNS:
        np.testing.assert_allclose(getattr(again, name), getattr(table, name), rtol=2e-6, err_msg=name)


def test_picasso_drops_rows_with_nan_so_that_none_is_written(tmp_path: Path) -> None:
    table = Localisations([0, 1], [100.0, 200.0], [300.0, 400.0], photons=[np.nan, 5.0])
    write_localisations(tmp_path / "t.hdf5", table, **MOVIE)
    with h5py.File(tmp_path / "t.hdf5") as file:
        rows = file["locs"][()]
    assert all(np.isfinite(rows[name]).all() for name in rows.dtype.names)
    again = read_localisations(tmp_path / "t.hdf5")
    np.testing.assert_array_equal(again.photons, [0.0, 5.0])
    assert np.isnan(again.background).all() and np.isnan(again.uncertainty_nm).all()


def test_infinite_light_is_not_known_and_what_single_precision_cannot_hold_is_refused(tmp_path: Path) -> None:
    table = Localisations([0, 1], [100.0, 200.0], [300.0, 400.0], photons=[np.inf, 5.0], uncertainty_nm=[1.0, np.inf])
    write_localisations(tmp_path / "t.hdf5", table, **MOVIE)
    np.testing.assert_array_equal(read_localisations(tmp_path / "t.hdf5").photons, [0.0, 5.0])
    table = Localisations([0, 7], [100.0, 200.0], [300.0, 400.0], photons=[4.0, 1e39])
    with pytest.raises(UsageError, match=r"u\.hdf5, row 1 \(frame 7\): photons is 1e\+39, .* single precision"):
        write_localisations(tmp_path / "u.hdf5", table, **MOVIE)
    assert not (tmp_path / "u.hdf5").exists()


def test_wild_uncertainties_are_not_known(tmp_path: Path) -> None:
    rows = rows_of(frame=[0, 1], x=[1.0, 2], y=[1.0, 2], lpx=[1e200, 0.1], lpy=[1e200, 0.1])
    table = read_localisations(picasso_file(tmp_path / "t.hdf5", rows), pixel_size_nm=100.0)
    np.testing.assert_allclose(table.uncertainty_nm, [np.nan, 10.0])


def test_picasso_counts_pixels_from_the_centre_of_the_first(tmp_path: Path) -> None:
    table = Localisations([2], [107.3 * 3.5], [107.3 * 0.5], [700.0], [9.0], [10.73])
    write_localisations(tmp_path / "t.hdf5", table, psf_sigma_nm=2 * 107.3, **MOVIE)
    with h5py.File(tmp_path / "t.hdf5") as file:
        (row,) = file["locs"][()]
        assert {name: float(row[name]) for name in row.dtype.names} == pytest.approx(
            {"frame": 2, "x": 3, "y": 0, "photons": 700, "sx": 2, "sy": 2, "bg": 9, "lpx": 0.1, "lpy": 0.1}
        )
        assert row.dtype["frame"] == np.uint32 and row.dtype["x"] == np.float32
        facts = json.loads(file["metadata"].asstr()[()])
    said = dict(line.split(": ", 1) for line in (tmp_path / "t.yaml").read_text().splitlines())
    assert {key: json.loads(value) for key, value in said.items()} == facts[0]
    assert {key: facts[0][key] for key in ("Width", "Height", "Frames", "Pixelsize")} == {
        "Width": 64,
        "Height": 40,
        "Frames": 9,
        "Pixelsize": 107.3,
    }


def picasso_file(path: Path, rows: Any = None, **more: Any) -> Path:
    if rows is None:
        rows = np.array([(0, 1.0, 2.0, 0.3, 0.4)], [("frame", "u4"), *((n, "f4") for n in ("x", "y", "lpx", "lpy"))])
    with h5py.File(path, "w") as file:
        file.create_dataset("locs", data=rows)
        for name, value in more.items():
            file.create_dataset(name, data=value)
    return path


def test_the_pixel_size_is_given_or_beside_it_or_inside(tmp_path: Path) -> None:
    path = picasso_file(tmp_path / "t.hdf5")
    with pytest.raises(MissingMetadataError, match=r"neither in it nor in t\.yaml: give --pixel-size"):
        read_localisations(path)
    given = read_localisations(path, pixel_size_nm=100.0)
    assert (given.x_nm[0], given.y_nm[0]) == pytest.approx((150.0, 250.0))
    assert given.uncertainty_nm[0] == pytest.approx(100 * np.hypot(0.3, 0.4) / np.sqrt(2))
    assert np.isnan(given.photons[0])
    picasso_file(path, metadata=json.dumps([{"Pixelsize": 50, "Width": 3}, {"Box": 7}]))
    assert read_localisations(path).x_nm[0] == pytest.approx(75.0)
    path.with_suffix(".yaml").write_text("Byte Order: <\nPixelsize: 130\n---\nBox Size: 7\nPixelsize: 2.0e+02\n")
    assert read_localisations(path).x_nm[0] == pytest.approx(300.0)
    assert read_localisations(path, pixel_size_nm=100.0).x_nm[0] == pytest.approx(150.0)


def rows_of(**columns: Any) -> np.ndarray:
    made = np.zeros(2, [(name, np.asarray(values).dtype) for name, values in columns.items()])
    for name, values in columns.items():
        made[name] = values
    return made


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        (np.arange(5.0), ImageReadError, "holds no localisations"),
        (rows_of(frame=[0, 1], x=[1.0, 2]), ImageReadError, "holds no localisations"),
        (rows_of(frame=[0, -1], x=[1.0, 2], y=[1.0, 2]), UsageError, "not below 0"),
        (rows_of(frame=[np.inf, 1.0], x=[1.0, 2], y=[1.0, 2]), ImageReadError, "row 0: frame is not a finite number"),
        (rows_of(frame=[0, 1], x=[1.0, np.nan], y=[1.0, 2]), ImageReadError, "row 1: x is not a finite number"),
        (rows_of(frame=[0, 1], x=[1.0, 2], y=[1.0, 1e30]), ImageReadError, "row 1: y is 1e+32 nm, and no field"),
        (rows_of(frame=[0, 1], x=[-1e308, 2], y=[1.0, 2]), ImageReadError, "row 0: x is -inf nm, and no field reaches"),
        (rows_of(frame=[0, 1], x=[b"a", b"b"], y=[1.0, 2]), ImageReadError, "'x' holds |S1, not numbers"),
    ],
)
def test_a_file_of_something_else_is_refused(
    tmp_path: Path, rows: np.ndarray, error: type[FluosrError], words: str
) -> None:
    path = picasso_file(tmp_path / "t.hdf5", rows)
    with pytest.raises(error) as raised:
        read_localisations(path, pixel_size_nm=100.0)
    assert words in str(raised.value) and str(path) in str(raised.value)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.hdf5"
    write_localisations(path, some(2000), **MOVIE)
    whole = path.read_bytes()
    for bad, words in ((whole[:3000], "damaged"), (b"frame,x_nm,y_nm\n1,2,3\n", "no HDF5 file"), (b"", "empty")):
        path.write_bytes(bad)
        with pytest.raises(ImageReadError, match=words):
            read_localisations(path)


def test_a_table_larger_than_the_memory_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "t.hdf5"
    with h5py.File(path, "w") as file:
        dtype = np.dtype([("frame", "u4"), ("x", "f4"), ("y", "f4")])
        file.create_dataset("locs", (10**13,), dtype, chunks=(1000,))
    with pytest.raises(MemoryLimitError, match="more than there is memory for"):
        read_localisations(path, pixel_size_nm=100.0)


def test_without_h5py_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_localisations(tmp_path / "t.hdf5", some(), **MOVIE)
    before = contents(tmp_path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UsageError, match=r'pip install "fluosr\[picasso\]"'):
        read_localisations(tmp_path / "t.hdf5")
    with pytest.raises(UsageError, match=r'pip install "fluosr\[picasso\]"'):
        write_localisations(tmp_path / "t.hdf5", some(), **MOVIE)
    assert contents(tmp_path) == before
