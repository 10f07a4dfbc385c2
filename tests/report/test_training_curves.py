"""The picture of a training: what it is for is seen, however short the training was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from fluosr.report.drawing import ORANGE
from fluosr.report.training_curves import draw_log


def test_a_stage_with_a_single_look_is_seen(tmp_path: Path) -> None:
    first = {"step": 0, "stage": "absolute error", "validation_error": 0.5}
    second = {"step": 6, "stage": "adversarial", "restorer": 1.0, "discriminator": 0.5}
    picture = imread(draw_log([first, second], tmp_path / "log.png"))[..., :3]
    right = picture[:, picture.shape[1] // 2 :]
    orange = np.abs(right - to_rgb(ORANGE)).max(-1) < 0.05
    orange[: right.shape[0] // 3, right.shape[1] // 2 + 60 :] = False  # the legend, at the top on the right
    assert orange.any()
