"""Methods, parameters and ranges as texts: what they mean, and what is refused."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field

from fluosr.errors import UsageError
from fluosr.methods.base import Method, MethodParameters
from fluosr.methods.registry import method_names
from fluosr.settings import parse_methods, parse_settings, plan_sweep


class Parameters(MethodParameters):
    radius: float = Field(2.0, ge=0)
    order: int = Field(2, ge=1)
    temporal: Literal["AVG", "VAR"] = "AVG"
    sparsity: float | None = None
    halves: bool = True


METHOD = Method("toy", "", Parameters, lambda: None, {"fine": {"order": 3}}, "")  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("radius=2:4:0.5", (2.0, 2.5, 3.0, 3.5, 4.0)),
        ("radius=0:0.3:0.1", (0.0, 0.1, 0.2, 0.3)),
        ("radius=1:2.2:0.5", (1.0, 1.5, 2.0)),
        ("radius=1e-3:3e-3:1e-3", (0.001, 0.002, 0.003)),
        ("radius=2", (2.0,)),
        ("order=1:3", (1, 2, 3)),
        ("order=2|4", (2, 4)),
        ("temporal=AVG|VAR", ("AVG", "VAR")),
        ("halves=yes|no", (True, False)),
        ("sparsity=automatic|0.5", (None, 0.5)),
    ],
)
def test_a_range_is_what_its_text_says(text: str, values: tuple[object, ...]) -> None:
    plan = plan_sweep(METHOD, text, None, {})
    assert plan.values == (values,)
    assert [tuple(plan.varied(number).values()) for number in range(len(values))] == [(value,) for value in values]


def test_cells_are_all_combinations_the_last_varying_fastest() -> None:
    plan = plan_sweep(METHOD, "radius=1:2, temporal=AVG|VAR", "fine", {"sparsity": 0.5})
    assert plan.names == ("radius", "temporal") and plan.shape == (2, 2)
    assert [tuple(plan.varied(n).values()) for n in range(4)] == [(1, "AVG"), (1, "VAR"), (2, "AVG"), (2, "VAR")]
    assert all((cell.order, cell.sparsity) == (3, 0.5) for cell in plan.cells)  # type: ignore[attr-defined]


WRONG_RANGES = [
    ("", "write PARAMETER=start:stop:step"),
    ("radius", "write PARAMETER=start:stop:step"),
    ("radius=", "write PARAMETER=start:stop:step"),
    ("radus=1:2", "did you mean radius?"),
    ("radius=1:2:3:4", "start:stop or start:stop:step"),
    ("radius=4:2", "start <= stop"),
    ("radius=1:2:0", "step > 0"),
    ("radius=1:2:-1", "step > 0"),
    ("radius=1:x", "write numbers"),
    ("radius=nan:2", "write numbers"),
    ("radius=0:inf", "write numbers"),
    ("radius=0:1e300:1e-300", "more than 1,000 values"),
    ("radius=0:999,order=1:999", "combinations are more than 10,000"),
    ("radius=1||2", "between the bars"),
    ("radius=1|1.0", "the same value stands there twice"),
    ("radius=1:2,radius=3", "names radius twice"),
    ("radius=-1:1", "greater than or equal to 0"),
    ("order=1:2:0.5", "order"),
    ("temporal=AVG|SUM", "temporal"),
    ("preset=1", "no parameter 'preset'"),
]


@pytest.mark.parametrize(("text", "words"), WRONG_RANGES, ids=[text or "empty" for text, _ in WRONG_RANGES])
def test_a_wrong_range_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        plan_sweep(METHOD, text, None, {})
    assert words in str(raised.value)


def test_a_parameter_is_not_both_given_and_varied() -> None:
    with pytest.raises(UsageError, match="given as --radius and in --vary"):
        plan_sweep(METHOD, "radius=1:2", None, {"radius": 1.0})


def test_methods_are_listed_or_all() -> None:
    assert parse_methods(" mean, fluogan ") == ["mean", "fluogan"]
    assert parse_methods("all") == [name for name in method_names() if name not in ("unfolded", "deep-storm")]


@pytest.mark.parametrize(
    ("text", "words"), [("", "names no method"), (" , ", "names no method"), ("maen", "did you mean mean?"),
                        ("mean,mean", "names mean twice")],
)  # fmt: skip
def test_wrong_methods_are_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_methods(text)
    assert words in str(raised.value)


def test_settings_go_to_their_methods() -> None:
    found = parse_settings(
        ["fluogan.iterations=300", "fluogan.sparsity=automatic", "mean.bad-pixels=no"], ["fluogan", "mean"]
    )
    assert found == {"fluogan": {"iterations": "300", "sparsity": None}, "mean": {"bad_pixels": "no"}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("iterations=3", "write METHOD.PARAMETER=VALUE"),
        ("fluogan.iterations", "write METHOD.PARAMETER=VALUE"),
        ("fluogan.=3", "write METHOD.PARAMETER=VALUE"),
        ("fluogan.iterations=", "write METHOD.PARAMETER=VALUE"),
        ("sofi.order=2", "not one of the methods to compare"),
        ("flougan.iterations=3", "did you mean fluogan?"),
        ("fluogan.iteration=3", "did you mean iterations"),
        ("mean.factor=3", "--factor"),
    ],
)
def test_wrong_settings_are_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_settings([text], ["fluogan", "mean"])
    assert words in str(raised.value)


def test_a_setting_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match=r"gives mean\.drift twice"):
        parse_settings(["mean.drift=yes", "mean.drift=no"], ["mean"])
