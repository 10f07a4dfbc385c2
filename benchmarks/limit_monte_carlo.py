"""The bound of two lines against movies: how exactly their separation is measured in them."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from dataclasses import replace

import numpy as np
from tables import Table, store

import fluosr
from fluosr.limits import Experiment, Pair, separation_bound
from fluosr.limits.fit import Use, fit_pair
from fluosr.limits.moments import PairModel
from fluosr.limits.sample import sample_frames, sample_moments

DIM = Experiment(photons=5.0, frames=500, read_noise_e=0.5, background_fraction=0.2)
WINDOW = (12, 14)
PAIR = Pair(length_nm=500.0)
USES: tuple[tuple[Use, str], ...] = (
    ("mean", "mean_nm"),
    ("gaussian", "gaussian_fit_nm"),
    ("weighted", "covariance_nm"),
)
CASES = (  # kappa, photons, separation in nm
    (1.0, 5.0, 100.0),
    (30.0, 5.0, 60.0),
    (30.0, 5.0, 100.0),
    (30.0, 30.0, 60.0),
    (100.0, 5.0, 40.0),
    (100.0, 5.0, 60.0),
)
MOVIES = 150


def measure(experiment: Experiment, separation_nm: float, equal: bool) -> dict[Use, np.ndarray]:
    """Separations measured in many movies by each estimator, the pair anywhere on the pixels; NaN where it gave up."""
    generator = np.random.default_rng(1)
    found: dict[Use, list[float]] = {use: [] for use, _ in USES}
    for number in range(MOVIES):
        # The places that the bound is averaged over.
        phase = (12.5, 37.5)[number % 2]
        model = PairModel(experiment, PAIR, WINDOW, phase, equal=equal)
        truth = model.parameters(separation_nm, phase)
        moments = sample_moments(sample_frames(model, truth, generator))
        for use, _ in USES:
            fitted = fit_pair(model, *moments, truth, use=use)
            found[use].append(float("nan") if fitted is None else abs(fitted[model.names.index("separation_nm")]))
    return {use: np.array(values) for use, values in found.items()}


def table_of(equal: bool) -> Table:
    known = (
        "Both lines are known to be equally bright" if equal else "How the light divides between the two is measured"
    )
    table = Table(
        known,
        ("kappa", "photons", "separation, nm", "estimator", "bound, nm", "found: sd, nm", "sd / bound", "bias, nm",
         "balance bound", "gave up"),
        f"{MOVIES} movies of {DIM.frames} frames, {WINDOW[0]} x {WINDOW[1]} px of 100 nm, FWHM 324 nm, lines of 500 nm "
        f"x 20 nm. The sampling error of sd / bound is {1 / np.sqrt(2 * MOVIES):.2f}. The estimators begin at the "
        "truth. 'gaussian' takes frames for Gaussian, 'weighted' gives mean and covariance weights that suit bursts.",
    )  # fmt: skip
    for kappa, photons, separation in CASES:
        experiment = replace(DIM, fano_factor=kappa, photons=photons)
        bound = separation_bound(experiment, PAIR, separation, window=WINDOW)
        for (use, name), values in zip(USES, measure(experiment, separation, equal).values(), strict=True):
            kept = values[np.isfinite(values)]
            spread, least = float(kept.std(ddof=1)), float(getattr(bound, name))
            balance = bound.mean_balance if use == "mean" else bound.covariance_balance
            table.rows.append(
                [f"{kappa:g}", f"{photons:g}", f"{separation:g}", use, least, spread, spread / least,
                 float(kept.mean() - separation), "-" if equal else balance, int(values.size - kept.size)]
            )  # fmt: skip
    return table


def main() -> None:
    """Both tables; about six minutes on one core."""
    store(
        "limit_monte_carlo",
        "The bound of two lines against simulated movies",
        [table_of(equal=True), table_of(equal=False)],
        version=fluosr.__version__,
    )


if __name__ == "__main__":
    main()
