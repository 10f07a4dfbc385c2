"""Sizes as people read them, and memory that is used again."""

from __future__ import annotations

import sys

import pytest
import torch

from fluosr.machine import freed_memory_kept, size_in_words


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


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_freed_memory_is_used_again_without_the_system() -> None:
    import resource

    def faults(repeats: int) -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(repeats):
            torch.ones(2**21)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    with freed_memory_kept():
        faults(2)
        assert faults(20) < 5 * 2048  # the pages of 5 new blocks
