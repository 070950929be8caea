"""Every public callable rejects every class of bad argument with an error of lenet, without a warning or a change."""

import contextlib
import dataclasses
import hashlib
import importlib
import inspect
import json
import os
import re
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lenet
from lenet.errors import LenetError, MissingExtraError
from lenet.layers import Layer
from tests.bad_arguments import A_PICTURE, ARGS, BYTES, LABELS, NOT_CALLED, cases

with contextlib.suppress(ImportError):
    import cv2  # noqa: F401  # its import changes the environment, which the tests compare

pytestmark = pytest.mark.landing

ROOT = Path(__file__).parents[1]
OF_PATHS = ("PathLike", "path should be", "embedded null")  # in Python's messages
NEVER_VALID = {"scale.score": "it would start a cluster", "serving.serve": "it would not return"}
NAMES = list(cases(Path()))


def fingerprint(value: Any) -> Any:
    """Return a value that changes whenever the given one does."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, hashlib.sha256(np.ascontiguousarray(value)).hexdigest()
    if isinstance(value, lenet.LeNet5):
        return fingerprint([value.parameters.flat, value.mean, value.std, value.metadata])
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, Layer):
        return fingerprint(value.parameters)
    if isinstance(value, dict):
        return [(name, fingerprint(each)) for name, each in value.items()]
    if isinstance(value, list | tuple):
        return [fingerprint(each) for each in value]
    if dataclasses.is_dataclass(value) or isinstance(value, lenet.SGD | lenet.LeNetClassifier):
        return fingerprint(vars(value))
    return repr(value)


def surroundings() -> Any:
    """Return the state that no rejected call may change: files, NumPy's global state and the environment."""
    files = sorted((str(path), path.is_file() and path.read_bytes()) for path in Path().rglob("*"))
    legacy = fingerprint(np.random.get_state())  # noqa: NPY002
    return files, legacy, np.geterr(), np.get_printoptions(), dict(os.environ), Path.cwd()


def is_ours(error: Exception) -> bool:
    """Return whether an error has a message of lenet, of scikit-learn for its estimator, or of Python for a path."""
    if isinstance(error, LenetError | OSError):
        return bool(str(error))
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    ours = max((place for place, file in enumerate(files) if "lenet" in Path(file).parts), default=0)
    library = Path(files[min(ours + 1, len(files) - 1)]).parts
    of_library = "sklearn" in library or "joblib" in library
    return isinstance(error, TypeError | ValueError) and (of_library or any(text in str(error) for text in OF_PATHS))


def fault(call: Any, arguments: dict[str, Any]) -> str | None:
    """Return what is wrong with the way a call rejects its arguments, or None."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            call(**arguments)
        except Exception as error:
            problem = None if is_ours(error) else f"{type(error).__name__}: {error}"[:300]
        else:
            problem = "accepted"
    return problem or (f"warning: {caught[0].message}" if caught else None)


@pytest.mark.parametrize("name", NAMES)
def test_bad_arguments_are_refused_and_change_nothing(name, made, cwd):
    case = made[name]
    watched = [case.valid, getattr(case.call, "__self__", None)]
    problems, before = {}, (fingerprint(watched), surroundings())
    for argument, bad in case.bad.items():
        for kind, values in bad.items():
            for value in values:
                problem = fault(case.call, {**case.valid, argument: value})
                after = fingerprint(watched), surroundings()
                if after != before:
                    problem, before = f"{problem}; something changed", after
                if problem is not None:
                    problems[argument, kind, repr(value)[:60]] = problem
    assert problems == {}


@pytest.mark.filterwarnings("ignore:The network has hardly begun")
@pytest.mark.parametrize("name", [name for name in NAMES if name not in NEVER_VALID])
def test_the_valid_arguments_are_valid(name, made, cwd):
    case = made[name]
    try:
        case.call(**case.valid)
    except MissingExtraError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The cases, with a valid file for each loader."""
    folder = tmp_path_factory.mktemp("files")
    write_files(folder)
    return cases(folder)


def write_files(folder: Path) -> None:
    from PIL import Image

    images, labels = np.tile(BYTES, (10, 1, 1)), np.tile(LABELS, 10)
    lenet.load_pretrained().save(folder / "model.safetensors")
    lenet.LeNetClassifier.from_pretrained().save(folder / "classifier.safetensors")
    (folder / "model.onnx").write_bytes(lenet.interop.to_onnx(lenet.load_pretrained()).SerializeToString())
    np.savez(folder / "data.npz", X=images, y=labels)
    (folder / "npy").mkdir()
    np.save(folder / "npy" / "X.npy", images)
    np.save(folder / "npy" / "y.npy", labels)
    np.savetxt(folder / "data.csv", np.column_stack([labels, images.reshape(-1, 784)]), "%d", ",")
    (folder / "idx").mkdir()
    for part in ("train", "t10k"):
        header = bytes([0, 0, 8, 3, 0, 0, 0, 60, 0, 0, 0, 28, 0, 0, 0, 28])
        (folder / "idx" / f"{part}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        header = bytes([0, 0, 8, 1, 0, 0, 0, 60])
        (folder / "idx" / f"{part}-labels-idx1-ubyte").write_bytes(header + bytes(labels.tolist()))
    for place in (folder / "pictures" / part / label for part in ("train", "test") for label in "ab"):
        place.mkdir(parents=True)
        for number in range(2):
            Image.fromarray(A_PICTURE).save(place / f"{number}.png")
    picture = folder / "pictures" / "train" / "a" / "0.png"
    (folder / "picture.png").write_bytes(picture.read_bytes())
    (folder / "fields.json").write_text('[{"name": "a", "cell": [0, 0]}]')
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = {"image": [picture.read_bytes()] * 60, "label": labels.tolist()}
    parquet.write_table(arrow.table(table), folder / "data.parquet")
    (folder / "train-1").mkdir()
    (folder / "train-1" / "args.json").write_text(json.dumps(ARGS))


def test_every_public_callable_has_a_case():
    reference = (ROOT / "docs" / "reference.rst").read_text("utf-8")
    public = [name for name in re.findall(r"^   ([\w.]+)$", reference, re.MULTILINE) if not name.startswith("errors.")]
    wanted = set(public)
    for name in public:
        *package, last = name.split(".")
        found = getattr(importlib.import_module(".".join(["lenet", *package])), last)
        arguments = inspect.signature(found).parameters if inspect.isclass(found) else {}
        if isinstance(found, type) and issubclass(found, lenet.LeNet5 | lenet.LeNetClassifier | lenet.SGD):
            wanted |= {f"{name}.{each}" for each in vars(found) if takes_arguments(found, each)}
        assert arguments or not inspect.isclass(found) or name in NOT_CALLED, name
    assert wanted - set(NAMES) - NOT_CALLED.keys() == set()
    assert NOT_CALLED.keys() <= wanted


def takes_arguments(owner: type, name: str) -> bool:
    """Return whether a name is that of a public method with arguments; scikit-learn adds those of metadata routing."""
    method = getattr(owner, name)
    return (
        not name.startswith(("_", "set_"))
        and callable(method)
        and bool(inspect.signature(method).parameters.keys() - {"self"})
    )
