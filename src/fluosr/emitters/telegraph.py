"""One molecule that switches on and off, and dies: its photons in frames, mean and covariance in closed form.

A molecule is on for exponential times of mean t_on, off for exponential times of mean t_off, in equilibrium when the
movie begins, and dies at rate d = 1 / tau whether on or off, for ever. While on it emits I photons per second. With
p = t_on / (t_on + t_off), r = 1 / t_on + 1 / t_off and its state s(u) in {0, 1} at time u,

    E s(u) = p exp(-d u),    E s(u) s(v) = p exp(-d v) [p + (1 - p) exp(-r (v - u))]    for u <= v:

it must live until v. Frame t holds f_t = I int s(u) du over t D <= u < (t + 1) D. Integrating both, with
h(a) = int_0^D exp(-a u) du = (1 - exp(-a D)) / a,

    E f_t = I p exp(-d t D) h(d)
    E f_0^2 = 2 I^2 p int_0^D exp(-d v) [p v + (1 - p) (1 - exp(-r v)) / r] dv
    E f_0 f_k = I^2 p exp(-d k D) [p D h(d) + (1 - p) exp(-r (k - 1) D) h(r) h(d + r)]    for k >= 1

and E f_t f_{t+k} = exp(-d t D) E f_0 f_k, so that

    Cov(f_t, f_{t+k}) / E f_t = E f_0 f_k / E f_0 - exp(-d (t + k) D) E f_0.

Without death this is I (1 - p) times 2 (a - 1 + exp(-a)) / a^2, a = r D, at lag 0, and times
exp(-(k - 1) a) [(1 - exp(-a)) / a]^2 at lag k >= 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fluosr.errors import UsageError

LARGEST_TIME_S = 1e9
MOST_SWITCHES_PER_FRAME = 1000.0  # beyond, switching averages out within a frame: such emitters are steady


@dataclass(frozen=True)
class Telegraph:
    """A molecule of photons_per_s I while on, and its switching.

    Args:
        on_time_s: t_on, mean time a molecule stays on, seconds.
        off_time_s: t_off, mean time it stays off, seconds.
        frame_interval_s: D, seconds; frames follow each other without a gap.
        photons_per_s: I, photons per second that a molecule sends to the camera while on.
        bleaching_time_s: tau, mean life of a molecule, seconds; None for ever.

    Raises:
        UsageError: a time or brightness that cannot be, or switching that no frame would show.
    """

    on_time_s: float
    off_time_s: float
    frame_interval_s: float
    photons_per_s: float = 1.0
    bleaching_time_s: float | None = None

    def __post_init__(self) -> None:
        for name, value in (
            ("on_time_s", self.on_time_s),
            ("off_time_s", self.off_time_s),
            ("frame_interval_s", self.frame_interval_s),
            ("bleaching_time_s", 1.0 if self.bleaching_time_s is None else self.bleaching_time_s),
        ):
            if not (math.isfinite(value) and 0 < value <= LARGEST_TIME_S):
                words = name.removesuffix("_s").replace("_", " ")
                raise UsageError(
                    f"the {words} of blinking molecules must be positive and not above {LARGEST_TIME_S:g} seconds, got "
                    f"{value:g}."
                )
        if not (math.isfinite(self.photons_per_s) and self.photons_per_s > 0):
            raise UsageError(
                f"the photons per second of a molecule that is on must be positive, got {self.photons_per_s:g}."
            )
        if self.switching_rate * self.frame_interval_s > MOST_SWITCHES_PER_FRAME:
            raise UsageError(
                f"molecules that are on for {self.on_time_s:g} s and off for {self.off_time_s:g} s switch more than "
                f"{MOST_SWITCHES_PER_FRAME:g} times in a frame of {self.frame_interval_s:g} s, and no frame shows it: "
                "times are in seconds. Such light is steady: take SteadyEmitters (--fluctuations poisson)."
            )

    @property
    def on_share(self) -> float:
        """p, share of its life that a molecule is on."""
        return self.on_time_s / (self.on_time_s + self.off_time_s)

    @property
    def switching_rate(self) -> float:
        """r = 1 / t_on + 1 / t_off, 1 / s: the rate at which a molecule forgets whether it was on."""
        return 1.0 / self.on_time_s + 1.0 / self.off_time_s

    @property
    def death_rate(self) -> float:
        """d, 1 / s; 0 without bleaching."""
        return 0.0 if self.bleaching_time_s is None else 1.0 / self.bleaching_time_s

    @property
    def photons_per_frame(self) -> float:
        """I p D, mean photons per frame of a molecule that lives."""
        return self.photons_per_s * self.on_share * self.frame_interval_s

    def level(self, frame: int) -> float:
        """E f_t / (I p D): what bleaching leaves of the mean in frame t."""
        alive = math.exp(-self.death_rate * frame * self.frame_interval_s)
        return alive * self._h(self.death_rate) / self.frame_interval_s

    def covariance_factor(self, lag: int = 0, frame: int = 0) -> float:
        """Cov(f_t, f_{t+k}) / E f_t, photons.

        Args:
            lag: k >= 0, frames.
            frame: t.
        """
        p, r, d, interval = self.on_share, self.switching_rate, self.death_rate, self.frame_interval_s
        first = self.photons_per_frame * self.level(0)
        if lag == 0:
            second = 2.0 * self.photons_per_s**2 * p * (p * self._ramp(d) + (1 - p) * self._ramp_with_switching())
        else:
            alive = math.exp(-d * lag * interval)
            switching = (1 - p) * math.exp(-r * (lag - 1) * interval) * self._h(r) * self._h(d + r)
            second = self.photons_per_s**2 * p * alive * (p * interval * self._h(d) + switching)
        return second / first - math.exp(-d * (frame + lag) * interval) * first

    def _h(self, rate: float) -> float:
        """int_0^D exp(-a u) du."""
        if rate == 0.0:
            return self.frame_interval_s
        return -math.expm1(-rate * self.frame_interval_s) / rate

    def _ramp(self, rate: float) -> float:
        """int_0^D v exp(-a v) dv = D^2 g(a D), g(z) = (1 - (1 + z) exp(-z)) / z^2."""
        z = rate * self.frame_interval_s
        if z < 1e-2:  # the difference would lose its digits; the series holds sixteen
            g = 1 / 2 - z / 3 + z**2 / 8 - z**3 / 30 + z**4 / 144 - z**5 / 840
        else:
            g = (1.0 - (1.0 + z) * math.exp(-z)) / z**2
        return self.frame_interval_s**2 * g

    def _ramp_with_switching(self) -> float:
        """int_0^D exp(-d v) (1 - exp(-r v)) / r dv = [h(d) - h(d + r)] / r."""
        d, r = self.death_rate, self.switching_rate
        if r * self.frame_interval_s < 1e-5:  # the difference would lose its digits
            square = self.frame_interval_s**3 / 3 * math.exp(-0.75 * d * self.frame_interval_s)
            return self._ramp(d) - 0.5 * r * square
        return (self._h(d) - self._h(d + r)) / r
