"""lambda_1 and lambda_2 without truth: each half of the frames predicts the other.

The image fitted to the even frames is compared with the mean of the odd ones, and the other way round. Both halves
see the same sample, bleaching and drift, but independent noise: the prediction error is smallest where the fit
neither follows the noise nor misses the light. A quarter of the pixels is held out as well, and only these are asked:
what is common to all frames of a pixel (the camera's fixed pattern) is noise too, and must not be rewarded.

Of all values of lambda_1 that predict as well as the best, to within one standard error of the difference, the largest
is taken: the sparsest image that the data cannot tell from the best (Breiman et al. 1984).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from fluosr.methods.base import Run
from fluosr.methods.fluogan.setup import DEFAULT_SMOOTHNESS_PX, Setup
from fluosr.methods.held_out import HELD_OUT, sparsest_as_good_as_best
from fluosr.solvers.fista import Fista, FistaState
from fluosr.solvers.mean_frame import GeneratorProblem

# Down to a third of the gradient's noise: below, the penalty no longer keeps noise out, and prediction cannot tell.
SPARSITIES = (2.8, 1.4, 0.7, 0.5, 0.35)
SMOOTHNESSES = (1.0, 3.0)
# Iterations of the common start and of each value from there: prediction settles long before the finest detail does. No
# value starts from another's end, or the last would win by having run longest.
START_ITERATIONS, ITERATIONS = 400, 200

Curve = tuple[list[float], list[float]]  # values tried, held-out error per pixel


@dataclass(frozen=True)
class Choice:
    """The chosen values and the curves they were read from.

    Attributes:
        sparsity, smoothness: see :meth:`Setup.problem`.
        sparsity_curve, smoothness_curve: (values, held-out error per pixel) tried; empty where the value was given.
    """

    sparsity: float
    smoothness: float
    sparsity_curve: Curve
    smoothness_curve: Curve


def iterations_needed(setup: Setup) -> int:
    """Iterations that :func:`choose` will run."""
    parameters = setup.parameters
    count = len(SPARSITIES) * (parameters.sparsity is None) + len(SMOOTHNESSES) * (parameters.smoothness is None)
    count += parameters.sparsity is not None and parameters.smoothness is None
    starts = (parameters.sparsity is None) + (parameters.smoothness is None)
    return 2 * (ITERATIONS * count + START_ITERATIONS * starts)


def choose(setup: Setup, run: Run) -> Choice:
    """Pick both values; what the user gave is kept.

    Raises:
        StopRequested: the user asked to stop.
    """
    parameters = setup.parameters
    smoothness = DEFAULT_SMOOTHNESS_PX if parameters.smoothness is None else parameters.smoothness
    earlier = run.recall("choice")
    if earlier is not None:
        values = earlier["values"].tolist()
        first, second = earlier["sparsity_curve"].tolist(), earlier["smoothness_curve"].tolist()
        return Choice(values[0], values[1], (first[0], first[1]), (second[0], second[1]))
    total = iterations_needed(setup)
    done = 0

    def advance(problem: GeneratorProblem, start: FistaState | None, iterations: int) -> FistaState:
        nonlocal done
        state, fista = FistaState.start(start.point if start else problem.start()), Fista(problem)
        for _ in range(iterations):
            fista.advance(state)
            done += 1
            if done % 25 == 0:
                run.progress("choosing the regularisation", done, total)
                run.check()
        return state

    def held_out_errors(candidates: list[tuple[float, float]]) -> list[torch.Tensor]:
        """For each candidate the squared error of every held-out pixel of both halves, in units of its noise."""
        errors: list[list[torch.Tensor]] = [[] for _ in candidates]
        generator = torch.Generator().manual_seed(
            run.stream_seed("held-out pixels")
        )  # the same pixels for every candidate
        for half in (0, 1):
            unseen, count = setup.data(1 - half)
            kept = (torch.rand(setup.used.shape, generator=generator) >= HELD_OUT).to(unseen)
            weight = setup.frame_weight * count[:, None, None] * (1.0 - kept)
            asked = weight > 0
            start = advance(setup.problem(SPARSITIES[2], smoothness, half, kept), None, START_ITERATIONS)
            for index, (sparsity, smooth) in enumerate(candidates):
                problem = setup.problem(sparsity, smooth, half, kept)
                state = advance(problem, start, ITERATIONS)
                residual = problem.expected(state.point) - unseen
                errors[index].append((weight * residual * residual)[asked].double().cpu())
        return [torch.cat(parts) for parts in errors]

    sparsity = parameters.sparsity
    sparsity_curve: Curve = ([], [])
    if sparsity is None:
        errors = held_out_errors([(value, smoothness) for value in SPARSITIES])
        chosen = sparsest_as_good_as_best(errors)
        sparsity = SPARSITIES[chosen]
        at_chosen = float(errors[chosen].mean())
        sparsity_curve = (list(SPARSITIES), [float(e.mean()) for e in errors])
    smoothness_curve: Curve = ([], [])
    if parameters.smoothness is None:
        candidates = SMOOTHNESSES if sparsity_curve[0] else (smoothness, *SMOOTHNESSES)
        errors = held_out_errors([(sparsity, value) for value in candidates])
        tried = {value: float(e.mean()) for value, e in zip(candidates, errors, strict=True)}
        if sparsity_curve[0]:
            tried[smoothness] = at_chosen
        smoothness = min(tried, key=tried.__getitem__)
        ordered = sorted(tried)
        smoothness_curve = (ordered, [tried[value] for value in ordered])
    choice = Choice(sparsity, smoothness, sparsity_curve, smoothness_curve)
    run.keep(
        "choice",
        {
            "values": torch.tensor([sparsity, smoothness], dtype=torch.float64),
            "sparsity_curve": torch.tensor(sparsity_curve, dtype=torch.float64),
            "smoothness_curve": torch.tensor(smoothness_curve, dtype=torch.float64),
        },
    )
    return choice
