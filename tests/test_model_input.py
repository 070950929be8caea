"""The images and labels that LeNet5 accepts and rejects."""

import numpy as np
import pytest
from models import draw_images, make_model, standardised

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


def test_unaligned_images_are_copied(model, monkeypatch):
    x, seen = draw_images(3).astype(np.float32), []
    place = np.ndarray(x.shape, x.dtype, bytearray(x.nbytes + 1), 1)
    place[...] = x
    compute = model._predictor._kernel
    monkeypatch.setattr(model._predictor, "_kernel", lambda *given: seen.append(given[1]) or compute(*given))
    np.testing.assert_array_equal(model.logits(place), model.logits(x))
    assert [each.ctypes.data % 4 for each in seen] == [0, 0]


def test_bytes_are_known_by_any_dtype_that_equals_uint8(model):
    """NumPy creates a new dtype if a byte order is set."""
    x = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    other = x.astype(x.dtype.newbyteorder("="))
    assert other.dtype == np.uint8
    np.testing.assert_array_equal(model.logits(other), model.logits(x))


def test_bytes_are_floats_times_255(model, bytes_200):
    np.testing.assert_allclose(model.activations(bytes_200)["input"], standardised(bytes_200 / 255), rtol=0, atol=1e-6)
    np.testing.assert_allclose(model.logits(bytes_200), model.logits(bytes_200 / 255), rtol=0, atol=1e-6)


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


# ---- rejected ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", ["a.png", ["a.png", "b.png"], b"a", None, [object()]])
def test_paths_and_objects_are_no_pixels(model, x):
    with pytest.raises(InputTypeError, match=r"expected numbers\. Read pictures"):
        model.predict(x)


def test_the_numbers_of_colours_in_a_palette_are_no_pixels(model, bytes_200):
    image = pytest.importorskip("PIL.Image").fromarray(bytes_200[0])
    np.testing.assert_array_equal(model.logits(image), model.logits(bytes_200[0]))
    with pytest.raises(InputTypeError, match="x is an image with a palette"):
        model.predict(image.quantize(8))


def spoilt(value):
    x = np.zeros((2, 28, 28))
    x[1, 2, 3] = value
    return x


WANTED = r"expected \(n, 1, 28, 28\), \(n, 28, 28\), \(n, 784\), or \(28, 28\)"
PREPARE = r" for one image\. Convert pictures with lenet\.reading\.prepare\.$"
DIVIDE = r"expected \[0, 1\]\. Divide by 255 or pass uint8"
UINT8 = "expected uint8 pixels from 0 to 255, or floats"
BAD_IMAGES = {
    "a colour picture": (
        np.zeros((20, 30, 3), np.uint8),
        InputError,
        r"x has shape \(20, 30, 3\); " + WANTED + PREPARE,
    ),
    "negative": (
        spoilt(-0.25),
        InputError,
        r"from -0.25 to 0; expected \[0, 1\]\. Pass pixels that are not standardised",
    ),
    "just above 1": (spoilt(1.001), InputError, r"expected \[0, 1\]\. Clip them\.$"),
    "2": (spoilt(2.0), InputError, DIVIDE),
    "NaN": (spoilt(np.nan), InputError, "NaN.*Replace"),
    "int64": (np.zeros((2, 28, 28), int), InputTypeError, "x has dtype int64; " + UINT8),
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


def test_labels_are_those_of_the_models_classes():
    with pytest.raises(InputError, match="labels from 0 to 3; expected 0 to 2 for 3 classes"):
        make_model(num_classes=3).loss_and_gradients(draw_images(2), [0, 3])


def test_the_loss_of_an_empty_batch_is_refused(model):
    with pytest.raises(InputError, match="There are no images; expected at least one"):
        model.loss_and_gradients(np.zeros((0, 28, 28)), np.zeros(0, int))
    with pytest.raises(InputError, match="There are no images; expected at least one"):
        model.layerwise_loss_and_gradients(np.zeros((0, 28, 28)), np.zeros(0, int))


def test_pixels_just_above_1_are_shown_with_all_digits(model):
    pixels = np.full((28, 28), 1.0000001)
    with pytest.raises(InputError, match=r"pixels from 1\.0000001 to 1\.0000001; expected \[0, 1\]"):
        model.predict(pixels)
