"""Real movies end to end: what a user of them would be told. Skipped where the reference data are absent."""

from pathlib import Path

import numpy as np
import pytest

import fluosr
import fluosr.methods.registry
from fluosr.io.movie import open_movie
from fluosr.pipeline import run_to_folder
from fluosr.quality.judge import judge
from fluosr.quality.residuals import residual_map
from tests.models import give_models


def test_the_phantom_with_drift_shows_two_lines_in_the_middle_and_leaves_a_report(shared_data: Path, tmp_path: Path):
    movie = shared_data / "fluogan" / "argo_video_210nm_500f.tif"
    before = movie.read_bytes()
    acquisition = open_movie(movie, pixel_size_nm=103.0, fwhm_nm=318.0, crop="0,0,50,32")
    parameters = fluosr.methods.registry.get_method("fluogan").build(
        factor=6, halves=False, sparsity=0.35, iterations=2000
    )
    made = run_to_folder(acquisition, tmp_path, parameters=parameters).reconstruction
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert movie.read_bytes() == before
    drift = [note for note in made.warnings if "rift" in note]
    assert drift, "the movie jumps by .8 pixel near frame 250"
    profile = made.image[30:-30].mean(0)
    middle = profile[80:128]
    left, right = 7 + np.argmax(middle[7:24]), 24 + np.argmax(middle[24:])
    valley = middle[left:right].min()
    assert valley < 0.74 * min(middle[left], middle[right])
    assert 140 < (right - left) * made.pixel_size_nm < 240


def test_a_cardiomyoblast_is_explained_to_its_noise(shared_data: Path):
    movie = shared_data / "fluctuation" / "musij_cardiomyoblast_mito_100f.tif"
    acquisition = open_movie(movie, pixel_size_nm=80.0, na=1.4, wavelength_nm=510.0)
    made = fluosr.reconstruct(acquisition, factor=4, iterations=400, halves=False)
    residuals = residual_map(made)
    assert residuals.at_noise_level, residuals.verdict
    assert made.significance > 20


@pytest.mark.parametrize("method", fluosr.methods.registry.method_names())
def test_a_field_with_nothing_in_it_is_called_so_by_every_method(
    method: str, shared_data: Path, monkeypatch: pytest.MonkeyPatch
):
    give_models(monkeypatch)
    movie = shared_data / "fluctuation" / "musij_008_diffuse_200f.tif"
    few = {
        "fluogan": {"iterations": 300},
        "divnoising": {"factor": 2, "iterations": 20, "filters": 4},
        "unfolded": {"factor": 2, "model": "any"},
    }.get(method, {"factor": 2})
    made = fluosr.reconstruct(open_movie(movie, pixel_size_nm=100.0, fwhm_nm=300.0), method, **few)
    assert any("Nothing here" in warning for warning in made.warnings)
    assert judge(made).resolution is None and judge(made).decorrelation is None
