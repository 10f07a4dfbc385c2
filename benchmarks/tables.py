"""What the benchmarks share: tables that print and store themselves, cells kept between runs, movies in memory."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fluosr.acquisition import Acquisition, ArrayFrames
from fluosr.corrections.camera_estimate import estimate_camera
from fluosr.settings import parse_methods
from fluosr.simulate.movie import SimulatedMovie

RESULTS = Path(__file__).parent / "results"
DATA = Path(os.environ.get("FLUOSR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))

# Methods that need no model, but for those that ask for single molecules.
FLUCTUATION_METHODS = [name for name in parse_methods("all") if name != "spot-fitting"]


@dataclass
class Table:
    """One table of a benchmark.

    Args:
        title: what it shows.
        columns: heads, with units.
        note: how to read it.
        rows: one list a row.
    """

    title: str
    columns: Sequence[str]
    note: str = ""
    rows: list[list[Any]] = field(default_factory=list)

    def markdown(self) -> str:
        """The table as Markdown."""
        cells = [[_text(value) for value in row] for row in [self.columns, *self.rows]]
        width = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]
        lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, width, strict=True)) + " |" for row in cells]
        lines.insert(1, "|" + "|".join("-" * (w + 2) for w in width) + "|")
        return f"## {self.title}\n\n" + (f"{self.note}\n\n" if self.note else "") + "\n".join(lines) + "\n"


class Cells(dict[str, dict[str, Any]]):
    """What a benchmark has found so far, by the key of each cell: kept in ``results/NAME.cells.json``.

    A run can thus be stopped and taken up, and the tables are made of what there is.

    Args:
        name: of the benchmark.
        minutes: to stop after, before the next cell; 0: never.
    """

    def __init__(self, name: str, minutes: float = 0.0) -> None:
        self.path = RESULTS / f"{name}.cells.json"
        self.end = time.monotonic() + 60 * minutes if minutes else np.inf
        super().__init__(json.loads(self.path.read_text()) if self.path.exists() else {})

    @property
    def time_is_up(self) -> bool:
        """The minutes are over."""
        return time.monotonic() > self.end

    def keep(self, found: Mapping[str, dict[str, Any]]) -> None:
        """Take these, and write all: beside, then renamed, so that a run that is killed loses nothing."""
        self.update(found)
        self.path.parent.mkdir(exist_ok=True)
        part = Path(f"{self.path}.part")
        part.write_text(json.dumps(self))
        part.replace(self.path)

    def fill(
        self, jobs: Iterable[tuple[str, Callable[[], dict[str, Any]]]], shown: Callable[[dict[str, Any]], Any]
    ) -> None:
        """Run what is missing, one after another, while there is time.

        Args:
            jobs: key and work, those that decide first.
            shown: what to print of a cell.
        """
        for key, work in jobs:
            if key in self or self.time_is_up:
                continue
            self.keep({key: work()})
            print(key, shown(self[key]), flush=True)


def store(name: str, heading: str, tables: Sequence[Table], **facts: Any) -> None:
    """Print all tables and write ``results/NAME.json`` and ``results/NAME.md``."""
    RESULTS.mkdir(exist_ok=True)
    where = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "python": platform.python_version(), **facts}
    text = f"# {heading}\n\n" + "\n".join(table.markdown() for table in tables)
    text += "\n" + "\n".join(f"- {key}: {value}" for key, value in where.items()) + "\n"
    print(text)
    content = {"heading": heading, **where, "tables": [vars(table) for table in tables]}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1, default=_plain) + "\n")
    (RESULTS / f"{name}.md").write_text(text)


def mean_sd(values: Sequence[float | None], digits: int = 2) -> str:
    """Mean ± sd, as text, of what is not None; a dash where nothing is."""
    there = [v for v in values if v is not None]
    if not there:
        return "-"
    return f"{np.mean(there):.{digits}f} ± {np.std(there, ddof=1) if len(there) > 1 else 0.0:.{digits}f}"


def acquire(movie: SimulatedMovie) -> Acquisition:
    """The movie as a user meets it: 16-bit grey values, camera unknown and estimated."""
    frames = np.stack([np.clip(np.rint(f), 0, 65535).astype(np.uint16) for f in movie.frames()])
    source = ArrayFrames(frames)
    camera, _ = estimate_camera(source, gain=None, offset=None, read_noise=None)
    return Acquisition(source, movie.phantom.pixel_size_nm, movie.psf, camera, name="simulated")


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)
