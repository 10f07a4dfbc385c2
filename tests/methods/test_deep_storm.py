"""Deep-STORM: the examples it learns from, its loss, its peaks, and that it learns."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from fluosr.errors import UsageError
from fluosr.methods.deep_storm.examples import Instrument, draw_examples
from fluosr.methods.deep_storm.heatmap import HEIGHT, loss, peaks, places, prepared
from fluosr.methods.deep_storm.training import Schedule, Training

SPARSE = Instrument(100.0, 250.0, 4, density_per_um2=(0.5, 1.0), background_photons=(2.0, 2.0))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_examples_have_the_light_that_was_asked_for() -> None:
    instrument = Instrument(100.0, 250.0, 2, (4.0, 4.0), 500.0, 0.5, (3.0, 5.0), 0.0)
    frames, molecules = draw_examples(instrument, 400, 12, seeded())
    assert frames.shape == (400, 12, 12) and molecules.shape == (400, 24, 24)
    area_um2 = 400 * 1.2**2
    assert float(molecules.sum()) == pytest.approx(4.0 * area_um2, abs=5 * (4.0 * area_um2) ** 0.5)
    # Light that leaves the field is made up for by molecules outside it.
    wanted = 4.0 + 4.0 * 500.0 * 0.1**2
    assert float(frames.mean()) == pytest.approx(wanted, rel=0.05)


def test_a_molecule_lies_where_its_light_is() -> None:
    lonely = Instrument(100.0, 250.0, 4, (0.1, 0.1), 1e5, 0.0, (0.0, 0.0), 0.0)
    frames, molecules = draw_examples(lonely, 600, 16, seeded())
    truth = places(molecules, lonely.fine_nm)
    at, wrong_nm = (np.arange(16) + 0.5) * 100.0, []
    for number, frame in enumerate(frames.numpy().astype(float)):
        place = truth.in_frame(number)
        if len(place) == 1 and all(bool(500 < c[0] < 1100) for c in (place.x_nm, place.y_nm)):
            centre = frame.sum(0) @ at / frame.sum(), frame.sum(1) @ at / frame.sum()
            wrong_nm.append((centre[0] - place.x_nm[0], centre[1] - place.y_nm[0]))
    # Some have another molecule's light from beyond the rim.
    assert len(wrong_nm) > 5 and np.abs(np.median(wrong_nm, axis=0)).max() < 1.0


def test_the_loss_is_the_papers_written_out() -> None:
    random = np.random.default_rng(0)
    found, molecules = random.normal(0.0, 3.0, (2, 15, 12)), random.poisson(0.05, (2, 15, 12)).astype(float)
    blurred = [
        gaussian_filter(f - HEIGHT * m, 1.0, truncate=3.0, mode="constant")
        for f, m in zip(found, molecules, strict=True)
    ]
    wanted = np.mean(np.square(blurred)) + np.abs(found).mean()
    assert float(loss(torch.as_tensor(found), torch.as_tensor(molecules))) == pytest.approx(wanted, rel=1e-5)


def test_frames_are_prepared_alike_whatever_gain_and_level() -> None:
    frames = torch.rand(3, 5, 6, generator=seeded())
    torch.testing.assert_close(prepared(frames, 2), prepared(30.0 * frames + 7.0, 2), rtol=1e-4, atol=1e-4)
    assert prepared(frames, 3).shape == (3, 15, 18)
    assert bool(prepared(torch.ones(1, 5, 6), 2).eq(0).all()), "an even frame says nothing"


def test_peaks_are_where_they_were_put() -> None:
    heatmaps = torch.zeros(3, 12, 16)
    heatmaps[0, 4, 5] = 60.0
    heatmaps[0, 4, 6] = 30.0
    heatmaps[2, 9, 2] = 20.0
    heatmaps[2, 0, 15] = 55.0  # in the corner
    found = peaks(heatmaps, 25.0, 25.0, first_frame=7)
    np.testing.assert_array_equal(found.frame, [7, 9])
    np.testing.assert_allclose(found.x_nm, [25.0 * (5.5 + 30 / 90), 25.0 * 15.5])
    np.testing.assert_allclose(found.y_nm, [25.0 * 4.5, 25.0 * 0.5])
    assert len(peaks(torch.zeros(2, 8, 8), 0.0, 25.0)) == 0
    assert len(peaks(-torch.ones(2, 8, 8), 0.0, 25.0)) == 0


def trained(steps: int, seed: int = 0) -> Training:
    training = Training(partial(draw_examples, SPARSE), 4, Schedule(40, batch=2, side_px=8, filters=2), seed)
    for _ in range(steps):
        training.step()
    return training


def test_training_stopped_and_taken_up_gives_the_same_bits() -> None:
    whole, first = trained(40), trained(17)
    again = trained(0)
    again.restore({name: value.clone() for name, value in first.tensors().items()})
    while not again.finished:
        again.step()
    for name, value in whole.tensors().items():
        assert torch.equal(value, again.tensors()[name]), name


def test_it_learns_to_place_sparse_molecules() -> None:
    bright = Instrument(100.0, 250.0, 2, (1.0, 1.0), 3000.0, 0.1, (2.0, 2.0), 0.0)
    training = Training(
        partial(draw_examples, bright), 2, Schedule(300, batch=4, side_px=12, learning_rate=3e-3, filters=8), 0
    )
    while not training.finished:
        training.step()
    frames, molecules = draw_examples(bright, 20, 12, seeded(3))
    with torch.no_grad():
        found = peaks(training.best_network()(prepared(frames, 2)), 25.0, 50.0)
    true = places(molecules, 50.0)
    near = 0
    for k in range(20):
        a, b = found.in_frame(k), true.in_frame(k)
        if len(a) and len(b):
            near += int((np.hypot(a.x_nm - b.x_nm[:, None], a.y_nm - b.y_nm[:, None]).min(1) < 100.0).sum())
    assert near > 0.7 * len(true)
    assert len(found) < 1.5 * len(true)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"density_per_um2": (0.0, 1.0)}, "density_per_um2"),
        ({"density_per_um2": (3.0, 1.0)}, "in this order"),
        ({"background_photons": (-1.0, 1.0)}, "background_photons"),
        ({"photons": 0.0}, "photons must be positive"),
        ({"density_per_um2": (1.0, 1e4)}, "6.25 molecules into every fine pixel of 25 nm"),
    ],
)
def test_an_instrument_that_cannot_be_is_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Instrument(100.0, 250.0, 4, **wrong)  # type: ignore[arg-type]
