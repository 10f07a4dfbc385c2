"""The default network and the physics arm, stopped and gone on with through files, end in the files of one go."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluosr.checkpoint import FILE_NAME
from fluosr.degradations.confocal import RandomisedConfocal
from fluosr.degradations.microscope import ScanningRanges
from fluosr.errors import CheckpointError, ReconstructionInterrupted
from fluosr.learning import train_to_files, training_folder
from fluosr.methods.base import Run
from fluosr.restoration.arms import physics_arm
from fluosr.restoration.lesson import lesson_of
from fluosr.restoration.parameters import RestorationTraining
from tests.restoration.fields_at_hand import field

FIELDS = [field(number) for number in range(4)]
RANGES = ScanningRanges(
    180.0,
    (200.0, 260.0),
    (2.0, 8.0),
    background_photons=(0.1, 0.5),
    phase_px=(0.2, 0.5),
    jitter_px=(0.0, 0.2),
    lag_px=(0.3, 0.6),
    gain_times_excess_adu_per_e=(30.0, 60.0),
    excess_noise=(1.2, 1.5),
    offset_adu=(95.0, 105.0),
    read_noise_adu=(4.0, 9.0),
)
TINY = RestorationTraining(
    arm="physics", network="nafnet", blocks=1, features=4, discriminator_features=4, batch=2, patch=16,
    iterations=14, gan_iterations=18, evaluation=5,
)  # fmt: skip


def learnt(output: Path, *, resume: bool = False, seed: int = 3, run: Run | None = None) -> list[bytes]:
    degrade = physics_arm(RandomisedConfocal(RANGES), FIELDS)
    lesson = lesson_of(FIELDS, 2, TINY, degrade=degrade, degradation=RANGES.describe())
    return [
        path.read_bytes() for path in train_to_files(lesson, output, seed=seed, device="cpu", resume=resume, run=run)[1]
    ]


@pytest.fixture(scope="module")
def in_one_go(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    return learnt(tmp_path_factory.mktemp("whole") / "model")


@pytest.mark.parametrize("stop", [(7,), (17, 23)])
def test_a_training_gone_on_with_ends_in_the_same_bits(
    tmp_path: Path, in_one_go: list[bytes], stop: tuple[int]
) -> None:
    output = tmp_path / "model"
    for number, step in enumerate(stop):
        run = Run()
        run.on_progress = lambda stage, done, total, step=step, run=run: setattr(run, "stop_requested", done >= step)
        with pytest.raises(ReconstructionInterrupted, match="of training are kept"):
            learnt(output, resume=number > 0, run=run)
        assert (training_folder(output) / FILE_NAME).stat().st_size > 1000 and not output.with_suffix(".json").exists()
    with pytest.raises(CheckpointError, match="seed"):
        learnt(output, resume=True, seed=4)
    assert learnt(output, resume=True) == in_one_go
    assert not training_folder(output).exists()
