"""A progress bar."""

import contextlib
import sys
from typing import Any


class Bar:
    """Context manager that shows progress if `shown`, standard error is a terminal and rich is installed."""

    def __init__(self, shown: bool):
        self._shown = shown and sys.stderr is not None and sys.stderr.isatty()
        self._bar: Any = None

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, total: int | None) -> None:
        """Show the number of images processed so far; the first call begins the bar, with the total if it is known."""
        if self._shown and self._bar is None:
            self._shown = False
            with contextlib.suppress(ImportError):
                self._bar, self._task = _rich_bar(total)
                self._bar.start()
        if self._bar is not None:
            self._bar.update(self._task, completed=done)


def _rich_bar(total: int | None) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.completed:,.0f} images"), BarColumn(None), TimeRemainingColumn()
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    return bar, bar.add_task("", total=total)
