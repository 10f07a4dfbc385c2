"""Patches: the products that avoid large matrices are those of the matrices; the moments are those of the frames."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fluosr.methods.covariance.moments import PatchMoments
from fluosr.methods.covariance.patches import Patches
from fluosr.optics.kronecker import imaging_pairs
from fluosr.optics.psf import AiryPSF, GaussianPSF, PointSpreadFunction
from fluosr.optics.sampling import Grid, margin_for
from tests.methods.covariances import dense

PIXEL_NM = 100.0
PSFS = [GaussianPSF(140.0), GaussianPSF(320.0), AiryPSF(1.4, 600.0, reach_rings=2.0)]
every_psf = pytest.mark.parametrize("psf", PSFS, ids=["narrow", "wide", "airy"])


def patches_of(psf: PointSpreadFunction, field: tuple[int, int] = (11, 9), factor: int = 2) -> Patches:
    return Patches(Grid(field, factor, margin_for(psf.fwhm_nm, PIXEL_NM)), psf, PIXEL_NM)


def patch_operators(patches: Patches, psf: PointSpreadFunction) -> list[np.ndarray]:
    """A_p of every patch, (py px, ny nx): the rows of A at its pixels, dark outside its window of the fine grid."""
    grid = patches.grid
    a = dense(imaging_pairs(grid, psf, PIXEL_NM)).reshape(*grid.field_shape, *grid.shape)
    found = []
    for y, x in patches.corners:
        window = np.zeros(grid.shape)
        height, width = ((side + 2 * grid.margin) * grid.factor for side in patches.side)
        window[y * grid.factor : y * grid.factor + height, x * grid.factor : x * grid.factor + width] = 1.0
        rows = a[y : y + patches.side[0], x : x + patches.side[1]] * window
        found.append(rows.reshape(patches.side[0] * patches.side[1], -1))
    return found


def coordinates_of(patches: Patches) -> np.ndarray:
    """Q, (py px, M)."""
    n = patches.side[0] * patches.side[1]
    return patches.project(torch.eye(n, dtype=torch.float64).reshape(n, *patches.side)).numpy()


def random(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def symmetric(matrices: torch.Tensor) -> torch.Tensor:
    return 0.5 * (matrices + matrices.mT)


def cover_of(patches: Patches) -> torch.Tensor:
    """(Y, X) how many patches each camera pixel lies in."""
    return patches.gather_adjoint(torch.ones(len(patches), *patches.side, dtype=torch.float64))


def inner(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a * b).sum())


fields = st.tuples(st.integers(3, 14), st.integers(3, 14))


@settings(max_examples=15)
@given(psf=st.sampled_from(PSFS), field=fields, factor=st.integers(1, 3), seed=st.integers(0, 1000))
def test_every_product_and_its_adjoint_agree(
    psf: PointSpreadFunction, field: tuple[int, int], factor: int, seed: int
) -> None:
    patches, generator = patches_of(psf, field, factor), torch.Generator().manual_seed(seed)
    count, size, side = len(patches), patches.size, patches.side
    fine, image = random(generator, *patches.grid.shape), random(generator, *field)
    windows = patches.windows(fine)
    parts, z = random(generator, count, *side), random(generator, count, size)
    matrices = symmetric(random(generator, count, size, size))
    pairs = [
        (inner(patches.gather(image), parts), inner(image, patches.gather_adjoint(parts))),
        (inner(windows, other := random(generator, *windows.shape)), inner(fine, patches.windows_adjoint(other))),
        (inner(patches.project(parts), z), inner(parts, patches.project_adjoint(z))),
        (inner(patches.forward(windows), parts), inner(windows, patches.adjoint(parts))),
        (inner(patches.project(patches.forward(windows)), z), inner(windows, patches.seen_adjoint(z))),
        (inner(patches.covariance(windows), matrices), inner(windows, patches.covariance_adjoint(matrices))),
        (inner(patches.noise(parts), matrices), inner(parts, patches.noise_adjoint(matrices))),
    ]
    for ahead, back in pairs:
        assert ahead == pytest.approx(back, rel=1e-10, abs=1e-10)


@every_psf
def test_the_products_are_those_of_the_matrices_written_out(psf: PointSpreadFunction) -> None:
    patches, generator = patches_of(psf, (20, 9)), torch.Generator().manual_seed(1)
    assert len(patches) > 1
    fine, variances = random(generator, *patches.grid.shape), random(generator, len(patches), *patches.side)
    q = coordinates_of(patches)
    np.testing.assert_allclose(q.T @ q, np.eye(patches.size), atol=1e-12)
    windows = patches.windows(fine)
    forward, covariance, noise = patches.forward(windows), patches.covariance(windows), patches.noise(variances)
    for k, a in enumerate(patch_operators(patches, psf)):
        x = fine.numpy().ravel()
        np.testing.assert_allclose(forward[k].numpy().ravel(), a @ x, rtol=1e-10, atol=1e-12)
        wanted = q.T @ (a * x) @ a.T @ q
        np.testing.assert_allclose(covariance[k].numpy(), wanted, atol=1e-4 * np.abs(wanted).max())
        np.testing.assert_allclose(noise[k].numpy(), (q.T * variances[k].numpy().ravel()) @ q, atol=1e-12)


@every_psf
def test_what_the_coordinates_leave_out_of_a_point_s_light_is_next_to_nothing(psf: PointSpreadFunction) -> None:
    patches = patches_of(psf, factor=3)
    q = coordinates_of(patches)
    for a in patch_operators(patches, psf):
        lost = a - q @ (q.T @ a)
        assert np.linalg.norm(lost, axis=0).max() < 0.02 * np.linalg.norm(a, axis=0).max()


def test_a_wide_psf_is_seen_in_fewer_numbers_than_there_are_pixels() -> None:
    patches = patches_of(GaussianPSF(320.0), (20, 20))
    assert patches.size <= 0.67 * patches.side[0] * patches.side[1]


@given(field=st.tuples(st.integers(2, 70), st.integers(2, 70)), fwhm_nm=st.floats(120.0, 500.0))
def test_patches_cover_the_field_and_overlap_by_more_than_a_psf(field: tuple[int, int], fwhm_nm: float) -> None:
    patches = Patches(Grid(field, 1, 1), GaussianPSF(fwhm_nm), PIXEL_NM)
    assert float(cover_of(patches).min()) >= 1
    for axis in (0, 1):
        starts = sorted({corner[axis] for corner in patches.corners})
        ends = [start + patches.side[axis] for start in starts]
        assert starts[0] == 0 and ends[-1] == field[axis]
        for end, following in zip(ends, starts[1:], strict=False):
            assert end - following >= 1.25 * fwhm_nm / PIXEL_NM


@given(field=st.tuples(st.integers(2, 60), st.integers(2, 60)))
def test_every_pixel_counts_once_on_average(field: tuple[int, int]) -> None:
    patches = Patches(Grid(field, 1, 1), GaussianPSF(150.0), PIXEL_NM)
    assert patches.weight * float(cover_of(patches).mean()) == pytest.approx(1.0)


def test_a_block_is_the_patches_of_the_smaller_field() -> None:
    psf, generator = GaussianPSF(150.0), torch.Generator().manual_seed(2)
    patches = patches_of(psf, (20, 26))
    columns = len({x for _, x in patches.corners})
    members = [row * columns + column for row in (1, 2) for column in (1, 2)]
    block = patches.block(members)
    (top, left), (height, width) = block.origin, block.grid.field_shape
    assert (top, left) == patches.corners[members[0]]
    margin, factor = 2 * block.grid.margin, block.grid.factor
    image, fine = random(generator, *patches.grid.field_shape), random(generator, *patches.grid.shape)
    part = image[top : top + height, left : left + width]
    seen = fine[
        top * factor : (top + height + margin) * factor,
        left * factor : (left + width + margin) * factor,
    ]
    assert seen.shape == block.grid.shape
    assert torch.equal(block.gather(part), patches.gather(image)[members])
    assert torch.equal(block.windows(seen), patches.windows(fine)[members])
    covariance = patches.covariance(patches.windows(fine))[members]
    torch.testing.assert_close(block.covariance(block.windows(seen)), covariance, rtol=1e-12, atol=1e-12)
    assert block.weight * float(cover_of(block).mean()) == pytest.approx(1.0)


def frames_of_noise(count: int, field: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(4.0, 5.0, (count, *field)).astype(np.float32)


@settings(max_examples=20)
@given(cuts=st.lists(st.integers(1, 36), max_size=6), run_length=st.integers(1, 9), halt=st.integers(0, 6))
def test_moments_gathered_in_any_chunks_are_those_of_the_frames(cuts: list[int], run_length: int, halt: int) -> None:
    patches, frames = patches_of(GaussianPSF(140.0), (10, 9)), frames_of_noise(37, (10, 9))
    moments = PatchMoments(patches, np.full((10, 9), 21.0), run_length)
    for number, (start, stop) in enumerate(itertools.pairwise(sorted({0, *cuts, 37}))):
        moments.add(frames[start:stop])
        if number == halt:
            resumed = PatchMoments(patches, np.full((10, 9), 21.0), run_length)
            resumed.restore(moments.state())
            moments = resumed
    turns = np.arange(37) // run_length % 2
    q = coordinates_of(patches)
    for part in (None, 0, 1):
        dealt = frames if part is None else frames[turns == part]
        if not len(dealt):
            continue
        found = moments.moments(part)
        assert found.count == len(dealt)
        for k, (y, x) in enumerate(patches.corners):
            z = dealt[:, y : y + patches.side[0], x : x + patches.side[1]].reshape(len(dealt), -1).astype(float) @ q
            np.testing.assert_allclose(found.mean[k].numpy(), z.mean(0), rtol=1e-10, atol=1e-9)
            wanted = np.cov(z.T, ddof=0).reshape(patches.size, patches.size)
            np.testing.assert_allclose(found.covariance[k].numpy(), wanted, rtol=1e-8, atol=1e-8)


def test_a_state_restored_goes_on_bit_for_bit_and_is_not_shared() -> None:
    patches, frames = patches_of(GaussianPSF(140.0), (10, 9)), frames_of_noise(30, (10, 9))
    whole, broken, resumed = (PatchMoments(patches, frames.mean(0), 4) for _ in range(3))
    for moments in (whole, broken):
        moments.add(frames[:13])
    kept = broken.state()
    resumed.restore(kept)
    broken.add(frames[:5])
    for moments in (whole, resumed):
        moments.add(frames[13:])
    assert whole.count == resumed.count == 30
    assert torch.equal(whole.moments().covariance, resumed.moments().covariance)
    assert torch.equal(whole.moments(1).mean, resumed.moments(1).mean)
