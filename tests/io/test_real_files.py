"""Movies and images of real microscopes, read from a folder beside the project; skipped where it is absent."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from fluosr.errors import ImageReadError, MissingMetadataError, OpticsError
from fluosr.io.movie import open_movie
from fluosr.io.tiff import open_tiff

DATA = Path(os.environ.get("FLUOSR_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"reference data not found at {DATA} (set FLUOSR_DATA)")

MOVIES = {  # as SOURCES.md there lists them
    "fluctuation/deconstorm_microtubule_626f.tif": ((626, 16, 16), "float32"),
    "fluctuation/musij_008_diffuse_200f.tif": ((200, 66, 70), "uint16"),
    "fluctuation/musij_014_mito_50f.tif": ((50, 70, 70), "uint16"),
    "fluctuation/musij_cardiomyoblast_mito_100f.tif": ((100, 30, 45), "uint16"),
    "fluctuation/ncs_EB3_sCMOS_20f.tif": ((20, 512, 512), "uint8"),
    "fluogan/argo_video_210nm_500f.tif": ((500, 50, 50), "uint8"),
    "fluogan/argo_real_frame.tif": ((1, 50, 266), "float32"),
    "formats/MetamorphImage.tif": ((1, 520, 696), "uint16"),
    "formats/s_1_t_1_c_1_z_1.ome.tiff": ((1, 325, 475), "uint16"),
    "smlm/SIMULATED_isbi2013_bundled_tubes_361f.tif": ((361, 64, 64), "uint16"),
    "smlm/SIMULATED_storm_test_10f.tif": ((10, 256, 256), "uint16"),
    "smlm/imdecorr_microtubules_SR_image.tif": ((1, 1001, 1001), "uint16"),
    "smlm/sdt_pMHC_AF647_10f.tif": ((10, 128, 128), "uint16"),
    "smlm/storm_bgsub_5f.tif": ((5, 256, 256), "uint16"),
    "smlm/storm_scmos_sample_11f.tif": ((11, 256, 256), "uint16"),
}


@pytest.mark.parametrize("name", MOVIES)
def test_movie(name: str) -> None:
    shape, dtype = MOVIES[name]
    movie = open_tiff(DATA / name)
    assert (movie.frames.shape, movie.frames.dtype) == (shape, dtype)
    np.testing.assert_array_equal(movie.frames.read(slice(None)), tifffile.imread(DATA / name).reshape(shape))


@pytest.mark.parametrize(
    ("name", "nm"),
    [
        ("formats/MetamorphImage.tif", 645.0),
        ("formats/s_1_t_1_c_1_z_1.ome.tiff", 1083.3),
        ("pairs/Bead_Image1_crop.tif", 22.5),
    ],
)
def test_pixel_size(name: str, nm: float) -> None:
    assert open_tiff(DATA / name, time_axis="any").pixel_size_nm == pytest.approx(nm, rel=0.02)


@pytest.mark.parametrize("channel", [0, 1])
def test_each_file_of_a_set_gives_both_channels(channel: int) -> None:
    folder = DATA / "formats" / "tubhiswt-2D"
    path = folder / f"tubhiswt_C{channel}.ome.tif"
    with pytest.raises(MissingMetadataError, match="2 images lie along C"):
        open_tiff(path)
    for other in (0, 1):
        got = open_tiff(path, channel=other).frames.read([0])[0]
        with tifffile.TiffFile(folder / f"tubhiswt_C{other}.ome.tif", is_ome=False) as tif:
            np.testing.assert_array_equal(got, tif.pages.first.asarray())


@pytest.mark.parametrize("name", ["DAPI_GFP.czi", "cluster.nd2", "LeicaLASX_wavelength-sweep_example.lif"])
def test_other_formats_are_named(name: str) -> None:
    with pytest.raises(ImageReadError, match=r"is a (Zeiss|Nikon|Leica).*Fiji"):
        open_tiff(DATA / "formats" / name)


def test_camera_maps_are_no_movie() -> None:
    with pytest.raises(MissingMetadataError, match="3 images lie along C"):
        open_tiff(DATA / "smlm" / "storm_scmos_sample_calib_offset_var_gain.tif")


def test_a_bead_stack_as_psf(tmp_path: Path) -> None:
    field = DATA / "pairs" / "Bead_Image1_crop.tif"
    movie = DATA / "fluogan" / "argo_video_210nm_500f.tif"
    facts = {"pixel_size_nm": 103, "gain": 1, "offset": 0, "read_noise": 0}
    with pytest.raises(OpticsError, match="shows 4 spots"):
        open_movie(movie, psf=field, **facts)
    bead = tmp_path / "bead.tif"
    tifffile.imwrite(bead, tifffile.imread(field)[:, 60:105, 53:98])
    opened = open_movie(movie, psf=bead, psf_pixel_size_nm=22, **facts)
    assert 150 < opened.psf.fwhm_nm < 400
    assert any("41 planes" in warning for warning in opened.warnings)
