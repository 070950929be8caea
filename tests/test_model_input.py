"""The images and labels that LeNet5 accepts and rejects."""

import numpy as np
import pytest
from models import batch, draw_images, make_model, standardised

from lenet.errors import InputError, InputTypeError

pytest_plugins = ["model_fixture"]


# ---- accepted ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 1, 28, 28), (6, 28, 28), (6, 784)])
@pytest.mark.parametrize("kind", ["bytes", "floats"])
def test_shapes(model, shape, kind, bytes_200):
    x = bytes_200[:6] if kind == "bytes" else bytes_200[:6] / 255
    np.testing.assert_array_equal(model.logits(x.reshape(shape)), model.logits(x))


def test_one_image(model, bytes_200):
    np.testing.assert_array_equal(model.logits(bytes_200[3]), model.logits(bytes_200[:4])[3:])
    assert model.predict(bytes_200[3]).shape == (1,)


def strided(x):
    wide = np.full((x.shape[0] * 2, 30, 59), 77, x.dtype)
    inner = wide[::2, 1:29, 2:58:2]
    inner[...] = x
    return inner


def backwards(x):
    return np.ascontiguousarray(x[::-1, ::-1, ::-1])[::-1, ::-1, ::-1]


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


LAYOUTS = {"strided": strided, "reversed": backwards, "fortran": np.asfortranarray, "read-only": read_only}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["bytes", "floats"])
def test_layouts(model, layout, kind, bytes_200):
    x = bytes_200[:6] if kind == "bytes" else bytes_200[:6] / 255
    given = LAYOUTS[layout](x)
    before = given.copy()
    np.testing.assert_array_equal(model.logits(given), model.logits(x))
    np.testing.assert_array_equal(given, before)


def test_unaligned_images_are_copied(model, monkeypatch):
    x, seen = draw_images(3).astype(np.float32), []
    place = np.ndarray(x.shape, x.dtype, bytearray(x.nbytes + 1), 1)
    place[...] = x
    compute = model._predictor._kernel
    monkeypatch.setattr(model._predictor, "_kernel", lambda *given: seen.append(given[1]) or compute(*given))
    np.testing.assert_array_equal(model.logits(place), model.logits(x))
    assert [each.ctypes.data % 4 for each in seen] == [0, 0]


def test_memory_mapped_images(model, bytes_200, tmp_path):
    np.save(tmp_path / "images.npy", bytes_200[:6])
    given = np.load(tmp_path / "images.npy", mmap_mode="r")
    np.testing.assert_array_equal(model.logits(given), model.logits(bytes_200[:6]))


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f4", "f8", ">f8", "longdouble"])
def test_floating_types_and_byte_orders(model, dtype, bytes_200):
    given = (bytes_200[:6] / 255).astype("f2").astype(dtype)
    np.testing.assert_array_equal(model.logits(given), model.logits(given.astype(np.float32)))


def test_bytes_are_known_by_any_dtype_that_equals_uint8(model):
    """NumPy creates a new dtype if a byte order is set."""
    x = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    other = x.astype(x.dtype.newbyteorder("="))
    assert other.dtype == np.uint8
    np.testing.assert_array_equal(model.logits(other), model.logits(x))


def test_bytes_are_floats_times_255(model, bytes_200):
    np.testing.assert_allclose(model.activations(bytes_200)["input"], standardised(bytes_200 / 255), rtol=0, atol=1e-6)
    np.testing.assert_allclose(model.logits(bytes_200), model.logits(bytes_200 / 255), rtol=0, atol=1e-6)


def test_nested_lists_of_floats(model, bytes_200):
    x = bytes_200[:2] / 255
    np.testing.assert_array_equal(model.logits(x.tolist()), model.logits(x))


def test_the_bounds_of_the_pixels_are_allowed(model):
    x = np.zeros((2, 28, 28))
    x[0] = 1.0
    assert np.isfinite(model.logits(x)).all()


@pytest.mark.parametrize("shape", [(0, 1, 28, 28), (0, 28, 28), (0, 784)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_an_empty_batch_predicts_an_empty_result(model, shape, dtype):
    x = np.zeros(shape, dtype)
    assert model.logits(x).shape == model.predict_proba(x).shape == (0, 10)
    assert model.predict(x).shape == (0,)
    assert model.activations(x)["c5"].shape == (0, 120)


@pytest.mark.parametrize("kind", [list, tuple, np.uint8, np.int8, np.int32, ">i8", np.uint64])
def test_labels_of_any_integer_type(model, kind):
    x, y = batch(4, "dense")
    given = kind(y.tolist()) if kind in (list, tuple) else y.astype(kind)
    assert model.loss_and_gradients(x, given)[0] == model.loss_and_gradients(x, y)[0]


# ---- rejected ------------------------------------------------------------------------------------------


def spoilt(value):
    x = np.zeros((2, 28, 28))
    x[1, 2, 3] = value
    return x


WANTED = r"expected \(n, 1, 28, 28\), \(n, 28, 28\), \(n, 784\), or \(28, 28\)"
PREPARE = r" for one image\. Convert pictures with lenet\.reading\.prepare\.$"
DIVIDE = r"expected \[0, 1\]\. Divide by 255 or pass uint8"
UINT8 = "expected uint8 pixels from 0 to 255, or floats"
BAD_IMAGES = {
    "scalar": (np.float32(0), InputError, r"shape \(\); " + WANTED),
    "rank 1": (np.zeros(784), InputError, r"shape \(784,\); " + WANTED),
    "rank 5": (np.zeros((1, 1, 1, 28, 28)), InputError, r"shape \(1, 1, 1, 28, 28\); " + WANTED),
    "three channels": (np.zeros((2, 3, 28, 28)), InputError, r"shape \(2, 3, 28, 28\); " + WANTED),
    "a colour picture": (
        np.zeros((20, 30, 3), np.uint8),
        InputError,
        r"x has shape \(20, 30, 3\); " + WANTED + PREPARE,
    ),
    "32 x 32": (np.zeros((2, 32, 32)), InputError, r"shape \(2, 32, 32\); " + WANTED),
    "783 columns": (np.zeros((2, 783)), InputError, r"shape \(2, 783\); " + WANTED),
    "channels last": (np.zeros((2, 28, 28, 1)), InputError, r"shape \(2, 28, 28, 1\); " + WANTED),
    "an empty list": ([], InputError, r"shape \(0,\); " + WANTED),
    "empty, of another size": (np.zeros((0, 27, 28)), InputError, r"shape \(0, 27, 28\); " + WANTED),
    "ragged": ([[1.0, 2.0], [1.0]], InputError, "not a rectangular array .*" + WANTED),
    "floats to 255": (spoilt(255.0), InputError, "pixels from 0 to 255; " + DIVIDE),
    "negative": (
        spoilt(-0.25),
        InputError,
        r"from -0.25 to 0; expected \[0, 1\]\. Pass pixels that are not standardised",
    ),
    "just above 1": (spoilt(1.001), InputError, r"expected \[0, 1\]\. Clip them\.$"),
    "2": (spoilt(2.0), InputError, DIVIDE),
    "NaN": (spoilt(np.nan), InputError, "nan.*" + DIVIDE),
    "infinite": (spoilt(np.inf), InputError, "inf.*" + DIVIDE),
    "-infinite": (spoilt(-np.inf), InputError, "-inf.*" + DIVIDE),
    "float16 NaN": (spoilt(np.nan).astype(np.float16), InputError, "nan.*" + DIVIDE),
    "int64": (np.zeros((2, 28, 28), int), InputTypeError, "x has dtype int64; " + UINT8),
    "int8": (np.zeros((2, 28, 28), np.int8), InputTypeError, "x has dtype int8; " + UINT8),
    "bool": (np.zeros((2, 28, 28), bool), InputTypeError, "x has dtype bool; " + UINT8),
    "complex": (np.zeros((2, 28, 28), complex), InputTypeError, "x has dtype complex128; " + UINT8),
    "object": (np.zeros((2, 28, 28), object), InputTypeError, "x has dtype object; " + UINT8),
    "strings": (np.full((2, 28, 28), "0"), InputTypeError, "x has dtype <U1; " + UINT8),
    "bytes": (np.full((2, 28, 28), b"0"), InputTypeError, "x has dtype .S1; " + UINT8),
    "None": (None, InputTypeError, "x has dtype object; " + UINT8),
    "a file's name": ("digit.png", InputTypeError, "x has dtype <U9; " + UINT8),
    "masked": (np.ma.masked_equal(np.zeros((2, 28, 28)), 1), InputTypeError, r"masked array. Fill it first"),
}


@pytest.mark.parametrize("method", ["logits", "predict", "predict_proba", "activations", "loss_and_gradients"])
@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_images(model, name, method):
    x, error, message = BAD_IMAGES[name]
    before = model.parameters.flat.copy()
    arguments = (x, [0, 1]) if method == "loss_and_gradients" else (x,)
    with pytest.raises(error, match=message):
        getattr(model, method)(*arguments)
    np.testing.assert_array_equal(model.parameters.flat, before)


BAD_LABELS = {
    "too few": ([1, 2], InputError, r"y has shape \(2,\); expected \(3,\), one label per image"),
    "too many": ([1, 2, 3, 4], InputError, r"y has shape \(4,\); expected \(3,\)"),
    "none": (np.zeros(0, int), InputError, r"y has shape \(0,\); expected \(3,\)"),
    "one number": (5, InputError, r"y has shape \(\); expected \(3,\)"),
    "one column": ([[1], [2], [3]], InputError, r"shape \(3, 1\); expected probabilities of shape \(3, 10\), or lab"),
    "text in rows": ([["0"] * 10] * 3, InputTypeError, "y has dtype <U1; expected probabilities or labels"),
    "a sum of 1.002": (np.full((3, 10), 0.1002), InputError, "rows that sum to 1.002 to 1.002; expected"),
    "below 0": ([[-0.5, 1.5, *[0] * 8]] * 3, InputError, "y has probabilities from -0.5 to 1.5 and rows"),
    "NaN": (np.full((3, 10), np.nan), InputError, "y has probabilities from nan to nan"),
    "negative": ([0, -1, 2], InputError, "labels from -1 to 2; expected 0 to 9 for 10 classes"),
    "10": ([0, 10, 2], InputError, "labels from 0 to 10; expected 0 to 9 for 10 classes"),
    "huge": (np.array([0, 2**64 - 1, 2], np.uint64), InputError, "to 18446744073709551615; expected 0 to 9"),
    "floats": ([0.0, 1.0, 2.0], InputTypeError, "y has dtype float64; expected integer labels from 0 to 9"),
    "bool": ([True, False, True], InputTypeError, "y has dtype bool; expected integer labels"),
    "strings": (["0", "1", "2"], InputTypeError, "y has dtype <U1; expected integer labels"),
    "object": (np.array([0, 1, 2], object), InputTypeError, "y has dtype object; expected integer labels"),
    "None": (None, InputTypeError, "y has dtype object; expected integer labels"),
}


@pytest.mark.parametrize("name", BAD_LABELS)
def test_bad_labels(model, name):
    y, error, message = BAD_LABELS[name]
    with pytest.raises(error, match=message):
        model.loss_and_gradients(draw_images(3), y)


def test_ragged_labels(model):
    with pytest.raises(InputError, match="y "):
        model.loss_and_gradients(draw_images(3), [[0], [1, 2], [3]])


def test_masked_labels(model):
    with pytest.raises(InputTypeError, match="masked"):
        model.loss_and_gradients(draw_images(3), np.ma.masked_equal([0, 1, 2], 1))


def test_labels_are_those_of_the_models_classes():
    with pytest.raises(InputError, match="labels from 0 to 3; expected 0 to 2 for 3 classes"):
        make_model(num_classes=3).loss_and_gradients(draw_images(2), [0, 3])


def test_the_loss_of_an_empty_batch_is_refused(model):
    with pytest.raises(InputError, match="There are no images; expected at least one"):
        model.loss_and_gradients(np.zeros((0, 28, 28)), np.zeros(0, int))
    with pytest.raises(InputError, match="There are no images; expected at least one"):
        model.layerwise_loss_and_gradients(np.zeros((0, 28, 28)), np.zeros(0, int))
