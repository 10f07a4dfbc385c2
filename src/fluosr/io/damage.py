"""What is no file, or a damaged one: whatever reading it does, one error comes out that says so."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from fluosr.errors import FluosrError, ImageReadError

_reading: ContextVar[bool] = ContextVar("reading", default=False)


class _Quiet(logging.Filter):
    """Holds back what is logged inside ``decoder_errors``; each thread has its own inside."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not _reading.get()


_QUIET = _Quiet()  # one, and never taken away again: filters that come and go would meet those of other threads


@contextmanager
def decoder_errors(path: Path, doing: str) -> Iterator[None]:
    """Decoders raise almost anything on a damaged file, and log it too: one error comes out, and nothing on stderr.

    Args:
        path: the file.
        doing: what cannot be done to it, such as "opened".

    Raises:
        ImageReadError: whatever else was raised inside; a FluosrError passes as it is.
    """
    logging.getLogger("tifffile").addFilter(_QUIET)
    token = _reading.set(True)
    try:
        yield
    except FluosrError:
        raise
    except MemoryError as error:
        raise ImageReadError(f"{path}: there is not enough memory to have it {doing}.") from error
    except Exception as error:
        raise ImageReadError(
            f"{path} cannot be {doing}: it is damaged or of a kind that is not known "
            f"({type(error).__name__}: {str(error)[:200]})."
        ) from error
    finally:
        _reading.reset(token)


def first_bytes(path: Path, count: int, wanted: str) -> bytes:
    """The bytes that a file begins with, at most ``count`` of them.

    Args:
        path: the file.
        count: how many are wanted.
        wanted: what should have been named, such as "TIFF file".

    Raises:
        ImageReadError: it is not there, no file, empty, or cannot be opened.
    """
    if path.is_dir():
        raise ImageReadError(f"{path} is a folder; name the {wanted} in it.")
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise ImageReadError(f"{path} is a device or a pipe; give a {wanted}.")
    try:
        with path.open("rb") as file:
            head = file.read(count)
    except FileNotFoundError as error:
        raise ImageReadError(f"{path} does not exist; check the name and the folder.") from error
    except (OSError, ValueError) as error:
        raise ImageReadError(f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}.") from error
    if not head:
        raise ImageReadError(f"{path} is empty (0 bytes); copy it again from where it was recorded.")
    return head
