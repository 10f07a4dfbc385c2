"""FluoGAN from end to end: statistics, regularisation, image, discriminator, halves."""

from __future__ import annotations

import numpy as np
import torch

from fluosr.acquisition import FEW_FRAMES, Acquisition
from fluosr.corrections.movie import light_warnings
from fluosr.errors import ReconstructionInterrupted
from fluosr.methods.base import Estimate, Run, StopRequested
from fluosr.methods.fluogan import fluctuations, regularisation
from fluosr.methods.fluogan.adversarial import STAGE as ADVERSARIAL
from fluosr.methods.fluogan.adversarial import adversarial_seconds, fit_adversarial
from fluosr.methods.fluogan.parameters import CITATION, FluoganParameters
from fluosr.methods.fluogan.setup import Setup, check_field_memory, estimate, prepare
from fluosr.methods.uncertainty import from_halves
from fluosr.networks.discriminator import check_field
from fluosr.reconstruction import NOTHING_HERE, Reconstruction
from fluosr.solvers.fista import Fista, FistaState
from fluosr.solvers.mean_frame import GeneratorProblem
from fluosr.statistics import gather

WHY = {
    "sparsity": "the sparsest image that predicts held-out frames and pixels as well as the best, to one s.e.",
    "smoothness": "predicts held-out frames and pixels best",
}
EXPLAINED = 3.0  # spread of the residuals, in units of the noise, under which a movie counts as explained by its fit
LEAST_FRAMES_OF_HALVES = 4  # two in each, as for every method
SAFE_POINT = 50  # iterations between two safe points
NO_IMAGE_YET = "There was no image yet. What was computed is kept: continue with --resume."


def reconstruct(acquisition: Acquisition, parameters: FluoganParameters, run: Run) -> Reconstruction:
    """Fit image and background to the movie.

    Args:
        acquisition: the movie with its optics and camera.
        parameters: see :class:`FluoganParameters`.
        run: progress, stopping, checkpoints.

    Returns:
        Image in photons per fine pixel and frame, background in photons per camera pixel and frame.

    Raises:
        AcquisitionError, OpticsError, MemoryLimitError, UsageError: the input does not allow it.
        ReconstructionInterrupted: stopped before there was an image.
    """
    if parameters.discriminator:
        check_field(acquisition.field_shape)
    total = acquisition.n_frames
    read = 0

    def advance(frames: int) -> None:
        nonlocal read
        read += frames
        run.progress("reading the movie", read, total)
        run.check()

    try:
        check_field_memory(acquisition, parameters, run)
        statistics = gather(acquisition, advance)
        setup = prepare(acquisition, parameters, run, statistics)
    except StopRequested:
        raise ReconstructionInterrupted(NO_IMAGE_YET) from None
    if total < FEW_FRAMES:
        setup.warnings.append(
            f"Only {total} frames: noise and resolution are poorly known from fewer than {FEW_FRAMES}."
        )
    setup.warnings += light_warnings(statistics, acquisition.camera)
    stages = 1 + 2 * parameters.halves
    expected = estimate(setup, parameters.iterations * stages + regularisation.iterations_needed(setup))
    fluctuating = fluctuations.NONE
    if parameters.discriminator:
        fluctuating = fluctuations.choose(setup)
        setup.warnings += fluctuating.warnings
        held = fluctuations.check_molecules(setup, fluctuating.emitters)
        try:
            more = adversarial_seconds(setup, fluctuating.emitters, run)
        except StopRequested:
            raise ReconstructionInterrupted(NO_IMAGE_YET) from None
        expected = Estimate(expected.seconds + more, expected.n_bytes + held)
    run.estimate(expected)
    progress: dict[str, list[torch.Tensor]] = {}
    curves: dict[str, list[float]] = {}
    halves = None
    finished = True
    choice = regularisation.Choice(parameters.sparsity or 0.0, parameters.smoothness or 0.0, ([], []), ([], []))
    try:
        choice = regularisation.choose(setup, run)
        problem = setup.problem(choice.sparsity, choice.smoothness)
        progress["image"] = _solve(setup, problem, "image", run, curves)
        if parameters.discriminator:
            point, adversarial_curves = fit_adversarial(setup, problem, progress["image"], run, fluctuating.emitters)
            progress["image"] = point
            curves |= adversarial_curves
        if parameters.halves and total < LEAST_FRAMES_OF_HALVES:
            setup.warnings.append(
                "Half of the frames are too few for fluogan: neither resolution nor uncertainty was measured."
            )
        elif parameters.halves:
            halves = tuple(
                setup.image(
                    _solve(setup, setup.problem(choice.sparsity, choice.smoothness, half), f"half {half + 1}", run)
                )
                for half in (0, 1)
            )
    except StopRequested:
        finished = False
        blocks = _latest(run)
        if blocks is None:
            raise ReconstructionInterrupted(NO_IMAGE_YET) from None
        progress["image"] = [b.to(setup.operator.device) for b in blocks]
    return _result(setup, progress["image"], choice, fluctuating, curves, halves, finished)


def _solve(
    setup: Setup, problem: GeneratorProblem, stage: str, run: Run, curves: dict[str, list[float]] | None = None
) -> list[torch.Tensor]:
    """One FISTA run with safe points, resumed where it stood."""
    kept = run.recall(stage)
    device = setup.operator.device
    if kept is not None:
        state = FistaState.from_tensors(
            {k: v.to(device) if k != "scalars" else v for k, v in kept.items() if k != "curve"}
        )
        objective = kept["curve"].tolist()
    else:
        state, objective = FistaState.start(problem.start()), []
    fista, total = Fista(problem), setup.parameters.iterations
    while state.iteration < total:
        for _ in range(min(SAFE_POINT, total - state.iteration)):
            fista.advance(state)
        objective.append(problem.misfit(state.point) / max(1, int((problem.weight > 0).sum())))
        run.progress(stage, state.iteration, total)
        run.keep(stage, state.tensors() | {"curve": torch.tensor(objective, dtype=torch.float64)})
    if curves is not None:
        curves["misfit per pixel"] = objective
    return state.point


def _latest(run: Run) -> list[torch.Tensor] | None:
    for stage, prefix in ((ADVERSARIAL, "fista."), ("image", "")):
        kept = run.recall(stage)
        if kept is not None:
            return [kept[f"{prefix}point.{i}"] for i in (0, 1)]
    return None


def _result(
    setup: Setup,
    blocks: list[torch.Tensor],
    choice: regularisation.Choice,
    fluctuating: fluctuations.Chosen,
    curves: dict[str, list[float]],
    halves: tuple[np.ndarray, ...] | None,
    finished: bool,
) -> Reconstruction:
    problem = setup.problem(choice.sparsity, choice.smoothness)
    counts = setup.counts.sum(0)
    share = torch.as_tensor(counts[:, None, None] / counts.sum() * setup.brightness).to(problem.mean)
    expected = (problem.expected(blocks) * share).sum(0).cpu().numpy()
    mean = (problem.mean * share).sum(0).cpu().numpy()
    with np.errstate(divide="ignore"):
        error = np.sqrt(
            (1.0 / (setup.frame_weight.cpu().numpy() * counts[:, None, None]) * share.cpu().numpy() ** 2).sum(0)
        )
    image, background = setup.image(blocks), setup.background(blocks)
    if setup.parameters.data_term == "paper":
        # The paper's term weighs all pixels alike; the map is judged by each pixel's own noise all the same.
        read_variance = setup.acquisition.camera.read_variance
        error = np.sqrt(setup.excess * (np.clip(expected, 1 / counts.sum(), None) + read_variance) / counts.sum())
        error = np.where(setup.used, np.maximum(error, 1e-12), np.inf)
    warnings = [*setup.acquisition.warnings, *setup.warnings]
    light = (setup.operator.forward(blocks[0]) * share).sum(0).cpu().numpy()
    significance = _significance(setup, light, error)
    residual = (mean - expected)[np.isfinite(error)] / error[np.isfinite(error)]
    explained = residual.size == 0 or float(residual.std()) < EXPLAINED
    if significance < NOTHING_HERE and explained:
        warnings.append(
            "Nothing here: the mean frame is explained by a smooth background alone, within its noise. "
            "Whatever the image shows is not evidence of structure."
        )
    if setup.parameters.discriminator and halves is not None:
        warnings.append(
            "Resolution and uncertainty come from two halves fitted without the discriminator: they do not judge what "
            "it added."
        )
    if not finished:
        warnings.append("The run was stopped early: the image has not converged. Continue with --resume.")
    parameters = setup.parameters.model_dump() | {
        "factor": setup.factor,
        "grain_nm": setup.grain_nm,
        "sparsity": choice.sparsity,
        "smoothness": choice.smoothness,
        "background_spacing_nm": setup.notes["background_spacing_nm"],
        **fluctuating.values,
    }
    # What this generator's emitters do not have was not used.
    parameters = {name: value for name, value in parameters.items() if value is not None}
    uncertainty = None
    if halves is not None:
        fine_nm = setup.acquisition.pixel_size_nm / setup.factor
        uncertainty = from_halves(halves[0], halves[1], setup.acquisition.psf.fwhm_nm / fine_nm)
    return Reconstruction(
        image=image,
        background=background,
        mean=mean.astype(np.float32),
        expected=expected.astype(np.float32),
        standard_error=error.astype(np.float32),
        pixel_size_nm=setup.acquisition.pixel_size_nm / setup.factor,
        factor=setup.factor,
        method="fluogan",
        parameters=parameters,
        halves=None if halves is None else (halves[0], halves[1]),
        grain_nm=setup.grain_nm or None,
        fixed_pattern=float(setup.notes.get("fixed_pattern", 1.0)),  # type: ignore[arg-type]
        significance=significance,
        uncertainty=uncertainty,
        history=curves,
        choices=_choices(setup, choice) | fluctuating.choices(),
        warnings=warnings,
        citations=[CITATION],
        finished=finished,
    )


def _significance(setup: Setup, light: np.ndarray, error: np.ndarray) -> float:
    """How many standard deviations the image's light stands above the noise of the mean frame, where it is brightest.

    Args:
        setup: says how wide the PSF is: noise is that of a patch of its size.
        light: (Y, X) what the image sends to the camera, without background, photons.
        error: (Y, X) standard error of the mean frame, photons.
    """
    from scipy.ndimage import uniform_filter

    side = max(1, round(setup.acquisition.psf.fwhm_nm / setup.acquisition.pixel_size_nm))
    variance = np.where(np.isfinite(error), error, np.nanmax(np.where(np.isfinite(error), error, 0.0))) ** 2
    signal = uniform_filter(light, side, mode="nearest")
    noise = np.sqrt(uniform_filter(variance, side, mode="nearest") / side**2)
    # The brightest of many patches is a few sigma high by chance: that expectation is taken off.
    patches = max(2.0, light.size / side**2)
    return float((signal / np.maximum(noise, 1e-12)).max() - np.sqrt(2 * np.log(patches)))


def _choices(setup: Setup, choice: regularisation.Choice) -> dict[str, dict[str, object]]:
    given = setup.parameters
    rows: dict[str, dict[str, object]] = {}
    if given.factor is None:
        rows["factor"] = {"value": setup.factor, "why": "about 18 fine pixels on the PSF's FWHM"}
    if given.grain_nm is None:
        rows["grain_nm"] = {"value": setup.grain_nm, "why": "a seventh of the PSF's FWHM"}
    for name, curve, unit in (
        ("sparsity", choice.sparsity_curve, "lambda_1 / noise of the gradient"),
        ("smoothness", choice.smoothness_curve, "smoothing length of the background, camera pixels"),
    ):
        if curve[0]:
            rows[name] = {
                "value": getattr(choice, name),
                "why": WHY[name],
                "x": curve[0],
                "y": curve[1],
                "x_label": unit,
                "y_label": "held-out error per pixel",
            }
    for name in ("excess_noise", "fixed_pattern", "bad_pixels"):
        if name in setup.notes:
            rows[name] = {"value": setup.notes[name], "why": "measured on the movie"}
    return rows
