"""The list of methods. A method is one module with a ``METHOD``; its name here is all it takes to be offered."""

from __future__ import annotations

import importlib

from fluosr.errors import UsageError
from fluosr.methods.base import Method, nearest

_MODULES = {
    "fluogan": "fluosr.methods.fluogan",
    "mean": "fluosr.methods.mean",
    "richardson-lucy": "fluosr.methods.richardson_lucy",
    "sparse": "fluosr.methods.sparse",
    "sofi": "fluosr.methods.sofi",
    "colorme": "fluosr.methods.colorme",
    "sparcom": "fluosr.methods.sparcom",
    "covariance": "fluosr.methods.covariance",
    "sacd": "fluosr.methods.sacd",
    "srrf": "fluosr.methods.radial_fluctuations.srrf",
    "esrrf": "fluosr.methods.radial_fluctuations.esrrf",
    "musical": "fluosr.methods.musical",
    "divnoising": "fluosr.methods.divnoising",
    "unfolded": "fluosr.methods.unfolded",
    "deep-storm": "fluosr.methods.deep_storm",
    "spot-fitting": "fluosr.methods.spot_fitting",
}
DEFAULT_METHOD = "fluogan"


def method_names() -> list[str]:
    """All names, in the order they are listed."""
    return list(_MODULES)


def get_method(name: str) -> Method:
    """The method of that name; its module is imported, its heavy parts are not.

    Raises:
        UsageError: no such method; the nearest names are offered.
    """
    method: Method = importlib.import_module(method_module(name)).METHOD
    return method


def method_module(name: str) -> str:
    """The full name of the module that holds a method, not imported yet.

    Raises:
        UsageError: no such method; the nearest names are offered.
    """
    if name not in _MODULES:
        raise UsageError(f"there is no method {name!r}{nearest(name, _MODULES)}")
    return _MODULES[name]
