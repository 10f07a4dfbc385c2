"""``fluosr simulate assay``, ``fluosr crops`` and ``fluosr features``, from wells to figures, and what they refuse."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from fluosr.errors import UsageError
from fluosr.io.crop_sets import read_crop_set, write_crop_set
from fluosr.io.write import write_ome_channels
from fluosr.phenotypes.comparison import compare_conditions
from tests.commands import fluosr
from tests.plates import crop_set, field, plate_folder, stack

RATIOS = {"control": [0.4] * 4, "drug": [2.5] * 4}


def test_from_a_plate_to_effects(tmp_path: Path) -> None:
    plate = plate_folder(tmp_path / "plate", RATIOS)
    cut = fluosr("crops", plate, "--nuclei", "0", "--size", 32, "--diameter", 10, "-o", tmp_path / "crops")
    assert cut.code == 0, cut.err
    assert "Channels: nuclei DNA, protein protein" in cut.out
    assert "control: train 3 wells" in cut.out and "drug: train 3 wells" in cut.out and "test 1 wells" in cut.out
    assert "Background of protein: 100 grey values, from the empty ground of 6 fields." in cut.out
    found = read_crop_set(tmp_path / "crops")
    assert len(found) == 8 * 6 and set(found.splits) == {"train", "test"}
    done = fluosr("features", tmp_path / "crops", "-o", tmp_path / "features")
    assert done.code == 0, done.err
    assert "Control: control" in done.out and "| nucleus-to-ring ratio | drug |" in done.out
    record = json.loads((tmp_path / "features" / "effects.json").read_text())
    effect = record["effects"]["crops"]["nucleus_to_ring"]["drug"]
    assert effect["hedges_g"]["value"] > 4 and effect["hedges_g"]["low"] > 0 and effect["auc"]["value"] == 1
    assert record["classifiers"]["features"]["crops"]["balanced_accuracy"]["value"] == 1
    with (tmp_path / "features" / "features.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 48
    ratios = [float(row["nucleus_to_ring"]) for row in rows if row["treatment"] == "drug"]
    assert np.median(ratios) == pytest.approx(2.5, rel=0.1)
    assert (tmp_path / "features" / "features.png").read_bytes().startswith(b"\x89PNG")


def test_files_with_treatments_give_the_same_crops(tmp_path: Path) -> None:
    wells = [f"{stack(tmp_path / f'{name}.tif', [ratio] * 3)}:{name}" for name, ratio in (("neg", 0.4), ("pos", 2.5))]
    options = ("--nuclei", "0", "--size", 32, "--diameter", 10, "--channels", "DNA,GFP")
    done = fluosr("crops", *wells, *options, "-o", tmp_path / "crops")
    assert done.code == 0, done.err
    found = read_crop_set(tmp_path / "crops")
    assert found.channels == ("DNA", "GFP") and set(found.wells) == {
        f"{n}-0{i}" for n in ("neg", "pos") for i in (1, 2, 3)
    }
    for treatment in ("neg", "pos"):
        assert len(set(found.wells[(found.treatments == treatment) & (found.splits == "test")])) == 1


def test_methods_are_compared_on_the_cells_that_they_share(tmp_path: Path) -> None:
    crops = crop_set({"control": [0.4] * 4, "drug": [2.5] * 4}, cells=4)
    write_crop_set(tmp_path / "real", crops)
    flat = crops.pixels.copy()
    flat[:, 1] = flat[:, 1].mean((1, 2), keepdims=True)
    write_crop_set(tmp_path / "flat", crops.with_pixels(flat).of_split("test"))
    done = fluosr("features", tmp_path / "real", "--against", tmp_path / "flat", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert "16 cells are in all of real, flat" in done.out
    record = json.loads((tmp_path / "out" / "effects.json").read_text())
    real, other = (record["effects"][name]["nucleus_to_ring"]["drug"]["auc"]["value"] for name in ("real", "flat"))
    assert real == 1 and abs(other - 0.5) < 0.4
    accuracy = {
        name: judged["balanced_accuracy"]["value"] for name, judged in record["classifiers"]["features"].items()
    }
    assert accuracy["real"] == 1 > accuracy["flat"]


def test_effects_of_the_test_wells_alone_leave_the_classifier_its_training_wells(tmp_path: Path) -> None:
    write_crop_set(tmp_path / "crops", crop_set({"control": [0.4] * 4, "drug": [2.5] * 4}, cells=3))
    done = fluosr("features", tmp_path / "crops", "--split", "test", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "out" / "effects.json").read_text())
    assert record["effects"]["crops"]["nucleus_to_ring"]["drug"]["cells"] == [6, 6]
    assert record["classifiers"]["features"]["crops"]["balanced_accuracy"]["value"] > 0.9


def test_a_dose_row_is_compared_with_its_first_dose(tmp_path: Path) -> None:
    write_crop_set(tmp_path / "crops", crop_set({"dose 0": [0.4], "dose 1": [1.0], "dose 2": [2.5]}, cells=6))
    done = fluosr("features", tmp_path / "crops", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert "no classifier: it tells two treatments apart, and there are 3" in done.out
    found = json.loads((tmp_path / "out" / "effects.json").read_text())["effects"]["crops"]["nucleus_to_ring"]
    assert found["dose 1"]["hedges_g"]["value"] < found["dose 2"]["hedges_g"]["value"]
    assert found["dose 1"]["hedges_g"]["low"] is None and "too few wells" in found["dose 1"]["hedges_g"]["note"]


def test_a_simulated_plate_is_cut_and_its_truth_stands_beside(tmp_path: Path) -> None:
    options = ("--wells", 2, "--treated", 1, "--height", 72, "--width", 96, "--seed", 1)
    done = fluosr("simulate", "assay", "golgi", *options, "-o", tmp_path / "plate")
    assert done.code == 0, done.err
    assert sorted(path.name for path in (tmp_path / "plate").iterdir()) == [
        "A01.ome.tif", "A02.ome.tif", "masks", "plate.csv", "simulation.json", "truth.csv",
    ]  # fmt: skip
    with (tmp_path / "plate" / "truth.csv").open() as file:
        rows = list(csv.DictReader(file))
    strengths = {row["treatment"]: float(row["strength"]) for row in rows}
    assert strengths["treated"] > 0.3 > strengths["untreated"]
    labels = tifffile.imread(tmp_path / "plate" / "masks" / "A01.tif")
    assert labels.shape == (2, 72, 96)
    cut = fluosr("crops", tmp_path / "plate", "--nuclei", "DNA", "--size", 32, "--test-share", 0, "-o", tmp_path / "c")
    assert cut.code == 0, cut.err
    assert "nuclei DNA, protein Golgi" in cut.out
    again = fluosr("simulate", "assay", "golgi", *options, "-o", tmp_path / "plate")
    assert again.code == 1 and "holds a plate or TIFFs already" in again.err


def nan_well(folder: Path) -> None:
    image = field(1.0, 0).astype(np.float32)
    image[1, 3, 3] = np.nan
    write_ome_channels(folder / "W00.tif", image, None, ("DNA", "protein"))


def empty_channel(folder: Path) -> None:
    image = field(1.0, 0)
    image[1] = 7
    write_ome_channels(folder / "W00.tif", image, None, ("DNA", "protein"))


def no_nuclei(folder: Path) -> None:
    for path in folder.glob("*.tif"):
        image = np.random.default_rng(0).poisson(20, (2, 80, 96)).astype(np.uint16)
        write_ome_channels(path, image, None, ("DNA", "protein"))


def three_channels(folder: Path) -> None:
    write_ome_channels(folder / "W01.tif", np.zeros((3, 80, 96), np.uint16), None, ("a", "b", "c"))


def one_treatment(folder: Path) -> None:
    table = folder / "plate.csv"
    table.write_text(table.read_text().replace("drug", "control"))


def split_well(folder: Path) -> None:
    table = folder / "plate.csv"
    table.write_text(
        "file,well,treatment,split\nW00.tif,A,control,train\nW01.tif,A,control,test\nW02.tif,B,drug,test\n"
    )


def half_a_split(folder: Path) -> None:
    table = folder / "plate.csv"
    table.write_text("file,well,treatment,split\nW00.tif,A,control,train\nW01.tif,B,control,\nW02.tif,C,drug,test\n")


def nothing(folder: Path) -> None:
    """As it is."""


@pytest.mark.parametrize(
    ("spoil", "options", "code", "words"),
    [
        (one_treatment, (), 2, "the plate has one treatment only (control)"),
        (empty_channel, (), 2, "W00.tif: channel protein is empty, all its pixels are 7"),
        (nan_well, (), 1, "W00.tif: 1 pixels of channel protein are NaN or infinite"),
        (three_channels, (), 2, "all wells of a plate have the same"),
        (no_nuclei, (), 2, "Is this the channel of the nuclei (--nuclei)"),
        (split_well, (), 2, "well A has two of split: train and test"),
        (half_a_split, (), 2, "well B has no split and others have one"),
        (nothing, ("--nuclei", "5"), 2, "there is no channel 5: the plate has 0 (DNA), 1 (protein)"),
        (nothing, ("--protein", "DNA"), 2, "they are two channels"),
        (nothing, ("--size", "128"), 2, "crops of 128 pixels do not fit into 80 x 96"),
        (nothing, ("--size", "40"), 2, "take 32, 64, 128 or 256"),
        (nothing, ("--channels", "DNA"), 2, "has 2 channels; as names were given: DNA"),
    ],
)
def test_bad_plates_are_refused_and_leave_nothing(
    tmp_path: Path, spoil: Callable[[Path], None], options: tuple[str, ...], code: int, words: str
) -> None:
    plate = plate_folder(tmp_path / "plate", {"control": [1.0, 1.0], "drug": [2.0, 2.0]})
    spoil(plate)
    usual = ("--nuclei", "0", "--size", "32", "--diameter", "10", "-o", tmp_path / "crops")
    done = fluosr("crops", plate, *usual, *options)
    assert done.code == code and words in done.err, done.err
    assert "Traceback" not in done.err and not (tmp_path / "crops").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--control", "placebo"), "there is no treatment 'placebo': take one of control, drug"),
        (("--split", "validation"), "take all, train or test"),
        (("--against", "crops"), "two sets of crops are called crops"),
        (("--against", "other"), "the same channels and size are needed"),
        (("--against", "away"), "have no cell in common"),
    ],
)
def test_features_of_what_cannot_be_compared_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    crops = crop_set({"control": [1.0, 1.0], "drug": [2.0, 2.0]}, cells=2)
    write_crop_set(tmp_path / "crops", crops)
    if "other" in options:
        write_crop_set(
            tmp_path / "other", crops.with_pixels(np.pad(crops.pixels, ((0, 0), (0, 0), (16, 16), (16, 16))))
        )
    if "away" in options:
        away = crops.chosen(np.arange(len(crops)))
        away.places_px[:] += 9
        write_crop_set(tmp_path / "away", away)
    done = fluosr("features", "crops", *options, "-o", "out")
    assert done.code == 2 and words in done.err, done.err
    assert not (tmp_path / "out").exists()


def test_features_of_others_are_not_written_over_and_that_is_said_before_the_work(tmp_path: Path) -> None:
    write_crop_set(tmp_path / "crops", crop_set({"control": [1.0], "drug": [2.0]}, cells=2))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "effects.md").write_text("mine")
    done = fluosr("features", tmp_path / "crops", "--control", "placebo", "-o", tmp_path / "out")
    assert done.code == 1 and "holds effects.md, which no earlier run of fluosr left there" in done.err
    assert (tmp_path / "out" / "effects.md").read_text() == "mine"


def test_crops_of_one_treatment_are_refused(tmp_path: Path) -> None:
    write_crop_set(tmp_path / "crops", crop_set({"control": [1.0, 1.0]}, cells=2))
    done = fluosr("features", tmp_path / "crops", "-o", tmp_path / "out")
    assert done.code == 2 and "these crops have one treatment only (control)" in done.err


@pytest.mark.parametrize(("what", "names"), [("splits", ("train", "test")), ("treatments", ("control", "drug"))])
def test_a_cell_has_one_split_and_one_treatment_in_all_methods(what: str, names: tuple[str, str]) -> None:
    crops = crop_set({"control": [0.4] * 2, "drug": [2.5] * 2}, cells=3)
    own = getattr(crops, what)
    swapped = dataclasses.replace(crops, **{what: np.where(own == names[0], names[1], names[0])})
    with pytest.raises(UsageError, match=f"well control-0 is {own[0]} in real and .* in restored"):
        compare_conditions(crops, {"restored": swapped}, name="real", generator=np.random.default_rng(0))


def test_what_was_measured_in_no_cell_is_left_out_of_the_classifier() -> None:
    crops = crop_set({"control": [0.4] * 4, "drug": [2.5] * 4}, cells=4)
    found = compare_conditions(crops, spot_threshold=1e6, generator=np.random.default_rng(0))
    assert found.accuracies["features"] and any("mean spot area" in note for note in found.notes)


def test_crops_in_place_are_seen_before_anything_is_computed(tmp_path: Path) -> None:
    plate_folder(tmp_path / "plate", {"control": [0.4] * 2, "drug": [2.5] * 2})
    (tmp_path / "crops").mkdir()
    (tmp_path / "crops" / "crops.csv").write_text("mine")
    (tmp_path / "plate" / "W00.tif").write_bytes(b"damaged")  # not looked at
    done = fluosr("crops", tmp_path / "plate", "--nuclei", "0", "--size", "32", "-o", tmp_path / "crops")
    assert done.code == 1 and "holds crops or TIFFs already" in done.err
