"""The one family of errors: each message says what was wrong, where, and what to do."""

from __future__ import annotations


class FluosrError(Exception):
    """Base of every error that fluosr raises on purpose.

    ``exit_code`` is what the command line ends with: 1 for a failure, 2 for a wrong use.
    """

    exit_code = 1


def in_words(error: Exception) -> str:
    """What a user is told of any error: nothing but what was wrong and what to do."""
    if isinstance(error, FluosrError | OSError):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory for this."
    kind = type(error).__name__
    return f"something went wrong that should not ({kind}: {error}). Run it with --debug and report what it prints."


class UsageError(FluosrError):
    """The call itself is wrong: an unknown method, an option out of range, two that exclude each other."""

    exit_code = 2


class MissingMetadataError(UsageError):
    """A fact that fluosr never guesses (pixel size, PSF, meaning of an axis) was neither given nor in the file."""


class ImageReadError(FluosrError):
    """What was given cannot be read as a movie: absent, damaged, cut short, or declaring more than there is."""


class AcquisitionError(ImageReadError):
    """The frames can be read but cannot be a movie: one frame, a field of 3 pixels, NaN, RGB."""


class OpticsError(UsageError):
    """PSF, pixel size and factor do not fit together or do not fit the field."""


class MemoryLimitError(FluosrError):
    """The work asked for needs more memory than this machine has."""


class OutputError(FluosrError):
    """The result could not be written: no room, no permission, or the place is taken."""


class CheckpointError(FluosrError):
    """A stopped run cannot be resumed: nothing there, damaged, or made from other data or parameters."""


class ModelError(FluosrError):
    """A trained model cannot be used: not there, damaged, or written by another version or for another architecture."""


class ReconstructionInterrupted(FluosrError):
    """The run was stopped on request; what there was is kept."""

    exit_code = 1
