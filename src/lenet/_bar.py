"""A progress bar."""

import contextlib
import sys
from typing import Any


class Bar:
    """Context manager that shows a progress bar if `shown`, standard error is a terminal and rich is installed."""

    def __init__(self, total: int | None, shown: bool):
        self._bar: Any = None
        if shown and sys.stderr is not None and sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                self._bar, self._task = _rich_bar(total)

    def __enter__(self) -> "Bar":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int) -> None:
        """Show the number of images processed so far."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done)


def _rich_bar(total: int | None) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.completed:,.0f} images"), BarColumn(None), TimeRemainingColumn()
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    return bar, bar.add_task("", total=total)
