"""Images restored in tiles: as in one pass over the whole, whatever their size, in memory that does not grow."""

from __future__ import annotations

import errno
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from fluosr.errors import OutputError, UsageError
from fluosr.methods.base import Run, StopRequested
from fluosr.networks.nafnet import NAFNet
from fluosr.networks.restorer import Restorer
from fluosr.networks.restorers import build_restorer, restorer_names
from fluosr.restoration import tiles
from fluosr.restoration.tiles import MARGIN_PX, restore
from tests.restorers import SMALL, seeded, small_restorer

NAMES, SCALES = restorer_names(), (1, 2, 4)
SEAM = 1e-5  # largest difference from the whole pass, over the largest output


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def whole_pass(network: Restorer, image: np.ndarray) -> np.ndarray:
    """The image reflected by its margin and up to whole cells, through the network at once, and cut out again."""
    m, s = network.multiple, network.scale
    assert MARGIN_PX % m == 0
    pads = [(MARGIN_PX, MARGIN_PX + -side % m) for side in image.shape]
    padded = torch.from_numpy(np.pad(image, pads, mode="reflect"))
    with torch.inference_mode():
        made = network(padded[None, None])[0, 0].numpy()
    rows, columns = (slice(MARGIN_PX * s, (MARGIN_PX + side) * s) for side in image.shape)
    return made[rows, columns]


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", NAMES)
def test_tiles_leave_no_seam(name: str, scale: int) -> None:
    network = small_restorer(name, scale)
    for shape, tile_px in (((61, 47), 20), ((30, 64), 31), ((9, 130), 64)):
        image = draw(*shape, seed=sum(shape))
        assert difference(restore(network, image, tile_px=tile_px), whole_pass(network, image)) < SEAM


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", ["rrdb-6", "nafnet", "span"])
def test_images_smaller_than_a_tile_are_one_pass(name: str, scale: int) -> None:
    network = small_restorer(name, scale)
    for shape in ((1, 1), (1, 7), (3, 2), (5, 23)):
        image = draw(*shape)
        assert difference(restore(network, image), whole_pass(network, image)) < SEAM
        assert difference(restore(network, image, tile_px=3), whole_pass(network, image)) < SEAM


@pytest.mark.parametrize("name", NAMES)
def test_a_halo_one_cell_too_small_would_be_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Else the tests above could not fail.
    network, image = small_restorer(name, 2), draw(61, 47)
    known, known_stages = tiles.reach_px, tiles.stage_reaches
    monkeypatch.setattr(tiles, "reach_px", lambda network: known(network) - network.multiple)
    monkeypatch.setattr(tiles, "stage_reaches", lambda network: [reach - 1 for reach in known_stages(network)])
    assert difference(restore(network, image, tile_px=20), whole_pass(network, image)) > SEAM


def test_leading_axes_are_taken_one_image_after_another() -> None:
    network, images = small_restorer("span", 2), draw(2, 3, 21, 18)
    made = restore(network, images, tile_px=10)
    assert made.shape == (2, 3, 42, 36) and made.dtype == np.float32
    for index in np.ndindex(2, 3):
        assert np.array_equal(made[index], restore(network, images[index], tile_px=10))
    assert restore(network, images[:0]).shape == (0, 3, 42, 36)


def test_numbers_of_any_kind_are_taken_as_they_are() -> None:
    network = small_restorer("span", 2)
    counts = np.random.default_rng(0).integers(0, 60, (20, 20)).astype(np.uint16)
    assert np.array_equal(restore(network, counts), restore(network, counts.astype(np.float64)))


def test_the_network_is_left_in_training_if_it_was() -> None:
    network = small_restorer("span", 1).train()
    restore(network, draw(8, 8))
    assert network.training


# Flips and turns.


def symmetries(images: np.ndarray) -> list[np.ndarray]:
    return [
        turned[..., ::step] for turned in (np.rot90(images, k, axes=(-2, -1)) for k in range(4)) for step in (1, -1)
    ]


def back(images: list[np.ndarray]) -> list[np.ndarray]:
    """The inverse of each."""
    return [
        np.rot90(image[..., ::step], -k, axes=(-2, -1))
        for image, (k, step) in zip(images, [(k, step) for k in range(4) for step in (1, -1)], strict=True)
    ]


@pytest.mark.parametrize("name", ["rrdb-6", "nafnet"])
def test_the_ensemble_is_the_mean_over_flips_and_turns(name: str) -> None:
    network, image = small_restorer(name, 2), draw(23, 37)
    passes = back([whole_pass(network, np.ascontiguousarray(view)) for view in symmetries(image)])
    expected = np.stack(passes).mean(axis=0)
    assert difference(restore(network, image, tile_px=20, ensemble=True), expected) < SEAM
    assert difference(passes[0], expected) > 0.01


def test_a_flipped_or_turned_image_gives_a_flipped_or_turned_ensemble() -> None:
    network, image = small_restorer("rrdb-6", 2), draw(13, 22)  # an odd side: padded at one end only
    made = restore(network, image, ensemble=True)
    for view, expected in zip(symmetries(image), symmetries(made), strict=True):
        assert difference(restore(network, view, ensemble=True), expected) < SEAM


# Memory.


def peaks(network: Restorer, image: np.ndarray, out: np.ndarray) -> tuple[int, int]:
    """(numbers in the largest tensor that leaves a layer, most bytes of arrays that live at once)."""
    largest = 0

    def count(layer: nn.Module, given: object, made: object) -> None:
        nonlocal largest
        for tensor in made if isinstance(made, tuple) else (made,):
            assert isinstance(tensor, torch.Tensor)
            largest = max(largest, tensor.numel())

    handle = register_module_forward_hook(count)
    tracemalloc.start()
    try:
        restore(network, image, out, tile_px=16)
        return largest, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        handle.remove()


@pytest.mark.parametrize("name", ["rrdb-6", "nafnet", "span"])
def test_memory_grows_with_the_tile_and_not_with_the_image(name: str, tmp_path: Path) -> None:
    network = build_restorer(name, seeded(), 2, options=SMALL[name]).eval()
    found = []
    for side in (48, 144):
        image = np.memmap(tmp_path / f"{side}.in", np.float32, "w+", shape=(side, side))
        out = np.memmap(tmp_path / f"{side}.out", np.float32, "w+", shape=(2 * side, 2 * side))
        found.append(peaks(network, image, out))
    (tensor, arrays), (tensor_of_large, arrays_of_large) = found
    assert tensor_of_large <= 1.2 * tensor  # tiles are cut evenly: not quite the same in both
    assert arrays_of_large < arrays + 144 * 144  # a quarter of the image, a sixteenth of what comes out


def test_output_goes_where_it_is_wanted(tmp_path: Path) -> None:
    network, image = small_restorer("rrdb-23", 4), draw(40, 33)
    out = np.memmap(tmp_path / "out", np.float32, "w+", shape=(160, 132))
    assert restore(network, image, out, tile_px=16) is out
    assert np.array_equal(out, restore(network, image, tile_px=16))


# Progress and stopping.


@pytest.mark.parametrize(("name", "stages"), [("span", 1), ("rrdb-23", 4)])
@pytest.mark.parametrize("ensemble", [False, True])
def test_progress_counts_up_to_its_total(name: str, stages: int, ensemble: bool) -> None:
    told: list[tuple[str, int, int]] = []
    run = Run(on_progress=lambda *progress: told.append(progress))
    restore(small_restorer(name, 2), draw(2, 30, 20), tile_px=10, ensemble=ensemble, run=run)
    total = 2 * 6 * stages * (8 if ensemble else 1)
    assert told == [("restoring", done, total) for done in range(total + 1)]


def test_asked_to_stop_it_stops_before_the_next_tile_and_keeps_those_done() -> None:
    network, image, run = small_restorer("span", 2), draw(40, 40), Run()

    def stop_at_the_third(stage: str, done: int, total: int) -> None:
        run.stop_requested = done == 2

    run.on_progress = stop_at_the_third
    out = np.full((80, 80), np.nan, np.float32)
    with pytest.raises(StopRequested):
        restore(network, image, out, tile_px=20, run=run)
    done = np.isfinite(out)
    assert done.mean() == pytest.approx(0.5)
    assert np.array_equal(out[done], restore(network, image, tile_px=20)[done])


# What cannot be.


@pytest.mark.parametrize(
    ("images", "out", "words"),
    [
        (draw(5), None, r"\(\.\.\., Y, X\)"),
        (draw(0, 5), None, r"\(\.\.\., Y, X\)"),
        (draw(5, 5).astype(complex), None, "complex"),
        (draw(5, 6), np.empty((10, 10), np.float32), r"\(10, 12\) floats"),
        (draw(5, 5), np.empty((10, 10), np.uint16), "uint16"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(images: np.ndarray, out: np.ndarray | None, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        restore(small_restorer("span", 2), images, out)


def test_tiles_and_channels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 1 pixel"):
        restore(small_restorer("span", 2), draw(5, 5), tile_px=0)
    with pytest.raises(UsageError, match="one channel"):
        restore(NAFNet(seeded(), channels=3, blocks=1, features=2), draw(5, 5))


def test_no_room_for_features_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OutputError, match="TMPDIR"):
        restore(small_restorer("rrdb-6", 2), draw(40, 40), tile_px=20)
    restore(small_restorer("rrdb-6", 2), draw(40, 40))  # one tile needs none
