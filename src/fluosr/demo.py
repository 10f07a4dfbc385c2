"""The main job from nothing: simulate the ARGO phantom, reconstruct it, and say what was resolved.

python -m fluosr.demo --output demo/
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from fluosr.errors import FluosrError
from fluosr.io.movie import open_movie
from fluosr.io.simulation import save_simulation
from fluosr.methods.registry import get_method
from fluosr.pipeline import run_to_folder
from fluosr.progress import ProgressBar
from fluosr.quality.lines import PairVerdict, PhantomVerdict, judge_phantom
from fluosr.simulate.argo import ArgoPhantom
from fluosr.simulate.movie import SimulatedMovie

SEPARATIONS_NM = (90.0, 120.0, 150.0, 180.0, 240.0)
FACTOR = 6


def main() -> None:
    """Run the demonstration; exit code 1 and one line where it fails, 130 where it is stopped."""
    parser = argparse.ArgumentParser(description="Simulate the ARGO phantom, reconstruct it, judge the result.")
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder for movie and results")
    try:
        run(parser.parse_args().output)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        sys.exit(130)
    except (FluosrError, OSError) as error:
        sys.exit(f"fluosr: {error}")


def run(output: Path) -> None:
    """Simulate, reconstruct, judge with the truth, and print what a reader wants to know.

    Args:
        output: folder for the movie, its truth, and the files of a reconstruction.

    Raises:
        FluosrError: as :func:`fluosr.pipeline.run_to_folder`.
    """
    started = time.perf_counter()
    phantom = ArgoPhantom(separations_nm=SEPARATIONS_NM)
    movie = SimulatedMovie(phantom, factor=FACTOR)
    path = save_simulation(movie, output / "argo.tif").files[0]
    height, width = phantom.field_shape
    pixel, fwhm = phantom.pixel_size_nm, movie.psf.fwhm_nm
    print(f"Simulated {path}: pairs of lines, {movie.n_frames} frames of {height} x {width} pixels of {pixel:.0f} nm,")
    print(f"PSF of {fwhm:.0f} nm FWHM. Now reconstructing it, knowing only pixel size and FWHM ...", flush=True)
    acquisition = open_movie(path, fwhm_nm=fwhm)
    command = f"fluosr reconstruct {path} --fwhm {fwhm:.0f} --factor {FACTOR} --output {output}"
    with ProgressBar() as bar:
        result = run_to_folder(
            acquisition,
            output,
            parameters=get_method("fluogan").build(factor=FACTOR),
            command=command.split(),
            run=bar.run(),
        )
    made = result.reconstruction
    if not made.finished:
        print(f"Stopped. What there was is in {output}.")
        sys.exit(130)
    sharp = judge_phantom(made.image, made.pixel_size_nm, phantom)
    blurred = judge_phantom(np.kron(made.mean, np.ones((FACTOR, FACTOR))), made.pixel_size_nm, phantom)
    print("\n  " + "  ".join(("true distance", "mean frame  ", "reconstruction")))
    for pair, before in zip(sharp.pairs, blurred.pairs, strict=True):
        truth = "one line" if pair.separation_nm is None else f"{pair.separation_nm:.0f} nm"
        print(f"  {truth:>13}  {_seen(before):<12}  {_seen(pair)}")
    print(f"\n{_summary(sharp)}")
    print(f"That took {time.perf_counter() - started:.0f} s, {result.record['time_s']:.0f} s of it reconstruction.")
    print(f"Report: {output / 'report.html'}")


def _seen(pair: PairVerdict) -> str:
    if not pair.found_nm:
        return "one line"
    return f"{pair.found_nm:.0f} nm, dip {pair.dip:.0%}" + ("" if pair.resolved else ": not resolved")


def _summary(verdict: PhantomVerdict) -> str:
    if verdict.resolved_from_nm is None:
        return "No pair is resolved (a dip of 26 % between two lines)."
    text = f"Resolved from {verdict.resolved_from_nm:.0f} nm up (a dip of 26 % between the two lines)"
    return text + (", but the single line was split." if verdict.false_split else "; the single line stays single.")


if __name__ == "__main__":
    main()
