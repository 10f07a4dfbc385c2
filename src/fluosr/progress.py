"""What a user sees while a run goes on: a bar for each stage, the time left, and what is to come."""

from __future__ import annotations

from typing import Any

from fluosr.methods.base import Estimate, Run


class ProgressBar:
    """A bar with the time left, on standard error; silent where nobody watches."""

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
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def run(self) -> Run:
        """A run that reports here."""
        return Run(on_progress=self.progress, on_estimate=self.estimate)

    def progress(self, stage: str, done: int, total: int) -> None:
        """Move a stage's bar."""
        if stage not in self._tasks:
            self._tasks[stage] = self._bar.add_task(stage, total=total)
        self._bar.update(self._tasks[stage], completed=done, total=total)

    def estimate(self, estimate: Estimate) -> None:
        """Say what is to come."""
        self._console.print(
            f"About {duration(estimate.seconds)} of computing and {estimate.n_bytes / 2**20:.0f} MB of memory. "
            "Ctrl-C stops and keeps what there is.",
            soft_wrap=True,
            highlight=False,
        )


def duration(seconds: float) -> str:
    """A time in the unit one would say it in."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
