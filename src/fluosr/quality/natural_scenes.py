"""The 36 figures of NIQE: how a picture's locally normalised pixels, and products of neighbours, are distributed."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from fluosr.errors import UsageError
from fluosr.quality.picture_stack import picture_stack

BLOCK_PX = 96
N_FEATURES = 36
WINDOW_SIGMA_PX = 7 / 6
WINDOW_RADIUS_PX = 3
GREY_VALUES = 255.0  # the constant of the normalisation is one of so many grey values
RANGE_QUANTILES = (0.001, 0.999)  # what spans those: single hot pixels do not count
BLANK = 1e-3  # spread of a block's normalised pixels below which it shows nothing
SHAPES = (0.2, 10.0)  # of the distributions, between which they are told apart


@dataclass(frozen=True, eq=False)
class BlockFeatures:
    """Features of the blocks of one picture; blocks that show nothing are left out.

    Attributes:
        features: (B, 36), 18 at full size and 18 at half size.
        sharpness: (B,) mean local standard deviation, the picture's unit.
        n_blank: blocks left out.
    """

    features: np.ndarray
    sharpness: np.ndarray
    n_blank: int


def block_features(picture: np.ndarray, block_px: int = BLOCK_PX) -> BlockFeatures:
    """The 36 features of every block of a picture.

    A block has block_px pixels a side at full size and half of it at half size. Its 18 features at each size are shape
    and scale of a generalised Gaussian fitted to its normalised pixels, and shape, mean, left and right scale of an
    asymmetric one fitted to the products of neighbours: right, below, and on both diagonals.

    What differs from the authors' program: the normalisation's constant is 1/255 of the picture's own range (its .1 and
    99.9 % quantiles) rather than one grey value of 8 bits, so that gain and offset change nothing; neighbours are
    taken within the block and do not wrap around; the first pair is fitted by a symmetric distribution, as the paper
    says.

    Args:
        picture: (Y, X), any unit. What exceeds a whole number of blocks at its end is left out.
        block_px: side of a block, an even number of 16 or more.

    Returns:
        Features of the blocks that show something; none where the picture is constant.

    Raises:
        UsageError: a picture smaller than one block, a block that cannot be, values that are not finite.

    Source:
        A. Mittal, R. Soundararajan and A. Bovik, IEEE Signal Processing Letters 20 (2013) 209, eqs. 1 to 8.
    """
    if block_px < 16 or block_px % 2:
        raise UsageError(f"a block of NIQE needs an even side of 16 pixels or more, not {block_px}.")
    (picture,) = picture_stack(np.asarray(picture)[None], "a picture for NIQE", least_px=block_px)
    height, width = (side // block_px * block_px for side in picture.shape)
    picture = picture[:height, :width].astype(np.float64)
    constant = grey_value(picture)
    n_blocks = (height // block_px) * (width // block_px)
    if constant == 0:
        return BlockFeatures(np.empty((0, N_FEATURES)), np.empty(0), n_blocks)
    full, spread = normalised(picture, constant)
    half, _ = normalised(_halved(picture), constant)
    blocks = [_blocks(full, block_px), _blocks(half, block_px // 2)]
    shown = np.all([part.std((1, 2)) > BLANK for part in blocks], axis=0)
    features = np.concatenate([_statistics(part[shown]) for part in blocks], axis=1)
    sharpness = _blocks(spread, block_px).mean((1, 2))[shown]
    return BlockFeatures(features, sharpness, int(n_blocks - shown.sum()))


def grey_value(picture: np.ndarray) -> float:
    """1/255 of a picture's range, from its .1 to its 99.9 % quantile; 0 where it is constant."""
    low, high = np.quantile(picture, RANGE_QUANTILES)
    # A picture of a few dots on nothing has them beyond these quantiles.
    step = float(high - low if high > low else np.ptp(picture)) / GREY_VALUES
    return step if step > np.finfo(np.float32).eps * float(np.abs(picture).max()) else 0.0


def normalised(picture: np.ndarray, constant: float) -> tuple[np.ndarray, np.ndarray]:
    """(I - mu) / (sigma + C) and sigma, with mu and sigma of a 7 x 7 Gaussian window around every pixel.

    Args:
        picture: (Y, X); its border pixels are repeated beyond it.
        constant: C > 0, the picture's unit.
    """
    from scipy.ndimage import gaussian_filter

    # Without the mean, squares lose fewer digits.
    picture = picture - picture.mean()

    def window_mean(values: np.ndarray) -> np.ndarray:
        return np.asarray(gaussian_filter(values, WINDOW_SIGMA_PX, mode="nearest", radius=WINDOW_RADIUS_PX))

    mean = window_mean(picture)
    spread = np.sqrt(np.clip(window_mean(picture * picture) - mean * mean, 0.0, None))
    return (picture - mean) / (spread + constant), spread


def generalised_gaussian(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape a and scale b of a / (2 b Gamma(1 / a)) exp(-|x / b|^a), by moments: E|x|^2 / E x^2 gives the shape.

    Args:
        values: (B, n) of mean 0, not all 0.

    Returns:
        (B,) shapes between .2 and 10, (B,) scales.

    Source:
        K. Sharifi and A. Leon-Garcia, IEEE Transactions on Circuits and Systems for Video Technology 5 (1995) 52.
    """
    power = (values**2).mean(1)
    shape = _shape_of_ratio(np.abs(values).mean(1) ** 2 / power)
    return shape, np.sqrt(power) * _scale_of_deviation(shape)


def asymmetric_generalised_gaussian(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Shape a, mean and left and right scale of a distribution with one scale on either side of 0, by moments.

        a / ((bl + br) Gamma(1 / a)) exp(-|x / b|^a),  b = bl for x < 0 and br else
        mean = (br - bl) Gamma(2 / a) / Gamma(1 / a)

    Args:
        values: (B, n), not all 0.

    Returns:
        (B,) shapes between .2 and 10, means, left scales, right scales; a side without values has scale 0.

    Source:
        N. Lasmar, Y. Stitou and Y. Berthoumieu, IEEE International Conference on Image Processing (2009) 2281.
    """
    from scipy.special import gammaln

    squares = values**2
    left, right = (
        np.sqrt(np.where(side, squares, 0.0).sum(1) / np.maximum(side.sum(1), 1)) for side in (values < 0, values > 0)
    )
    ratio = np.abs(values).mean(1) ** 2 / squares.mean(1)
    asymmetry = (left**3 + right**3) * (left + right) / (left**2 + right**2) ** 2
    shape = _shape_of_ratio(ratio * asymmetry)
    left, right = left * _scale_of_deviation(shape), right * _scale_of_deviation(shape)
    mean = (right - left) * np.exp(gammaln(2 / shape) - gammaln(1 / shape))
    return shape, mean, left, right


def _statistics(blocks: np.ndarray) -> np.ndarray:
    """(B, h, w) normalised pixels -> (B, 18)."""
    count = len(blocks)
    neighbours = (
        blocks[:, :, :-1] * blocks[:, :, 1:],
        blocks[:, :-1] * blocks[:, 1:],
        blocks[:, :-1, :-1] * blocks[:, 1:, 1:],
        blocks[:, :-1, 1:] * blocks[:, 1:, :-1],
    )
    found = [*generalised_gaussian(blocks.reshape(count, -1))]
    for products in neighbours:
        found += asymmetric_generalised_gaussian(products.reshape(count, -1))
    return np.stack(found, axis=1)


def _blocks(picture: np.ndarray, side: int) -> np.ndarray:
    """(Y, X) of whole blocks -> (B, side, side), row by row."""
    rows, columns = (length // side for length in picture.shape)
    return picture.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(rows * columns, side, side)


def _halved(picture: np.ndarray) -> np.ndarray:
    """(Y, X), even -> (Y / 2, X / 2), bicubic and without aliases."""
    import torch

    half = (picture.shape[0] // 2, picture.shape[1] // 2)
    stack = torch.from_numpy(np.ascontiguousarray(picture))[None, None]
    return torch.nn.functional.interpolate(stack, half, mode="bicubic", antialias=True)[0, 0].numpy()


@functools.cache
def _shape_table() -> tuple[np.ndarray, np.ndarray]:
    """Gamma(2 / a)^2 / (Gamma(1 / a) Gamma(3 / a)), which grows with a, and a."""
    from scipy.special import gammaln

    shape = np.arange(SHAPES[0], SHAPES[1] + 5e-4, 1e-3)
    return np.exp(2 * gammaln(2 / shape) - gammaln(1 / shape) - gammaln(3 / shape)), shape


def _shape_of_ratio(ratio: np.ndarray) -> np.ndarray:
    ratios, shapes = _shape_table()
    return np.interp(ratio, ratios, shapes)


def _scale_of_deviation(shape: np.ndarray) -> np.ndarray:
    """Scale over standard deviation: sqrt(Gamma(1 / a) / Gamma(3 / a))."""
    from scipy.special import gammaln

    return np.exp(0.5 * (gammaln(1 / shape) - gammaln(3 / shape)))
