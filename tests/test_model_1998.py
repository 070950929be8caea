"""LeNet-5 of 1998: the counts of the paper, gradients, files, its optimizer, and what it refuses."""

import copy
import pickle

import numpy as np
import pytest

import lenet
from lenet.errors import InputError, InputTypeError, WeightsError
from lenet.layers.sparse_conv2d import TABLE_I
from lenet.training import RECIPES, train
from lenet.training.curvature import DiagonalLevenbergMarquardt, curvature
from lenet.weights.files import ModelFile

DIGITS = lenet.data.load_digits()
SHORT = RECIPES["paper"].with_changes(epochs=2)


@pytest.fixture
def model():
    return lenet.LeNet1998(seed=0)


def images(n):
    return np.random.default_rng(0).integers(0, 256, (n, 28, 28), dtype=np.uint8)


# ---- the network of the paper --------------------------------------------------------------------------


def test_parameters_of_each_stage_as_in_the_paper(model):
    counts = {name: sum(value.size for layer in layers for value in layer.parameters.values())
              for name, layers in model.stages}  # fmt: skip
    assert counts == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48_120, "f6": 10_164, "output": 0}
    assert model.parameters.flat.size == 60_000


def test_initial_weights_are_within_the_limit_of_their_fan_in(model):
    """The limit is sqrt(3 / fan_in), with a uniform distribution; a trainable subsampling has other weights."""
    for name, fan_in in {"c1": 25, "c5": 400, "f6": 120}.items():
        weight = model.parameters[f"{name}.weight"]
        assert np.abs(weight).max() <= (3 / fan_in) ** 0.5
        assert np.abs(weight).max() == pytest.approx((3 / fan_in) ** 0.5, rel=0.03)
        assert not model.parameters[f"{name}.bias"].any()


def test_the_summary_lists_each_stage(model, capsys):
    model.summary()
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert list(rows) == ["Stage", "input", "c1", "s2", "c3", "s4", "c5", "f6", "output", "total"]
    ends = {
        "input": "(1, 32, 32)", "c1": "(6, 28, 28)         156", "s2": "(6, 14, 14)          12",
        "c3": "(16, 10, 10)      1,516", "s4": "(16, 5, 5)           32", "c5": "(120,)           48,120",
        "f6": "(84,)            10,164", "output": "(10,)", "total": "60,000",
    }  # fmt: skip
    for name, end in ends.items():
        assert rows[name].rstrip().endswith(end), rows[name]


def test_connections_as_in_the_paper(model):
    """Each output of a stage is connected to its inputs and its bias; those of the output have no bias."""
    sizes = {name: value[0].size for name, value in model.activations(images(1)).items()}
    inputs = {"c1": 25, "s2": 4, "s4": 4, "c5": 16 * 25, "f6": 120}
    connections = {name: sizes[name] * (count + 1) for name, count in inputs.items()}
    connections["c3"] = sum(100 * (25 * count + 1) for count in TABLE_I.sum(axis=1))
    connections["output"] = 10 * sizes["f6"]
    assert connections["c1"] == 122_304
    assert connections["c3"] == 151_600
    assert sum(connections.values()) == 340_908


def test_the_input_is_32x32_from_background_to_ink(model):
    pixels = model.activations(np.full((1, 28, 28), 255, np.uint8))["input"][0, 0]
    assert pixels.shape == (32, 32)
    np.testing.assert_allclose(pixels[2:30, 2:30], 1.175, atol=1e-6)
    pixels[2:30, 2:30] = -0.1
    np.testing.assert_allclose(pixels, -0.1, atol=1e-6)


def test_the_answer_is_the_nearest_code(model):
    outputs = model.activations(images(5))
    codes = model.stages[-1][1][0].codes
    distances = [[((f6 - code) ** 2).sum() for code in codes] for f6 in outputs["f6"]]
    np.testing.assert_allclose(outputs["output"], np.negative(distances), rtol=1e-5)
    np.testing.assert_array_equal(model.predict(images(5)), np.argmin(distances, axis=1))


def test_the_gradient_against_central_differences():
    model, rng = lenet.LeNet1998(seed=1, dtype=np.float64), np.random.default_rng(0)
    x, y = rng.random((2, 28, 28)), [3, 5]
    _, gradients = model.loss_and_gradients(x, y)
    for name, parameter in model.parameters.items():
        direction = rng.normal(size=parameter.shape)
        before, losses = parameter.copy(), []
        for step in (1e-6, -1e-6):
            parameter[...] = before + step * direction
            losses.append(model.loss_and_gradients(x, y)[0])
        parameter[...] = before
        expected = (losses[0] - losses[1]) / 2e-6
        assert (gradients[name] * direction).sum() == pytest.approx(expected, rel=1e-6, abs=1e-7), name


@pytest.mark.landing
def test_loss_and_gradients_against_pytorch():
    torch = pytest.importorskip("torch")
    model, y = lenet.LeNet1998(seed=1, dtype=np.float64), np.array([3, 5, 9, 0])
    x = images(4)
    p = {name: torch.tensor(value, requires_grad=True) for name, value in model.parameters.items()}
    c3 = torch.zeros(16, 6, 5, 5, dtype=torch.float64)
    c3[torch.tensor(TABLE_I)] = p["c3.weight"]
    functional = torch.nn.functional

    def squash(z):
        return 1.7159 * torch.tanh(2 / 3 * z)

    def subsample(z, name):
        sums = functional.avg_pool2d(z, 2, divisor_override=1)
        return squash(p[f"{name}.weight"][:, None, None] * sums + p[f"{name}.bias"][:, None, None])

    z = functional.pad(torch.tensor(x / 255).reshape(-1, 1, 28, 28), (2, 2, 2, 2)) * 1.275 - 0.1
    z = subsample(squash(functional.conv2d(z, p["c1.weight"], p["c1.bias"])), "s2")
    z = subsample(squash(functional.conv2d(z, c3, p["c3.bias"])), "s4")
    z = squash(functional.conv2d(z, p["c5.weight"], p["c5.bias"])).flatten(1)
    z = squash(functional.linear(z, p["f6.weight"], p["f6.bias"]))
    penalties = (z[:, None] - torch.tensor(model.stages[-1][1][0].codes)).square().sum(dim=2)
    rubbish = torch.full((4, 1), 10.0, dtype=torch.float64)
    loss = (penalties[range(4), y] + torch.logsumexp(-torch.hstack([penalties, rubbish]), dim=1)).mean()
    loss.backward()
    actual, gradients = model.loss_and_gradients(x, y)
    assert actual == pytest.approx(loss.item(), rel=1e-10)
    for name, value in p.items():
        np.testing.assert_allclose(gradients[name], value.grad.numpy(), rtol=1e-5, atol=1e-12)


def test_both_ways_to_compute_the_gradient_agree(model):
    (loss, gradients), (other, others) = (
        compute(images(3), [1, 2, 3]) for compute in (model.loss_and_gradients, model.layerwise_loss_and_gradients)
    )
    assert loss == pytest.approx(other)
    np.testing.assert_allclose(gradients["c3.weight"], others["c3.weight"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("num_classes", [2, 11])
def test_it_has_codes_for_ten_digits_only(num_classes):
    with pytest.raises(InputError, match=f"num_classes is {num_classes}; expected 10"):
        lenet.LeNet1998(num_classes=num_classes)


# ---- files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("half", [False, True])
def test_save_and_load(model, tmp_path, half):
    model.metadata["note"] = "mine"
    model.save(tmp_path / "old.safetensors", half=half)
    loaded = lenet.load(tmp_path / "old.safetensors")
    assert repr(loaded) == "LeNet1998(dtype=float32, num_classes=10)"
    assert (loaded.mean, loaded.std, loaded.metadata) == (model.mean, model.std, {"note": "mine"})
    for name, value in model.parameters.items():
        np.testing.assert_array_equal(loaded.parameters[name], value.astype(np.float16) if half else value)


def test_a_file_with_other_codes_is_refused(model, tmp_path):
    codes = np.ones((10, 84), np.float32)
    file = ModelFile({**model.parameters, "output.weight": codes}, 0.0, 1.0, {}, "1998")
    file.write(tmp_path / "codes.safetensors")
    with pytest.raises(WeightsError, match=r"output\.weight differs from that of this version"):
        lenet.load(tmp_path / "codes.safetensors")


@pytest.mark.parametrize("stage", ["c1", "s2", "c3", "s4", "c5", "f6"])
def test_weights_whose_sums_overflow_are_refused(model, tmp_path, stage):
    model.parameters[f"{stage}.weight"][...] = 1e38
    model.save(tmp_path / "large.safetensors")
    with pytest.raises(WeightsError, match=f"The weights of {stage} are too large"):
        lenet.load(tmp_path / "large.safetensors")


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])  # noqa: S301
def test_copies_and_pickles(model, copied):
    other = copied(model)
    assert type(other) is lenet.LeNet1998
    np.testing.assert_array_equal(other.logits(images(3)), model.logits(images(3)))


@pytest.mark.parametrize(
    ("export", "needed"), [("to_c", "numpy"), ("to_onnx", "onnx"), ("to_torch_state_dict", "torch")]
)
def test_exports_are_refused(model, export, needed):
    pytest.importorskip(needed)
    export = getattr(lenet.interop, export)
    with pytest.raises(InputTypeError, match=r"LeNet1998; expected a LeNet5\. Train one, .* without --network 1998\."):
        export(model)


# ---- learning ------------------------------------------------------------------------------------------


def test_curvature_of_the_last_stages_by_hand():
    """At F6, it is 2 slope**2, and for a weight, that times its squared input."""
    model, x = lenet.LeNet1998(seed=0, dtype=np.float64), images(3)
    found, outputs = curvature(model, x), model.activations(x)
    slopes = 2 / 3 / 1.7159 * (1.7159**2 - outputs["f6"] ** 2)
    at_f6 = 2 * slopes**2
    np.testing.assert_allclose(found["f6.bias"], at_f6.mean(axis=0))
    np.testing.assert_allclose(found["f6.weight"], at_f6.T @ outputs["c5"] ** 2 / 3)
    c5_slopes = 2 / 3 / 1.7159 * (1.7159**2 - outputs["c5"] ** 2)
    at_c5 = at_f6 @ model.parameters["f6.weight"] ** 2 * c5_slopes**2
    np.testing.assert_allclose(found["c5.bias"], at_c5.mean(axis=0))
    squares = outputs["s4"].reshape(3, -1) ** 2
    np.testing.assert_allclose(found["c5.weight"].reshape(120, -1), at_c5.T @ squares / 3)


def test_the_optimizer_refuses_other_networks_and_settings(model):
    with pytest.raises(InputError, match="expected a network with RBF outputs"):
        DiagonalLevenbergMarquardt(lenet.LeNet5(seed=0), 0.1)
    with pytest.raises(InputError, match="mu is 0; expected a finite number above 0"):
        DiagonalLevenbergMarquardt(model, 0.1, mu=0)
    optimizer = DiagonalLevenbergMarquardt(model, 0.1)
    optimizer.velocity = np.zeros(3, np.float32)
    with pytest.raises(InputError, match=r"velocity has dtype float32 and shape \(3,\); expected float32"):
        optimizer.step(model.parameters)


def test_training_learns_digits(model):
    X, y, X_test, y_test = DIGITS
    state = train(model, X, y, SHORT)
    assert state.history[-1].loss < state.history[0].loss
    assert (model.predict(X_test) == y_test).mean() > 0.85
    assert (model.mean, model.std) == pytest.approx((0.1 / 1.275, 1 / 1.275))


def test_training_resumes_with_the_curvature_of_the_epoch():
    X, y, *_ = DIGITS
    X, y, models = X[:120], y[:120], [lenet.LeNet1998(seed=0) for _ in range(2)]
    train(models[0], X, y, SHORT)
    state = train(models[1], X, y, SHORT, on_step=lambda state: state.epoch == 2 and state.step == 5)
    assert state.step == 5
    train(models[1], X, y, SHORT, state=state)
    np.testing.assert_array_equal(models[1].parameters.flat, models[0].parameters.flat)


def test_calibration_keeps_the_probabilities(model):
    before = model.predict_proba(images(100))
    lenet.evaluation.calibrate(model, images(100), model.predict(images(100)))
    np.testing.assert_array_equal(model.predict_proba(images(100)), before)
    assert model.metadata["temperature"] == "1"


def test_transfer_keeps_the_network(model):
    other = lenet.training.transfer(model, model.classes)
    assert type(other) is lenet.LeNet1998
    np.testing.assert_array_equal(other.parameters.flat, model.parameters.flat)
