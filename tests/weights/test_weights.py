"""Model files: exact round trips, rejected damage, and failed writes that change nothing."""

import errno
import json
import os
import pickle
import struct

import numpy as np
import pytest

import lenet
from lenet import LeNet5
from lenet.errors import InputError, InputTypeError, SaveError, WeightsError
from lenet.weights.container import CHECKSUM, read_tensors, to_bytes

MEAN, STD = 0.1306604762738429, 1 / 3


def make_model(dtype=np.float32, num_classes=10, seed=1):
    model = LeNet5(seed=seed, dtype=dtype, num_classes=num_classes)
    model.parameters["c1.bias"] = np.linspace(-1, 1, 6)
    model.mean, model.std = MEAN, STD
    model.metadata = {"recipe": "default", "test_accuracy": "0.99", "note": "Größe, 数字"}
    return model


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def saved(path):
    make_model().save(path)
    return path


# ---- there and back ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("num_classes", [2, 10, 26, 3000])
def test_a_round_trip_is_bit_identical(path, dtype, num_classes):
    model = make_model(dtype, num_classes)
    model.save(path)
    loaded = lenet.load(path)
    assert (loaded.dtype, loaded.num_classes, loaded.mean, loaded.std) == (dtype, num_classes, MEAN, STD)
    assert loaded.metadata == model.metadata
    assert list(loaded.parameters) == list(model.parameters)
    assert loaded.parameters.flat.tobytes() == model.parameters.flat.tobytes()
    x = np.random.default_rng(0).random((3, 28, 28))
    np.testing.assert_array_equal(loaded.logits(x), model.logits(x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_half_the_size_and_back_to_float32(path, dtype):
    from safetensors.numpy import load_file

    model = make_model(dtype)
    model.save(path)
    whole = path.stat().st_size
    model.save(path, half=True)
    assert 0 <= whole - path.stat().st_size - (np.dtype(dtype).itemsize - 2) * 61_706 < 32  # a shorter header's
    loaded = lenet.load(path)
    assert (loaded.dtype, loaded.mean, loaded.std, loaded.metadata) == (np.float32, MEAN, STD, model.metadata)
    for name, tensor in load_file(path).items():  # the library's own reading
        assert tensor.dtype == np.float16
        np.testing.assert_array_equal(loaded.parameters[name], tensor.astype(np.float32))
        np.testing.assert_allclose(tensor, model.parameters[name], rtol=2**-11, atol=2**-25)  # rounded to the nearest


def test_weights_of_few_levels_take_a_byte_each_and_keep_their_values(path):
    from safetensors.numpy import load_file

    model = make_model()
    model.save(path, half=True)
    half = path.stat().st_size
    levels = np.random.default_rng(0).integers(-127, 128, (120, 16, 5, 5))
    levels[0, 0, 0, 0] = 127
    model.parameters["c5.weight"] = levels / 64
    model.parameters["f6.weight"] = np.linspace(-1, 1, 84 * 120).reshape(84, 120)  # more than 255 levels
    model.save(path, half=True)
    assert half - path.stat().st_size == pytest.approx(48_000, abs=64)
    assert {name for name, tensor in load_file(path).items() if tensor.dtype == np.int8} == {"c5.weight"}
    np.testing.assert_array_equal(load_file(path)["c5.weight"], levels)
    loaded = lenet.load(path)
    np.testing.assert_array_equal(loaded.parameters["c5.weight"], levels / 64)
    assert loaded.metadata == model.metadata
    loaded.save(path)
    assert load_file(path)["c5.weight"].dtype == np.float32


@pytest.mark.parametrize(
    "steps",
    ["{", "[0.5]", '{"c5.bias": 0.5}', '{"c6.weight": 0.5}', '{"c5.weight": 0}', '{"c5.weight": NaN}', "[" * 100_000,
     '{"c5.weight": 512}', '{"c5.weight": "0.5"}', '{"c5.weight": null}', "{}"],
)  # fmt: skip
def test_wrong_steps_are_refused(path, steps):
    model = make_model()
    tensors = {name: np.float16(value) for name, value in model.parameters.items()}
    tensors["c5.weight"] = np.ones((120, 16, 5, 5), np.int8)
    facts = {"format": "lenet-1", "num_classes": "10", "mean": "0", "std": "1", "steps": steps}
    path.write_bytes(to_bytes(tensors, facts))
    with pytest.raises(WeightsError, match=r"steps in its metadata|dtype float16, int8; expected one"):
        lenet.load(path)
    path.write_bytes(to_bytes(tensors, facts | {"steps": '{"c5.weight": 0.5}'}))
    assert (lenet.load(path).parameters["c5.weight"] == 0.5).all()


@pytest.mark.parametrize("number", [float, int, np.float32, np.float64])
@pytest.mark.parametrize("mean", [0, 1])
def test_any_number_as_mean_and_std(path, number, mean):
    model = LeNet5(seed=0)
    model.mean, model.std = number(mean), number(2)
    model.save(path)
    loaded = lenet.load(path)
    assert (loaded.mean, loaded.std) == (mean, 2)


def test_a_model_that_standardises_each_image(path):
    model = make_model()
    model.mean = None
    model.save(path)
    _, metadata = read_tensors(path)
    assert (metadata["mean"], metadata["std"]) == ("image", "image")
    assert (lenet.load(path).mean, lenet.load(path).std) == (None, None)
    assert pickle.loads(pickle.dumps(model)).std is None  # noqa: S301  # written above # nosemgrep: no-pickles


def test_a_string_names_the_file_too(path):
    make_model().save(str(path))
    assert lenet.load(str(path)).metadata["recipe"] == "default"


def test_the_folder_of_a_run_gives_its_best_weights(tmp_path):
    with pytest.raises(WeightsError, match=r"has no best\.safetensors; expected a model file, or the folder of a"):
        lenet.load(tmp_path)
    model = lenet.LeNet5(seed=3)
    model.save(tmp_path / "best.safetensors")
    np.testing.assert_array_equal(lenet.load(str(tmp_path)).parameters.flat, model.parameters.flat)


def test_the_safetensors_library_reads_it(saved):
    """The format of the file, and not only our reading of what we wrote."""
    from safetensors import safe_open

    model = make_model()
    with safe_open(saved, "np") as file:
        assert set(file.keys()) == set(model.parameters)
        for name, parameter in model.parameters.items():
            np.testing.assert_array_equal(file.get_tensor(name), parameter)
        assert file.metadata()["format"] == "lenet-1"


def test_the_file_contains_little_more_than_the_numbers(saved):
    assert 61_706 * 4 < saved.stat().st_size < 61_706 * 4 + 2048


@pytest.mark.skipif(np.dtype("longdouble").itemsize == 8, reason="long doubles are doubles")
def test_numbers_that_the_format_lacks_are_refused():
    with pytest.raises(InputTypeError, match="expected a mapping of names to arrays of numbers of at most 64 bits"):
        to_bytes({"a": np.zeros(2, np.longdouble)}, {})


def test_a_file_rewritten_by_the_library_loads(saved):
    """In another order, and with the checksum that it had."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    with safe_open(saved, "np") as file:
        tensors = {name: file.get_tensor(name) for name in sorted(file.keys(), reverse=True)}
        facts = file.metadata()
    expected, written = lenet.load(saved), saved.read_bytes()
    save_file(tensors, saved, facts)
    assert saved.read_bytes() != written
    assert lenet.load(saved).parameters.flat.tobytes() == expected.parameters.flat.tobytes()

    tensors["c1.bias"] = tensors["c1.bias"] + np.float32(1e-6)
    save_file(tensors, saved, facts)
    with pytest.raises(WeightsError, match=r"is damaged: its lenet_sha256 .* remove lenet_sha256"):
        lenet.load(saved)
    del facts[CHECKSUM]
    save_file(tensors, saved, facts)
    assert lenet.load(saved).parameters["c1.bias"].tobytes() == tensors["c1.bias"].tobytes()


def test_the_pretrained_model_reads_mnist(mnist):
    model = lenet.load_pretrained("mnist")
    _, _, X_test, y_test = mnist
    assert (model.predict(X_test) == y_test).mean() >= 0.99


def test_the_pretrained_model_is_mnists_by_default():
    np.testing.assert_array_equal(
        lenet.load_pretrained().parameters.flat, lenet.load_pretrained("mnist").parameters.flat
    )


# ---- damaged and foreign files -------------------------------------------------------------------------


def contents(path):
    """The header as a dict, and the bytes behind it."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def write(path, header, data):
    """Write a file as another program would, without our checksum."""
    header.get("__metadata__", {}).pop(CHECKSUM, None)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(1000), "it has no header", id="png"),
        pytest.param(b"PK\x03\x04" + bytes(1000), "", id="zip"),
        pytest.param(bytes(1000), "", id="zeros"),
        pytest.param(b"\xff" * 1000, "it has no header", id="ones"),
        pytest.param(struct.pack("<Q", 2) + b"[]", "its metadata is not text", id="a list"),
        pytest.param(struct.pack("<Q", 2) + b"{}", "has the format None", id="nothing"),
        pytest.param(struct.pack("<Q", 2**60) + b"{}", "it has no header", id="huge header"),
        pytest.param(struct.pack("<Q", 2**26) + b"{}", "its header claims 67,108,864 bytes", id="as large as a file"),
        pytest.param(struct.pack("<Q", 2**26 + 1) + b"{}", "it has no header", id="larger than a file"),
        pytest.param(struct.pack("<Q", 3) + b"{}", "its header claims 3 bytes", id="one byte too few"),
        pytest.param(struct.pack("<Q", 4) + b"\xff\xfe{}", "", id="not utf-8"),
        pytest.param(
            struct.pack("<Q", 26) + b'{"__metadata__":{"a": 1} }', "its metadata is not text", id="metadata not text"
        ),
        pytest.param(
            struct.pack("<Q", 21) + b'{"__metadata__": [] }', "its metadata is not text", id="metadata a list"
        ),
        pytest.param(b"", r"is empty; expected a weights file\.", id="empty"),
        pytest.param(to_bytes({"a": np.zeros(2)}, {}) + bytes(4), "is damaged", id="trailing bytes"),
        pytest.param(struct.pack("<Q", 200_000) + b"[" * 200_000, "is damaged", id="nested"),
        pytest.param(
            to_bytes({}, {"format": "lenet-1", "num_classes": "10", "mean": "0", "std": "1"}),
            r"has no output\.weight; expected 10 classes",
            id="no tensors",
        ),
    ],
)
def test_unknown_content_is_refused(path, content, why):
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"model\.safetensors .*{why}"):
        lenet.load(path)


def test_a_header_of_more_than_a_mebibyte_is_refused(saved):
    """Even one that is only long: a file that is valid except for blanks."""
    content = saved.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = content[8 : 8 + length].ljust(2**20)
    saved.write_bytes(struct.pack("<Q", len(header)) + header + content[8 + length :])
    assert lenet.load(saved).metadata["recipe"] == "default"
    header += b" " * 8
    saved.write_bytes(struct.pack("<Q", len(header)) + header + content[8 + length :])
    with pytest.raises(WeightsError, match="header claims 1,048,584 bytes"):
        lenet.load(saved)


def test_a_file_larger_than_weights_are_is_refused_unread(path):
    with path.open("wb") as file:
        file.truncate(64 * 2**20 + 1)
    with pytest.raises(WeightsError, match="expected at most 67,108,864 bytes"):
        lenet.load(path)
    with path.open("wb") as file:
        file.truncate(64 * 2**20)
    with pytest.raises(WeightsError, match="is damaged"):
        lenet.load(path)


def test_a_duplicate_name_in_the_header_is_refused(saved):
    content = saved.read_bytes()
    for name in (b'"mean":"1"', b'"c1.bias":{"dtype":"F32","shape":[6],"data_offsets":[0,24]}'):
        start = 8 + struct.unpack("<Q", content[:8])[0]
        place = content.index(name[: name.index(b":")])
        header = content[8:place] + name + b"," + content[place:start]
        saved.write_bytes(struct.pack("<Q", len(header)) + header + content[start:])
        with pytest.raises(WeightsError, match="its header repeats a name"):
            lenet.load(saved)


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        (
            "f6.weight",
            {"shape": [120, 84]},
            r"f6.weight has dtype float32 and shape \(120, 84\); expected float32 and \(84, 120\)",
        ),
        ("c1.bias", {"dtype": "I32"}, "has weights of dtype float32, int32; expected one dtype"),
        ("c1.bias", {"dtype": "BF16", "shape": [12]}, "model.safetensors "),
        ("c1.bias", {"dtype": "F33"}, "is damaged"),
        ("c1.bias", {"shape": [2**40]}, "is damaged"),
        ("c1.bias", {"data_offsets": [2**40, 2**40 + 24]}, "is damaged"),
        ("c1.bias", {"data_offsets": [24, 48]}, "is damaged"),
    ],
)
def test_other_tensors_are_refused(saved, name, entry, message):
    header, data = contents(saved)
    header[name] |= entry
    write(saved, header, data)
    with pytest.raises(WeightsError, match=message):
        lenet.load(saved)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["c1.weight", "output.bias"])
def test_weights_that_are_not_finite_are_refused(path, name, value):
    model = make_model()
    model.save(path)
    model.parameters[name].flat[-1] = value
    path.write_bytes(to_bytes(model.parameters, read_tensors(path)[1]))  # as another program might
    with pytest.raises(WeightsError, match=rf"{name} contains values that are not finite"):
        lenet.load(path)


def test_a_missing_file_is_an_os_error(path):
    with pytest.raises(FileNotFoundError):
        lenet.load(path)


# ---- writing -------------------------------------------------------------------------------------------


def folder_holds(path):
    return sorted(each.name for each in path.parent.iterdir())


def test_metadata_that_is_not_text_is_refused_and_the_old_file_is_kept(saved):
    model, before = make_model(), saved.read_bytes()
    model.metadata = {"epochs": 5}
    with pytest.raises(InputTypeError, match=r"^metadata is \{'epochs': 5\}; expected a mapping of str to str"):
        model.save(saved)
    assert saved.read_bytes() == before


@pytest.mark.parametrize(
    ("size", "change", "message"),
    [
        (
            {},
            {"metadata": {"mean": "0", CHECKSUM: ""}},
            "metadata has the reserved key lenet_sha256, mean",
        ),
        (
            {},
            {"metadata": {"note": "x" * 2**20}},
            "metadata, and 10 classes; expected at most 67,108,864, 1,048,576 and 100,000",
        ),
        ({}, {"parameters.flat": np.nan}, "The model's weights are not finite"),
        ({"num_classes": 100_001}, {}, "100,001 classes; "),
        ({"num_classes": 100_000, "dtype": np.float64}, {}, "The file would have 68,"),
    ],
    ids=["names of the file's own", "long metadata", "NaN", "many classes", "a large file"],
)
def test_a_model_that_could_not_be_loaded_again_replaces_no_file(saved, size, change, message):
    before, model = saved.read_bytes(), make_model(**size)
    model.metadata |= change.get("metadata", {})
    model.parameters.flat[:1] = change.get("parameters.flat", 0)
    with pytest.raises(InputError, match=message):
        model.save(saved)
    assert saved.read_bytes() == before


def test_weights_that_overflow_float16_replace_no_file(saved):
    before, model = saved.read_bytes(), make_model()
    model.parameters.flat[7] = -65_520  # the first that float16 rounds to infinity
    with pytest.raises(InputError, match=r"not finite in float16; .* Save them with half=False, or train"):
        model.save(saved, half=True)
    assert saved.read_bytes() == before
    model.parameters.flat[7] = -65_519
    model.save(saved, half=True)
    assert lenet.load(saved).parameters.flat[7] == -65_504


@pytest.mark.parametrize(
    ("function", "failure", "error", "message"),
    [
        ("fsync", OSError(errno.EIO, "broken"), SaveError, r"model\.safetensors could not be written \(broken\)"),
        ("replace", OSError(errno.EIO, "broken"), SaveError, r"model\.safetensors could not be written \(broken\)"),
        ("fsync", KeyboardInterrupt(), KeyboardInterrupt, "^$"),
    ],
)
def test_a_failed_or_interrupted_write_leaves_the_old_file(saved, monkeypatch, function, failure, error, message):
    before = saved.read_bytes()

    def fail(*_):
        raise failure

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(error, match=message):
        make_model(seed=2).save(saved)
    monkeypatch.undo()
    assert saved.read_bytes() == before
    assert folder_holds(saved) == [saved.name]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
def test_anything_but_a_file_is_not_replaced(path):
    """Root could replace /dev/null."""
    os.mkfifo(path)
    with pytest.raises(SaveError, match="a folder or a device has that name"):
        make_model().save(path)
    assert path.is_fifo()
    assert folder_holds(path) == [path.name]


@pytest.mark.parametrize("level", [2.0**-24, 32_768.0])
def test_weights_at_the_ends_of_float16_are_read_again(path, level):
    model = make_model()
    model.parameters["c5.weight"] = level
    model.save(path, half=True)
    assert (lenet.load(path).parameters["c5.weight"] == level).all()
