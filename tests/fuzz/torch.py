"""PyTorch files: the weights of a LeNet-5 are imported exactly; all other files are rejected.

An input is a file as it is; or, behind a "z", the pickle in one, which also has the numbers of ten tensors. So
some hundred bytes make a whole model.
"""

import io
import pickle
import pickletools
import zipfile
from collections import OrderedDict

import numpy as np
import torch

import lenet
from lenet.errors import WeightsError
from lenet.interop import from_torch, to_torch_state_dict
from tests.fuzz import MemoryFile, random_of

_FILE = MemoryFile()
_SIZES = (150, 6, 2400, 16, 48000, 120, 10080, 84, 840, 10)
_NUMBERS = np.random.default_rng(0).normal(0, 0.3, sum(_SIZES)).astype("<f4")
_STORAGES = dict(zip(map(str, range(10)), np.split(_NUMBERS, np.cumsum(_SIZES)[:-1]), strict=True))
_TYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "IntStorage": "<i4",
    "LongStorage": "<i8",
}


def run(data):
    content = _zipped(data[1:]) if data.startswith(b"z") else data
    try:
        model = from_torch(_FILE.holding(content))
    except WeightsError:
        return
    try:
        tensors = list(_arrays(_Plain(io.BytesIO(_of_protocol_2(data[1:]))).load()))
    except _UnknownError:
        return
    known = {array.astype(model.dtype).tobytes() for array in tensors}
    for name, parameter in model.parameters.items():
        assert parameter.tobytes() in known, f"{name} is of none of the file's tensors"


def _zipped(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        for name, text in (("byteorder", "little"), ("version", "3\n")):
            archive.writestr(f"archive/{name}", text)
        for name, numbers in _STORAGES.items():
            archive.writestr(f"archive/data/{name}", numbers.tobytes())
    return file.getvalue()


def _of_protocol_2(content):
    """Return a pickle as torch reads it, which warns of another protocol and goes on."""
    return content[:1] + b"\x02" + content[2:] if content.startswith(pickle.PROTO) else content


class _UnknownError(Exception):
    """Types that torch knows and the reader below does not."""


class _Plain(pickle.Unpickler):
    """A reader of the pickles of state dicts, without torch."""

    def find_class(self, module, name):
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in _TYPES:
            return np.dtype(_TYPES[name])
        raise _UnknownError

    def persistent_load(self, facts):
        _, dtype, name, _, size = facts
        return np.frombuffer(_STORAGES[name].tobytes(), dtype)[:size]


def _tensor(storage, offset, shape, strides, *_):
    strides = [storage.itemsize * stride for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, strides)


def _arrays(value):
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _arrays(inner)


def mutate(data, most, seed, mutate_bytes):
    """Change numbers and names in a pickle, half the time."""
    random = random_of(seed)
    if not data.startswith(b"z") or random.random() < 0.5:
        return mutate_bytes(data, most)
    content = bytearray(data)
    places = [(code.name, place + 2) for code, _, place in pickletools.genops(data[1:])]
    for _ in range(random.randint(1, 3)):
        name, place = random.choice(
            [each for each in places if each[0] in ("BININT1", "BININT2", "GLOBAL", "BINUNICODE")]
        )
        if name == "GLOBAL":
            kind = random.choice([*_TYPES, "BFloat16Storage", "Tensor"]).encode()
            return bytes(content[:place]) + bytes(content[place:]).replace(b"FloatStorage", kind, 1)
        content[place + 4 * (name == "BINUNICODE")] = random.choice((0, 1, 2, 5, 6, 10, 16, 48, 49, 84, 120, 150, 255))
    return bytes(content)


def seeds():
    model = lenet.LeNet5(seed=0)
    state = to_torch_state_dict(model)
    dense = {**state, "c5.weight": state["c5.weight"].reshape(120, 400)}
    some = {"a": torch.zeros(2, 3), "b": torch.ones(1, dtype=torch.bfloat16)}
    whole = {"conv": state, "flat": dense, "nested": {"epoch": 3, "state_dict": state}}
    old = io.BytesIO()
    torch.save(some, old, _use_new_zipfile_serialization=False)
    return {**{name: b"z" + _pickle(_saved(value)) for name, value in whole.items()}, "some": _saved(some),
            "old-form": old.getvalue()}  # fmt: skip


def _saved(value):
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def _pickle(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read("archive/data.pkl")
