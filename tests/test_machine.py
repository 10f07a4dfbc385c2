"""Sizes as people read them."""

from __future__ import annotations

import pytest

from fluosr.machine import size_in_words


@pytest.mark.parametrize(
    ("n_bytes", "said"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (1_234_567, "1.23 MB"),
        (999_600, "1 MB"),
        (999_999_999, "1 GB"),
        (123e9, "123 GB"),
        (45_678e9, "45678 GB"),
    ],
)
def test_a_size_is_told_in_the_unit_that_suits_it(n_bytes: float, said: str) -> None:
    assert size_in_words(n_bytes) == said
