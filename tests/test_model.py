"""LeNet5: its shapes, arithmetic and gradients, and the inputs that it accepts and rejects."""

import copy
import pickle
import threading
import tracemalloc

import numpy as np
import pytest
import reference

from lenet import SGD, LeNet5
from lenet.errors import InputError, InputTypeError, WeightsError
from lenet.losses import cross_entropy

SHAPES = {
    "c1.weight": (6, 1, 5, 5),
    "c1.bias": (6,),
    "c3.weight": (16, 6, 5, 5),
    "c3.bias": (16,),
    "c5.weight": (120, 16, 5, 5),
    "c5.bias": (120,),
    "f6.weight": (84, 120),
    "f6.bias": (84,),
    "output.weight": (10, 84),
    "output.bias": (10,),
}
MEAN, STD = 0.1307, 0.3081


def make_model(dtype=np.float32, **arguments):
    """A model with biases and a standardisation, so that omitting either is detected."""
    model = LeNet5(seed=0, dtype=dtype, **arguments)
    rng = np.random.default_rng(1)
    for name in reference.LAYERS:
        model.parameters[f"{name}.bias"] = rng.normal(scale=0.3, size=model.parameters[f"{name}.bias"].shape)
    model.mean, model.std = MEAN, STD
    return model


def draw_images(n, kind="dense"):
    """Images in [0, 1]: noise everywhere, or noise in the middle and zeros around it."""
    x = np.random.default_rng(n).random((n, 28, 28))
    if kind == "zero borders":
        x[:, :4] = x[:, -4:] = x[:, :, :4] = x[:, :, -4:] = 0
    return x


def standardised(x):
    return (x.reshape(-1, 1, 28, 28) - MEAN) / STD


@pytest.fixture
def model():
    return make_model()


@pytest.fixture(scope="module")
def bytes_200():
    return np.random.default_rng(2).integers(0, 256, (200, 28, 28), np.uint8)


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
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        LeNet5(**arguments)


@pytest.mark.parametrize("num_classes", [2, 3, 26])
def test_other_numbers_of_classes(num_classes):
    model = make_model(np.float64, num_classes=num_classes)
    x, y = draw_images(3), np.array([0, 1, num_classes - 1])
    loss, gradients = model.loss_and_gradients(x, y)
    expected_loss, expected = reference.lenet_loss_and_gradients(model.parameters, standardised(x), y)
    assert model.parameters["output.weight"].shape == (num_classes, 84)
    assert model.predict_proba(x).shape == (3, num_classes)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    assert relative_error(gradients["output.weight"], expected["output.weight"]) < 1e-12


# ---- forwards ------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-6), (np.float64, 1e-13)])
def test_logits_are_the_reference(dtype, tolerance):
    model, x = make_model(dtype), draw_images(9)
    expected = reference.lenet(model.parameters, standardised(x))["output"]
    np.testing.assert_allclose(model.logits(x), expected, rtol=0, atol=tolerance * np.abs(expected).max())


def test_bytes_are_known_by_any_dtype_that_equals_uint8(model):
    """NumPy creates a new dtype if a byte order is set."""
    x = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    other = x.astype(x.dtype.newbyteorder("="))
    assert other.dtype == np.uint8
    np.testing.assert_array_equal(model.logits(other), model.logits(x))


def test_unaligned_images_are_copied(model, monkeypatch):
    x, seen = draw_images(3).astype(np.float32), []
    place = np.ndarray(x.shape, x.dtype, bytearray(x.nbytes + 1), 1)
    place[...] = x
    compute = model._predictor._kernel
    monkeypatch.setattr(model._predictor, "_kernel", lambda *given: seen.append(given[1]) or compute(*given))
    np.testing.assert_array_equal(model.logits(place), model.logits(x))
    assert [each.ctypes.data % 4 for each in seen] == [0, 0]


def test_logits_are_the_last_activation(model):
    """One is computed by the compiled stages and the other layer by layer, with sums in another order."""
    x = draw_images(70)
    layer_by_layer = model.activations(x)["output"]
    np.testing.assert_allclose(model.logits(x), layer_by_layer, rtol=0, atol=2e-6 * np.abs(layer_by_layer).max())


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
@pytest.mark.parametrize("fault", ["shape", "dtype", "strides", "read-only", "byte order", "unaligned"])
def test_an_out_array_that_does_not_fit_is_refused(model, method, shape, dtype, fault):
    out = np.full(shape, 77, dtype)
    if fault == "shape":
        out = out[:-1]
    elif fault == "dtype":
        out = out.astype(np.float16)
    elif fault == "strides":
        out = np.full((140, *shape[1:]), 77, dtype)[::2]
    elif fault == "byte order":
        out = out.astype(out.dtype.newbyteorder())
    elif fault == "unaligned":
        out = np.ndarray(shape, dtype, bytearray(out.nbytes + 1), 1)
        out[...] = 77
    else:
        out.flags.writeable = False
    with pytest.raises(InputError, match=r"out has .* expected "):
        getattr(model, method)(draw_images(70), out=out)
    assert (out == 77).all()


@OUTPUTS
def test_an_out_that_is_not_an_array_is_refused(model, method, shape, dtype):
    with pytest.raises(InputTypeError, match="out is of type list; expected an ndarray"):
        getattr(model, method)(draw_images(70), out=[0] * 70)


def test_an_out_that_shares_memory_with_x_is_refused(model):
    memory = np.zeros(70 * 784, np.uint8)
    with pytest.raises(InputError, match="out shares memory with x"):
        model.logits(memory.reshape(70, 784), out=memory[:2800].view(np.float32).reshape(70, 10))


def test_a_masked_out_array_is_refused(model):
    with pytest.raises(InputTypeError, match="out is of type MaskedArray"):
        model.logits(draw_images(2), out=np.ma.zeros((2, 10), np.float32))


@pytest.mark.parametrize("name", ["num_classes", "dtype", "parameters"])
def test_attributes_that_the_kernels_rely_on_cannot_be_assigned(model, name):
    with pytest.raises(AttributeError):
        setattr(model, name, getattr(model, name))


def test_no_parameter_can_be_taken_out(model):
    for take in (
        lambda: model.parameters.pop("c1.bias"), lambda: model.parameters.popitem(), lambda: model.parameters.clear(),
        lambda: model.parameters.__delitem__("c1.bias"),
    ):  # fmt: skip
        with pytest.raises(InputTypeError, match="share one vector"):
            take()
    assert list(model.parameters) == list(SHAPES)


def test_predicting_bytes_takes_hardly_any_memory():
    model, x = make_model(np.float32), np.zeros((10_000, 28, 28), np.uint8)
    model.predict(x[:100])
    tracemalloc.start()
    try:
        model.predict(x, n_jobs=1)
        assert tracemalloc.get_traced_memory()[1] < 120e3  # 80 KB of labels; a piece as floats would be 150 KB
    finally:
        tracemalloc.stop()


# ---- gradients -----------------------------------------------------------------------------------------


def relative_error(actual, expected):
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])
@pytest.mark.parametrize("num_classes", [10, 26])
def test_the_layerwise_and_the_fused_network_agree(dtype, tolerance, num_classes):
    """In the logits, the loss and every gradient; and each with the reference, activations included."""
    model, x = make_model(dtype, num_classes=num_classes), draw_images(23)
    y = np.random.default_rng(0).integers(0, num_classes, 23)
    parameters = {name: value.astype(np.float64) for name, value in model.parameters.items()}
    expected = reference.lenet(parameters, standardised(x))
    activations = model.activations(x)
    assert activations.keys() == expected.keys()
    for name, value in expected.items():
        assert relative_error(activations[name], value) < tolerance, name
    assert relative_error(model.logits(x), expected["output"]) < tolerance
    loss, gradients = reference.lenet_loss_and_gradients(parameters, standardised(x), y)
    for method in (model.loss_and_gradients, model.layerwise_loss_and_gradients):
        found_loss, found = method(x, y)
        assert found_loss == pytest.approx(loss, rel=tolerance)
        assert list(found) == list(model.parameters)
        for name, value in gradients.items():
            assert found[name].dtype == dtype
            assert relative_error(found[name], value) < tolerance, (method.__name__, name)


class Loss:
    """The mean loss of a batch as a function of one parameter; what lies before its stage is computed once."""

    def __init__(self, model, x, y, parameter):
        names = [name for name, _ in model.stages]
        first = names.index(parameter.split(".")[0])
        self.input = list(model.activations(x).values())[first]
        self.layers = [layer for _, layers in model.stages[first:] for layer in layers]
        self.parameter, self.y = model.parameters[parameter], y

    def __call__(self):
        out = self.input
        for layer in self.layers:
            out, _ = layer.forward(out)
        return cross_entropy(out, self.y)[0].mean()

    def differences(self, places, step=1e-4):
        """The central differences by the parameter's elements at these places of its ravelled form."""
        flat = self.parameter.reshape(-1)
        assert np.shares_memory(flat, self.parameter)
        slopes = []
        for place in places:
            before = flat[place]
            flat[place] = before + step
            above = self()
            flat[place] = before - step
            slopes.append((above - self()) / (2 * step))
            flat[place] = before
        return np.array(slopes)

    def difference_along(self, direction, step=1e-4):
        before = self.parameter.copy()
        self.parameter[...] = before + step * direction
        above = self()
        self.parameter[...] = before - step * direction
        below = self()
        self.parameter[...] = before
        return (above - below) / (2 * step)


def batch(n, kind):
    return draw_images(n, kind), np.random.default_rng(n + 10).integers(0, 10, n)


BATCHES = pytest.mark.parametrize("n", [3, *(pytest.param(n, marks=pytest.mark.release) for n in (1, 4))])
KINDS = pytest.mark.parametrize("kind", ["dense", "zero borders"])
LARGE = ("c5.weight", "f6.weight")


@BATCHES
@KINDS
@pytest.mark.parametrize("name", [name for name in SHAPES if name not in LARGE])
def test_gradients_against_central_differences(name, n, kind):
    model, (x, y) = make_model(np.float64), batch(n, kind)
    gradient = model.loss_and_gradients(x, y)[1][name]
    places = range(gradient.size)
    if name == "c3.weight":
        places = np.random.default_rng(0).choice(gradient.size, 600, replace=False)
    assert relative_error(gradient.ravel()[places], Loss(model, x, y, name).differences(places)) <= 1e-6


@BATCHES
@KINDS
@pytest.mark.parametrize("name", LARGE)
def test_large_gradients_against_central_differences(name, n, kind):
    """At places drawn at random, and along random directions, in which every element takes part."""
    model, (x, y) = make_model(np.float64), batch(n, kind)
    gradient = model.loss_and_gradients(x, y)[1][name]
    loss, rng = Loss(model, x, y, name), np.random.default_rng(0)
    places = rng.choice(gradient.size, 400, replace=False)
    assert relative_error(gradient.ravel()[places], loss.differences(places)) <= 1e-6
    for _ in range(5):
        direction = rng.normal(size=gradient.shape) / np.sqrt(gradient.size)
        slope = loss.difference_along(direction, 1e-3)
        assert abs((gradient * direction).sum() - slope) <= 1e-6 * np.linalg.norm(gradient) / np.sqrt(gradient.size)


@pytest.mark.release
@BATCHES
@KINDS
def test_all_61706_gradients_against_central_differences(n, kind):
    model, (x, y) = make_model(np.float64), batch(n, kind)
    for name, gradient in model.loss_and_gradients(x, y)[1].items():
        numeric = Loss(model, x, y, name).differences(range(gradient.size))
        assert relative_error(gradient.ravel(), numeric) <= 1e-6, name


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-13)])
@KINDS
@pytest.mark.parametrize("n", [1, 3, 4, 40])
def test_loss_and_gradients_are_the_reference(dtype, tolerance, n, kind):
    """40 images are more than one chunk."""
    model, (x, y) = make_model(dtype), batch(n, kind)
    loss, gradients = model.loss_and_gradients(x, y)
    expected_loss, expected = reference.lenet_loss_and_gradients(model.parameters, standardised(x), y)
    assert loss == pytest.approx(expected_loss, rel=tolerance)
    assert list(gradients) == list(SHAPES)
    for name, gradient in gradients.items():
        assert gradient.dtype == dtype
        assert relative_error(gradient, expected[name]) <= tolerance, name


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-10)])
@pytest.mark.parametrize("n", [1, 40])
def test_probabilities_and_images_standardised_one_by_one(dtype, tolerance, n):
    """Both ways to compute agree with the reference; rows of targets are scaled to sum to 1."""
    model, x = make_model(dtype), draw_images(n)
    model.mean = None
    targets = np.random.default_rng(1).dirichlet(np.full(10, 0.3), n)
    assert relative_error(model.activations(x)["input"], reference.standardised(x)) <= tolerance
    expected_loss, expected = reference.lenet_loss_and_gradients(model.parameters, reference.standardised(x), targets)
    for method in (model.loss_and_gradients, model.layerwise_loss_and_gradients):
        loss, gradients = method(x, targets * 1.0009)
        assert loss == pytest.approx(expected_loss, rel=tolerance)
        for name, gradient in gradients.items():
            assert relative_error(gradient, expected[name]) <= tolerance, name


@pytest.mark.parametrize("name", ["c1.weight", "c3.bias", "output.weight"])
def test_gradients_of_probabilities_against_central_differences(name):
    model, x = make_model(np.float64), draw_images(3)
    model.mean, targets = None, np.random.default_rng(1).dirichlet(np.ones(10), 3)
    gradient = model.loss_and_gradients(x, targets)[1][name]
    assert relative_error(gradient.ravel(), Loss(model, x, targets, name).differences(range(gradient.size))) <= 1e-6


@pytest.mark.landing
def test_the_loss_of_probabilities_is_pytorchs():
    torch = pytest.importorskip("torch")
    model, x = make_model(np.float64), draw_images(5)
    model.mean, targets = None, np.random.default_rng(1).dirichlet(np.ones(10), 5)
    layer_norm = torch.nn.LayerNorm((1, 28, 28), elementwise_affine=False, dtype=torch.float64)
    standard = layer_norm(torch.tensor(x[:, None])).numpy()
    np.testing.assert_allclose(model.activations(x)["input"], standard, rtol=0, atol=1e-12)
    logits = torch.tensor(model.logits(x), requires_grad=True)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(targets))
    loss.backward()
    found, gradients = model.loss_and_gradients(x, targets)
    assert found == pytest.approx(loss.item(), rel=1e-12)
    np.testing.assert_allclose(gradients["output.bias"], logits.grad.sum(0), rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_brightness_and_contrast_do_not_matter_to_a_model_that_standardises_each_image(dtype):
    model, x = make_model(dtype), draw_images(3)
    model.mean = None
    dim = 0.5 * x + 0.4
    np.testing.assert_allclose(model.activations(dim)["input"], model.activations(x)["input"], rtol=0, atol=1e-3)
    np.testing.assert_allclose(model.logits(dim), model.logits(x), rtol=0, atol=1e-5)


def test_mean_and_std_are_both_numbers_or_both_none(model):
    model.std = None
    assert (model.mean, model.std) == (None, None)
    model.mean = 0.2
    assert (model.mean, model.std) == (0.2, 1.0)
    model.mean = None
    model.std = 0.5
    assert (model.mean, model.std) == (0.0, 0.5)


def test_gradients_of_thousands_of_images_are_as_exact():
    """Sums of single precision stay short: a chain over all of them would lose two digits."""
    model, (x, y) = make_model(np.float32), batch(2000, "dense")
    exact = make_model(np.float64)
    exact.load_state_dict(model.state_dict())
    gradients, expected = model.loss_and_gradients(x, y)[1], exact.loss_and_gradients(x, y)[1]
    for name, gradient in gradients.items():
        assert relative_error(gradient, expected[name]) <= 6e-7, name


def test_a_large_batch_leaves_no_gradients_for_a_small_one(model):
    x, y = batch(200, "dense")
    alone = make_model().loss_and_gradients(x[:3], y[:3])[1]
    model.loss_and_gradients(x, y)
    for name, gradient in model.loss_and_gradients(x[:3], y[:3])[1].items():
        np.testing.assert_array_equal(gradient, alone[name])


def test_the_loss_is_a_float_and_the_gradients_are_new_arrays(model):
    x, y = batch(3, "dense")
    loss, first = model.loss_and_gradients(x, y)
    kept = {name: gradient.copy() for name, gradient in first.items()}
    _, second = model.loss_and_gradients(x, y)
    assert type(loss) is float
    for name, gradient in first.items():
        assert not np.shares_memory(gradient, second[name])
        np.testing.assert_array_equal(gradient, kept[name])


# ---- the same bits, however the work is cut ------------------------------------------------------------


EXACT = pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 0), (np.float64, 1e-13)])


@EXACT
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


@EXACT
def test_gradients_do_not_depend_on_the_number_of_threads(dtype, tolerance, bytes_200):
    model, y = make_model(dtype), np.arange(200) % 10
    expected_loss, expected = model.loss_and_gradients(bytes_200, y, n_jobs=1)
    for n_jobs in (2, 3, 8, -1, None) * (3 if dtype == np.float32 else 1):  # threads may differ from time to time
        loss, gradients = model.loss_and_gradients(bytes_200, y, n_jobs=n_jobs)
        assert loss == pytest.approx(expected_loss, rel=tolerance, abs=0)
        assert gradients.keys() == expected.keys()
        for name, gradient in gradients.items():
            np.testing.assert_allclose(gradient, expected[name], rtol=0, atol=tolerance)


def test_threads_may_share_a_model(model, bytes_200):
    expected, answers = model.logits(bytes_200), {}

    def ask(number):
        answers[number] = [model.logits(bytes_200) for _ in range(5)]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 8
    for answer in answers.values():
        np.testing.assert_array_equal(answer, [expected] * 5)


@pytest.mark.parametrize(("n_jobs", "message"), [(0, "n_jobs is 0"), (-2, "n_jobs is -2")])
def test_a_number_of_threads_out_of_range_is_refused(model, n_jobs, message):
    with pytest.raises(InputError, match=message):
        model.predict(draw_images(1), n_jobs=n_jobs)


@pytest.mark.parametrize("n_jobs", ["2", 1.5, True, np.array([2]), np.array(2.5)])
def test_a_fractional_number_of_threads_is_refused(model, n_jobs):
    with pytest.raises(InputTypeError, match="n_jobs is"):
        model.predict(draw_images(1), n_jobs=n_jobs)


# ---- accepted input ------------------------------------------------------------------------------------


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


def test_memory_mapped_images(model, bytes_200, tmp_path):
    np.save(tmp_path / "images.npy", bytes_200[:6])
    given = np.load(tmp_path / "images.npy", mmap_mode="r")
    np.testing.assert_array_equal(model.logits(given), model.logits(bytes_200[:6]))


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f4", "f8", ">f8", "longdouble"])
def test_floating_types_and_byte_orders(model, dtype, bytes_200):
    given = (bytes_200[:6] / 255).astype("f2").astype(dtype)
    np.testing.assert_array_equal(model.logits(given), model.logits(given.astype(np.float32)))


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


# ---- rejected input ------------------------------------------------------------------------------------


def spoilt(value):
    x = np.zeros((2, 28, 28))
    x[1, 2, 3] = value
    return x


WANTED = r"expected \(n, 1, 28, 28\), \(n, 28, 28\), \(n, 784\), or \(28, 28\)"
DIVIDE = r"expected \[0, 1\]\. Divide by 255 or pass uint8"
UINT8 = "expected uint8 pixels from 0 to 255, or floats"
BAD_IMAGES = {
    "scalar": (np.float32(0), InputError, r"shape \(\); " + WANTED),
    "rank 1": (np.zeros(784), InputError, r"shape \(784,\); " + WANTED),
    "rank 5": (np.zeros((1, 1, 1, 28, 28)), InputError, r"shape \(1, 1, 1, 28, 28\); " + WANTED),
    "three channels": (np.zeros((2, 3, 28, 28)), InputError, r"shape \(2, 3, 28, 28\); " + WANTED),
    "32 x 32": (np.zeros((2, 32, 32)), InputError, r"shape \(2, 32, 32\); " + WANTED),
    "783 columns": (np.zeros((2, 783)), InputError, r"shape \(2, 783\); " + WANTED),
    "channels last": (np.zeros((2, 28, 28, 1)), InputError, r"shape \(2, 28, 28, 1\); " + WANTED),
    "an empty list": ([], InputError, r"shape \(0,\); " + WANTED),
    "empty, of another size": (np.zeros((0, 27, 28)), InputError, r"shape \(0, 27, 28\); " + WANTED),
    "ragged": ([[1.0, 2.0], [1.0]], InputError, "not a rectangular array .*" + WANTED),
    "floats to 255": (spoilt(255.0), InputError, "pixels from 0 to 255; " + DIVIDE),
    "negative": (spoilt(-0.25), InputError, r"pixels from -0.25 to 0; " + DIVIDE),
    "just above 1": (spoilt(1.001), InputError, DIVIDE),
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


# ---- weights in and out --------------------------------------------------------------------------------


def test_state_dict_is_a_copy(model):
    state = model.state_dict()
    before = model.parameters.flat.copy()
    for value in state.values():
        value[...] = 77
    np.testing.assert_array_equal(model.parameters.flat, before)


def test_load_state_dict_copies(model):
    other = LeNet5(seed=9)
    state = other.state_dict()
    model.load_state_dict(state)
    state["c1.weight"][...] = 77
    np.testing.assert_array_equal(model.parameters.flat, other.parameters.flat)
    assert all(np.shares_memory(parameter, model.parameters.flat) for parameter in model.parameters.values())


@pytest.mark.parametrize("kind", ["lists", "float64", "big-endian", "fortran", "other order"])
def test_load_state_dict_accepts_any_numbers(model, kind):
    state = LeNet5(seed=9).state_dict()
    given = {
        "lists": {name: value.tolist() for name, value in state.items()},
        "float64": {name: value.astype(np.float64) for name, value in state.items()},
        "big-endian": {name: value.astype(">f4") for name, value in state.items()},
        "fortran": {name: np.asfortranarray(value) for name, value in state.items()},
        "other order": dict(reversed(state.items())),
    }[kind]
    model.load_state_dict(given)
    for name, value in state.items():
        np.testing.assert_array_equal(model.parameters[name], value)


def set_to(name, value):
    def damage(state):
        state[name] = value

    return damage


def spoil(name, value):
    def damage(state):
        state[name].flat[-1] = value

    return damage


BAD_STATES = {
    "missing": (
        lambda state: state.pop("output.bias"),
        "Missing weights: output.bias; unknown weights: none; expected c1",
    ),
    "unknown": (set_to("c2.weight", np.zeros(3)), "Missing weights: none; unknown weights: c2.weight"),
    "shape": (
        set_to("output.bias", np.zeros(9)),
        r"output.bias has dtype float64 and shape \(9,\); expected .* \(10,\)",
    ),
    "transposed": (set_to("f6.weight", np.zeros((120, 84))), r"f6.weight has .* \(120, 84\); expected .* \(84, 120\)"),
    "broadcastable": (set_to("output.bias", 0.0), r"output.bias has dtype float64 and shape \(\); expected"),
    "NaN": (spoil("output.weight", np.nan), "output.weight contains values that are not finite"),
    "infinite": (spoil("output.bias", -np.inf), "output.bias contains values that are not finite"),
    "strings": (set_to("output.bias", np.full(10, "1")), "output.bias has dtype <U1"),
    "objects": (set_to("output.bias", np.full(10, None)), "output.bias has dtype object"),
    "complex": (set_to("output.bias", np.zeros(10, complex)), "output.bias has dtype complex128"),
}


@pytest.mark.parametrize("name", BAD_STATES)
def test_load_state_dict_loads_all_or_nothing(model, name):
    """The damage is in the last parameters; the first ones would have been fine."""
    damage, message = BAD_STATES[name]
    before, state = model.parameters.flat.copy(), LeNet5(seed=9).state_dict()
    damage(state)
    with pytest.raises(WeightsError, match=message):
        model.load_state_dict(state)
    np.testing.assert_array_equal(model.parameters.flat, before)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(np.full(10, 1e300), id="too large for float32"),
        pytest.param([[1.0], [1.0, 2.0]], id="ragged"),
    ],
)
def test_load_state_dict_explains_what_is_wrong(model, value):
    state = model.state_dict()
    state["output.bias"] = value
    with pytest.raises(WeightsError, match=r"output\.bias"):
        model.load_state_dict(state)


def test_load_state_dict_requires_a_mapping(model):
    with pytest.raises(InputTypeError, match="state is of type list"):
        model.load_state_dict([1, 2, 3])


# ---- copies --------------------------------------------------------------------------------------------

COPIES = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),  # noqa: S301
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.fixture(params=COPIES)
def duplicate(request):
    return COPIES[request.param]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_copy_gives_the_same_bits(duplicate, dtype):
    model = make_model(dtype, num_classes=7)
    model.metadata = {"recipe": "default"}
    twin, x = duplicate(model), draw_images(3)
    np.testing.assert_array_equal(twin.logits(x), model.logits(x))
    np.testing.assert_array_equal(twin.parameters.flat, model.parameters.flat)
    assert (twin.dtype, twin.num_classes, twin.mean, twin.std) == (model.dtype, 7, MEAN, STD)
    assert twin.metadata == {"recipe": "default"}
    assert repr(twin) == repr(model)


def test_a_copy_is_independent(duplicate, model):
    twin, before = duplicate(model), model.parameters.flat.copy()
    twin.parameters.flat[...] = 0
    twin.metadata["changed"] = "yes"
    twin.mean = 0.5
    np.testing.assert_array_equal(model.parameters.flat, before)
    assert (model.metadata, model.mean) == ({}, MEAN)


def test_a_copy_learns(duplicate, model):
    """Its parameters are views of its own flat vector, and its layers compute with them."""
    twin, (x, y) = duplicate(model), batch(4, "dense")
    for each in (model, twin):
        SGD(each, lr=0.1).step(each.loss_and_gradients(x, y)[1])
    assert all(np.shares_memory(parameter, twin.parameters.flat) for parameter in twin.parameters.values())
    np.testing.assert_array_equal(twin.logits(x), model.logits(x))


def test_copies_of_the_parameters_stay_views_of_a_flat_vector(duplicate, model):
    twin = duplicate(model.parameters)
    twin.flat[...] = 3
    assert all((parameter == 3).all() for parameter in twin.values())


@pytest.mark.parametrize(
    ("name", "value", "error", "says"),
    [
        ("std", 0, InputError, "std is 0.0; expected a finite number above 0"),
        ("std", -1.0, InputError, "std is -1.0"),
        ("std", np.nan, InputError, "std is nan"),
        ("std", np.inf, InputError, "std is inf"),
        ("std", (0.3,), InputTypeError, r"std is \(0.3,\); expected a number"),
        ("mean", "a", InputTypeError, "mean is 'a'; expected a number"),
        ("mean", np.inf, InputError, "mean is inf; expected a finite number"),
    ],
)
def test_an_invalid_standardisation(name, value, error, says):
    model = LeNet5(seed=0)
    with pytest.raises(error, match=says):
        setattr(model, name, value)
    assert (model.mean, model.std) == (0.0, 1.0)
    model.mean, model.std = np.float32(0.5), 2
    assert (model.mean, model.std) == (0.5, 2.0)


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": np.float32(1)},
        {"parameters": np.zeros(3, np.float32)},
        {"parameters": np.zeros(61706)},
        {"std": 0},
    ],
)
def test_a_damaged_pickle_is_refused(change):
    state = {**LeNet5(seed=0).__getstate__(), **change}
    with pytest.raises(ValueError, match=r"damaged|std is 0"):
        LeNet5.__new__(LeNet5).__setstate__(state)


def test_metadata_that_is_not_text_is_not_saved(tmp_path):
    model = LeNet5(seed=0)
    model.metadata = {"epochs": 3}
    with pytest.raises(InputTypeError, match=r"metadata is \{'epochs': 3\}; expected a mapping of str"):
        model.save(tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []
