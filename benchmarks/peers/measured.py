"""What a piece of work takes: CPU seconds of all threads and growth of memory; for any interpreter, numpy or none."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


def resident_mb() -> float:
    """Memory of this process, MB (Linux)."""
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def measured() -> Iterator[None]:
    """Prints ``{"cpu_s": ..., "memory_mb": ...}`` of the block it is put around; memory is looked at every 5 ms."""
    before = peak = resident_mb()
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.005):
            peak = max(peak, resident_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.process_time()
    try:
        yield
    finally:
        seconds = time.process_time() - began
        over.set()
        watcher.join()
    print("\n" + json.dumps({"cpu_s": seconds, "memory_mb": max(peak, resident_mb()) - before}))
