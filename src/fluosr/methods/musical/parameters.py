"""MUSICAL's parameters and the published values of them."""

from __future__ import annotations

from pydantic import Field

from fluosr.methods.movie_parameters import MovieParameters


class MusicalParameters(MovieParameters):
    """Windows, what is signal in them, and the indicator. None means: chosen from the data."""

    window_px: int | None = Field(
        None, ge=3, le=31, description="side of the sliding window, camera pixels, odd; default: the PSF's main lobe"
    )
    indicator_power: float = Field(4.0, gt=0, description="power of the indicator function (alpha)")
    signal_log10: float | None = Field(
        None,
        le=0,
        description="eigenimages are signal from this log10 of singular value over the movie's largest on; default: "
        "above what shot noise makes",
    )
    dark_windows: bool = Field(True, description="take each window's darkest mean off, so that haze is no eigenimage")

    weigh_light: bool = Field(True, description="times the window's signal, so that dim structure is shown dim")


PAPER = {
    "indicator_power": 4.0,
    "signal_log10": -1.0,
    "dark_windows": False,
    "weigh_light": False,
    "drift": False,
    "bleaching": False,
}

CITATION = """@article{Agarwal2016MUSICAL,
  title = {Multiple signal classification algorithm for super-resolution fluorescence microscopy},
  author = {Agarwal, Krishna and Mach{\\'a}{\\v{n}}, Radek},
  journal = {Nature Communications},
  volume = {7},
  pages = {13752},
  year = {2016},
  doi = {10.1038/ncomms13752}
}"""
