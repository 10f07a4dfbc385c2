"""Sizes as people read them, and memory that is used again."""

from __future__ import annotations

import sys

import pytest
import torch

from fluosr.errors import MemoryLimitError
from fluosr.machine import (
    available_memory_bytes,
    free_memory_bytes,
    freed_memory_kept,
    refuse_beyond_memory,
    size_in_words,
    whole_megabytes,
)


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


def test_an_estimate_never_takes_0_mb() -> None:
    assert [whole_megabytes(size) for size in (0, 2**20 - 1, 2**20, 5.6 * 2**20)] == [
        "under 1 MB", "under 1 MB", "1 MB", "6 MB",
    ]  # fmt: skip


def test_what_fits_a_gpu_is_measured_there_and_not_by_the_processors_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: {"cuda": (2**30, 0), "cuda:1": (2**50, 0)}[device])
    assert free_memory_bytes("cuda") == 2**30 and free_memory_bytes("cuda:1") == 2**50
    assert 0 < free_memory_bytes("cpu") < 2 * available_memory_bytes()
    refuse_beyond_memory("it", 2**30, "cuda", "do less")
    with pytest.raises(MemoryLimitError, match="it takes about 2 GiB of memory, and 1 GiB are free on cuda: do less"):
        refuse_beyond_memory("it", 2**31, "cuda", "do less")
    with pytest.raises(MemoryLimitError, match=r"are free: do less\."):
        refuse_beyond_memory("it", 2**60, "cpu", "do less")
    refuse_beyond_memory("it", 2**49, "cuda:1", "do less")


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
        assert faults(20) < 10 * 2048  # the pages of half of the blocks: memory in pieces may take a few of them anew
