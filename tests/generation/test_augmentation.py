"""Augmentation: nothing at p = 0, exactness of what moves whole pixels, and the law of each draw."""

from __future__ import annotations

import math

import pytest
import torch

from fluosr.generation import augmentation
from fluosr.generation.augmentation import augmented, composed, moved, warped, with_gain
from tests.restorers import seeded


def images(count: int = 4, side: int = 16, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, 2, side, side, generator=seeded(seed), dtype=torch.float64)


def test_without_probability_the_images_come_back_bit_for_bit() -> None:
    given = images()
    generator = seeded()
    assert augmented(given, 0.0, generator) is given
    assert torch.equal(generator.get_state(), seeded().get_state())


def test_images_that_no_change_was_drawn_for_stay_bit_for_bit() -> None:
    given = images(2000, side=4)
    same = (augmented(given, 0.05, seeded()) == given).all(3).all(2).all(1)
    # Nothing happens to flip (half the time it would), turn (a quarter), shift, scale, stretch, rotations, move, gain;
    # a whole shift of at most half a pixel rounds to none.
    expected = (1 - 0.05 / 2) * (1 - 0.05 * 3 / 4) * (1 - 0.05) ** 5
    assert float(same.double().mean()) == pytest.approx(expected, abs=0.035)


def test_flips_and_turns_are_exact() -> None:
    given = images(8)
    flips = torch.arange(8) >= 4
    turns = torch.arange(8) % 4
    found = moved(given, flips, turns, torch.zeros(8, 2, dtype=torch.long))
    for number in range(8):
        expected = given[number].flip(2) if number >= 4 else given[number]
        assert torch.equal(found[number], torch.rot90(expected, number % 4, (1, 2)))
    assert (
        len(
            {
                tuple(image.flatten().tolist())
                for image in moved(given[:1].expand(8, -1, -1, -1), flips, turns, torch.zeros(8, 2, dtype=torch.long))
            }
        )
        == 8
    )


@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-5, 7), (16, 0), (40, -33)])
def test_whole_shifts_are_exact_with_a_mirrored_border(shift: tuple[int, int]) -> None:
    given = images(1, side=8)
    found = moved(given, torch.tensor([False]), torch.tensor([0]), torch.tensor([shift]))
    endless = torch.cat([given, given.flip(3)], 3)
    endless = torch.cat([endless, endless.flip(2)], 2)
    expected = endless.roll(shift, (2, 3))[:, :, :8, :8]
    assert torch.equal(found, expected)


def test_a_warp_by_nothing_by_a_quarter_turn_and_by_a_whole_pixel() -> None:
    given = images(1)
    eye, none = torch.eye(2, dtype=torch.float64)[None], torch.zeros(1, 2, dtype=torch.float64)
    torch.testing.assert_close(warped(given, eye, none), given)
    quarter = torch.tensor([[[0.0, -1.0], [1.0, 0.0]]], dtype=torch.float64)
    torch.testing.assert_close(warped(given, quarter, none), torch.rot90(given, 1, (2, 3)))
    one = torch.tensor([[1 / 16, 0.0]], dtype=torch.float64)  # along x
    shifted = moved(given, torch.tensor([False]), torch.tensor([0]), torch.tensor([[0, -1]]))
    torch.testing.assert_close(warped(given, eye, one), shifted)


def test_changes_are_composed_in_their_order_and_the_shift_comes_last() -> None:
    # Against one warp after another, on a blob so smooth that interpolating it many times does little.
    side = 64
    rows, columns = torch.meshgrid(*[(torch.arange(side, dtype=torch.float64) + 0.5) / side - 0.5] * 2, indexing="ij")
    blob = torch.exp(-((rows - 0.06) ** 2 + 2 * (columns + 0.08) ** 2) / (2 * 0.1**2))
    angle = math.pi / 5
    turn = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    changes = [[[1.3, 0.0], [0.0, 1.3]], turn, [[1.25, 0.0], [0.0, 0.8]], [[0.0, 1.0], [-1.0, 0.0]]]
    matrices = [torch.tensor([values], dtype=torch.float64) for values in changes]
    shifts, none = torch.tensor([[0.11, -0.06]], dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64)
    expected = blob[None, None]
    for matrix in matrices:
        expected = warped(expected, matrix, none)
    expected = warped(expected, torch.eye(2, dtype=torch.float64)[None], shifts)
    found = warped(blob[None, None], *composed(matrices, shifts))
    middle = (slice(None), slice(None), slice(8, -8), slice(8, -8))  # what lies nearer to the border is mirrored
    assert float((found - expected)[middle].abs().max()) < 0.05  # interpolated once or five times


def test_the_fractional_shift_is_of_the_picture_that_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[torch.Tensor, torch.Tensor]] = []

    def seen(images: torch.Tensor, matrices: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
        given.append((matrices, shifts))
        return images

    monkeypatch.setattr(augmentation, "warped", seen)
    augmented(torch.zeros(20_000, 1, 4, 4, dtype=torch.float64), 1.0, seeded())
    ((matrices, shifts),) = given
    scale = torch.linalg.det(matrices).abs().sqrt()
    assert float(scale.log2().std()) == pytest.approx(0.2, rel=0.03)
    # What is shown at -s' comes from the middle: M (-s') + s = 0.
    moved = torch.linalg.solve(matrices, shifts)
    for part in (moved[scale < 1], moved[scale >= 1]):  # by as much, whether the picture was made larger or smaller
        assert part.std(0).tolist() == pytest.approx([0.125, 0.125], rel=0.04)


def test_the_gain_acts_about_the_background_channel_by_channel() -> None:
    given = torch.full((1, 2, 3, 3), -1.0)
    given[:, :, 1, 1] = 0.5
    found = with_gain(given, torch.tensor([[2.0, 1.0]]))
    assert float(found[0, 0, 0, 0]) == -1.0 and float(found[0, 0, 1, 1]) == 2.0
    assert torch.equal(found[0, 1], given[0, 1])


def test_gains_have_the_spread_that_is_said_and_differ_between_channels() -> None:
    flat = torch.ones(4000, 2, 2, 2, dtype=torch.float64)  # geometry changes nothing in it
    gains = torch.log2((augmented(flat, 1.0, seeded())[:, :, 0, 0] + 1) / 2)
    assert float(gains.std()) == pytest.approx(0.5, rel=0.05)
    assert abs(float(torch.corrcoef(gains.T)[0, 1])) < 0.06


def test_at_full_probability_a_dot_is_scaled_as_said() -> None:
    # The area of a square grows by 2^(2 N(0, 0.2^2)): its logarithm has this spread; stretching keeps the area.
    side, half = 64, 5
    square = torch.full((1500, 1, side, side), -1.0, dtype=torch.float64)
    square[:, :, side // 2 - half : side // 2 + half, side // 2 - half : side // 2 + half] = 1.0
    made = augmented(square, 1.0, seeded()) + 1
    peak = made.flatten(1).max(1).values
    area = made.sum((1, 2, 3)) / peak
    logs = torch.log2(area / (2 * half) ** 2)
    middle = logs.sort().values[75:-75]  # without those that left the image, or met their mirror image
    normal = torch.randn(1500, generator=seeded(3), dtype=torch.float64).mul(2 * 0.2).sort().values[75:-75]
    assert float(middle.std()) == pytest.approx(float(normal.std()), rel=0.15)


def test_gradients_flow_through_and_are_those_of_a_linear_map() -> None:
    given = images(3, side=8).requires_grad_()
    made = augmented(given, 1.0, seeded())
    weight = images(3, side=8, seed=5)
    (slope,) = torch.autograd.grad((made * weight).sum(), given)
    other = images(3, side=8, seed=6)
    # A(x + t) - A(x) = L t, and <L t, w> = <t, L' w>
    difference = augmented(given.detach() + other, 1.0, seeded()) - made.detach()
    assert float((difference * weight).sum()) == pytest.approx(float((other * slope).sum()), rel=1e-9)


@pytest.mark.parametrize("probability", [1.0, 0.6])
def test_all_eight_orientations_are_drawn_as_often_as_said(monkeypatch: pytest.MonkeyPatch, probability: float) -> None:
    # Nothing but flips and turns: on four pixels a whole shift is of a quarter of a pixel at most, and rounds to none.
    for other in ("_interpolated", "_stained"):
        monkeypatch.setattr(augmentation, other, lambda images, draws: images)
    corner = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    found = augmented(corner.expand(8000, 1, 2, 2), probability, seeded()).flatten(1)
    counts = {tuple(values.tolist()): 0 for values in found.unique(dim=0)}
    for values in found.tolist():
        counts[tuple(values)] += 1
    expected = dict.fromkeys(counts, 0.0)
    for flip in (False, True):
        for turns in range(4):
            image = torch.rot90(corner.flip(1) if flip else corner, turns)
            flips = probability / 2 if flip else 1 - probability / 2
            turned = probability / 4 if turns else 1 - 3 * probability / 4
            expected[tuple(image.flatten().tolist())] += flips * turned
    assert len(counts) == 8
    for orientation, share in expected.items():
        assert counts[orientation] / 8000 == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 8000))
