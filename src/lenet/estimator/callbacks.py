"""The callback support of scikit-learn 1.9, or no-op substitutes for earlier versions."""

import contextlib
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["CallbackSupportMixin", "with_callbacks"]

_Method = TypeVar("_Method", bound=Callable[..., Any])


class _NoCallbacks:
    """The context of a fit without callbacks."""

    def subcontext(self, **named: Any) -> "_NoCallbacks":
        return self

    def call_on_fit_task_begin(self, **named: Any) -> None: ...

    def call_on_fit_task_end(self, **named: Any) -> bool:
        return False


class CallbackSupportMixin:
    """Create contexts without callbacks."""

    def _init_callback_context(self, **named: Any) -> _NoCallbacks:
        return _NoCallbacks()


def with_callbacks(method: _Method) -> _Method:
    """Add a stack frame, as scikit-learn's decorator does, so that warnings in `fit` point to its caller."""

    @functools.wraps(method)
    def called(*args: Any, **named: Any) -> Any:
        return method(*args, **named)

    return called  # type: ignore[return-value]


if not TYPE_CHECKING:  # scikit-learn has no types, so decorated methods would lose theirs
    with contextlib.suppress(ModuleNotFoundError):
        from sklearn.callback import CallbackSupportMixin, with_callbacks
