"""The movie on its way in: lazy, selected without copies, and refused where it cannot be one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluosr import acquisition
from fluosr.acquisition import Acquisition, ArrayFrames, FrameSelection
from fluosr.camera import Camera
from fluosr.errors import AcquisitionError, MissingMetadataError, OpticsError
from fluosr.optics.psf import GaussianPSF

PSF = GaussianPSF(324.0)


def movie(shape=(7, 9, 11), *, dtype=np.uint16, camera=Camera(), **options):
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    return Acquisition(ArrayFrames(array), 100.0, PSF, camera, **options)


class CountingFrames(ArrayFrames):
    """Remembers how many frames were asked for at once."""

    asked: list[int] = []  # noqa: RUF012

    def read(self, indices):
        found = super().read(indices)
        self.asked.append(len(found))
        return found


def test_photons_are_grey_values_through_the_camera():
    a = movie(camera=Camera(2.0, 10.0))
    assert (a.n_frames, a.field_shape) == (7, (9, 11))
    np.testing.assert_allclose(a.photons([3, 1]), (a.frames.array[[3, 1]].astype(float) - 10) / 2)
    np.testing.assert_allclose(a.photons(slice(2, 5)), (a.frames.array[2:5].astype(float) - 10) / 2)


@given(budget=st.integers(1, 5000))
def test_chunks_cover_the_movie_once_within_their_bytes(budget):
    a = Acquisition(CountingFrames(np.arange(693).reshape(7, 9, 11)), 100.0, PSF, Camera())
    CountingFrames.asked.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(acquisition, "CHUNK_BYTES", budget)
        parts = list(a.chunks())
    np.testing.assert_array_equal(np.concatenate([p for _, p in parts]), a.frames.array)
    assert [i for where, _ in parts for i in range(7)[where]] == list(range(7))
    assert max(CountingFrames.asked) <= max(1, budget // (9 * 11 * 4))


@given(
    start=st.integers(0, 5), stop=st.integers(0, 20), step=st.integers(1, 4),
    y=st.integers(0, 3), x=st.integers(0, 4), data=st.data(),
)  # fmt: skip
def test_a_selection_is_the_slice_of_the_array(start, stop, step, y, x, data):
    array = np.arange(20 * 9 * 11).reshape(20, 9, 11)
    frames = range(start, stop, step)
    selection = FrameSelection(ArrayFrames(array), frames, (y, x, 5, 6))
    wanted = array[list(frames)][:, y : y + 5, x : x + 6]
    assert selection.shape == wanted.shape
    assert selection.dtype == array.dtype
    np.testing.assert_array_equal(selection.read(slice(None)), wanted)
    part = data.draw(st.slices(len(frames)))
    np.testing.assert_array_equal(selection.read(part), wanted[part])
    if len(frames):
        some = data.draw(st.lists(st.integers(0, len(frames) - 1), max_size=5))
        np.testing.assert_array_equal(selection.read(some), wanted[some])


def test_selections_nest_and_keep_everything_else():
    a = movie((20, 12, 14), name="nested", warnings=("kept",))
    b = a.select(frames=range(2, 20, 2), window=(1, 2, 10, 9)).select(frames=range(1, 6), window=(3, 1, 6, 7))
    np.testing.assert_array_equal(b.photons(slice(None)), a.frames.array[4:14:2, 4:10, 3:10])
    assert (b.name, b.warnings, b.pixel_size_nm) == ("nested", ("kept",), 100.0)
    assert a.select().frames.shape == a.frames.shape


def test_selecting_no_frames_is_not_selecting_all():
    with pytest.raises(AcquisitionError, match="0 frame"):
        movie().select(frames=range(3, 3))


@pytest.mark.parametrize("where", [slice(2, 7), [5, 4, 2]])
def test_nan_is_reported_with_its_frame(where):
    a = movie(dtype=np.float32)
    a.frames.array[4, 2, 2] = np.nan
    with pytest.raises(AcquisitionError, match=r"frame 4 .*--frames"):
        a.photons(where)
    with pytest.raises(AcquisitionError, match="frame 4"):
        list(a.chunks())
    assert np.isfinite(a.photons([0, 1])).all()


@pytest.mark.parametrize(
    ("shape", "pixel", "fwhm", "error", "words"),
    [
        ((1, 9, 9), 100.0, 324.0, AcquisitionError, "1 frame"),
        ((9, 3, 9), 100.0, 324.0, AcquisitionError, "3 x 9"),
        ((9, 9, 9), None, 324.0, MissingMetadataError, "--pixel-size"),
        ((9, 9, 9), float("nan"), 324.0, MissingMetadataError, "positive"),
        ((9, 9, 9), 0.1, 0.324, MissingMetadataError, "--pixel-size 100"),
        ((9, 9, 9), 10.0, 324.0, OpticsError, "larger than the field"),
        ((9, 9, 9), 400.0, 324.0, OpticsError, "smaller than the pixel"),
    ],
)
def test_what_cannot_be_a_movie_is_refused(shape, pixel, fwhm, error, words):
    with pytest.raises(error, match=words):
        Acquisition(ArrayFrames(np.zeros(shape)), pixel, GaussianPSF(fwhm), Camera())


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint64])
def test_values_that_no_camera_gives_are_reported_with_their_frame(dtype):
    a = movie(dtype=dtype)
    a.frames.array[3, 1, 1] = 10**15
    with pytest.raises(AcquisitionError, match=r"frame 3 holds values beyond 1e\+12.*--frames"):
        list(a.chunks())
    assert a.photons([0]).dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float16, np.uint8, np.bool_, np.int32])
def test_all_other_values_are_taken(dtype):
    assert np.isfinite(movie((5, 4, 6), dtype=dtype).photons(slice(None))).all()
