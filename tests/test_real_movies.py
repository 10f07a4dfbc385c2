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
        "deep-storm": {"factor": 2, "model": "any"},
    }.get(method, {"factor": 2})
    made = fluosr.reconstruct(open_movie(movie, pixel_size_nm=100.0, fwhm_nm=300.0), method, **few)
    assert any("Nothing here" in warning for warning in made.warnings)
    assert judge(made).resolution is None and judge(made).decorrelation is None


def test_molecules_of_a_test_movie_are_where_its_truth_says(shared_data: Path):
    folder, pixel_nm = shared_data / "smlm", 160.0
    content = (folder / "SIMULATED_storm_test_olist.bin").read_bytes()  # Insight3: 16 bytes, then records of 18 words
    words = np.frombuffer(content, "<f4", 18 * 2000, 16).reshape(2000, 18)
    true_nm = (words[:, :2].astype(float) - 0.5) * pixel_nm
    frame = np.ascontiguousarray(words[:, 13]).view("<i4") - 1
    acquisition = open_movie(
        folder / "SIMULATED_storm_test_10f.tif", pixel_size_nm=pixel_nm, fwhm_nm=377.0, gain=1.0, offset=100.0,
        read_noise=0.0,
    )  # fmt: skip
    found = fluosr.reconstruct(acquisition, "spot-fitting", factor=4, halves=False).localisations
    assert found is not None
    hits, alone, ratios = 0, 0, []
    for number in range(10):
        here, there = found.in_frame(number), true_nm[frame == number]
        away = np.stack([here.x_nm, here.y_nm], 1)[:, None] - there
        distance = np.linalg.norm(away, axis=2)
        assert (distance.min(1) < 1.5 * pixel_nm).mean() > 0.99, "what is found is there"
        between = np.linalg.norm(there[:, None] - there, axis=2) + 1e9 * np.eye(len(there))
        for i in np.flatnonzero(between.min(1) > 6.0 * pixel_nm):
            nearest = int(distance[:, i].argmin())
            alone += 1
            if distance[nearest, i] < 0.5 * pixel_nm:
                hits += 1
                ratios.append(away[nearest, i] / here.uncertainty_nm[nearest])
    assert alone > 1000
    assert hits / alone > 0.995
    assert np.std(ratios) < 1.06, "as sure as said"
    assert np.abs(np.mean(ratios, axis=0)).max() < 0.15


def test_hot_pixels_of_a_real_camera_are_no_molecules_once_its_maps_are_given(shared_data: Path):
    import tifffile

    folder, pixel_nm = shared_data / "smlm", 160.0
    # The calibration lies transposed to the frames, holds electrons per ADU, and its offset lacks the file's 100 ADU.
    offset, variance, gain = (
        page.T.astype(float) for page in tifffile.imread(folder / "storm_scmos_sample_calib_offset_var_gain.tif")
    )
    maps = {"gain": 1.0 / gain, "offset": 100.0 + offset, "read_noise": np.sqrt(variance) * gain}
    hot, places = variance > 200.0, {}
    for name, camera in (("maps", maps), ("numbers", {key: float(np.median(value)) for key, value in maps.items()})):
        acquisition = open_movie(folder / "storm_scmos_sample_11f.tif", pixel_size_nm=pixel_nm, fwhm_nm=400.0, **camera)
        found = fluosr.reconstruct(acquisition, "spot-fitting", factor=2, halves=False, bad_pixels=False).localisations
        assert found is not None and len(found) > 1000
        y, x = (np.clip(c / pixel_nm, 0, 255).astype(int) for c in (found.y_nm, found.x_nm))
        places[name] = len(set(zip(y[hot[y, x]].tolist(), x[hot[y, x]].tolist(), strict=True)))
    by_chance = hot.mean() * 1000
    assert places["maps"] < 1.5 * by_chance
    assert places["numbers"] > 2 * places["maps"]
