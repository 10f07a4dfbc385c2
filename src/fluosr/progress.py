"""What a user sees while a run goes on: a bar for each stage, the time left, and what is to come."""

from __future__ import annotations

import time
from typing import Any

from fluosr.machine import whole_megabytes
from fluosr.methods.base import Estimate, Run

SECONDS_BETWEEN_LINES = 30.0


class ProgressBar:
    """A bar with the time left, on standard error; where that is a file or a pipe, a line every half minute."""

    def __enter__(self) -> ProgressBar:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            console=self._console,
            transient=False,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, Any] = {}
        self._said = time.monotonic()
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def run(self, name: str = "") -> Run:
        """A run that reports here, its stages under its name where there are several."""

        def progress(stage: str, done: int, total: int) -> None:
            self.progress(f"{name}: {stage}" if name else stage, done, total)

        return Run(on_progress=progress, on_estimate=lambda estimate: self.estimate(estimate, name))

    def progress(self, stage: str, done: int, total: int) -> None:
        """Move a stage's bar."""
        if not self._console.is_terminal and time.monotonic() - self._said > SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            self.say(f"{stage}: {100.0 * done / max(1, total):.0f} %")
        if stage not in self._tasks:
            self._tasks[stage] = self._bar.add_task(stage, total=total)
        self._bar.update(self._tasks[stage], completed=done, total=total)

    def estimate(self, estimate: Estimate, name: str = "") -> None:
        """Say what is to come, of a run with a name where there are several."""
        time, memory = duration(estimate.seconds), whole_megabytes(estimate.n_bytes)
        about = f"{name}: about" if name else "About"
        self.say(f"{about} {time} of computing and {memory} of memory. Ctrl-C stops and keeps what there is.")

    def say(self, text: str) -> None:
        """A line above the bars."""
        self._console.print(text, soft_wrap=True, highlight=False, markup=False)


def duration(seconds: float) -> str:
    """A time in the unit one would say it in."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
