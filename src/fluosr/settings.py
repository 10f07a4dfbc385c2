"""Methods, parameters and ranges of them as texts on a command line, and what they mean."""

from __future__ import annotations

import itertools
import json
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from fluosr.errors import UsageError
from fluosr.methods.base import Method, MethodParameters, nearest
from fluosr.methods.registry import get_method, method_names

AUTOMATIC = "automatic"  # the text for a parameter that is to be chosen from the data
MOST_VALUES, MOST_CELLS = 1000, 10_000
COMMON = {"factor": "--factor: all methods share one grid"}


def parse_methods(text: str) -> list[str]:
    """Names of methods, from "fluogan,mean"; "all" stands for every one that needs no trained model.

    Raises:
        UsageError: none, an unknown one, or one twice.
    """
    if text.strip() == "all":
        return [name for name in method_names() if not get_method(name).needs_model]
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError(f"--methods {text!r} names no method{nearest('', method_names())}")
    for number, name in enumerate(names):
        get_method(name)
        if name in names[:number]:
            raise UsageError(f"--methods names {name} twice.")
    return names


def parse_settings(texts: Sequence[str], methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Values for single methods, from texts such as "fluogan.iterations=300".

    Args:
        texts: each METHOD.PARAMETER=VALUE.
        methods: those that will be run.

    Returns:
        method -> parameter -> value, as the parameter model takes it; a method without any is missing.

    Raises:
        UsageError: a text of another form, a method not among these, an unknown parameter, one given twice.
    """
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        place, equals, value = text.partition("=")
        name, dot, parameter = (part.strip() for part in place.partition("."))
        if not (equals and dot and name and parameter and value.strip()):
            raise UsageError(f"--set {text}: write METHOD.PARAMETER=VALUE, such as --set fluogan.iterations=300.")
        if name not in methods:
            raise UsageError(f"--set {text}: {name!r} is not one of the methods to compare{nearest(name, methods)}")
        parameter = _known(get_method(name), parameter, f"--set {text}")
        if parameter in COMMON:
            raise UsageError(f"--set {text}: say it with {COMMON[parameter]}.")
        if parameter in found.setdefault(name, {}):
            raise UsageError(f"--set gives {name}.{parameter} twice.")
        found[name][parameter] = typed(get_method(name), parameter, value.strip())
    return found


def typed(method: Method, name: str, text: str) -> Any:
    """A value as the parameter model takes it: the model itself reads numbers, yes and no from texts."""
    kind = method.parameters.model_fields[name].annotation
    if text.lower() in (AUTOMATIC, "none") and type(None) in typing.get_args(kind):
        return None
    if text.startswith("[") and str not in _kinds(kind):
        try:
            return json.loads(text)
        except ValueError:
            return text  # the model says what is wrong with it
    return text


def _kinds(annotation: Any) -> tuple[Any, ...]:
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if union else (annotation,)


def _known(method: Method, name: str, where: str) -> str:
    name = name.replace("-", "_")
    if name not in method.parameters.model_fields:
        known = nearest(name, method.parameters.model_fields)
        raise UsageError(f"{where}: {method.name} has no parameter {name!r}{known}")
    return name


@dataclass(frozen=True)
class Plan:
    """All cells of a sweep.

    Args:
        names: the varied parameters.
        values: for each of them its values, typed, in the order given.
        cells: one parameter model for each combination, the last name varying fastest.
    """

    names: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]
    cells: tuple[MethodParameters, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Values of each parameter."""
        return tuple(len(values) for values in self.values)

    def varied(self, number: int) -> dict[str, Any]:
        """The varied parameters of one cell."""
        return {name: getattr(self.cells[number], name) for name in self.names}


def plan_sweep(method: Method, vary: str, preset: str | None, fixed: Mapping[str, Any]) -> Plan:
    """Every combination of values, checked before anything is computed.

    Args:
        method: whose parameters they are.
        vary: "radius=2:4:0.5,temporal=AVG|VAR": start:stop:step with both ends, or a list.
        preset: named values of the other parameters.
        fixed: values of the other parameters.

    Raises:
        UsageError: a text of another form, an unknown parameter, values that it does not take, too many of them.
    """
    texts: dict[str, list[str]] = {}
    for part in vary.split(","):
        name, equals, spec = (piece.strip() for piece in part.partition("="))
        if not (name and equals and spec):
            raise UsageError(
                f"--vary {part.strip() or vary!r}: write PARAMETER=start:stop:step or PARAMETER=a|b|c, several of them "
                "with commas between."
            )
        name = _known(method, name, f"--vary {part.strip()}")
        if name in texts:
            raise UsageError(f"--vary names {name} twice.")
        if fixed.get(name) is not None:
            raise UsageError(f"{name} is given as --{name.replace('_', '-')} and in --vary; leave one of them out.")
        texts[name] = list(_texts_of(part.strip(), spec))
    count = 1
    for values in texts.values():
        count *= len(values)
    if count > MOST_CELLS:
        raise UsageError(f"--vary: {count:,} combinations are more than {MOST_CELLS:,}; take larger steps.")
    names = tuple(texts)
    typed_texts = [[typed(method, name, text) for text in texts[name]] for name in names]
    cells = tuple(
        method.build(preset, **{**fixed, **dict(zip(names, values, strict=True))})
        for values in itertools.product(*typed_texts)
    )
    shape = [len(values) for values in typed_texts]
    read: list[tuple[Any, ...]] = []
    for axis, name in enumerate(names):
        stride = 1
        for n in shape[axis + 1 :]:
            stride *= n
        read.append(tuple(getattr(cells[stride * k], name) for k in range(shape[axis])))
        if len({repr(value) for value in read[-1]}) < shape[axis]:
            raise UsageError(f"--vary {name}: the same value stands there twice.")
    return Plan(names, tuple(read), cells)


def _texts_of(part: str, spec: str) -> Iterator[str]:
    if "|" in spec or ":" not in spec:
        values = [text.strip() for text in spec.split("|")]
        if not all(values):
            raise UsageError(f"--vary {part}: a value between the bars is missing.")
        if len(values) > MOST_VALUES:
            raise UsageError(f"--vary {part}: more than {MOST_VALUES:,} values.")
        yield from values
        return
    wrong = f"--vary {part}: write numbers as start:stop or start:stop:step, with start <= stop and step > 0."
    pieces = spec.split(":")
    if len(pieces) not in (2, 3):
        raise UsageError(wrong)
    try:
        start, stop, step = (Decimal(piece.strip()) for piece in (*pieces, "1")[:3])
    except InvalidOperation:
        raise UsageError(wrong) from None
    if not (start.is_finite() and stop.is_finite() and step.is_finite() and start <= stop and step > 0):
        raise UsageError(wrong)
    # Decimals, so that 0:0.3:0.1 has four values and 0.3 is one of them. Compared first: a quotient may be huge.
    if stop - start >= MOST_VALUES * step:
        raise UsageError(f"--vary {part}: more than {MOST_VALUES:,} values; take a larger step.")
    for number in range(int((stop - start) / step) + 1):
        value = (start + number * step).normalize()
        yield format(value, "f") if abs(value.adjusted()) < 15 else str(value)
