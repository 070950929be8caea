"""Import the public names of a package on first use, so that importing the package is fast."""

import importlib
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any


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
