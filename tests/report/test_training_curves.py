"""The picture of a training: what it is for is seen, however short the training was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from fluosr.report.drawing import ORANGE
from fluosr.report.training_curves import GENERATOR, draw_log, score_panels


def test_a_stage_with_a_single_look_is_seen(tmp_path: Path) -> None:
    first = {"step": 0, "stage": "absolute error", "validation_error": 0.5}
    second = {"step": 6, "stage": "adversarial", "restorer": 1.0, "discriminator": 0.5}
    picture = imread(draw_log([first, second], tmp_path / "log.png"))[..., :3]
    right = picture[:, picture.shape[1] // 2 :]
    orange = np.abs(right - to_rgb(ORANGE)).max(-1) < 0.05
    orange[: right.shape[0] // 3, right.shape[1] // 2 + 60 :] = False  # the legend, at the top on the right
    assert orange.any()


def test_the_curves_of_a_generator_are_drawn_over_the_images_seen(tmp_path: Path) -> None:
    scores = [{"KID (a)": 0.5 - n / 10, "FID (a)": 1.0, "KID (b)": 2.0, "n": 10.0} for n in range(3)]
    entries = [{"step": n, "images": 40 * n, "generator": 1.0 + n, **scores[n]} for n in range(3)]
    panels = score_panels(entries)
    assert [panel[1] for panel in panels] == ["n = 10", "n = 10"]
    assert [[curve[:2] for curve in panel[2]] for panel in panels] == [
        [("KID (a)", "a"), ("KID (b)", "b")],
        [("FID (a)", "a")],
    ]
    whole = imread(draw_log(entries, tmp_path / "log.png", [*GENERATOR, *panels], along="images"))
    without = [{"images": entry["images"], "generator": entry["generator"]} for entry in entries]
    assert score_panels(without) == []
    less = imread(draw_log(without, tmp_path / "less.png", GENERATOR, along="images"))
    assert whole.shape[0] == less.shape[0] and whole.shape[1] == 3 * less.shape[1]  # three panels; one
