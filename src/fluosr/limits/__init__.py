"""What can be seen at all: the Cramér-Rao bound for telling two lines or two points apart."""

from fluosr.limits.bound import (
    Criterion,
    SeparationBound,
    SmallestSeparation,
    chance_of_two,
    separation_bound,
    smallest_separation,
)
from fluosr.limits.scene import Experiment, Pair
from fluosr.limits.table import Limit, find_limit

__all__ = [
    "Criterion",
    "Experiment",
    "Limit",
    "Pair",
    "SeparationBound",
    "SmallestSeparation",
    "chance_of_two",
    "find_limit",
    "separation_bound",
    "smallest_separation",
]
