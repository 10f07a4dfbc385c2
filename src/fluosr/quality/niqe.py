"""NIQE: how far the statistics of a picture lie from those of pristine pictures of the same kind; it needs no truth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fluosr.errors import ModelError, UsageError
from fluosr.methods.trained_model import ModelKind, packed, read_model
from fluosr.quality.natural_scenes import BLOCK_PX, N_FEATURES, block_features

KIND = ModelKind("niqe", origin="as fluosr.learning.save_model writes what NiqeReference.contents() gives")
SHARP = 0.75  # of its picture's sharpest block: what a block of a pristine picture must exceed to count
LEAST_BLOCKS = N_FEATURES + 1  # fewer have a covariance that is singular for certain


@dataclass(frozen=True, eq=False)
class NiqeReference:
    """What pristine pictures look like: a Gaussian over the features of their sharp blocks.

    Attributes:
        name: of the reference set, as "MITO, training fields"; a score means nothing without it.
        n_fields: fields that took part.
        pixel_size_nm: of the pristine pictures, nm.
        block_px: side of a block, pixels.
        n_blocks: blocks that took part.
        mean: (36,).
        covariance: (36, 36).
    """

    name: str
    n_fields: int
    pixel_size_nm: float
    block_px: int
    n_blocks: int
    mean: np.ndarray
    covariance: np.ndarray

    @property
    def metric(self) -> str:
        """What tables call the score."""
        return f"NIQE against {self.name}"

    def score(self, picture: np.ndarray) -> float:
        """The distance of one picture, 0 or more; less is better.

            D = sqrt((m1 - m2)' pinv((S1 + S2) / 2) (m1 - m2))

        All blocks of the picture count, blank ones apart. Pictures of few blocks have an S2 of low rank, of one block
        none, and score a little higher for it: compare pictures of one size.

        WARNING: it asks for the statistics of sharp, clean pictures, not for the sample's truth. Invented texture of
        the right kind scores well.

        Args:
            picture: (Y, X), any unit, of the reference's pixel size. Gain and offset change nothing.

        Raises:
            UsageError: smaller than a block, constant, or with values that are not finite.

        Source:
            A. Mittal, R. Soundararajan and A. Bovik, IEEE Signal Processing Letters 20 (2013) 209, eq. 10.
        """
        found = block_features(picture, self.block_px).features
        if not len(found):
            raise UsageError("the picture is constant, or shows nothing in any block: it has no NIQE.")
        covariance = np.cov(found, rowvar=False) if len(found) > 1 else np.zeros((N_FEATURES, N_FEATURES))
        apart = self.mean - found.mean(0)
        squared = float(apart @ np.linalg.pinv((self.covariance + covariance) / 2, hermitian=True) @ apart)
        return math.sqrt(max(squared, 0.0))

    def describe(self) -> dict[str, Any]:
        """The facts of the reference set, for records and files."""
        names = ("name", "n_fields", "pixel_size_nm", "block_px", "n_blocks")
        return {name: getattr(self, name) for name in names}

    def contents(self) -> tuple[bytes, bytes]:
        """The contents of NAME.json and NAME.safetensors, as ``fluosr.learning.save_model`` writes them."""
        import torch

        return packed(
            KIND,
            self.describe() | {"n_features": N_FEATURES},
            {"mean": torch.from_numpy(self.mean), "covariance": torch.from_numpy(self.covariance)},
        )


def fit(
    pictures: list[np.ndarray] | np.ndarray, *, name: str, pixel_size_nm: float, block_px: int = BLOCK_PX
) -> NiqeReference:
    """Learn what pristine pictures look like.

    Of each picture the blocks count whose sharpness exceeds .75 of its sharpest block's.

    Args:
        pictures: one (Y, X) for every field; the high-resolution fields of the training split, and no others.
        name: of the set; it travels with every score.
        pixel_size_nm: of the pictures, nm.
        block_px: side of a block. Smaller blocks are more, and each is known less well.

    Raises:
        UsageError: no name, a pixel size that is not positive, pictures smaller than a block, a constant picture, too
            few blocks for a covariance.
    """
    if not name.strip():
        raise UsageError("a reference set for NIQE needs a name: a score means nothing without it.")
    if not (math.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise UsageError(f"the pixel size must be positive, got {pixel_size_nm} nm.")
    chosen = []
    for number, picture in enumerate(pictures):
        try:
            blocks = block_features(picture, block_px)
        except UsageError as error:
            raise UsageError(f"picture {number} (from 0) of {name!r}: {error}") from error
        if not len(blocks.features):
            raise UsageError(f"picture {number} (from 0) of {name!r} is constant, or shows nothing: leave it out.")
        chosen.append(blocks.features[blocks.sharpness > SHARP * blocks.sharpness.max()])
    found = np.concatenate(chosen) if chosen else np.empty((0, N_FEATURES))
    if len(found) < LEAST_BLOCKS:
        raise UsageError(
            f"{name!r} has {len(found)} sharp blocks of {block_px} x {block_px} pixels in {len(chosen)} fields; a "
            f"covariance of {N_FEATURES} features needs {LEAST_BLOCKS} or more: give more fields, or smaller blocks."
        )
    covariance = np.cov(found, rowvar=False)
    return NiqeReference(name, len(chosen), float(pixel_size_nm), block_px, len(found), found.mean(0), covariance)


def load_niqe(path: str | Path) -> NiqeReference:
    """A reference from its two files.

    Raises:
        ModelError: not there, damaged, or no reference of NIQE.
    """
    stored = read_model(KIND, path)
    described, tensors = stored.description, stored.tensors
    try:
        mean, covariance = (tensors[name].double().numpy() for name in ("mean", "covariance"))
        reference = NiqeReference(
            str(described["name"]),
            int(described["n_fields"]),
            float(described["pixel_size_nm"]),
            int(described["block_px"]),
            int(described["n_blocks"]),
            mean,
            covariance,
        )
        if mean.shape != (N_FEATURES,) or covariance.shape != (N_FEATURES, N_FEATURES):
            raise ValueError(f"it is not of {N_FEATURES} features")
        if not (np.isfinite(mean).all() and np.isfinite(covariance).all() and np.array_equal(covariance, covariance.T)):
            raise ValueError("its mean or covariance cannot be")
        if not (reference.pixel_size_nm > 0 and reference.block_px >= 16 and reference.block_px % 2 == 0):
            raise ValueError("its pixel size or block cannot be")
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{stored.path} is damaged, or of another layout ({error}).") from error
    return reference
