"""Bleaching as a curve that all emitters follow alike."""

from __future__ import annotations

import numpy as np


def bleaching_curve(n_frames: int, frame_interval_s: float, bleaching_time_s: float | None) -> np.ndarray:
    """(T,) relative emission exp(-t / tau), scaled to mean 1 over the movie; ones where tau is None.

    Args:
        n_frames: T.
        frame_interval_s: seconds.
        bleaching_time_s: tau, the mean time an emitter stays bright, seconds.
    """
    if bleaching_time_s is None:
        return np.ones(n_frames)
    curve = np.exp(-np.arange(n_frames) * frame_interval_s / bleaching_time_s)
    return curve / curve.mean()
