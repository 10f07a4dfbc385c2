"""Plates and sets of crops on disk: read as they were written, whatever the axes; refused where they cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from fluosr.errors import ImageReadError, OutputError, UsageError
from fluosr.io.channels import open_fields
from fluosr.io.crop_sets import read_crop_set, write_crop_set
from fluosr.io.plates import open_plate
from fluosr.io.write import write_ome_channels
from fluosr.phenotypes.crops import CropSet
from tests.plates import crop_set, field, plate_folder, stack

RATIOS = {"control": [0.5, 0.5], "drug": [2.0, 2.0]}


def test_channels_go_to_disk_and_back_with_names_type_and_pixel_size(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 4000, (3, 20, 24)).astype(np.uint16)
    write_ome_channels(tmp_path / "a.ome.tif", image, 400.0, ("DNA", "Golgi µ", "tubulin"))
    found = open_fields(tmp_path / "a.ome.tif")
    assert found.channels == ("DNA", "Golgi µ", "tubulin") and found.pixel_size_nm == pytest.approx(400)
    assert (found.read(0) == image).all() and found.read(0).dtype == np.float32
    with pytest.raises(UsageError, match="images of 2 channels"):
        write_ome_channels(tmp_path / "b.tif", image, None, ("DNA", "Golgi"))


@pytest.mark.parametrize("axes", ["TCYX", "CTYX"])
def test_the_channel_axis_is_the_one_that_is_called_so(tmp_path: Path, axes: str) -> None:
    images = np.arange(3 * 2, dtype=np.uint16).reshape(3, 2, 1, 1) + np.zeros((1, 1, 16, 16), np.uint16)
    stored = images if axes[0] == "T" else images.swapaxes(0, 1)
    tifffile.imwrite(tmp_path / "a.ome.tif", stored, metadata={"axes": axes}, photometric="minisblack")
    found = open_fields(tmp_path / "a.ome.tif")
    assert found.count == 3 and len(found.channels) == 2
    assert [found.read(n)[:, 0, 0].tolist() for n in range(3)] == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize(("axes", "kind"), [("T", "ome.tif"), ("Z", "ome.tif"), ("Z", "tif")])
def test_time_and_depth_are_no_channels_unless_the_user_says_so(tmp_path: Path, axes: str, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    images = np.stack([field(1.0, 1)[0], field(1.0, 1)[1]])
    tifffile.imwrite(path, images, metadata={"axes": f"{axes}YX"}, photometric="minisblack", imagej=kind == "tif")
    with pytest.raises(UsageError, match=r"none of them is called C: time and depth are no channels"):
        open_fields(path)
    with pytest.raises(UsageError, match="none of them is called C"):
        open_plate([f"{path}:control"], ("DNA", "GFP", "actin"))
    plate = open_plate([f"{path}:control"], ("DNA", "GFP"))
    assert (plate.fields[0].read() == images).all() and len(plate.fields) == 1


def test_planes_of_depth_are_no_wells(tmp_path: Path) -> None:
    for axes in ("CZYX", "ZCYX"):
        path = tmp_path / f"{axes}.ome.tif"
        tifffile.imwrite(path, np.zeros((2, 2, 16, 16), np.uint16), metadata={"axes": axes}, photometric="minisblack")
        with pytest.raises(UsageError, match="planes of depth show the same cells"):
            open_fields(path)


def test_without_labels_the_last_axis_is_the_channels(tmp_path: Path) -> None:
    found = open_fields(stack(tmp_path / "wells.tif", [0.5, 1.0, 2.0]))
    assert found.count == 3 and found.channels == ("channel 0", "channel 1") and found.pixel_size_nm is None
    assert (found.read(1) == field(1.0, 1)).all()


@pytest.mark.parametrize("shape", [(16, 16), (2, 3, 2, 16, 16)])
def test_one_channel_or_too_many_axes_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, np.uint8), photometric="minisblack")
    with pytest.raises(UsageError, match="a field has two channels or more"):
        open_fields(tmp_path / "a.tif")


def test_a_folder_is_read_by_its_table(tmp_path: Path) -> None:
    plate = open_plate([str(plate_folder(tmp_path, RATIOS, splits=["train", "test", "test", "train"]))])
    assert [(f.well, f.treatment, f.split) for f in plate.fields] == [
        ("W00", "control", "train"), ("W01", "control", "test"), ("W02", "drug", "test"), ("W03", "drug", "train"),
    ]  # fmt: skip
    assert plate.channels == ("DNA", "protein")
    assert (plate.fields[2].read() == field(2.0, 2)).all()
    assert plate.channel("1") == plate.channel("Protein") == 1
    with pytest.raises(
        UsageError, match=r"no channel 2: the plate has 0 \(DNA\), 1 \(protein\); channels count from 0"
    ):
        plate.channel("2")


def test_files_are_given_their_treatments(tmp_path: Path) -> None:
    first, second = stack(tmp_path / "neg.tif", [0.5, 0.5]), stack(tmp_path / "dose.tif", [1.0, 2.0])
    plate = open_plate([f"{first}:control", f"{second}:low,high"], ("DNA", "GFP"))
    assert [(f.well, f.treatment) for f in plate.fields] == [
        ("neg-01", "control"), ("neg-02", "control"), ("dose-01", "low"), ("dose-02", "high"),
    ]  # fmt: skip
    assert plate.channels == ("DNA", "GFP") and (plate.fields[3].read() == field(2.0, 1)).all()


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (["neg.tif"], UsageError, "without its treatment"),
        (["neg.tif:"], UsageError, "treatment is empty"),
        (["gone.tif:a"], ImageReadError, "gone.tif is not there"),
        (["neg.tif:a,b,c"], UsageError, "holds 2 wells and 3 treatments"),
        (["neg.tif:a", "three.tif:b"], UsageError, "has 2 channels and .*three.tif 3"),
        (["empty"], ImageReadError, "has no plate.csv"),
        ([], UsageError, "no plate was given"),
    ],
)
def test_what_is_no_plate_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], error: type[Exception], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    stack(tmp_path / "neg.tif", [0.5, 0.5])
    write_ome_channels(tmp_path / "three.tif", np.zeros((3, 80, 96), np.uint16), None, ("a", "b", "c"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(error, match=words):
        open_plate(given)


def test_wells_that_cannot_be_told_apart_or_compared_are_refused(tmp_path: Path) -> None:
    one = stack(tmp_path / "p1.A01.tif", [0.5])
    two = stack(tmp_path / "p1.A02.tif", [0.5])
    assert [field.well for field in open_plate([f"{one}:control", f"{two}:drug"]).fields] == ["p1.A01", "p1.A02"]
    with pytest.raises(UsageError, match="is there twice: copies of a well are no further wells"):
        open_plate([f"{one}:control", f"{one}:control"])
    (tmp_path / "day2").mkdir()
    again = stack(tmp_path / "day2" / "p1.A01.tif", [0.5])
    with pytest.raises(UsageError, match=r"would both be well p1.A01"):
        open_plate([f"{one}:control", f"{again}:drug"])
    folder = plate_folder(tmp_path / "plate", RATIOS)
    (folder / "plate.csv").write_text("file,well,treatment\nW00.tif,A,control\n./W00.tif,B,drug\n")
    with pytest.raises(UsageError, match="is there twice"):
        open_plate([str(folder)])


def test_files_of_other_channel_order_or_magnification_are_refused(tmp_path: Path) -> None:
    image = field(1.0, 1).astype(np.uint16)
    for name, size, channels in (
        ("a.tif", 400.0, ("DNA", "GFP")),
        ("b.tif", 400.1, ("GFP", "DNA")),
        ("c.tif", 800.0, ("DNA", "GFP")),
        ("d.tif", None, ("DNA", "GFP")),
    ):
        write_ome_channels(tmp_path / name, image, size, channels)
    given = {name: f"{tmp_path / name}.tif:x" for name in "abcd"}
    with pytest.raises(UsageError, match="in another order: GFP, DNA"):
        open_plate([given["a"], given["b"]])
    assert open_plate([given["a"], given["b"]], ("first", "second")).pixel_size_nm == pytest.approx(400.0)
    with pytest.raises(UsageError, match=r"pixels of 400 nm and .*c.tif of 800 nm: .* two magnifications"):
        open_plate([given["a"], given["c"]])
    assert open_plate([given["a"], given["d"]]).pixel_size_nm is None


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("file,well\nW00.tif,W00\n", "no column treatment"),
        ("file,well,treatment\n", "no row"),
        ("file,well,treatment\nW00.tif,,control\n", "line 2: well is empty"),
        ("file,well,treatment\nwells.tif,W00,control\n", "holds 2 fields"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, table: str, words: str) -> None:
    plate_folder(tmp_path, RATIOS)
    stack(tmp_path / "wells.tif", [0.5, 0.5])
    (tmp_path / "plate.csv").write_text(table)
    with pytest.raises(UsageError, match=words):
        open_plate([str(tmp_path)])


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, CropSet]:
    crops = crop_set(RATIOS, cells=3)
    write_crop_set(tmp_path / "crops", crops, seed=4)
    return tmp_path / "crops", crops


def test_a_set_of_crops_comes_back_as_it_was(saved: tuple[Path, CropSet]) -> None:
    folder, crops = saved
    found = read_crop_set(folder)
    for name in ("pixels", "wells", "treatments", "splits", "fields", "areas_px"):
        assert (getattr(found, name) == getattr(crops, name)).all(), name
    assert found.places_px == pytest.approx(crops.places_px, abs=0.006)
    assert (found.channels, found.nuclei, found.protein) == (crops.channels, 0, 1)
    assert (found.levels.bright == crops.levels.bright).all() and found.pixel_size_nm == 1000
    assert (read_crop_set(folder, "test").pixels == crops.of_split("test").pixels).all()
    assert json.loads((folder / "crops.json").read_text())["seed"] == 4
    assert (folder / "crops.csv").read_text().startswith("file,index,well,treatment,split,y_px,x_px,nucleus_area_px")


def test_crops_are_never_written_over(saved: tuple[Path, CropSet]) -> None:
    with pytest.raises(OutputError, match="holds crops or TIFFs already"):
        write_crop_set(*saved)


def test_a_well_in_two_splits_on_disk_is_refused(saved: tuple[Path, CropSet]) -> None:
    table = saved[0] / "crops.csv"
    table.write_text(table.read_text().replace("control-0,control,train", "control-0,control,test", 1))
    with pytest.raises(UsageError, match="well control-0 has two of split"):
        read_crop_set(saved[0])


def test_damaged_sets_are_told_apart(saved: tuple[Path, CropSet]) -> None:
    folder, _ = saved
    table, record = (folder / name for name in ("crops.csv", "crops.json"))
    text, kept = table.read_text(), record.read_text()
    for wrong, words in (
        (text.replace("control-0.tif,2", "control-0.tif,3", 1), "do not fit each other"),
        (text.replace("control-0.tif,2", "../control-0.tif,2", 1), "a file beside it is meant"),
        (text.replace("control-0.tif,2", "control-9.tif,2", 1), "control-9.tif"),
        (text.replace("control-0.tif,2", ",2", 1), "line 4: file is missing"),
    ):
        table.write_text(wrong)
        with pytest.raises(ImageReadError, match=words):
            read_crop_set(folder)
    table.write_text(text)
    for wrong, words in ((kept[:40], "cannot be read"), ("[]", "no record"), ('{"nuclei": 0}', "do not fit")):
        record.write_text(wrong)
        with pytest.raises(ImageReadError, match=words):
            read_crop_set(folder)
    record.unlink()
    with pytest.raises(ImageReadError, match=r"it has no crops.json. fluosr crops makes one"):
        read_crop_set(folder)
