"""Restorers and baselines before the same judges: same fields, same frames, means over fields with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fluosr.corrections.intervals import Interval
from fluosr.errors import UsageError
from fluosr.methods.base import Run
from fluosr.networks.restorer import Restorer
from fluosr.quality.features import FeatureExtractor
from fluosr.quality.frechet import frechet_distance, interval_over_fields, kernel_distance, score_name
from fluosr.quality.niqe import NiqeReference
from fluosr.quality.score_table import MethodScores, ScoreTable, score_table
from fluosr.quality.similarity import against_truth
from fluosr.restoration.baselines import bicubic, frame_means
from fluosr.restoration.fields import Field
from fluosr.restoration.scale import GreyScale
from fluosr.restoration.tiles import restore

WHOLE = 4000  # pictures up to which KID is of all pairs of them: its kernel then takes 128 MB
FEWEST_FIELDS = 3  # one left out, distances need two good images still

Make = Callable[[np.ndarray], np.ndarray]  # (R, Y, X) frames of a field -> (N, s Y, s X) pictures of it


def restored_by(network: Restorer, run: Run | None = None) -> Make:
    """Every frame by itself through a network, each on its own grey scale."""

    def make(frames: np.ndarray) -> np.ndarray:
        return np.stack([restore(network, frame, grey=GreyScale.of(frame), run=run) for frame in frames])

    return make


def enlarged_mean(count: int, scale: int) -> Make:
    """The mean of ``count`` frames, enlarged by bicubic interpolation: what more light alone would give."""

    def make(frames: np.ndarray) -> np.ndarray:
        return bicubic(frame_means(frames, count), scale)

    return make


def judged(
    make: Make, fields: Sequence[Field], *, niqe: NiqeReference | None = None
) -> tuple[MethodScores, list[np.ndarray]]:
    """What a maker of pictures scores, picture by picture, and the pictures of each field.

    Each picture is compared with its field's good image after the best gain and offset: the two were taken at other
    exposures. The range of grey values is that of the good image.

    Args:
        make: the maker.
        fields: with frames, none of which anything was learnt from.
        niqe: a reference for the score that needs no truth.

    Raises:
        UsageError: a field without frames, or pictures that do not fit the good images.
    """
    names: list[str] = []
    found: dict[str, list[np.ndarray]] = {}
    pictures = []
    for field in fields:
        if field.low is None:
            raise UsageError(f"{field.name} has no frames to be restored from.")
        made = make(field.low)
        truths = np.broadcast_to(field.high, made.shape)
        figures = against_truth(made, truths, data_range=float(np.ptp(field.high)), fit=True, scales=None).metrics()
        if niqe is not None:
            figures[niqe.metric] = np.array([niqe.score(picture) for picture in made])
        for name, values in figures.items():
            found.setdefault(name, []).append(values)
        names += [field.name] * len(made)
        pictures.append(made)
    return MethodScores(np.array(names), {name: np.concatenate(parts) for name, parts in found.items()}), pictures


def table_of(scores: Mapping[str, MethodScores], seed: int) -> ScoreTable:
    """Means over fields with their intervals."""
    return score_table(scores, generator=np.random.default_rng(seed))


def distances(
    pictures: Sequence[np.ndarray], fields: Sequence[Field], extractor: FeatureExtractor, generator: np.random.Generator
) -> Mapping[str, float]:
    """FID and KID of all pictures against the fields' good images, by names that tell the features.

    Args:
        pictures: (N, s Y, s X) of each field.
        fields: whose good images are the reference.
        extractor: of the features.
        generator: of KID's subsets.

    Raises:
        UsageError: fewer than two pictures or fields.
    """
    made = np.concatenate([extractor.features(some) for some in pictures])
    wanted = np.concatenate([extractor.features(field.high[None]) for field in fields])
    return {
        score_name("FID", extractor.name): frechet_distance(made, wanted),
        score_name("KID", extractor.name): kernel_distance(made, wanted, generator=generator).value,
    }


def distance_intervals(
    pictures: Sequence[np.ndarray], fields: Sequence[Field], extractor: FeatureExtractor, seed: int
) -> dict[str, Interval]:
    """FID and KID as :func:`distances` gives them, with 95 % intervals from leaving out one field after the other.

    A field's pictures and its good image are left out together. KID is of all pictures at once, as far as memory lets.

    Args:
        pictures: (N, s Y, s X) of each field.
        fields: whose good images are the reference.
        extractor: of the features.
        seed: of KID's subsets, where there are more than 4000 pictures.

    Returns:
        By names that tell the features. Of two fields the ends are infinite: nothing would be left of one.

    Raises:
        UsageError: fewer than two pictures or fields.
    """
    made = [extractor.features(some) for some in pictures]
    wanted = [extractor.features(field.high[None]) for field in fields]

    def kernel(one: np.ndarray, other: np.ndarray) -> float:
        return kernel_distance(one, other, generator=np.random.default_rng(seed), subset=WHOLE, subsets=10).value

    found = {}
    for measure, distance in (("FID", frechet_distance), ("KID", kernel)):
        if len(fields) < FEWEST_FIELDS:
            value = distance(np.concatenate(made), np.concatenate(wanted))
            interval = Interval(value, -np.inf, np.inf)
        else:
            interval = interval_over_fields(distance, made, wanted)
        found[score_name(measure, extractor.name)] = interval
    return found
