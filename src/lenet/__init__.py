"""LeNet-5 on CPUs: train it, load it, read digits with it."""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from lenet._lazy import lazy_attributes

__version__ = "0.1.0"

# These names and modules are imported when they are first used.
_HOMES = {
    "LeNetClassifier": "estimator",
    "LeNet5": "model",
    "LeNet1998": "model_1998",
    "SGD": "training.optim",
    "load": "loading",
    "load_pretrained": "loading",
    "show_config": "_fused.dispatch",
    "train": "training.loop",
}

__all__ = [
    "SGD", "LeNet5", "LeNet1998", "LeNetClassifier", "__version__", "data", "errors", "estimator", "evaluation", "init",
    "interop", "layers", "load", "load_pretrained", "losses", "plots", "reading", "rejection", "scale", "serving",
    "show_config", "train", "training", "weights",
]  # fmt: skip

if TYPE_CHECKING:
    from lenet import (  # noqa: I001
        data, errors, estimator, evaluation, init, interop, layers, losses, plots, reading, rejection, scale, serving,
        training, weights,
    )  # fmt: skip
    from lenet._fused.dispatch import show_config
    from lenet.estimator import LeNetClassifier
    from lenet.loading import load, load_pretrained
    from lenet.model import LeNet5
    from lenet.model_1998 import LeNet1998
    from lenet.training import SGD, train
else:  # hidden from type checkers, which would accept any name
    __getattr__, __dir__ = lazy_attributes("lenet", _HOMES, {*__all__} - {*_HOMES, "__version__"})


def _check_interpreter() -> None:
    """Raise ImportError in a sub-interpreter, which NumPy does not support."""
    try:
        interpreters: Any = importlib.import_module(
            "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
        )
    except ImportError:
        return  # this Python has no sub-interpreters
    if interpreters.get_current() != interpreters.get_main():
        raise ImportError(
            "lenet, like NumPy, does not support sub-interpreters. Use threads (the kernels release the GIL) "
            "or processes."
        )


_check_interpreter()
