"""Import the packages of the extras, with an error that names the pip command when they are missing."""

import importlib
from types import ModuleType

from lenet.errors import MissingExtraError


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, which `pip install 'lenet[extra]'` brings.

    Examples
    --------
    >>> require("math", "train").pi > 3
    True
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = {"sklearn": "scikit-learn", "PIL": "Pillow"}.get(module.partition(".")[0], module)
        raise MissingExtraError(
            f"This needs {package}, which is not installed: run python -m pip install 'lenet[{extra}]'."
        ) from error
