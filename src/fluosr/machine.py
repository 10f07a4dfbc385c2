"""What this machine has free."""

from __future__ import annotations

import os
import re
from pathlib import Path


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
