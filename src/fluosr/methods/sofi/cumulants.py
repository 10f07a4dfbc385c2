"""From joint moments to joint cumulants, for the formulas of any order and any pixels and times."""

from __future__ import annotations

from collections.abc import Callable
from math import comb

import numpy as np

Moment = Callable[[int], np.ndarray]


def joint_cumulants(moment: Moment, order: int) -> list[np.ndarray]:
    """Cumulants of the first 1, 2, ..., n of n variables. Of the set S, with s its first member,

        k(S) = m(S) - sum over A, s in A, A < S of  k(A) m(S - A),

    which is the sum over all partitions of (-1)^(b-1) (b-1)! times the product of the moments of the b parts.
    From order 2 on it is the same whatever constant is taken off each variable before the moments are.

    Args:
        moment: the mean product of the variables in a set; variable i is in it where bit i of its argument is set.
        order: n.

    Returns:
        n arrays, in the moments' unit.
    """
    found: dict[int, np.ndarray] = {}
    for whole in range(1, 2**order, 2):  # the first variable is in every set whose cumulant is needed
        total = moment(whole)
        part = (whole - 1) & whole
        while part:
            if part & 1:
                total = total - found[part] * moment(whole ^ part)
            part = (part - 1) & whole
        found[whole] = total
    return [found[2**n - 1] for n in range(1, order + 1)]


def power_cumulants(moments: np.ndarray) -> np.ndarray:
    """Cumulants of one variable: k_n = m_n - sum over j < n of C(n-1, j-1) k_j m_(n-j).

    Args:
        moments: (n, ...) mean powers 1 ... n.

    Returns:
        (n, ...) cumulants of orders 1 ... n.
    """
    found = np.empty_like(moments)
    for n in range(1, len(moments) + 1):
        found[n - 1] = moments[n - 1]
        for j in range(1, n):
            found[n - 1] -= comb(n - 1, j - 1) * found[j - 1] * moments[n - j - 1]
    return found
