"""What this machine has free."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fluosr.errors import MemoryLimitError

# Of glibc's mallopt: from what size on a block comes straight from the system, and how much free memory it keeps.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
ALL_BYTES, USUAL_MMAP_BYTES, USUAL_TRIM_BYTES = 2**31 - 1, 2**25, 2**26  # the usual: where glibc's own rule ends


def size_in_words(n_bytes: float) -> str:
    """Bytes in the unit that suits them, as "870 bytes", "4.2 MB" or "1.3 GB" (10^9 bytes)."""
    size, unit = float(n_bytes), "bytes"
    for larger in ("kB", "MB", "GB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.3g} {unit}" if size < 999.5 else f"{size:.0f} {unit}"


def whole_megabytes(n_bytes: float) -> str:
    """A number of bytes in MB (2^20 bytes), for estimates."""
    return f"{n_bytes / 2**20:.0f} MB" if n_bytes >= 2**20 else "under 1 MB"


def available_memory_bytes() -> int:
    """Memory that a new array may take without swapping, bytes; what Linux says, else the physical memory."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        return int(re.search(r"MemAvailable:\s*(\d+) kB", text)[1]) * 1024  # type: ignore[index]
    except (OSError, TypeError, ValueError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 4 * 2**30


def free_memory_bytes(device: str) -> int:
    """Memory that is free where something is to be computed, bytes: that of a GPU, or :func:`available_memory_bytes`.

    Args:
        device: "cpu", "cuda" or "cuda:1".
    """
    if not device.startswith("cuda"):
        return available_memory_bytes()
    import torch

    return int(torch.cuda.mem_get_info(device)[0])


def refuse_beyond_memory(what: str, needed: int, device: str, advice: str) -> None:
    """Refuse what does not fit, before anything is taken for it.

    Args:
        what: is to be done, for the words.
        needed: bytes.
        device: where it is to be computed.
        advice: what makes it smaller.

    Raises:
        MemoryLimitError: more is needed than is free.
    """
    if needed <= (free := free_memory_bytes(device)):
        return
    where = "" if device == "cpu" else f" on {device}"
    raise MemoryLimitError(
        f"{what} takes about {needed / 2**30:.4g} GiB of memory, and {free / 2**30:.4g} GiB are free{where}: {advice}."
    )


def reset_peak_memory() -> bool:
    """Let :func:`peak_memory_mb` count anew from now; False where this system cannot, and it goes on counting."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, or since :func:`reset_peak_memory`, MB (2^20 bytes).

    Linux's own count is asked where it is there: ``getrusage`` starts from what the parent process held.
    """
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii")
        return int(re.search(r"VmHWM:\s*(\d+) kB", text)[1]) / 1024  # type: ignore[index]
    except (OSError, TypeError, ValueError):
        try:
            import resource
        except ImportError:  # not on Windows
            return float("nan")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Large freed blocks stay with the process and are used again, where glibc would hand them back.

    The system zeroes each of them before it gives it out anew: a sixth of the time of a loop that makes and frees
    arrays of some MB, as every step through a network does. At the end, what is free goes back. Without glibc this does
    nothing.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is None or not hasattr(library, "mallopt"):
        yield
        return
    library.mallopt(MMAP_THRESHOLD, ALL_BYTES)
    library.mallopt(TRIM_THRESHOLD, ALL_BYTES)
    try:
        yield
    finally:
        library.mallopt(MMAP_THRESHOLD, USUAL_MMAP_BYTES)
        library.mallopt(TRIM_THRESHOLD, USUAL_TRIM_BYTES)
        library.malloc_trim(0)
