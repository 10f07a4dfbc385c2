"""The picture of a training: what it is for is seen, however short the training was."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.image import imread, imsave

from fluosr.report.drawing import ORANGE
from fluosr.report.training_curves import GENERATOR, draw_log, is_log, log_lines, score_panels


def test_a_stage_with_a_single_look_is_seen() -> None:
    first = {"step": 0, "stage": "absolute error", "validation_error": 0.5}
    second = {"step": 6, "stage": "adversarial", "restorer": 1.0, "discriminator": 0.5}
    picture = imread(io.BytesIO(draw_log([first, second])))[..., :3]
    right = picture[:, picture.shape[1] // 2 :]
    orange = np.abs(right - to_rgb(ORANGE)).max(-1) < 0.05
    orange[: right.shape[0] // 3, right.shape[1] // 2 + 60 :] = False  # the legend, at the top on the right
    assert orange.any()


def test_the_curves_of_a_generator_are_drawn_over_the_images_seen() -> None:
    scores = [{"KID (a)": 0.5 - n / 10, "FID (a)": 1.0, "KID (b)": 2.0, "n": 10.0} for n in range(3)]
    entries = [{"step": n, "images": 40 * n, "generator": 1.0 + n, **scores[n]} for n in range(3)]
    panels = score_panels(entries)
    assert [panel[1] for panel in panels] == ["n = 10", "n = 10"]
    assert [[curve[:2] for curve in panel[2]] for panel in panels] == [
        [("KID (a)", "a"), ("KID (b)", "b")],
        [("FID (a)", "a")],
    ]
    whole = imread(io.BytesIO(draw_log(entries, [*GENERATOR, *panels], along="images")))
    without = [{"images": entry["images"], "generator": entry["generator"]} for entry in entries]
    assert score_panels(without) == []
    less = imread(io.BytesIO(draw_log(without, GENERATOR, along="images")))
    assert whole.shape[0] == less.shape[0] and whole.shape[1] == 3 * less.shape[1]  # three panels; one


def test_a_log_is_told_from_other_files(tmp_path: Path) -> None:
    entries = [{"step": 0, "stage": "absolute error", "validation_error": 0.5}]
    (tmp_path / "our.log.jsonl").write_bytes(log_lines(entries))
    (tmp_path / "our.log.png").write_bytes(draw_log(entries))
    (tmp_path / "made.log.jsonl").write_bytes(log_lines([{"step": 0, "images": 0, "augmentation": 0.0}]))
    imsave(tmp_path / "their.log.png", np.zeros((4, 4)))
    (tmp_path / "their.log.jsonl").write_text('{"step": 1}\n')
    (tmp_path / "text.log.jsonl").write_text("my notes\n")
    ours = {path.name for path in tmp_path.iterdir() if is_log(path)}
    assert ours == {"our.log.jsonl", "our.log.png", "made.log.jsonl"} and not is_log(tmp_path / "none.log.jsonl")
