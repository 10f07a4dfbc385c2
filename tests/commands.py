"""The command line, run in this process."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from fluosr.cli import main


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Args:
        code: exit code.
        out: what it said, without line breaks and frames.
        err: what it said on standard error, likewise.
    """

    code: int
    out: str
    err: str


def fluosr(*arguments: str | Path | float) -> Outcome:
    """Run ``fluosr`` with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    argv = ["fluosr", *map(str, arguments)]
    streams = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with (
        mock.patch.object(sys, "argv", argv),
        mock.patch.dict("os.environ", {"COLUMNS": "300"}),
        streams[0],
        streams[1],
    ):
        try:
            main()
        except SystemExit as end:
            code = 0 if end.code is None else end.code
    assert isinstance(code, int), code
    return Outcome(code, plain(out.getvalue()), plain(err.getvalue()))


def plain(text: str) -> str:
    """Without colours, frames and line breaks."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯─]", " ", text).split())


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, for saying that nothing changed."""
    paths: Sequence[Path] = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}
