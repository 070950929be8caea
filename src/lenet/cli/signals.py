"""Stop training between two steps when SIGINT or SIGTERM arrives."""

import signal
import threading
from typing import Any


class StopSignals:
    """Context manager that records the first SIGINT or SIGTERM; a second one takes effect immediately."""

    def __init__(self) -> None:
        self.received = 0  # number of the signal
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        main = threading.current_thread() is threading.main_thread()  # only it may set handlers
        for number in (signal.SIGINT, signal.SIGTERM) if main else ():
            self._before[number] = signal.signal(number, self._record)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _record(self, number: int, _frame: object) -> None:
        self.received = number
        self.__exit__()
