"""A generator of molecules that blink: how many a frame takes, and that a run is stopped between its frames."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import fluosr
from fluosr.emitters import BlinkingEmitters, blinking
from fluosr.errors import ReconstructionInterrupted, UsageError
from fluosr.methods.base import Estimate, Run
from tests.movies import cross_movie

MOVIE = replace(cross_movie(48), frame_interval_s=0.01)
QUICK: dict[str, Any] = {"factor": 2, "iterations": 10, "sparsity": 0.7, "smoothness": 0.3, "halves": False}
QUICK |= {"discriminator": True, "adversarial_iterations": 4, "batch": 2, "discriminator_weight": 1000.0}
BLINKING: dict[str, Any] = {"fluctuations": "blinking", "on_time_s": 0.02, "off_time_s": 0.08}


def estimate_of(**values: Any) -> Estimate:
    found: list[Estimate] = []
    fluosr.reconstruct(MOVIE, run=Run(on_estimate=found.append), **QUICK, **values)
    return found[0]


def test_the_estimate_counts_the_molecules_that_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    class Counted(blinking._Molecules):
        def __init__(self, law: Any, count: int, generator: np.random.Generator) -> None:
            drawn.append(count)
            super().__init__(law, count, generator)

    monkeypatch.setattr(blinking, "_Molecules", Counted)
    held = estimate_of(fano=0.5, **BLINKING).n_bytes - estimate_of().n_bytes
    assert len(drawn) > 8 and held == pytest.approx(blinking.BYTES_PER_MOLECULE * drawn[0], rel=0.05)
    # Later images have no more light than the flat one of the estimate.
    assert max(drawn) < 1.05 * drawn[0]


def test_more_molecules_than_can_be_drawn_are_refused_with_a_fano_factor_that_would_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def drawn(*_: object) -> None:
        raise AssertionError("molecules were drawn before they were counted")

    monkeypatch.setattr(BlinkingEmitters, "sample", drawn)
    with pytest.raises(UsageError, match=r"molecules in every frame.*--fano.*--crop.*gamma") as refused:
        fluosr.reconstruct(MOVIE, **QUICK, **BLINKING, fano=1e-5)
    (least,) = re.findall(r"--fano above (\S+) ", str(refused.value))
    with pytest.raises(AssertionError, match="counted"):
        fluosr.reconstruct(MOVIE, **QUICK, **BLINKING, fano=1.1 * float(least))
    with pytest.raises(UsageError, match="molecules in every frame"):
        fluosr.reconstruct(MOVIE, **QUICK, **BLINKING, fano=0.9 * float(least))


class Stopped:
    """Asks a run to stop while its n-th frame of molecules is drawn."""

    def __init__(self, run: Run, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, sample = 0, BlinkingEmitters.sample

        def counted(emitters: BlinkingEmitters, *given: Any) -> np.ndarray:
            self.count += 1
            run.stop_requested = run.stop_requested or self.count == n
            return sample(emitters, *given)

        monkeypatch.setattr(BlinkingEmitters, "sample", counted)


def test_a_stop_is_heeded_while_the_time_is_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run()
    drawn = Stopped(run, 1, monkeypatch)
    with pytest.raises(ReconstructionInterrupted):
        fluosr.reconstruct(MOVIE, run=run, **QUICK, **BLINKING, fano=40.0)
    assert drawn.count == 1


def test_a_stop_amid_a_round_goes_on_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fluosr.reconstruct(MOVIE, **QUICK, **BLINKING, fano=40.0)
    run = Run()
    drawn = Stopped(run, 7, monkeypatch)  # four frames are the estimate's, and each round has four
    begun = fluosr.reconstruct(MOVIE, run=run, **QUICK, **BLINKING, fano=40.0)
    assert drawn.count == 7 and not begun.finished and not np.array_equal(begun.image, whole.image)
    again = fluosr.reconstruct(MOVIE, run=Run(states=run.states), **QUICK, **BLINKING, fano=40.0)
    assert again.finished and np.array_equal(again.image, whole.image)
