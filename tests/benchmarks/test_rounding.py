"""The rounding of weights that are to compress well."""

import numpy as np

import lenet
from benchmarks.rounding import round_layers, round_numbers, rounded_rows, save_rounded
from lenet import LeNet5
from lenet.data import load_digits
from lenet.training import RECIPES


def test_the_bias_compensates_for_a_rounded_weight():
    """Of (dw + db)^2 + 0.01 (dw^2 + db^2), the derivative with respect to db is 0 if db = -dw / 1.01."""
    rows = np.array([[0.3, 0.5], [-0.26, 0.125]])
    found = rounded_rows(rows, np.ones((5, 1)))
    np.testing.assert_array_equal(found[:, 0], [0.3125, -0.25])
    np.testing.assert_allclose(found[:, 1], [0.5 - 0.0125 / 1.01, 0.125 - 0.01 / 1.01], rtol=1e-12)


def test_rounded_layers_change_their_outputs_less_than_each_weight_rounded_by_itself():
    model = LeNet5(seed=0)
    model.mean = model.std = None
    images = load_digits().X_train[:500]
    before = {name: value.copy() for name, value in model.parameters.items()}
    inputs = model.activations(images)["s4"].reshape(len(images), -1)

    def outputs(weight, bias):
        return inputs @ weight.reshape(len(bias), -1).T + bias

    expected = outputs(before["c5.weight"], before["c5.bias"])
    nearest = np.round(before["c5.weight"] * 16) / 16
    round_layers(model, images)
    after = model.parameters
    for name in ("c5.weight", "f6.weight"):
        np.testing.assert_array_equal(after[name] * 16, np.round(after[name] * 16))
    for name in ("c1.weight", "c3.weight", "output.weight", "c1.bias"):
        np.testing.assert_array_equal(after[name], before[name])
    error = np.square(outputs(after["c5.weight"], after["c5.bias"]) - expected).mean()
    assert error < 0.1 * np.square(outputs(nearest, before["c5.bias"]) - expected).mean()


def test_numbers_are_rounded_to_9_significant_bits():
    values = np.array([1 + 2**-8, 1 + 2**-10, -3.0 - 2**-9, 0.0, 1000.6, 2.0**-20], np.float32)
    round_numbers(values)
    assert values.tolist() == [1 + 2**-8, 1.0, -3.0, 0.0, 1000.0, 2.0**-20]


def test_the_saved_model_is_rounded_calibrated_and_described(tmp_path, monkeypatch):
    digits = load_digits()
    monkeypatch.setattr(lenet.data, "load", lambda name: digits)
    model = lenet.load_pretrained()
    model.parameters["c5.weight"][0] += 0.01
    model.metadata.pop("temperature")
    save_rounded(model, tmp_path / "x.safetensors", RECIPES["drawn"], {"recipe": "drawn, distilled"})
    saved = lenet.load(tmp_path / "x.safetensors")
    np.testing.assert_array_equal(saved.parameters["c5.weight"] * 16, np.round(saved.parameters["c5.weight"] * 16))
    right = (saved.predict(digits.X_test) == digits.y_test).mean()
    assert saved.metadata["test_accuracy"] == str(right)
    assert saved.metadata["recipe"] == "drawn, distilled"
    assert float(saved.metadata["temperature"]) > 0
