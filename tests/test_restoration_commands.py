"""Restoration from the command line: simulate, calibrate, train by each arm, restore; and what is refused."""

from __future__ import annotations

import contextlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.commands import Outcome, fluosr

TINY = ["--network", "span", "--blocks", "2", "--features", "4", "--batch", "2", "--patch", "16", "--evaluation", "2"]
ARMS = [["paired"], ["synthetic"], ["physics", "--calibration", "cal.json", "--pixel-size", "180"]]
BAD_LOSS = ["--perceptual", "cal.json", "--gan-iterations", "2"]


def run(folder: Path, *arguments: str) -> Outcome:
    with contextlib.chdir(folder):
        return fluosr(*arguments)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("restoration")
    sizes = ["--height", "64", "--width", "64", "--repeats", "4", "--fields", "3"]
    assert run(folder, "simulate", "confocal", "-o", "pairs", "--structure", "nuclei", *sizes).code == 0
    files = [f"pairs/nuclei-000{number}.tif" for number in range(3)]
    assert run(folder, "calibrate", *files, "-o", "cal.json", "--offset", "100").code == 0
    return folder


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_trains_and_its_model_restores(workplace: Path, arm: list[str]) -> None:
    name = f"model-{arm[0]}"
    told = run(workplace, "train", "restoration", "pairs", "-o", name, "--arm", *arm, "--iterations", "4", *TINY)
    assert told.code == 0 and "Model:" in told.out
    lines = (workplace / f"{name}.log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 2, 4]
    assert (workplace / f"{name}.log.png").stat().st_size > 1000
    described = json.loads((workplace / f"{name}.json").read_text())
    assert described["knowledge"]["arm"] == arm[0] and described["training"]["log"][-1]["step"] == 4
    out = f"{name}.ome.tif"
    told = run(workplace, "restore", "pairs/nuclei-0000.tif", "--model", name, "-o", out)
    assert told.code == 0 and "4 T x 128 Y x 128 X, pixels of 90 nm" in told.out and "plausible" in told.out
    assert np.isfinite(tifffile.imread(workplace / out)).all()


def test_the_second_stage_is_logged(workplace: Path) -> None:
    more = ["--iterations", "2", "--gan-iterations", "2", "--discriminator-features", "4"]
    told = run(workplace, "train", "restoration", "pairs", "-o", "gan", *more, *TINY)
    assert told.code == 0
    log = json.loads((workplace / "gan.json").read_text())["training"]["log"]
    assert log[-1]["stage"] == "adversarial" and log[-1]["discriminator"] > 0


def test_options_of_a_discriminator_that_is_not_there_are_said(workplace: Path) -> None:
    more = ["--iterations", "1", "--relativistic", "--gan-weight", "2"]
    told = run(workplace, "train", "restoration", "pairs", "-o", "idle", *more, *TINY)
    assert told.code == 0 and "--relativistic, --gan-weight has no effect" in told.err
    told = run(workplace, "train", "restoration", "pairs", "-o", "idle", "--iterations", "1", *TINY)
    assert told.code == 0 and "no effect" not in told.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--arm", "physics"], "needs --calibration"),
        (["--arm", "physics", "--calibration", "cal.json"], "needs --pixel-size"),
        (["--arm", "synthetic", "--calibration", "cal.json"], "no use for it"),
        (["--arm", "physics", "--pixel-size", "180", "--calibration", "pairs/simulation.json"], "no calibration"),
        (["--arm", "physics", "--background", "0.5:0.2"], "--background 0.5:0.2: give photons per pixel as LOW:HIGH"),
        (["--arm", "paired", "--background", "0.3"], "no use for it"),
        (["--scale", "4"], "must have 256 x 256"),
        (["--scale", "3"], "--scale 3: 1, 2 or 4"),
        (["--pixel-size", "inf"], "must be positive"),
        (["--pixel-size", "0.18"], "was 180 meant"),
        (["--network", "resnet"], "no restoration network"),
        (["--patch", "512"], "--patch 512"),
        (BAD_LOSS, "not a safetensors"),
        (["--perceptual", "vgg.safetensors"], "gan_iterations is 0"),
        (["--validation-share", "0.9"], "cannot be split"),
    ],
)
def test_what_cannot_be_trained_says_why(workplace: Path, options: list[str], said: str) -> None:
    given = [*TINY, "--iterations", "2", *options]
    told = run(workplace, "train", "restoration", "pairs", "-o", "never", *given)
    assert told.code in (1, 2) and said in told.err and "Traceback" not in told.err
    assert not list(workplace.glob("never*"))


def test_other_peoples_files_stay(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "mine.tif", np.ones((8, 8), np.uint16))
    told = run(tmp_path, "simulate", "confocal", "-o", ".", "--fields", "1", "--height", "16", "--width", "16")
    assert told.code == 1 and "no earlier simulation" in told.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.tif"]


def test_a_training_replaces_logs_of_its_own_and_no_others(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = ["train", "restoration", "pairs", "-o", "again", *TINY, "--iterations"]
    places = [workplace / f"again.{ending}" for ending in ("json", "safetensors", "log.jsonl", "log.png")]
    for foreign, content in ((places[2], b"notes of mine\n"), (places[3], b"\x89PNG a picture of mine")):
        foreign.write_bytes(content)
        told = run(workplace, *training, "1")
        assert told.code == 1 and f"{foreign.name} was not left by a training" in told.err
        assert foreign.read_bytes() == content
        assert {path.name for path in workplace.glob("again*")} == {foreign.name}
        foreign.unlink()
    assert run(workplace, *training, "1").code == 0
    before = [path.read_bytes() for path in places]
    calls = itertools.count(1)
    with monkeypatch.context() as broken:
        broken.setattr("fluosr.restoration.training.absolute_error", lambda a, b: (a - b).mean() / (next(calls) < 4))
        told = run(workplace, *training, "5")
    assert told.code == 2 and "diverges" in told.err and next(calls) == 5
    assert [path.read_bytes() for path in places] == before
    assert run(workplace, *training, "2").code == 0
    assert not any(path.read_bytes() == old for path, old in zip(places, before, strict=True))
    assert {path.name for path in workplace.glob("again*")} == {path.name for path in places}


def test_the_few_shot_protocol_is_one_command(workplace: Path) -> None:
    sizes = ["--height", "48", "--width", "48", "--repeats", "4"]
    for name, fields, seed in (("training", "3", "10"), ("validation", "1", "20"), ("test", "3", "30")):
        more = ["--structure", "membranes", "--fields", fields, "--seed", seed, *sizes]
        assert run(workplace, "simulate", "confocal", "-o", f"new/{name}", *more).code == 0
    small = ["--batch", "2", "--patch", "16", "--evaluation", "2", "--iterations", "2"]
    assert run(workplace, "train", "restoration", "pairs", "-o", "base", "--iterations", "2", *TINY).code == 0
    told = run(workplace, "few-shot", "base", "new", "--pairs", "2,all", "-o", "shots", *small)
    assert told.code == 0 and "zero-shot: PSNR" in told.out
    stored = json.loads((workplace / "shots" / "few-shot.json").read_text())
    assert stored["pairs"] == {
        "bicubic": None,
        "mean of 4, bicubic": None,
        "zero-shot": 0,
        "2 pairs": 2,
        "all pairs": 12,
    }
    distance = stored["of_all_pictures"]["zero-shot"]["FID (fluosr-random-conv)"]
    assert len(stored["fields"]) == 3 and distance["low"] < distance["value"] < distance["high"]
    text = (workplace / "shots" / "few-shot.md").read_text()
    assert "Means over 3 fields" in text and "FID rises as pictures grow fewer" in text and "| all pairs | 12 |" in text
    assert (workplace / "shots" / "few-shot.png").stat().st_size > 1000
    for options, said in (
        (["--pairs", "2,x"], "neither"),
        (["--pairs", "1000"], "have 12"),
        (BAD_LOSS, "not a safetensors"),
    ):
        told = run(workplace, "few-shot", "base", "new", "-o", "never", *options, *small)
        assert told.code in (1, 2) and said in told.err
    told = run(workplace, "few-shot", "base", "pairs", "-o", "never", *small)
    assert told.code == 2 and "no folder training" in told.err


def test_few_shot_says_what_cannot_be_before_it_computes(workplace: Path) -> None:
    for name, fields, seed in (("training", "1", "40"), ("validation", "1", "50"), ("test", "2", "60")):
        sizes = ["--height", "32", "--width", "32", "--repeats", "2", "--fields", fields, "--seed", seed]
        assert run(workplace, "simulate", "confocal", "-o", f"early/{name}", *sizes).code == 0
    assert run(workplace, "train", "restoration", "pairs", "-o", "early-base", "--iterations", "2", *TINY).code == 0
    (workplace / "a-file").write_text("mine")
    (workplace / "my-folder").mkdir()
    (workplace / "my-folder" / "few-shot.md").write_text("mine")
    for options, said in (
        (["-o", "a-file"], "is a file"),
        (["-o", "my-folder"], "my-folder holds few-shot.md, which no earlier run of fluosr left there"),
        (["-o", "never", "--pairs", "1,99"], "99 pairs"),
    ):
        told = run(workplace, "few-shot", "early-base", "early", "--patch", "16", *options)
        assert told.code in (1, 2) and said in told.err and not told.out
    assert (workplace / "a-file").read_text() == (workplace / "my-folder" / "few-shot.md").read_text() == "mine"
    short = ["--patch", "16", "--batch", "2", "--iterations", "1"]
    told = run(workplace, "few-shot", "early-base", "early", "--pairs", "1,1", "-o", "once", *short)
    assert told.code == 0 and told.out.count("1 pairs:") == 1
    assert run(workplace, "few-shot", "early-base", "early", "--pairs", "2", "-o", "once", *short).code == 0
    record = json.loads((workplace / "once" / "few-shot.json").read_text())
    assert "2 pairs" in record["pairs"] and "1 pairs" not in record["pairs"]
    assert record["of_all_pictures"]["zero-shot"]["KID (fluosr-random-conv)"]["low"] is None
    (workplace / "early" / "test" / "mitochondria-0061.tif").unlink()
    (workplace / "early" / "test" / "mitochondria-0061-truth.ome.tif").unlink()
    told = run(workplace, "few-shot", "early-base", "early", "-o", "never", *short)
    assert told.code == 2 and "two or more" in told.err and "test" in told.err and not told.out


def test_light_that_is_cut_off_is_told(tmp_path: Path) -> None:
    small = ["--height", "32", "--width", "32", "--repeats", "3", "--fields", "2", "--structure", "nuclei"]
    assert "Note" not in run(tmp_path, "simulate", "confocal", "-o", "fine", *small).err
    assert (
        "Note"
        not in run(tmp_path, "simulate", "confocal", "-o", "dark", "--offset", "0", "--read-noise", "0", *small).err
    )
    for options, ceiling, image, words in (
        (["--bits", "8"], 255, "fast frames", "255, where light is cut off; lower --photons or --gain"),
        (["--offset", "5"], 0, "fast frames", "0, where read noise is cut off; raise --offset"),
        (["--photons", "400", "--bits", "16"], 65535, "good images", "highest value, where light is cut off; lower"),
    ):
        told = run(tmp_path, "simulate", "confocal", "-o", image + options[0], *small, *options)
        files = [
            p
            for p in (tmp_path / (image + options[0])).glob("*.tif")
            if ("truth" in p.name) == (image != "fast frames")
        ]
        share = np.mean([tifffile.imread(path) == ceiling for path in files])
        assert told.code == 0 and share > 0
        assert f"Note: {100 * share:.2g} % of the pixels of the {image} are at" in told.err and words in told.err


def test_what_cannot_be_simulated_leaves_nothing(tmp_path: Path) -> None:
    small = ["--height", "16", "--width", "16", "--repeats", "2"]
    for options, said in (
        (["--structure", "cats"], "no structure"),
        (["--phase", "1e9"], "reaches"),
        (["--lag", "1e9"], "lag"),
        (["--fields", "100000000"], "100000"),
    ):
        told = run(tmp_path, "simulate", "confocal", "-o", "never", *small, *options)
        assert told.code == 2 and said in told.err
        assert not list(tmp_path.rglob("*.json"))
