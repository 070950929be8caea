"""LeNet5: its architecture, predictions, `out` and threads."""

import tracemalloc

import numpy as np
import pytest
import reference
from models import SHAPES, draw_images, make_model, standardised

from lenet import LeNet5
from lenet.errors import InputError, InputTypeError

pytest_plugins = ["model_fixture"]


# ---- the architecture ----------------------------------------------------------------------------------


def test_parameters_names_shapes_and_count(model):
    assert {name: parameter.shape for name, parameter in model.parameters.items()} == SHAPES
    assert list(model.parameters) == list(SHAPES)
    assert sum(parameter.size for parameter in model.parameters.values()) == model.parameters.flat.size == 61_706


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parameters_are_views_of_the_flat_vector_in_order(dtype):
    model = make_model(dtype)
    joined = np.concatenate([parameter.ravel() for parameter in model.parameters.values()])
    np.testing.assert_array_equal(joined, model.parameters.flat)
    assert model.parameters.flat.dtype == dtype
    assert all(np.shares_memory(parameter, model.parameters.flat) for parameter in model.parameters.values())


def test_layers_compute_with_the_flat_vector(model):
    model.parameters.flat[...] = 0
    model.parameters["output.bias"] = np.arange(10)
    np.testing.assert_array_equal(model.logits(draw_images(1)), [np.arange(10)])


def test_summary_prints_the_table(model, capsys):
    model.summary()
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    wanted = {
        "c1": ("Conv2d(1, 6, kernel_size=5, padding=2), Sigmoid()", "(6, 28, 28)", "156"),
        "s2": ("AvgPool2d((2, 2), stride=(2, 2))", "(6, 14, 14)"),
        "c3": ("Conv2d(6, 16, kernel_size=5), Sigmoid()", "(16, 10, 10)", "2,416"),
        "s4": ("AvgPool2d", "(16, 5, 5)"),
        "c5": ("Conv2d(16, 120, kernel_size=5), Sigmoid()", "(120,)", "48,120"),
        "f6": ("Linear(120, 84), Sigmoid()", "(84,)", "10,164"),
        "output": ("Linear(84, 10)", "(10,)", "850"),
        "total": ("61,706",),
    }
    for name, parts in wanted.items():
        assert all(part in rows[name] for part in parts), rows[name]
    assert rows["input"].rstrip().endswith(" (1, 28, 28)")
    for name in ("s2", "s4"):
        assert rows[name].rstrip().endswith(")")  # without parameters


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_classes": 1}, InputError, "num_classes is 1; expected at least 2"),
        ({"num_classes": 0}, InputError, "num_classes is 0"),
        ({"num_classes": "10"}, InputTypeError, "num_classes is '10'"),
        ({"num_classes": 10.0}, InputTypeError, "num_classes is 10.0"),
        ({"num_classes": True}, InputTypeError, "num_classes is True"),
        ({"dtype": np.float16}, InputTypeError, "dtype is float16.* float32 or float64"),
        ({"dtype": np.int32}, InputTypeError, "dtype is int32"),
        ({"dtype": ">f4"}, InputTypeError, "dtype is >f4"),
        ({"seed": -1}, InputError, "seed is -1; expected at least 0"),
        ({"seed": 0.5}, InputTypeError, "seed is 0.5; expected an integer"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        LeNet5(**arguments)


@pytest.mark.parametrize("name", ["num_classes", "dtype", "parameters"])
def test_attributes_that_the_kernels_rely_on_cannot_be_assigned(model, name):
    with pytest.raises(AttributeError):
        setattr(model, name, getattr(model, name))


def test_no_parameter_can_be_added_or_taken_out(model):
    for take in (
        lambda: model.parameters.pop("c1.bias"), lambda: model.parameters.popitem(), lambda: model.parameters.clear(),
        lambda: model.parameters.__delitem__("c1.bias"), lambda: model.parameters.setdefault("c7.bias", 1),
    ):  # fmt: skip
        with pytest.raises(InputTypeError, match="share one vector"):
            take()
    assert list(model.parameters) == list(SHAPES)


def test_mean_and_std_are_both_numbers_or_both_none(model):
    model.std = None
    assert (model.mean, model.std) == (None, None)
    model.mean = 0.2
    assert (model.mean, model.std) == (0.2, 1.0)
    model.mean = None
    model.std = 0.5
    assert (model.mean, model.std) == (0.0, 0.5)


@pytest.mark.parametrize(
    ("name", "value", "error", "says"),
    [
        ("std", 0, InputError, r"std is 0.0; expected 1.2e-38 to 3.4e\+38, or None to use each image's std"),
        ("std", 1e-39, InputError, "std is 1e-39; expected 1.2e-38"),  # its reciprocal is not finite in float32
        ("std", 1e39, InputError, r"std is 1e\+39"),
        ("std", -1.0, InputError, "std is -1.0"),
        ("std", np.nan, InputError, "std is nan"),
        ("std", np.inf, InputError, "std is inf"),
        ("std", (0.3,), InputTypeError, r"std is \(0.3,\); expected a number"),
        ("mean", "a", InputTypeError, "mean is 'a'; expected a number"),
        ("mean", np.inf, InputError, "mean is inf; expected a finite float32, or None"),
        ("mean", -1e39, InputError, r"mean is -1e\+39"),
    ],
)
def test_an_invalid_standardisation(name, value, error, says):
    model = LeNet5(seed=0)
    with pytest.raises(error, match=says):
        setattr(model, name, value)
    assert (model.mean, model.std) == (0.0, 1.0)
    model.mean, model.std = np.float32(0.5), 2
    assert (model.mean, model.std) == (0.5, 2.0)
    model = LeNet5(dtype=np.float64)
    model.mean, model.std = 1e39, 1e-39
    assert (model.mean, model.std) == (1e39, 1e-39)


# ---- predictions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-6), (np.float64, 1e-13)])
@pytest.mark.parametrize("kind", ["dense", "zero borders"])
def test_activations_are_the_reference(dtype, tolerance, kind):
    model, x = make_model(dtype), draw_images(3, kind)
    outputs = model.activations(x)
    expected = reference.lenet(model.parameters, standardised(x))
    assert list(outputs) == list(expected)
    for name, output in outputs.items():
        assert output.dtype == dtype
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(output, expected[name], rtol=0, atol=tolerance * scale, err_msg=name)


def test_probabilities_are_the_softmax_of_the_logits(model):
    x = draw_images(5)
    probabilities = model.predict_proba(x)
    np.testing.assert_allclose(probabilities, np.exp(reference.log_softmax(np.float64(model.logits(x)))), rtol=1e-5)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)


def test_predictions_are_the_most_probable_classes(model):
    model.parameters.flat[...] = 0
    model.parameters["output.bias"][7] = 1
    predicted = model.predict(draw_images(3))
    assert predicted.dtype == np.int64
    assert predicted.tolist() == [7, 7, 7]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_brightness_and_contrast_do_not_matter_to_a_model_that_standardises_each_image(dtype):
    model, x = make_model(dtype), draw_images(3)
    model.mean = None
    dim = 0.5 * x + 0.4
    np.testing.assert_allclose(model.activations(dim)["input"], model.activations(x)["input"], rtol=0, atol=1e-3)
    np.testing.assert_allclose(model.logits(dim), model.logits(x), rtol=0, atol=1e-5)


def test_predicting_bytes_takes_hardly_any_memory():
    model, x = make_model(np.float32), np.zeros((10_000, 28, 28), np.uint8)
    model.predict(x[:100])
    tracemalloc.start()
    try:
        model.predict(x, n_jobs=1)
        assert tracemalloc.get_traced_memory()[1] < 120e3  # 80 KB of labels; a piece as floats would be 150 KB
    finally:
        tracemalloc.stop()


# ---- out= ----------------------------------------------------------------------------------------------

OUTPUTS = pytest.mark.parametrize(
    ("method", "shape", "dtype"),
    [("logits", (70, 10), np.float32), ("predict_proba", (70, 10), np.float32), ("predict", (70,), np.int64)],
)


@OUTPUTS
def test_out_is_filled_and_returned(model, method, shape, dtype):
    x, out = draw_images(70), np.full(shape, 77, dtype)
    assert getattr(model, method)(x, out=out) is out
    np.testing.assert_array_equal(out, getattr(model, method)(x))


@OUTPUTS
def test_an_out_array_that_does_not_fit_is_refused(model, method, shape, dtype):
    out = np.full(shape, 77, dtype)[:-1]
    with pytest.raises(InputError, match=r"out has .* expected "):
        getattr(model, method)(draw_images(70), out=out)
    assert (out == 77).all()


# ---- the same bits, however the work is cut ------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 0), (np.float64, 1e-13)])
@pytest.mark.parametrize("pixels", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("part", [1, 7, 64, 199])
def test_logits_do_not_depend_on_how_the_batch_is_cut(dtype, tolerance, pixels, part, bytes_200):
    """In float32, to the bit; in float64, NumPy adds in an order that depends on the batch."""
    model = make_model(dtype)
    x = bytes_200 if pixels == np.uint8 else (bytes_200 / 255).astype(pixels)
    parts = [model.logits(x[start : start + part]) for start in range(0, 200, part)]
    np.testing.assert_allclose(np.concatenate(parts), model.logits(x), rtol=0, atol=tolerance)


@pytest.mark.parametrize("n_jobs", [2, 3, 8, -1, None])
@pytest.mark.parametrize("method", ["logits", "predict", "predict_proba"])
def test_predictions_do_not_depend_on_the_number_of_threads(model, method, n_jobs, bytes_200):
    predict = getattr(model, method)
    for _ in range(3):
        np.testing.assert_array_equal(predict(bytes_200, n_jobs=n_jobs), predict(bytes_200, n_jobs=1))
