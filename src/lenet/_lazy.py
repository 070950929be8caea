"""Import the public names of a package when they are first used, so that importing the package stays quick."""

import importlib
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any


def lazy_attributes(package: str, homes: Mapping[str, str], modules: Collection[str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package (PEP 562).

    `homes` maps names to the modules that define them, and `modules` are modules that count as names themselves; both
    are relative to the package.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807
        if name in homes:
            value = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        elif name in modules:
            value = importlib.import_module(f"{package}.{name}")
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(sys.modules[package], name, value)
        return value

    return __getattr__
