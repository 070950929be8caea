"""Safetensors files are read as their header says, or rejected.

An input is a file as it is; or, behind an "h", only its header, which is followed in the file by as many bytes as it
claims. So some hundred bytes make a whole model.
"""

import contextlib
import json

import numpy as np

import lenet
from lenet import weights
from lenet.errors import WeightsError
from lenet.weights.container import CHECKSUM
from tests.fuzz import MemoryFile, random_of

_FILE = MemoryFile()
_MOST = 2**20  # bytes that a header is followed by
_CONTENT = np.random.default_rng(0).normal(size=_MOST // 4).astype("<f4").tobytes()
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8",
          "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?", "C64": "<c8"}  # fmt: skip


def run(data):
    content = _whole(data)
    path = _FILE.holding(content)
    try:
        tensors, facts = weights.read_tensors(path)
    except WeightsError:
        return
    _check(content, tensors, facts)
    try:
        model = lenet.load(path)
    except WeightsError:
        return
    assert model.num_classes == len(tensors["output.weight"])
    by_image = facts["mean"] == facts["std"] == "image"
    assert (model.mean, model.std) == ((None, None) if by_image else (float(facts["mean"]), float(facts["std"])))
    assert {*model.parameters, *model._constants} == tensors.keys()
    steps = json.loads(facts.get("steps", "{}"))
    for name in model.parameters:
        tensor = tensors[name] * np.float16(steps[name]) if name in steps else tensors[name]
        wanted = tensor.astype(np.float32) if tensor.dtype == np.float16 else tensor
        assert model.parameters[name].tobytes() == wanted.tobytes(), f"{name} is another one in the model"


def _whole(data):
    """The file that an input makes."""
    if not data.startswith(b"h"):
        return data
    header = data[1:]
    try:
        entries = json.loads(header).values()
        ends = [entry["data_offsets"][1] for entry in entries if "data_offsets" in entry]
        size = int(max(ends, default=0))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError):
        size = 0
    return len(header).to_bytes(8, "little") + header + _CONTENT[: max(0, min(size, _MOST))]


def _check(content, tensors, facts):
    """Compare with the format's description."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start], object_pairs_hook=_unique)
    assert facts == header.pop("__metadata__", {}), "the metadata are other ones"
    assert tensors.keys() == header.keys(), "the names are other ones"
    for name, entry in header.items():
        first, end = entry["data_offsets"]
        expected = np.frombuffer(content[start + first : start + end], _TYPES[entry["dtype"]]).reshape(entry["shape"])
        found = tensors[name]
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), f"{name} is of another type or shape"
        assert found.tobytes() == expected.tobytes(), f"{name} is misread"


def _unique(pairs):
    assert len(dict(pairs)) == len(pairs), "a name stands there twice, and one of them was taken"
    return dict(pairs)


def mutate(data, most, seed, mutate_bytes):
    """Change a header as JSON half of the time: most random byte changes make it invalid."""
    random = random_of(seed)
    if data.startswith(b"h") and random.random() < 0.5:
        header = json.loads(data[1:])
        with contextlib.suppress(KeyError, TypeError, ValueError, OverflowError):  # what an earlier change has spoiled
            for _ in range(random.randint(1, 3)):
                _change(header, random)
        return b"h" + json.dumps(header).encode()
    return mutate_bytes(data, most)


_NUMBERS = (0, 1, -1, 2, 4, 5, 84, 2**31, 2**32, 2**63, 2**64, 1e400, 0.5, True, None, "1", [], {})
_TEXTS = (
    "",
    "lenet-1",
    "image",
    "1998",
    "10",
    "2",
    "100000",
    "1e308",
    "nan",
    "inf",
    "-0",
    "1_0",
    "\0",
    "é",
    '{"c5.weight": 0.25}',
    '{"c5.weight": 1e-30, "output.weight": 1}',
    1,
    None,
    {},
    [],
)


def _change(header, random):
    """Change one thing of a header."""
    name = random.choice(list(header))
    entry = header[name]
    if random.random() < 0.1:
        header[random.choice([*header, "__metadata__", "c1.bias", "", "x"])] = header.pop(name)
    elif name == "__metadata__":
        entry[random.choice(["format", "network", "num_classes", "mean", "std", "steps", "x"])] = random.choice(_TEXTS)
    elif random.random() < 0.3:
        entry["dtype"] = random.choice([*_TYPES, "BF16", "F8_E4M3", "F4", "f32", None, 1])
    else:
        numbers = entry[random.choice(["shape", "data_offsets"])]
        place = random.randrange(len(numbers))
        if random.random() < 0.5 and isinstance(numbers[place], int | float):
            numbers[place] += random.choice((4, 8, -4, 1))
        else:
            numbers[place] = random.choice(_NUMBERS)
    if random.random() < 0.5:
        _lay_out(header)


def _lay_out(header):
    """Place every tensor after the previous one."""
    end = 0
    for name, entry in header.items():
        if name != "__metadata__":
            size = int(np.dtype(_TYPES.get(entry["dtype"], "u1")).itemsize * np.prod(entry["shape"], dtype=float))
            entry["data_offsets"] = [end, end := end + size]


def seeds():
    facts = {"note": "Größe"}
    small = {"a": np.float32([1, 2]), "b": np.zeros((0, 3), np.uint8), "c": np.array(True)}
    files = {"small": weights.to_bytes(small, facts), "empty": b"h{}"}
    for name, dtype in _TYPES.items():
        header = {"a": {"dtype": name, "shape": [2, 1]}}
        _lay_out(header)
        files[f"dtype-{np.dtype(dtype)}"] = b"h" + _compact(header)
    for classes, dtype in ((2, "f4"), (10, "f4"), (2, "f8")):
        model = lenet.LeNet5(seed=0, dtype=dtype, num_classes=classes)
        facts = {"format": "lenet-1", "num_classes": str(classes), "mean": "0.13", "std": "0.3"}
        files[f"model-{dtype}-{classes}"] = b"h" + _header(weights.to_bytes(model.parameters, facts))
    half = {name: np.float16(value) for name, value in model.parameters.items()}
    whole = half | {"c5.weight": np.ones((120, 16, 5, 5), np.int8)}
    files["model-i1"] = b"h" + _header(weights.to_bytes(whole, facts | {"steps": '{"c5.weight": 0.5}'}))
    return files


def _header(content):
    """The header of a file, without its checksum: what follows will be `_CONTENT`."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    header.get("__metadata__", {}).pop(CHECKSUM, None)
    return _compact(header)


def _compact(header):
    return json.dumps(header, separators=(",", ":")).encode()
