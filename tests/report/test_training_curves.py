"""The picture of a training: what it is for is seen, however short the training was."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.image import imread, imsave

from fluosr.report.drawing import ORANGE
from fluosr.report.training_curves import draw_log, is_log, log_lines


def test_a_stage_with_a_single_look_is_seen() -> None:
    first = {"step": 0, "stage": "absolute error", "validation_error": 0.5}
    second = {"step": 6, "stage": "adversarial", "restorer": 1.0, "discriminator": 0.5}
    picture = imread(io.BytesIO(draw_log([first, second])))[..., :3]
    right = picture[:, picture.shape[1] // 2 :]
    orange = np.abs(right - to_rgb(ORANGE)).max(-1) < 0.05
    orange[: right.shape[0] // 3, right.shape[1] // 2 + 60 :] = False  # the legend, at the top on the right
    assert orange.any()


def test_a_log_is_told_from_other_files(tmp_path: Path) -> None:
    entries = [{"step": 0, "stage": "absolute error", "validation_error": 0.5}]
    (tmp_path / "our.log.jsonl").write_bytes(log_lines(entries))
    (tmp_path / "our.log.png").write_bytes(draw_log(entries))
    imsave(tmp_path / "their.log.png", np.zeros((4, 4)))
    (tmp_path / "their.log.jsonl").write_text('{"step": 1}\n')
    (tmp_path / "text.log.jsonl").write_text("my notes\n")
    ours = {path.name for path in tmp_path.iterdir() if is_log(path)}
    assert ours == {"our.log.jsonl", "our.log.png"} and not is_log(tmp_path / "none.log.jsonl")
