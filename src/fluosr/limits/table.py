"""What an experiment can show at all: bounds over separations, the smallest one, the frames that a wanted one needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fluosr.errors import UsageError
from fluosr.limits.bound import (
    WIDEST_FWHM,
    Criterion,
    SeparationBound,
    SmallestSeparation,
    chance_of_two,
    checked_window,
    separation_bound,
    smallest_separation,
)
from fluosr.limits.scene import LARGEST, Experiment, Pair

FEW_BURSTS = 100  # of each line in the whole movie
FEW_PHOTONS = 20.0  # of the brightest pixel in the whole movie
DIFFERS = 1.05  # ratio of two bounds from which on it is worth a word
MOST_ROWS = 1000
ROWS_OF_SEARCH = 6  # the search for the smallest separation takes as long as so many rows


@dataclass(frozen=True)
class Row:
    """One separation.

    Attributes:
        bound: the bounds.
        mean_frames, covariance_frames: frames that tell it apart, by the mean alone, and by mean and covariance.
        mean_chance, covariance_chance: chance that a test which splits 5 % of single lines proves the pair.
    """

    bound: SeparationBound
    mean_frames: int
    covariance_frames: int
    mean_chance: float
    covariance_chance: float

    def describe(self) -> dict[str, float]:
        """All figures by their names."""
        return {**asdict(self.bound), **{name: value for name, value in vars(self).items() if name != "bound"}}


@dataclass(frozen=True)
class Limit:
    """The answer.

    Attributes:
        experiment, pair: what it was asked for.
        criterion: when a pair counts as told apart.
        rows: in ascending order of separation.
        smallest: told apart with the frames given.
        wanted: the separation that was asked for by name; None for none.
        warnings: what limits the answer, in words.
    """

    experiment: Experiment
    pair: Pair
    criterion: Criterion
    rows: tuple[Row, ...]
    smallest: SmallestSeparation
    wanted: Row | None
    warnings: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """Everything, for the record."""
        experiment = {name: value for name, value in vars(self.experiment).items() if name != "psf"}
        return {
            "experiment": {"psf": self.experiment.psf.describe(), **experiment},
            "pair": asdict(self.pair),
            "criterion": asdict(self.criterion),
            "smallest_separation": asdict(self.smallest),
            "wanted": None if self.wanted is None else self.wanted.describe(),
            "rows": [row.describe() for row in self.rows],
            "warnings": list(self.warnings),
        }

    def sentences(self) -> list[str]:
        """The answer in plain words."""
        frames = self.experiment.frames
        found = self.smallest
        smallest = [
            "none up to twice the PSF's width"
            if not math.isfinite(nm)
            else f"{nm:.3g} nm" + (" or less (no closer pair was searched)" if or_less else "")
            for nm, or_less in (
                (found.mean_nm, found.mean_or_less),
                (found.covariance_nm, found.covariance_or_less),
            )
        ]
        said = [
            f"The smallest separation told apart with {frames:,} frames: {smallest[0]} by the mean alone, "
            f"{smallest[1]} by mean and covariance."
        ]
        if self.wanted is not None:
            row = self.wanted
            verdict = {
                (True, True): "told apart by the mean alone, and by mean and covariance",
                (False, True): "told apart by mean and covariance, not by the mean alone",
                (True, False): "told apart by the mean alone",
                (False, False): "not told apart, neither by the mean alone nor by mean and covariance",
            }[row.mean_frames <= frames, row.covariance_frames <= frames]
            said.insert(
                0,
                f"With this experiment two {self.pair.shape} {row.bound.separation_nm:g} nm apart are {verdict}. "
                f"Frames needed: {count_of(row.mean_frames)} for the mean alone, {count_of(row.covariance_frames)} for "
                f"mean and covariance; the movie has {frames:,}.",
            )
        return said


def count_of(frames: int) -> str:
    """A number of frames; of more than any movie has, no more than that."""
    return f"{frames:,}" if frames <= LARGEST else "more than 1e9"


def find_limit(
    experiment: Experiment,
    pair: Pair,
    separations_nm: Sequence[float],
    *,
    wanted_nm: float | None = None,
    criterion: Criterion | None = None,
    slope: bool = False,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Limit:
    """Bounds for several separations, and what follows from them.

    Args:
        experiment: the microscope, the camera and the movie.
        pair: two lines or two points.
        separations_nm: d of each row.
        wanted_nm: a separation to answer for in words.
        criterion: when a pair counts as told apart.
        slope: the background may also be inclined.
        on_progress: called with a stage, what is done and what there is to do, after each row and at the end.

    Raises:
        UsageError: no separations, too many, or one that cannot be.
    """
    if not 1 <= len(separations_nm) <= MOST_ROWS:
        raise UsageError(f"a limit takes 1 to {MOST_ROWS} separations, got {len(separations_nm)}.")
    criterion = criterion or Criterion()

    def row(separation: float) -> Row:
        bound = separation_bound(experiment, pair, separation, slope=slope)
        known = ((bound.mean_nm, bound.mean_balance), (bound.covariance_nm, bound.covariance_balance))
        frames = [criterion.frames_needed(separation, *both, experiment.frames) for both in known]
        chances = [chance_of_two(spread, separation) for spread, _ in known]
        return Row(bound, frames[0], frames[1], chances[0], chances[1])

    separations = sorted(set(separations_nm))
    asked = separations if wanted_nm is None else [*separations, wanted_nm]
    work = [math.prod(checked_window(experiment, pair, nm, None)) ** 3 for nm in asked]
    total = sum(work) + ROWS_OF_SEARCH * math.prod(pair.window(experiment, WIDEST_FWHM * experiment.psf.fwhm_nm)) ** 3
    found = []
    for number, separation in enumerate(asked, 1):
        found.append(row(separation))
        if on_progress is not None:
            on_progress("bounds", sum(work[:number]), total)
    rows, wanted = tuple(found[: len(separations)]), None if wanted_nm is None else found[-1]
    smallest = smallest_separation(experiment, pair, criterion=criterion, slope=slope)
    if on_progress is not None:
        on_progress("bounds", total, total)
    said = _warnings(experiment, pair, criterion, found)
    if wanted is not None:
        said += _few_frames(experiment, pair, wanted)
    return Limit(experiment, pair, criterion, rows, smallest, wanted, tuple(said))


def _warnings(experiment: Experiment, pair: Pair, criterion: Criterion, rows: Sequence[Row]) -> list[str]:
    said = []
    bursts = experiment.frames * _bursts_per_frame(experiment, pair, rows[0].bound.separation_nm)
    if bursts < FEW_BURSTS:
        said.append(
            f"Each of the {pair.shape} gives {bursts:.2g} bursts of {experiment.fano_factor:g} photons in the whole "
            f"movie: with fewer than {FEW_BURSTS} the bounds are rough. So few can be located one by one, which tells "
            "more."
        )
    if experiment.frames * experiment.photons < FEW_PHOTONS:
        said.append(
            f"The brightest pixel counts {experiment.frames * experiment.photons:.3g} photons in the whole movie: with "
            f"fewer than {FEW_PHOTONS:g} the bounds are rough."
        )
    if not math.isfinite(criterion.balanced) and any(row.bound.mean_balance > 1 for row in rows):
        said.append(
            "The pair is taken to be equally bright. The closest separations cannot be measured otherwise: the mean "
            "does not tell how the light divides between the two."
        )
    noisier = [row.bound for row in rows if row.bound.mean_nm > DIFFERS * row.bound.mean_steady_nm]
    if noisier:
        worst = max(noisier, key=lambda bound: bound.mean_nm / bound.mean_steady_nm)
        said.append(
            f"The fluctuations are noise in the mean frame, and are counted there: at {worst.separation_nm:g} nm its "
            f"bound is {worst.mean_nm:.3g} nm, and would be {worst.mean_steady_nm:.3g} nm if the emitters were steady."
        )
    wrong = [row.bound for row in rows if row.bound.covariance_nm > DIFFERS * row.bound.gaussian_nm]
    if wrong:
        worst = max(wrong, key=lambda bound: bound.covariance_nm / bound.gaussian_nm)
        said.append(
            f"Photon counts and bursts are skewed: at {worst.separation_nm:g} nm the bound of mean and covariance is "
            f"{worst.covariance_nm:.3g} nm, and not the {worst.gaussian_nm:.3g} nm of Gaussian frames. A fit that "
            f"takes frames for Gaussian reaches {worst.gaussian_fit_nm:.3g} nm."
        )
    return said


def _few_frames(experiment: Experiment, pair: Pair, wanted: Row) -> list[str]:
    """Where the frames needed are so few that their number is not to be taken at its word."""
    per_frame = _bursts_per_frame(experiment, pair, wanted.bound.separation_nm)
    if wanted.covariance_frames * per_frame >= FEW_BURSTS:
        return []
    few, enough = wanted.covariance_frames, math.ceil(FEW_BURSTS / per_frame)
    return [
        f"The {count_of(few)} frames that mean and covariance need hold {few * per_frame:.2g} bursts of each of the "
        f"{pair.shape}: take their number for an order of magnitude, and rather {count_of(enough)} frames."
    ]


def _bursts_per_frame(experiment: Experiment, pair: Pair, separation_nm: float) -> float:
    """Of each line; infinite where the light is steady."""
    kappa = experiment.fano_factor
    return pair.brightness(experiment, separation_nm) / kappa if kappa > 0 else math.inf
