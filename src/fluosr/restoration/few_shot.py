"""How many pairs of a new kind of sample a trained restorer needs: none, a few, all; each judged on the same fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fluosr.errors import UsageError
from fluosr.methods.base import Run
from fluosr.quality.score_table import MethodScores
from fluosr.restoration.fields import Field, refuse_leaks
from fluosr.restoration.judging import enlarged_mean, judged, restored_by
from fluosr.restoration.lesson import lesson_of
from fluosr.restoration.model import TrainedRestorer
from fluosr.restoration.parameters import RestorationTraining
from fluosr.restoration.perceptual import PerceptualLoss

ZERO_SHOT = "zero-shot"
MEAN_OF = 4  # frames, of the baseline that has more light


@dataclass(frozen=True, eq=False)
class Shot:
    """One row of the protocol.

    Args:
        name: as tables call it.
        pairs: that were learnt from; None where nothing was.
        fields: that these pairs are of.
        scores: on the test fields.
        pictures: of each test field.
        model: what was judged; None of baselines.
    """

    name: str
    pairs: int | None
    fields: int
    scores: MethodScores
    pictures: list[np.ndarray]
    model: TrainedRestorer | None = None


def pairs_of(fields: Sequence[Field], count: int, generator: np.random.Generator) -> list[Field]:
    """The fields with ``count`` of their frames in all, drawn evenly over all pairs; fields without any are left out.

    Args:
        fields: with frames.
        count: of pairs of one frame and its good image.
        generator: of the draw.

    Raises:
        UsageError: there are not so many.
    """
    every = sum(map(_count, fields))
    _check_count(count, len(fields), every)
    return _with(fields, generator.choice(every, count, replace=False))


def _with(fields: Sequence[Field], pairs: np.ndarray) -> list[Field]:
    """The fields with these of all their pairs, numbered field by field; fields without any are left out."""
    places = [(number, frame) for number, field in enumerate(fields) for frame in range(_count(field))]
    chosen: dict[int, list[int]] = {}
    for place in sorted(pairs.tolist()):
        number, frame = places[place]
        chosen.setdefault(number, []).append(frame)
    return [replace(fields[n], low=_low(fields[n])[frames]) for n, frames in chosen.items()]


def few_shot(
    base: TrainedRestorer,
    training: Sequence[Field],
    validation: Sequence[Field],
    test: Sequence[Field],
    counts: Sequence[int | None],
    parameters: RestorationTraining,
    *,
    perceptual: PerceptualLoss | None = None,
    seed: int = 0,
    run_of: Callable[[str], Run] = lambda name: Run(),
) -> Iterator[Shot]:
    """Baselines, the base as it is, then the base trained on: a row as soon as it is done.

    Every training begins with the base and has the same steps at the most, validation fields and seed. The pairs of a
    count are the first so many of one random order: those of a smaller count are among those of a larger, and which
    they are does not depend on what else is asked for.

    Args:
        base: a restorer of another kind of sample.
        training: fields of the new kind; their frames are the pairs.
        validation: that trainings are only looked at on.
        test: that nothing is learnt from; all are judged on every one of their frames.
        counts: of pairs; None for all.
        parameters: of every training.
        perceptual: a further loss of every training's second stage.
        seed: of draws and trainings.
        run_of: the run of the row of that name, with device and progress.

    Raises:
        UsageError: a field in two of the three splits, too few pairs, or fields that do not fit the model.
        StopRequested: the user asked to stop.
    """
    refuse_leaks({"training": training, "validation": validation, "test": test})
    if len(test) < 2:
        raise UsageError(f"there is {len(test)} test field: to tell how sure a mean is takes two or more.")
    scale, every = base.knowledge.scale, sum(map(_count, training))
    for count in counts:
        _check_count(count or every, len(training), every)
    for name, count in (("bicubic", 1), (f"mean of {MEAN_OF}, bicubic", MEAN_OF)):
        if min(map(_count, test)) >= count:
            scores, pictures = judged(enlarged_mean(count, scale), test)
            yield Shot(name, None, 0, scores, pictures)
    scores, pictures = judged(restored_by(base.network, run_of(ZERO_SHOT)), test)
    yield Shot(ZERO_SHOT, 0, 0, scores, pictures, base)
    order = np.random.default_rng([seed, len(training)]).permutation(every)
    for wanted in counts:
        count = every if wanted is None else wanted
        chosen = _with(training, order[:count])
        name = "all pairs" if wanted is None else f"{count} pairs"
        run = run_of(name)
        run.seed = seed
        lesson = lesson_of(chosen, scale, parameters, validation=validation, start=base, perceptual=perceptual)
        model = lesson.learn(run).model
        scores, pictures = judged(restored_by(model.network, run_of(name)), test)
        yield Shot(name, count, len(chosen), scores, pictures, model)


def _check_count(count: int, fields: int, pairs: int) -> None:
    if not 1 <= count <= pairs:
        raise UsageError(f"{count} pairs are asked for, and {fields} fields have {pairs}.")


def _count(field: Field) -> int:
    return len(_low(field))


def _low(field: Field) -> np.ndarray:
    if field.low is None:
        raise UsageError(f"{field.name} has no frames: pairs are asked for.")
    return field.low
