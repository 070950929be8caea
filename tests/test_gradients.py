"""The loss of LeNet5 and its gradients, against the reference, central differences and PyTorch."""

import numpy as np
import pytest
import reference
from models import SHAPES, batch, draw_images, make_model, standardised
from reference import relative_error

from lenet.losses import cross_entropy

pytest_plugins = ["model_fixture"]


# ---- the reference -------------------------------------------------------------------------------------

KINDS = pytest.mark.parametrize("kind", ["dense", "zero borders"])


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


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])
@pytest.mark.parametrize("num_classes", [2, 10, 26])
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


# ---- central differences -------------------------------------------------------------------------------


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


BATCHES = pytest.mark.parametrize("n", [3, *(pytest.param(n, marks=pytest.mark.release) for n in (1, 4))])
LARGE = ("c5.weight", "f6.weight")


@KINDS
@pytest.mark.parametrize("name", [name for name in SHAPES if name not in LARGE])
def test_gradients_against_central_differences(name, kind):
    model, (x, y) = make_model(np.float64), batch(3, kind)
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


@pytest.mark.parametrize("name", ["c1.weight", "c3.bias", "output.weight"])
def test_gradients_of_probabilities_against_central_differences(name):
    model, x = make_model(np.float64), draw_images(3)
    model.mean, targets = None, np.random.default_rng(1).dirichlet(np.ones(10), 3)
    gradient = model.loss_and_gradients(x, targets)[1][name]
    assert relative_error(gradient.ravel(), Loss(model, x, targets, name).differences(range(gradient.size))) <= 1e-6


# ---- batches and threads -------------------------------------------------------------------------------


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


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 0), (np.float64, 1e-13)])
def test_gradients_do_not_depend_on_the_number_of_threads(dtype, tolerance, bytes_200):
    model, y = make_model(dtype), np.arange(200) % 10
    expected_loss, expected = model.loss_and_gradients(bytes_200, y, n_jobs=1)
    for n_jobs in (2, 3, 8, -1, None) * (3 if dtype == np.float32 else 1):  # threads may differ from time to time
        loss, gradients = model.loss_and_gradients(bytes_200, y, n_jobs=n_jobs)
        assert loss == pytest.approx(expected_loss, rel=tolerance, abs=0)
        assert gradients.keys() == expected.keys()
        for name, gradient in gradients.items():
            np.testing.assert_allclose(gradient, expected[name], rtol=0, atol=tolerance)
