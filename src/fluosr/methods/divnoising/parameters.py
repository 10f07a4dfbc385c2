"""What the user of DivNoising can set."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fluosr.methods.movie_parameters import MovieParameters


class DivnoisingParameters(MovieParameters):
    """Noise model, training, and how many samples are drawn of the posterior."""

    noise_model: Literal["camera", "gaussian"] = Field(
        "camera",
        description="noise that the training explains: the camera's, which grows with the light, or one Gaussian",
    )
    noise_e: float | None = Field(
        None,
        ge=1e-3,
        le=1e6,
        description="of the one Gaussian, electrons rms; automatic is the camera's noise at the movie's mean light",
        json_schema_extra={"needs": {"noise_model": "gaussian"}},
    )
    iterations: int = Field(
        2000, ge=1, le=10_000_000, description="training steps at most; it stops earlier once it stands still"
    )
    batch: int = Field(8, ge=1, le=1024, description="patches per training step")
    patch_px: int = Field(
        32, ge=8, le=1024, description="side of a training patch, camera pixels; at most the field's shorter side"
    )
    filters: int = Field(32, ge=1, le=256, description="channels of the network's first layers; twice that deeper down")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="of Adam; halved where the training stands still")
    frame_samples: int = Field(4, ge=1, le=1000, description="posterior samples of every frame, for the image")
    samples: int = Field(
        100, ge=2, le=10_000, description="posterior samples of the frame shown in maps: their mean and their spread"
    )
    shown_frame: int | None = Field(
        None, ge=0, description="number of the frame shown in maps, from 0; automatic is the middle one"
    )
    calibrate: bool = Field(
        True, description="put back what the estimates' mean misses of the mean frame beyond its noise"
    )


PAPER = {
    "noise_model": "camera",
    "iterations": 20_000,
    "batch": 32,
    "patch_px": 128,
    "filters": 32,
    "learning_rate": 1e-3,
    "samples": 1000,
    "calibrate": False,
    "drift": False,
    "bleaching": False,
}

CITATION = """@inproceedings{Prakash2021DivNoising,
  title = {Fully Unsupervised Diversity Denoising with Convolutional Variational Autoencoders},
  author = {Prakash, Mangal and Krull, Alexander and Jug, Florian},
  booktitle = {International Conference on Learning Representations},
  year = {2021},
  url = {https://openreview.net/forum?id=agHLCOBM5jP}
}"""
