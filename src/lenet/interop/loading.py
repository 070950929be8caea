"""Load a model of any format."""

import os
from pathlib import Path

from lenet import interop
from lenet.loading import load_named
from lenet.model import LeNet5
from lenet.weights.files import READERS


def load_any(name: str | os.PathLike[str]) -> LeNet5:
    """Load a pre-trained model by name, or a run folder or a model file of any format by path."""
    reader = READERS.get(Path(name).suffix.lower())
    if reader is None or not Path(name).exists():
        return load_named(name)
    model: LeNet5 = getattr(interop, reader)(Path(name))
    return model
