"""From an image file to the file of what was restored: any axes, any bits, and nothing lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import tifffile
import torch

from fluosr.errors import FluosrError, ModelError, OutputError, ReconstructionInterrupted, UsageError
from fluosr.io.tiff import open_images
from fluosr.learning import save_model
from fluosr.methods.base import Run
from fluosr.methods.trained_model import model_paths
from fluosr.networks.restorers import build_restorer
from fluosr.restoration.model import Knowledge, TrainedRestorer, load_restorer, restorer_from
from fluosr.restoration.scale import GreyScale
from fluosr.restoration.tiles import restore
from fluosr.restoring import restore_file

OPTIONS = {"blocks": 2, "features": 4}


def model(pixel_size_nm: float | None = 100.0) -> TrainedRestorer:
    network = build_restorer("span", torch.Generator().manual_seed(0), 2, options=OPTIONS)
    return TrainedRestorer(network.eval(), Knowledge("span", OPTIONS, 2, "paired", pixel_size_nm, 3))


def picture(shape: tuple[int, ...] = (21, 18), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(20.0, shape)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    name = tmp_path / "model"
    save_model(model_paths(name), model().packed({}))
    return name


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_file_is_restored_as_its_array_is(tmp_path: Path, dtype: type) -> None:
    image = picture().astype(dtype)
    tifffile.imwrite(tmp_path / "in.tif", image)
    before = (tmp_path / "in.tif").read_bytes()
    made = restore_file(tmp_path / "in.tif", model(), tmp_path / "out.tif", pixel_size_nm=100.0)
    found = tifffile.imread(tmp_path / "out.tif")
    assert found.shape == (42, 36) == made.sizes and found.dtype == np.float32 and not made.warnings
    np.testing.assert_array_equal(found, restore(model().network, image, grey=GreyScale.of(image)))
    assert (tmp_path / "in.tif").read_bytes() == before


def test_axes_stay_and_pixels_shrink(tmp_path: Path) -> None:
    stack = picture((3, 2, 16, 18)).astype(np.uint16)
    facts = {"axes": "TCYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1, "TimeIncrement": 2.5}
    tifffile.imwrite(tmp_path / "in.ome.tif", stack, ome=True, metadata=facts)
    made = restore_file(tmp_path / "in.ome.tif", model(), tmp_path / "out.ome.tif")
    assert made.axes == "TCYX" and made.sizes == (3, 2, 32, 36) and made.pixel_size_nm == pytest.approx(50.0)
    with tifffile.TiffFile(tmp_path / "out.ome.tif") as tif:
        assert tif.series[0].axes == "TCYX" and 'PhysicalSizeX="0.05"' in (tif.ome_metadata or "")
        found = tif.asarray()
    assert open_images(tmp_path / "out.ome.tif").frame_interval_s == 2.5
    one = stack[2, 1]
    np.testing.assert_array_equal(found[2, 1], restore(model().network, one, grey=GreyScale.of(one)))


def test_axes_without_a_name_get_one(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "in.tif", picture((5, 16, 18)).astype(np.uint16), metadata=None, photometric="minisblack"
    )
    assert restore_file(tmp_path / "in.tif", model(), tmp_path / "out.tif").axes == "TYX"


def test_another_pixel_size_is_said(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", picture().astype(np.uint16))
    (said,) = restore_file(tmp_path / "in.tif", model(), tmp_path / "out.tif", pixel_size_nm=200.0).warnings
    assert "100 nm" in said and "200 nm" in said


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.full((9, 9), 5, np.uint16), "image 1 of 1.*constant"),
        (np.full((5, 9, 9), 5, np.uint16), "all 5 images: .*constant"),
        (np.stack([picture((9, 9)), np.full((9, 9), np.nan)]).astype(np.float32), "image 2 of 2.*finite"),
        (np.array([[np.inf, 1.0], [2.0, -np.inf]], np.float32), "image 1 of 1.*finite"),
        (picture((9, 9)) > 20, "in.tif.*true or false"),
    ],
)
def test_what_cannot_be_restored_leaves_nothing(tmp_path: Path, image: np.ndarray, said: str) -> None:
    tifffile.imwrite(tmp_path / "in.tif", image)
    with pytest.raises(UsageError, match=said):
        restore_file(tmp_path / "in.tif", model(), tmp_path / "out.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


def test_blank_images_among_others_stay_blank_and_are_counted(tmp_path: Path) -> None:
    stack = picture((9, 12, 14)).astype(np.uint16)
    stack[[0, 1, 2, 3, 5, 8]] = np.array([0, 7, 7, 65535, 1, 2])[:, None, None]
    tifffile.imwrite(tmp_path / "in.tif", stack)
    (said,) = restore_file(tmp_path / "in.tif", model(), tmp_path / "out.tif").warnings
    assert said.startswith("6 of 9 images are constant (number 1, 2, 3, 4, 6, ...)")
    found = tifffile.imread(tmp_path / "out.tif")
    for number, one in enumerate(stack):
        if np.ptp(one) == 0:
            assert (found[number] == one[0, 0]).all()
        else:
            np.testing.assert_array_equal(found[number], restore(model().network, one, grey=GreyScale.of(one)))


def test_a_full_disk_is_told_in_sizes_that_say_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "in.tif", picture((100, 110)).astype(np.uint16))
    usage = shutil.disk_usage(tmp_path)._replace(free=870)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OutputError, match=r"176 kB are needed, 870 bytes are free\. Free some room"):
        restore_file(tmp_path / "in.tif", model(), tmp_path / "out.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


def test_the_input_is_never_written_to(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", picture().astype(np.uint16))
    with pytest.raises(OutputError, match="never written to"):
        restore_file(tmp_path / "in.tif", model(), tmp_path / "in.tif")
    with pytest.raises(UsageError, match=r"end in \.tif"):
        restore_file(tmp_path / "in.tif", model(), tmp_path / "out.png")


def test_only_what_was_restored_is_replaced(tmp_path: Path) -> None:
    for name in ("in.tif", "recorded.tif"):
        tifffile.imwrite(tmp_path / name, picture().astype(np.uint16))
    (tmp_path / "no-tiff.tif").write_text("mine")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for name in ("recorded.tif", "no-tiff.tif"):
        with pytest.raises(OutputError, match="no restored image"):
            restore_file(tmp_path / "in.tif", model(), tmp_path / name)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    restore_file(tmp_path / "in.tif", model(), tmp_path / "out.tif")
    tifffile.imwrite(tmp_path / "in.tif", picture((30, 30)).astype(np.uint16))
    restore_file(tmp_path / "in.tif", model(), tmp_path / "out.tif")
    assert tifffile.imread(tmp_path / "out.tif").shape == (60, 60)


@pytest.mark.parametrize("pixel_size_nm", [float("inf"), float("nan"), -5.0, 0.1])
def test_a_pixel_size_that_cannot_be_is_refused(tmp_path: Path, pixel_size_nm: float) -> None:
    tifffile.imwrite(tmp_path / "in.tif", picture().astype(np.uint16))
    with pytest.raises(UsageError, match="pixel"):
        restore_file(tmp_path / "in.tif", model(), tmp_path / "out.tif", pixel_size_nm=pixel_size_nm)
    assert not (tmp_path / "out.tif").exists()


def test_what_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", picture((5, 20, 20)).astype(np.uint16))
    run = Run()
    run.on_progress = lambda stage, done, total: setattr(run, "stop_requested", done > total // 2)
    with pytest.raises(ReconstructionInterrupted, match="was not written"):
        restore_file(tmp_path / "in.tif", model(), tmp_path / "out.tif", run=run)
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


def test_a_model_comes_back_as_it_was(stored: Path) -> None:
    read = load_restorer(stored)
    assert read.knowledge == model().knowledge and len(read.fingerprint) == 16
    images = torch.randn(1, 1, 9, 8)
    with torch.no_grad():
        torch.testing.assert_close(read.network(images), model().network(images))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"network": "unknown"}, "no restoration network"),
        ({"options": {"blocks": 3, "features": 4}}, "of another network"),
        ({"options": {"blocks": 2, "features": 400}}, "of another network"),
        ({"options": {"blocks": -1}}, "blocks"),
        ({"scale": 3}, "scale cannot be 3"),
        ({"scale": True}, "scale cannot be True"),
        ({"pixel_size_nm": -5}, "pixel_size_nm cannot be -5"),
        ({"pixel_size_nm": float("inf")}, "pixel_size_nm cannot be inf"),
        ({"pixel_size_nm": "90"}, "pixel_size_nm cannot be '90'"),
        ({"fields": "many", "arm": 3}, "arm cannot be 3; fields cannot be 'many'"),
        ({"fields": 2.5}, r"fields cannot be 2\.5"),
        ({"network": ["span"]}, r"network cannot be \['span'\]"),
        ({"options": [1]}, r"options cannot be \[1\]"),
        ({"more": 1}, "damaged"),
    ],
)
def test_models_that_do_not_fit_are_refused(stored: Path, change: dict[str, Any], said: str) -> None:
    path = model_paths(stored)[0]
    described = json.loads(path.read_text())
    described["knowledge"] |= change
    path.write_text(json.dumps(described))
    with pytest.raises(ModelError, match=said):
        load_restorer(stored)


def test_other_files_are_no_models(stored: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        load_restorer(tmp_path / "absent")
    weights = model_paths(stored)[1]
    weights.write_bytes(weights.read_bytes()[:-7])
    with pytest.raises(FluosrError, match="damaged"):
        load_restorer(stored)


def test_a_training_may_begin_with_published_weights(stored: Path, tmp_path: Path) -> None:
    options = {"blocks": 2, "features": 4, "growth": 3}
    network = build_restorer("rrdb-6", torch.Generator().manual_seed(0), 2, options=options)
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    safetensors.torch.save_file(weights, tmp_path / "published.safetensors")
    found = restorer_from(tmp_path / "published.safetensors")
    assert (found.knowledge.network, found.knowledge.options, found.knowledge.scale) == ("rrdb-6", options, 2)
    assert restorer_from(stored).knowledge == model().knowledge
    with pytest.raises(ModelError, match=r"does not exist\. A training begins with the NAME") as told:
        restorer_from(tmp_path / "absent")
    assert "--model" not in str(told.value)
    model_paths(stored)[0].unlink()
    with pytest.raises(ModelError, match=r"model\.json does not exist.*give its NAME") as told:
        restorer_from(stored)
    assert "--model" not in str(told.value)
