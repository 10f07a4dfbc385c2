"""Functions compiled by Numba, kept on disk for the next run where there is a place for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function at its first call, and keep the machine code beside its source or in the user's own folder.

    Where neither can be written to (a read-only installation, a service without a home), Numba alone would refuse the
    function; here it is compiled anew in every run.

    Args:
        options: of ``numba.njit``.
    """

    def compile_function(function: Callable[..., Any]) -> Any:
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:  # no place for the cache
            return njit(**options)(function)

    return compile_function
