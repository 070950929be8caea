"""Import packages from optional extras."""

import importlib
from types import ModuleType
from typing import Any

from lenet.errors import MissingExtraError


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, or raise MissingExtraError with the reason, or with the pip command that installs `extra`.

    Examples
    --------
    >>> require("math", "train").pi > 3
    True
    """
    try:
        return importlib.import_module(module)
    except Exception as error:  # a package may raise anything
        name = module.partition(".")[0]
        package = {"sklearn": "scikit-learn", "PIL": "Pillow", "cv2": "OpenCV"}.get(name, name)
        if not isinstance(error, ModuleNotFoundError):
            raise MissingExtraError(
                f"This requires {package}, which is installed but cannot be imported ({error}). Correct the cause, or "
                "reinstall it."
            ) from None
        state = "not installed" if error.name == name else f"too old or incomplete (it lacks {error.name})"
        raise MissingExtraError(
            f"This requires {package}, which is {state}. Run python -m pip install 'lenet[{extra}]'."
        ) from None


class Lazy:
    """A package from an extra, imported on first use."""

    def __init__(self, module: str, extra: str):
        self._module, self._extra = module, extra

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # inspection must not import the package
            raise AttributeError(name)
        value = getattr(require(self._module, self._extra), name)
        setattr(self, name, value)  # the next use finds it without an import
        return value


cv2: Any = Lazy("cv2", "vision")
