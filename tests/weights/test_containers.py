"""Tensors as small integers, and the bytes of a weights file, against the definition of the format."""

import hashlib
import json
import struct

import numpy as np
import pytest

from lenet.errors import InputTypeError, WeightsError
from lenet.weights.container import CHECKSUM, read_tensors, to_bytes
from lenet.weights.integers import from_integers, to_integers


def tensor(*values, size=1000):
    """A float16 tensor that begins with these values and is 0 otherwise."""
    return np.array([*values, *[0] * (size - len(values))], np.float16)


# ---- small integers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "step", "levels"),
    [
        ([127, -3], 1, [127, -3]),
        ([-127, 3], 1, [-127, 3]),
        ([128, -2], 2, [64, -1]),
        ([254, -6], 2, [127, -3]),
        ([0.5, -0.25], 2**-7, [64, -32]),
        ([127 / 64, -1 / 64], 2**-6, [127, -1]),
        ([2**-24, -(2.0**-23)], 2**-24, [1, -2]),
    ],
)
def test_multiples_of_a_power_of_two_are_stored_as_integers(values, step, levels):
    given = tensor(*values)
    stored, steps = to_integers({"a": given})
    assert steps == {"a": step}
    assert (stored["a"].dtype, stored["a"][:2].tolist()) == (np.int8, levels)
    assert not stored["a"][2:].any()


@pytest.mark.parametrize("values", [[127, 0.5], [128, 1], [1, 2**-8], [0, 0]])
def test_other_numbers_stay_as_they_are(values):
    given = tensor(*values)
    assert to_integers({"a": given}) == ({"a": given}, {})


def test_tensors_of_fewer_than_1000_numbers_stay_as_they_are():
    stored, steps = to_integers({"a": tensor(1, size=999), "b": tensor(1, size=1000), "c": tensor(size=0)})
    assert steps.keys() == {"b"}
    assert [value.dtype for value in stored.values()] == [np.float16, np.int8, np.float16]


@pytest.mark.parametrize("step", [2**-24, 2**8, 1, 0.25])
def test_integers_are_multiplied_by_their_step(step):
    given = {"a": np.array([-3, 2], np.int8), "b": np.ones(1, np.float16)}
    found = from_integers(given, {"steps": json.dumps({"a": step})})
    assert (found["a"].dtype, found["a"].tolist()) == (np.float16, [-3 * step, 2 * step])
    assert found["b"] is given["b"]
    assert from_integers(given, {}) == given


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([1], "steps is not an object"),
        ({"a": 2.0**-24 / 1.01}, "the step of a is "),
        ({"a": 2**8 + 1}, "the step of a is 257"),
        ({"a": -1}, "the step of a is -1"),
        ({"a": "1"}, "the step of a is '1'"),
        ({"b": 1}, "b has a step, but is not an int8 tensor"),
        ({"c": 1}, "c has a step, but is not an int8 tensor"),
    ],
)
def test_invalid_steps_are_rejected(steps, says):
    with pytest.raises(ValueError, match=rf"^{says}"):
        from_integers({"a": np.ones(2, np.int8), "b": np.ones(1, np.float16)}, {"steps": json.dumps(steps)})


# ---- the bytes of a file -------------------------------------------------------------------------------


def checksum(tensors, metadata):
    """The SHA-256 of the metadata and of each tensor with its name, type and shape, all sorted."""
    digest = hashlib.sha256(json.dumps(sorted(map(list, metadata.items()))).encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(json.dumps([name, value.dtype.name, list(value.shape)]).encode() + value.tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("metadata", [{}, {"b": "2", "a": "1"}, *({"note": "x" * n} for n in range(8))])
def test_a_file_is_a_header_of_json_with_sorted_metadata_and_the_numbers(metadata):
    tensors = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.array([7], np.float64)}
    content = to_bytes(tensors, metadata)
    (length,) = struct.unpack("<Q", content[:8])
    assert length % 8 == 0
    header = content[8 : 8 + length]
    assert len(header.rstrip(b" ")) > length - 8
    entries = json.loads(header)
    expected = dict(sorted({**metadata, CHECKSUM: checksum(tensors, metadata)}.items()))
    assert list(entries.pop("__metadata__").items()) == list(expected.items())
    data = content[8 + length :]
    assert {name: entry["shape"] for name, entry in entries.items()} == {"a": [1], "b": [2, 3]}
    for name, entry in entries.items():
        assert data[slice(*entry["data_offsets"])] == tensors[name].tobytes()


def test_tensors_may_have_any_layout_and_byte_order(tmp_path):
    plain = np.arange(6, dtype=np.float32).reshape(2, 3)
    for given in (np.asfortranarray(plain), plain[::-1].copy()[::-1]):
        assert to_bytes({"a": given}, {}) == to_bytes({"a": plain}, {})
    (tmp_path / "file").write_bytes(to_bytes({"a": plain}, {"by": "hand"}))
    tensors, metadata = read_tensors(tmp_path / "file")
    assert metadata == {"by": "hand"}
    np.testing.assert_array_equal(tensors["a"], plain)


@pytest.mark.parametrize("shape", [(), (1,), (0, 3)])
def test_a_tensor_of_any_shape_is_read_again(tmp_path, shape):
    (tmp_path / "file").write_bytes(to_bytes({"a": np.zeros(shape)}, {}))
    assert read_tensors(tmp_path / "file")[0]["a"].shape == shape


@pytest.mark.parametrize(
    "tensors", [[np.zeros(1)], {1: np.zeros(1)}, {"a": [0.0]}, {"a": np.zeros(1, complex)}, {"a": np.array(["x"])}]
)
def test_only_arrays_of_numbers_by_name_are_written(tensors):
    with pytest.raises(InputTypeError, match=r"^tensors is .*; expected a mapping of names to arrays of numbers"):
        to_bytes(tensors, {})


def test_a_file_without_a_checksum_is_read_and_one_with_another_is_damaged(tmp_path):
    tensors, path = {"a": np.zeros(2, np.float32)}, tmp_path / "file"
    content = to_bytes(tensors, {"by": "hand"})
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    for value, is_read in ((None, True), ("0" * 64, False)):
        header["__metadata__"] = {"by": "hand"} | ({} if value is None else {CHECKSUM: value})
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
        if is_read:
            assert read_tensors(path)[1] == {"by": "hand"}
        else:
            with pytest.raises(WeightsError, match="is damaged: its lenet_sha256 does not match its content"):
                read_tensors(path)


@pytest.mark.parametrize("size", [1, 7, 8])
def test_a_file_shorter_than_a_header_is_damaged(tmp_path, size):
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    with pytest.raises(WeightsError, match="it is shorter than a header" if size < 8 else "is damaged"):
        read_tensors(path)
