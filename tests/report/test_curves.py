"""The curves: what is drawn, and nothing global."""

from fluosr.report import curves


def test_nothing_global_is_touched():
    import sys

    curves.history({"a": [3.0, 2.0]})
    assert "matplotlib.pyplot" not in sys.modules
