"""Import the public names of a package, and compute attributes, on first use."""

import importlib
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any, Generic, TypeVar

T = TypeVar("T")


def lazy_attributes(
    package: str,
    homes: Mapping[str, str],
    modules: Collection[str] = (),
    before: Callable[[], None] = lambda: None,
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a package (PEP 562).

    `homes` maps names to the modules that define them, and `modules` lists modules that are public names themselves;
    both are relative to the package. `before` is called before anything is imported.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807
        if name not in homes and name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        before()
        value = importlib.import_module(f"{package}.{homes.get(name, name)}")
        if name in homes:
            value = getattr(value, name)
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:  # noqa: N807
        return sorted({*vars(sys.modules[package]), *homes, *modules})

    return __getattr__, __dir__


class cached_property(Generic[T]):  # noqa: N801 - as in functools
    """A property that is computed once per instance.

    Before Python 3.12, that of functools has a lock, for which a forked child may wait forever.
    """

    def __init__(self, compute: Callable[[Any], T]):
        self._compute, self.__doc__ = compute, compute.__doc__

    def __get__(self, instance: object, owner: type) -> T:
        if instance is None:
            return self  # type: ignore[return-value]
        value = instance.__dict__[self._compute.__name__] = self._compute(instance)
        return value
