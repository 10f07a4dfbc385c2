"""One run at a time in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fluosr.errors import OutputError


@contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Hold the folder: another run that asks for it meanwhile is refused. It is free again when this process ends.

    The lock is the system's and leaves no file. Where there is none (Windows, some network drives), nothing is held.

    Raises:
        OutputError: another run holds the folder.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(f"another run is writing to {folder}: wait for it, or choose another --output.") from None
        except OSError:
            pass  # the drive has no locks
        yield
    finally:
        os.close(handle)
