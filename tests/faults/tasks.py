"""The tasks of processes that are killed or whose disk fails. Each returns an exit code, or None for 0."""

import contextlib
import functools
import importlib
import io
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import lenet
from lenet import cli, interop, plots, weights
from lenet._files import PNG_MARK
from lenet.cli import training
from lenet.cli.output import error_line
from lenet.data import Dataset, openml
from lenet.errors import SaveError
from lenet.training import runs
from lenet.training.runs import Run
from tests.faults.disk import failing
from tests.faults.folders import check_outcome, files, put

IMPORTED = ("sklearn.datasets", "matplotlib.figure", "PIL.Image", "cv2", "lenet.serving", "uvicorn", "onnx")
CLASSES = 3, 10
ARGUMENTS = {"lenet": "0", "data": "mine", "data_sha256": "0", "num_classes": 10, "seed": 0, "recipe": {"name": "mine"}}


def prepare() -> None:
    """Import everything that tasks need, and do slow work that writes nothing in advance: figures and the C source."""
    for name in IMPORTED:
        try:
            importlib.import_module(name)
        except ImportError:
            continue  # the test that needs it is skipped
    training.EPOCH_SECONDS = training.CHECKPOINT_SECONDS = 0.0  # after each epoch and step
    for name in ("learning_curves", "filters", "confusion_matrix", "worst", "architecture"):
        setattr(plots, name, lambda *facts: PNG_MARK + f"a figure of {facts!s:.100}".encode() + bytes(20_000))
    texts = {classes: interop.to_c(lenet.LeNet5(seed=classes, num_classes=classes), "digits") for classes in CLASSES}
    interop.to_c = lambda model, _: texts[model.num_classes]


def command(*argv: str) -> int:
    """Run `lenet`."""
    return cli.main(argv)


def command_seldom(*argv: str) -> int:
    """Run `lenet`, which saves only the first and the last epoch, as if all were short."""
    training.EPOCH_SECONDS = training.CHECKPOINT_SECONDS = math.inf
    return cli.main(argv)


def command_in_place(*argv: str) -> int:
    """Run `lenet` with files written in place."""
    weights.files.atomic_write = runs.atomic_write = lambda path, content: Path(path).write_bytes(content)
    return cli.main(argv)


def alternately(*argv: str) -> None:
    """Run a command of `lenet` repeatedly, with two models of different classes in turn as MODEL."""
    while True:
        for classes in CLASSES:
            cli.main([each.replace("MODEL", f"{classes}.safetensors") for each in argv])


def save(model: str, path: str) -> int:
    """Save a new model."""
    return _told(lambda: _load(model).save(path))


def keep(classes: str) -> None:
    """Cache a data set of so many classes, as if it had been downloaded."""
    images, labels = np.zeros((int(classes), 28, 28), np.uint8), np.arange(int(classes))
    openml._keep(Dataset(images, labels, images, labels), Path("lenet/set.npz"))


def create(parent: str) -> int:
    """Create the folder of a run."""
    return _told(lambda: Run.create(parent, ARGUMENTS))


def fill(ends: str, step: str, task: str, *argv: str) -> None:
    """Do a task on disks of many sizes, and check the folder after each."""
    here, before = Path(), files(Path())
    with failing() as disk:
        globals()[task](*argv)
    total, new = disk.written, files(here)
    rooms = {room for at in range(0, total, int(step)) for room in (at - 1, at, at + 1)}
    rooms |= {room for end in (0, total) for room in range(end - int(ends), end + int(ends))}
    rooms = sorted(room for room in rooms if 0 <= room <= total)
    for room in rooms:
        put(here, before)
        out, said = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said), failing(room=room):
            code = globals()[task](*argv)
        assert code == int(room < total)
        check_outcome(code, said.getvalue(), before, files(here), new)
    print(f"a disk with room for each of {len(rooms):,} numbers of bytes up to {total:,}")


_load = functools.cache(lenet.load)


def _told(work: Callable[[], object]) -> int:
    """Do some work; report an error as the command does."""
    try:
        work()
    except SaveError as error:
        print(error_line(error), file=sys.stderr)
        return 1
    return 0
