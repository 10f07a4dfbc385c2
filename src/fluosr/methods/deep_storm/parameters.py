"""What the user of Deep-STORM can set: of its use, and of its training."""

from __future__ import annotations

from pydantic import Field

from fluosr.methods.base import MethodParameters
from fluosr.methods.movie_parameters import MovieParameters


class DeepStormParameters(MovieParameters):
    """A trained model; the grid is the model's."""

    factor: int | None = Field(
        None, ge=1, le=32, description="fine pixels per camera pixel along each axis (L); only the model's is possible"
    )
    bleaching: bool = Field(False, description="scale frames to even brightness; the model knows single frames")
    model: str | None = Field(None, description="trained model: NAME of NAME.json and NAME.safetensors; needed")
    threshold: float = Field(
        0.2, gt=0, le=10, description="light of a peak of the network's map that counts as a molecule, in molecules"
    )


class DeepStormTraining(MethodParameters):
    """What the examples show, and how long the network learns from them."""

    least_density: float = Field(0.5, gt=0, le=1e4, description="of active molecules in an example, per um2 and frame")
    most_density: float = Field(6.0, gt=0, le=1e4, description="the same, at most; an example has one density between")
    photons: float = Field(1000.0, gt=0, le=1e7, description="of a molecule in a frame, on average")
    photon_spread: float = Field(0.3, ge=0, le=10, description="standard deviation over mean of the photons, lognormal")
    least_background: float = Field(1.0, ge=0, le=1e6, description="photons per camera pixel")
    most_background: float = Field(20.0, ge=0, le=1e6, description="photons per camera pixel, at the most")
    read_noise: float = Field(1.0, ge=0, le=1e4, description="of the camera, electrons rms")
    iterations: int = Field(2000, ge=1, le=10_000_000, description="training steps")
    batch: int = Field(8, ge=2, le=4096, description="examples per step, drawn anew at each")
    side_px: int = Field(26, ge=4, le=512, description="side of an example, camera pixels")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="of Adam at the beginning; falls along a cosine")
    filters: int = Field(32, ge=1, le=1024, description="channels of the network's first layer; the paper has 32")


CITATION = """@article{Nehme2018DeepSTORM,
  title = {Deep-STORM: super-resolution single-molecule microscopy by deep learning},
  author = {Nehme, Elias and Weiss, Lucien E. and Michaeli, Tomer and Shechtman, Yoav},
  journal = {Optica},
  volume = {5},
  number = {4},
  pages = {458--464},
  year = {2018},
  doi = {10.1364/OPTICA.5.000458}
}"""
