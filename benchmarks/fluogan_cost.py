"""What FluoGAN costs: the paper's Table 2, a plain reference beside it, the whole command, memory, and growth."""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from tables import Table, acquire, store

import fluosr
from fluosr.acquisition import Acquisition, ArrayFrames
from fluosr.machine import peak_memory_mb
from fluosr.methods.base import Run
from fluosr.methods.fluogan.adversarial import AdversarialFit
from fluosr.methods.fluogan.parameters import FluoganParameters
from fluosr.methods.fluogan.setup import Setup, prepare
from fluosr.networks.discriminator import Discriminator, gradient_penalty
from fluosr.optics.psf import GaussianPSF
from fluosr.simulate.argo import ArgoPhantom
from fluosr.simulate.movie import SimulatedMovie
from fluosr.solvers.fista import Fista, FistaState
from fluosr.statistics import gather

FACTOR, FWHM_NM, PIXEL_NM = 6, 324.0, 100.0
PAPER_MINUTES = {((50, 50), 0): 3, ((50, 50), 1): 10, ((50, 266), 0): 20, ((50, 266), 1): 60}
REFERENCE_ITERATIONS = 1000
PAPER_ITERATIONS = 5000


def field(shape: tuple[int, int], n_frames: int = 500, seed: int = 0) -> Acquisition:
    """ARGO lines cut to a field of ``shape``."""
    count = max(1, math.ceil(shape[1] / 27) + 1)
    phantom = ArgoPhantom(separations_nm=tuple(90.0 + 30 * i for i in range(count)), line_length_nm=100.0 * shape[0])
    movie = SimulatedMovie(phantom, n_frames=n_frames, seed=seed)
    whole = acquire(movie)
    return whole.select(window=(0, 0, *shape))


def prepared(acquisition: Acquisition, device: str = "cpu", **parameters: object) -> Setup:
    """The problem as the method sets it up, drift search left out."""
    values = FluoganParameters(factor=FACTOR, drift=False, **parameters)  # type: ignore[arg-type]
    return prepare(acquisition, values, Run(device=device), gather(acquisition))


class PlainReference:
    """FluoGAN as the paper describes it, written plainly: dense convolutions, sampled gradients, 5 x 5 discriminator.

    Borders reflect nothing and wrap nothing (zeros); the step is the exact Lipschitz one, so that it converges at all.
    """

    def __init__(self, mean: torch.Tensor, frames: torch.Tensor, discriminator: bool, seed: int = 0) -> None:
        self.mean, self.frames = mean, frames
        kernel = GaussianPSF(FWHM_NM).kernel(PIXEL_NM / FACTOR)
        self.kernel = torch.as_tensor(kernel, dtype=torch.float32)[None, None]
        self.generator = torch.Generator().manual_seed(seed)
        self.x = torch.full((1, 1, mean.shape[0] * FACTOR, mean.shape[1] * FACTOR), float(mean.mean()) / FACTOR**2 / 2)
        self.b = torch.full_like(mean, float(mean.quantile(0.1)))
        self.zx, self.zb, self.t = self.x, self.b, 1.0
        self.network = Discriminator((mean.shape[0], mean.shape[1])) if discriminator else None
        self.adam = torch.optim.Adam(self.network.parameters(), lr=1e-6) if self.network else None

    def forward(self, x: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """U H x + b."""
        blurred = torch.nn.functional.conv2d(x, self.kernel, padding="same")
        return torch.nn.functional.avg_pool2d(blurred, FACTOR)[0, 0] * FACTOR**2 + b

    def iterate(self, sparsity: float = 0.0) -> None:
        """One round: discriminator if there is one, then image and background by a sampled gradient."""
        flux = self.forward(self.zx, self.zb).clamp_min(0)
        simulated = torch.poisson(flux.expand(32, *flux.shape), generator=self.generator)
        slope = (simulated - self.mean).mean(0)
        if self.network is not None and self.adam is not None:
            real = self.frames[torch.randint(len(self.frames), (32,), generator=self.generator)]
            share = torch.rand((32, 1, 1), generator=self.generator)
            penalty = gradient_penalty(self.network, share * real + (1 - share) * simulated)
            loss = self.network(simulated).mean() - self.network(real).mean() + 10 * penalty
            self.adam.zero_grad()
            loss.backward()
            self.adam.step()
            judged = simulated.requires_grad_(True)
            slope = slope - torch.autograd.grad(self.network(judged).mean(), judged)[0].sum(0)
        spread = slope.repeat_interleave(FACTOR, 0).repeat_interleave(FACTOR, 1)[None, None]
        gradient = torch.nn.functional.conv2d(spread, self.kernel, padding="same")
        lipschitz = 2.0 * FACTOR**2
        x = (self.zx - (gradient + sparsity) / lipschitz).clamp_min(0)
        b = (self.zb - slope / 2).clamp_min(0)
        t = (1 + math.sqrt(1 + 4 * self.t**2)) / 2
        weight = (self.t - 1) / t
        self.zx, self.zb = x + weight * (x - self.x), b + weight * (b - self.b)
        self.x, self.b, self.t = x, b, t

    def misfit(self) -> float:
        """Root mean square of expected - mean frame, photons."""
        return float((self.forward(self.x, self.b) - self.mean).square().mean().sqrt())


def seconds(action: Callable[[], object], repeats: int = 1) -> float:
    """Wall-clock of one call, the mean over ``repeats``."""
    started = time.perf_counter()
    for _ in range(repeats):
        action()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / repeats


def paper_table(quick: bool) -> tuple[Table, Table]:
    """Table 2, and the comparison with the plain reference at equal misfit."""
    paper = Table(
        "The paper's Table 2",
        ("field", "delta", "per iteration, ms", "5000 iterations, s", "default run, s", "paper (GTX 950M), s"),
        "CPU, one thread. '5000 iterations' is the time per iteration times 5000; 'default run' is what the default "
        "settings take: 3000 iterations and, for delta = 1, 100 rounds with the discriminator.",
    )
    equal = Table(
        "Time to the plain reference's misfit",
        (
            "field",
            "delta",
            "reference, s",
            "ours, s",
            "ratio",
            "misfit reached / reference",
            "how the reference was timed",
        ),
        "Reference: dense conv2d, sampled gradients, one lambda, the iterations named; misfit = "
        "rms(expected - mean frame), photons. Ours: one lambda, from a flat start until the misfit is no larger; "
        "delta = 1 adds the 100 "
        "rounds of the default.",
    )
    for shape in ((50, 50), (50, 266)):
        acquisition = field(shape)
        setup = prepared(acquisition)
        problem = setup.problem(0.35, 1.0)
        fista, state = Fista(problem), FistaState.start(problem.start())
        each = seconds(lambda f=fista, s=state: f.advance(s), 200)
        fit = AdversarialFit(setup, problem, state.point, Run())
        fit.run_round()
        round_seconds = seconds(fit.run_round, 2 if quick else 5)
        rounds = FluoganParameters().adversarial_iterations
        default = {0: 3000 * each, 1: 3000 * each + rounds * round_seconds}
        for delta, cost in ((0, each), (1, round_seconds)):
            paper.rows.append(
                [f"{shape[0]} x {shape[1]}", delta, 1e3 * cost, PAPER_ITERATIONS * cost, default[delta],
                 60 * PAPER_MINUTES[shape, delta]]
            )  # fmt: skip
        mean = setup.data(None)[0][0]
        frames = torch.as_tensor(acquisition.photons(slice(None)))
        whole = shape == (50, 50) and not quick
        # The same lambda_1 in the reference's unweighted units.
        penalty = float(problem.sparsity / problem.weight.median())
        reference = PlainReference(mean, frames, False)
        count = REFERENCE_ITERATIONS // 3 if whole else 30
        started = time.perf_counter()
        for _ in range(count):
            reference.iterate(penalty)
        plain = time.perf_counter() - started
        target = reference.misfit()
        how = f"{count} iterations, in full"
        state = FistaState.start(problem.start())
        started = time.perf_counter()
        found = math.inf
        while found > target and state.iteration < 5000:
            for _ in range(5):
                fista.advance(state)
            found = float((problem.expected(state.point)[0] - mean).square().mean().sqrt())
        ours = time.perf_counter() - started
        equal.rows.append([f"{shape[0]} x {shape[1]}", 0, plain, ours, plain / ours, found / target, how])
        adversarial = PlainReference(mean, frames, True)
        adversarial.iterate()
        plain = seconds(lambda a=adversarial, p=penalty: a.iterate(p), 2 if quick else 5) * REFERENCE_ITERATIONS
        ours += rounds * round_seconds
        equal.rows.append(
            [f"{shape[0]} x {shape[1]}", 1, plain, ours, plain / ours, "not compared", "5 rounds, extrapolated to 1000"]
        )
    return paper, equal


def bare_loop(shape: tuple[int, int], iterations: int) -> float:
    """Seconds of plain FISTA with two matrix products on the fine grid of the field with its margin, nothing else."""
    from fluosr.optics.operators import imaging_operator

    operator = imaging_operator(shape, FACTOR, GaussianPSF(FWHM_NM), PIXEL_NM)
    rows, columns = operator._rows[0], operator._columns[0]  # type: ignore[attr-defined]
    target = torch.rand(shape)
    x = z = torch.zeros(operator.shape)
    t = 1.0
    started = time.perf_counter()
    for _ in range(iterations):
        gradient = rows.T @ (rows @ z @ columns.T - target) @ columns
        new = torch.relu(z - (gradient + 0.01) / 36.0)
        following = (1 + math.sqrt(1 + 4 * t * t)) / 2
        z = new + (t - 1) / following * (new - x)
        x, t = new, following
    return time.perf_counter() - started


def command_table(repeats: int) -> Table:
    """The whole command against the bare loop, alternately in one run."""
    table = Table(
        "The whole command, 500 x 40 x 72",
        ("run", "command, s", "bare loop of 1500 iterations, s", "ratio"),
        "`fluosr reconstruct` without discriminator in a process of its own: start-up, reading, camera, drift, lambda, "
        "image, both halves, judging and report. Bare loop: plain FISTA on the fine grid with two matrix products.",
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "movie.tif"
        from fluosr.io.write import write_movie

        frames = field((40, 72)).frames.read(slice(None))
        write_movie(path, iter(frames), len(frames), frames.dtype, PIXEL_NM, 0.01)
        command = [sys.executable, "-m", "fluosr.cli", "reconstruct", str(path), "--fwhm", "324", "--factor", "6"]
        bare_loop((40, 72), 50)
        for number in range(repeats):
            whole = seconds(
                lambda: subprocess.run([*command, "--output", f"{folder}/out"], check=True, capture_output=True)
            )
            bare = bare_loop((40, 72), 1500)
            table.rows.append([number + 1, whole, bare, whole / bare])
    ratios = [row[3] for row in table.rows]
    table.rows.append(["median", "", "", float(np.median(ratios))])
    return table


MEMORY_PROBE = """
import sys
import matplotlib.figure, scipy.ndimage, scipy.special, tifffile, torch
import fluosr.pipeline, fluosr.io.movie, fluosr.methods.fluogan.method, fluosr.corrections.drift
torch.rand(64, 64) @ torch.rand(64, 64)
before = fluosr.machine.peak_memory_mb()
from pathlib import Path
acquisition = fluosr.io.movie.open_movie(sys.argv[1], fwhm_nm=324.0)
fluosr.pipeline.run_to_folder(acquisition, Path(sys.argv[2]),
    parameters=fluosr.methods.registry.get_method("fluogan").build(factor=6, iterations=100))
print(fluosr.machine.peak_memory_mb() - before)
"""


def memory_table() -> Table:
    """Peak memory above the imports."""
    table = Table(
        "Peak memory above the imports",
        ("movie", "MB"),
        "Resident set of a process that opens the movie, reconstructs, judges and writes the report, less what it held "
        "after importing everything.",
    )
    with tempfile.TemporaryDirectory() as folder:
        from fluosr.io.write import write_movie

        for shape in ((50, 50), (50, 266)):
            path = Path(folder) / f"{shape[1]}.tif"
            frames = field(shape).frames.read(slice(None))
            write_movie(path, iter(frames), len(frames), frames.dtype, PIXEL_NM, 0.01)
            done = subprocess.run(
                [sys.executable, "-c", MEMORY_PROBE, str(path), f"{folder}/out"],
                check=True,
                capture_output=True,
                text=True,
            )
            table.rows.append([f"500 x {shape[0]} x {shape[1]}", float(done.stdout.split()[-1])])
    return table


class RepeatedFrames:
    """A long movie that takes no room: a few frames over and over."""

    def __init__(self, frames: np.ndarray, n_frames: int) -> None:
        self._frames = frames
        self.shape = (n_frames, *frames.shape[1:])
        self.dtype = frames.dtype

    def read(self, indices: slice | list[int]) -> np.ndarray:
        """(k, Y, X)."""
        numbers = range(self.shape[0])[indices] if isinstance(indices, slice) else indices
        return self._frames[np.asarray(list(numbers)) % len(self._frames)]


def growth_tables(quick: bool) -> tuple[Table, Table]:
    """Time per iteration with the field, and reading with the number of frames."""
    pixels = Table(
        "Growth with the field",
        ("field", "set-up, s", "per iteration, ms", "ns per camera pixel and iteration"),
        "40 frames, one thread, L = 6, no discriminator.",
    )
    generator = np.random.default_rng(0)
    for side in (50, 100, 200, 400, 512)[: 3 if quick else 5]:
        frames = ArrayFrames(generator.poisson(20.0, (40, side, side)).astype(np.uint16))
        acquisition = Acquisition(frames, PIXEL_NM, GaussianPSF(FWHM_NM), fluosr.camera.Camera())
        started = time.perf_counter()
        setup = prepared(acquisition)
        taken = time.perf_counter() - started
        problem = setup.problem(0.35, 1.0)
        fista, state = Fista(problem), FistaState.start(problem.start())
        each = seconds(lambda f=fista, s=state: f.advance(s), 5 if side > 200 else 30)
        pixels.rows.append([f"{side} x {side}", taken, 1e3 * each, 1e9 * each / side**2])
    frames_table = Table(
        "Growth with the frames",
        ("frames", "statistics, s", "us per frame", "peak memory grown by, MB"),
        "50 x 266 pixels; the time of an iteration does not depend on the number of frames.",
    )
    base = generator.poisson(20.0, (50, 50, 266)).astype(np.uint16)
    for count in (100, 1000, 10_000):
        acquisition = Acquisition(RepeatedFrames(base, count), PIXEL_NM, GaussianPSF(FWHM_NM), fluosr.camera.Camera())
        before = peak_memory_mb()
        taken = seconds(lambda a=acquisition: gather(a))
        grown = peak_memory_mb() - before
        frames_table.rows.append([count, taken, 1e6 * taken / count, grown])
    return pixels, frames_table


def gpu_table() -> Table | None:
    """5000 rounds with discriminator at 50 x 50 on a GPU, where there is one."""
    if not torch.cuda.is_available():
        return None
    setup = prepared(field((50, 50)), device="cuda")
    problem = setup.problem(0.35, 1.0)
    fit = AdversarialFit(setup, problem, problem.start(), Run())
    for _ in range(20):
        fit.run_round()
    each = seconds(fit.run_round, 200)
    return Table("On a GPU", ("device", "5000 rounds with discriminator at 50 x 50, s"), rows=[
        [torch.cuda.get_device_name(), PAPER_ITERATIONS * each]
    ])  # fmt: skip


def main() -> None:
    """Run everything; about ten minutes on one core."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short versions, for trying the script")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    frames, pixels = growth_tables(quick)[::-1]
    paper, equal = paper_table(quick)
    tables = [paper, equal, command_table(1 if quick else 3), memory_table(), pixels, frames]
    gpu = gpu_table()
    if gpu:
        tables.append(gpu)
    store(
        "fluogan_cost" + ("_quick" if quick else ""),
        "What FluoGAN costs",
        tables,
        version=fluosr.__version__,
        threads=torch.get_num_threads(),
        gpu="none" if gpu is None else torch.cuda.get_device_name(),
    )


if __name__ == "__main__":
    main()
