"""How a method that reads corrected frames becomes a Reconstruction: read, stream, halve, weigh.

A method of this kind writes an :class:`ImageMaker`. Corrections, halves, progress, stopping, resuming, the unit, the
evidence and the result are the same for all and are here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from fluosr.acquisition import FEW_FRAMES, Acquisition
from fluosr.corrections.movie import CorrectedMovie, correct
from fluosr.errors import AcquisitionError, MemoryLimitError, ReconstructionInterrupted
from fluosr.machine import available_memory_bytes
from fluosr.methods.base import Estimate, Method, Run, StopRequested
from fluosr.methods.evidence import Half, Witness
from fluosr.methods.image_maker import IMAGE, ImageMaker
from fluosr.methods.movie_parameters import MovieParameters
from fluosr.methods.uncertainty import from_halves
from fluosr.optics.sampling import automatic_factor
from fluosr.reconstruction import Reconstruction

TRIAL_FRAMES = 4
READING, HALVES = "reading the movie", ("half 1", "half 2")
NO_IMAGE_YET = "There was no image yet. What was computed is kept: continue with --resume."


class _Pass:
    """One pass over the frames of a part of the movie, and where it stands."""

    def __init__(self, movie: CorrectedMovie, maker: ImageMaker, stage: str) -> None:
        self.movie, self.maker, self.stage = movie, maker, stage
        self.done = 0
        self._sum = np.zeros(movie.field_shape)

    @property
    def mean(self) -> np.ndarray:
        """(Y, X) mean of the frames so far, photoelectrons."""
        return self._sum / max(1, self.done)

    def stream(self, run: Run) -> None:
        """Feed all frames to the maker, from where an earlier run stopped.

        Raises:
            StopRequested: the user asked to stop.
        """
        kept = run.recall(self.stage)
        if kept is not None:
            self._sum, self.done = kept["pass.sum"].numpy().copy(), int(kept["pass.done"])
            self.maker.restore({key: value.numpy() for key, value in kept.items() if not key.startswith("pass.")})
        for numbers, frames in self.movie.chunks(self.done):
            self.maker.add(numbers, frames)
            self._sum += frames.sum(0, dtype=np.float64)
            self.done += len(numbers)
            run.progress(self.stage, self.done, self.movie.n_frames)
            state = self.maker.state() | {"pass.sum": self._sum, "pass.done": np.array(self.done)}
            run.keep(self.stage, {key: torch.from_numpy(np.array(value)) for key, value in state.items()})


def reconstruct_from_frames(
    acquisition: Acquisition,
    parameters: MovieParameters,
    run: Run,
    method: Method,
    build: Callable[[CorrectedMovie, int], ImageMaker],
    *,
    least_frames: int = 2,
    run_length: int = 1,
    frames_in_a_row: int = 1,
    buffers: int = 12,
    working_bytes: int = 0,
    reads_fluctuations: bool = False,
    doubt_gain: bool = True,
) -> Reconstruction:
    """Correct, stream, halve, weigh.

    Args:
        acquisition: the movie.
        parameters: the method's.
        run: progress, stopping, checkpoints.
        method: whose work this is.
        build: makes a fresh :class:`ImageMaker` for frames of this movie at a factor L.
        least_frames: fewer give no image.
        run_length: consecutive frames dealt to a half at a time; more than one where neighbours in time matter.
        frames_in_a_row: consecutive frames that the method needs at the least to see anything.
        buffers: fine images that the method holds at once.
        working_bytes: what the method holds besides, whatever the factor.
        reads_fluctuations: the image comes from how frames differ: a movie that does not fluctuate says nothing to it.
        doubt_gain: say so where the noise speaks against the gain; off where the method has said it better.

    Raises:
        AcquisitionError: too few frames, NaN.
        MemoryLimitError: the fine grid needs more memory than there is.
        ReconstructionInterrupted: stopped before there was an image.
    """
    factor = parameters.factor or automatic_factor(acquisition.psf.fwhm_nm, acquisition.pixel_size_nm)
    needed = bytes_needed(acquisition.field_shape, factor, buffers) + working_bytes
    _check_memory(needed, acquisition.field_shape, factor, buffers, working_bytes)
    try:
        movie = _read(acquisition, parameters, run, doubt_gain)
    except StopRequested:
        raise ReconstructionInterrupted(NO_IMAGE_YET) from None
    warnings = [*acquisition.warnings, *movie.warnings]
    if movie.n_frames < least_frames:
        raise AcquisitionError(
            f"{acquisition.name}: {movie.n_frames} usable frames; {method.name} with these parameters needs at least "
            f"{least_frames}."
        )
    if movie.n_frames < FEW_FRAMES:
        warnings.append(
            f"Only {movie.n_frames} frames: noise and resolution are poorly known from fewer than {FEW_FRAMES}."
        )
    run_length = max(1, min(run_length, movie.n_frames // 4))  # else the halves of a short movie are unequal
    parts = [movie.part(which, run_length) for which in (0, 1)] if parameters.halves else []
    if parts and (run_length < frames_in_a_row or min(part.n_frames for part in parts) < least_frames):
        warnings.append(
            f"Half of the frames are too few for {method.name}: neither resolution nor uncertainty was measured."
        )
        parts = []
    passes = [_Pass(movie, build(movie, factor), IMAGE)]
    passes += [_Pass(part, build(part, factor), stage) for part, stage in zip(parts, HALVES, strict=False)]
    run.estimate(Estimate(_seconds(movie, passes, build(movie, factor)), needed))
    whole, finished = passes[0], True
    try:
        whole.stream(run)
        image = whole.maker.image(run, IMAGE)
    except StopRequested:
        made = whole.maker.image_so_far() if whole.done >= least_frames else None
        if made is None:
            raise ReconstructionInterrupted(NO_IMAGE_YET) from None
        image, parts, finished = made, [], False
    halves: list[Half] = []
    try:
        for half in passes[1:] if parts else []:
            half.stream(run)
            halves.append((half.maker.image(run, half.stage), half.mean))
    except StopRequested:
        halves, finished = [], False
    return _result(whole, parameters, method, factor, image, halves, finished, warnings, run.device, reads_fluctuations)


def bytes_needed(field_shape: tuple[int, int], factor: int, buffers: int) -> int:
    """Bytes at the peak: fine images in single precision, and the movie's statistics."""
    y, x = field_shape
    return 4 * y * x * (buffers * factor**2 + 110)


def _check_memory(needed: int, field_shape: tuple[int, int], factor: int, buffers: int, working_bytes: int) -> None:
    available = available_memory_bytes()
    if needed <= 0.9 * available:
        return
    most = 0.9 * available - working_bytes
    fits = [f for f in range(1, factor) if bytes_needed(field_shape, f, buffers) <= most]
    advice = f"--factor {fits[-1]} fits" if fits else "no factor fits"
    raise MemoryLimitError(
        f"a factor of {factor} on {field_shape[0]} x {field_shape[1]} pixels needs about {needed / 2**30:.1f} GiB, "
        f"{available / 2**30:.1f} GiB are free: {advice}; or choose a smaller --crop."
    )


def _read(acquisition: Acquisition, parameters: MovieParameters, run: Run, doubt_gain: bool) -> CorrectedMovie:
    total, read = acquisition.n_frames, 0

    def advance(frames: int) -> None:
        nonlocal read
        read += frames
        run.progress(READING, read, total)
        run.check()

    return correct(
        acquisition,
        drift=parameters.drift,
        bleaching=parameters.bleaching,
        bad_pixels=parameters.bad_pixels,
        doubt_gain=doubt_gain,
        advance=advance,
    )


def _seconds(movie: CorrectedMovie, passes: list[_Pass], trial: ImageMaker) -> float:
    """What all passes will take: a few frames are tried."""
    chunks = movie.select(movie.members[:TRIAL_FRAMES]).chunks()
    numbers, frames = next(chunks)
    trial.add(numbers[:1], frames[:1])  # compiling and caches are not counted
    numbers, frames = (numbers[1:], frames[1:]) if len(numbers) > 1 else next(chunks, (numbers, frames))
    started = time.perf_counter()
    trial.add(numbers, frames)
    each = (time.perf_counter() - started) / len(numbers)
    return sum(each * p.movie.n_frames + p.maker.solving_seconds() for p in passes)


def _result(
    whole: _Pass,
    parameters: MovieParameters,
    method: Method,
    factor: int,
    image: np.ndarray,
    halves: list[Half],
    finished: bool,
    warnings: list[str],
    device: str,
    reads_fluctuations: bool,
) -> Reconstruction:
    maker, acquisition = whole.maker, whole.movie.acquisition
    seen = whole.movie.select(whole.movie.members[: whole.done])  # fewer than all where the run was stopped
    witness = Witness(seen, whole.mean, factor, device, reads_fluctuations=reads_fluctuations)
    pair = (halves[0], halves[1]) if halves else None
    if maker.background is not None and maker.expected is not None:
        asked = pair if maker.structure is None else None
        evidence = witness.weigh(1.0, maker.background, maker.expected, asked, empty=not image.max() > 0)
        if maker.structure is not None:
            evidence = replace(evidence, structure=max(evidence.structure, maker.structure))
    else:
        evidence = witness.examine(image, pair)
    warnings = [*warnings, *maker.warnings, *evidence.warnings()]
    if not finished:
        warnings.append("The run was stopped early: the image is not that of the whole movie. Continue with --resume.")
    photons = (evidence.scale * image).astype(np.float32)
    light = float(photons.sum())
    # A half's cumulant or support has a scale of its own: what is compared is where the light lies.
    scaled = [(half * (light / max(float(half.sum()), 1e-30))).astype(np.float32) for half, _ in halves]
    made = (scaled[0], scaled[1]) if scaled else None
    notes = whole.movie.notes | {"excess_noise": evidence.excess_noise, "fixed_pattern": evidence.fixed_pattern}
    choices: dict[str, dict[str, object]] = dict(maker.choices)
    if parameters.factor is None:
        choices["factor"] = {"value": factor, "why": "about 18 fine pixels on the PSF's FWHM"}
    choices |= {name: {"value": value, "why": "measured on the movie"} for name, value in notes.items()}
    return Reconstruction(
        image=photons,
        background=evidence.background,
        mean=evidence.mean,
        expected=evidence.expected,
        standard_error=evidence.standard_error,
        pixel_size_nm=acquisition.pixel_size_nm / factor,
        factor=factor,
        method=method.name,
        parameters=parameters.model_dump() | {"factor": factor} | maker.chosen,
        halves=made,
        significance=evidence.significance,
        uncertainty=None if made is None else from_halves(*made, whole.movie.fwhm_px * factor),
        grain_nm=maker.finest_nm,
        fixed_pattern=evidence.fixed_pattern,
        photometric=maker.background is not None and maker.claims_all_light,
        history=maker.history,
        choices=choices,
        warnings=warnings,
        citations=[method.citation],
        maps=maker.maps,
        localisations=maker.localisations,
        finished=finished,
    )
