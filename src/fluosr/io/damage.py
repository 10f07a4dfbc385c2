"""What decoders do on a damaged file, turned into one error that says so."""

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
