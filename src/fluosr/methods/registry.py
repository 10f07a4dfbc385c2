"""The list of methods. A method is one module with a ``METHOD``; its name here is all it takes to be offered everywhere."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable

from fluosr.errors import UsageError
from fluosr.methods.base import Method

_MODULES = {"fluogan": "fluosr.methods.fluogan"}
DEFAULT_METHOD = "fluogan"


def method_names() -> list[str]:
    """All names, in the order they are listed."""
    return list(_MODULES)


def get_method(name: str) -> Method:
    """The method of that name; its module is imported, its heavy parts are not.

    Raises:
        UsageError: no such method; the nearest names are offered.
    """
    if name not in _MODULES:
        raise UsageError(f"there is no method {name!r}{nearest(name, _MODULES)}")
    method: Method = importlib.import_module(_MODULES[name]).METHOD
    return method


def nearest(name: str, known: Iterable[str]) -> str:
    """End of an error message: the names nearest to a wrong one, or all of them."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; known are: {', '.join(names) or 'none'}."
