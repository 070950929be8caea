"""LeNet5 in float64, which the layers compute: what training passes to them, against the NumPy reference."""

import numpy as np
import pytest
import reference

import lenet
from lenet import LeNet5, LeNet1998
from lenet._fused.batches import Learner
from lenet._layerwise import standardised
from lenet.errors import DivergedError
from lenet.training import Recipe, train
from lenet.training.augment.distortions import AffineMaps, random_affine

MEAN, STD = 0.13, 0.31


@pytest.fixture
def model():
    return LeNet5(seed=0, dtype=np.float64)


def batch(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(0, 10, n)


def learn(model, X, y, **options):
    return Learner(model.parameters, model._kernels, 10)(X, y, MEAN, STD, **options)


def of_reference(model, X, y):
    return reference.lenet_loss_and_gradients(model.parameters, (X[:, None] / 255 - MEAN) / STD, y)


def assert_close(gradients, expected):
    for name, value in expected.items():
        np.testing.assert_allclose(gradients[name], value, rtol=0, atol=1e-12 * np.abs(value).max(), err_msg=name)


@pytest.mark.parametrize("padding", [0, 2])
def test_images_are_standardised_by_given_numbers_or_their_own(padding):
    """The variance of an image is increased by 1e-5, so that an even one is not divided by 0."""
    x = np.stack([np.full((28, 28), 0.5), np.random.default_rng(0).random((28, 28))])
    x[0, ::2] += 2 * 1e-5**0.5  # a variance of 1e-5
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))[:, np.newaxis]
    for mean, std in ((None, None), (0.25, 0.5)):
        expected = [(each - mean) / std for each in padded] if mean else [
            (each - each.mean()) / np.sqrt(each.var() + 1e-5) for each in padded
        ]  # fmt: skip
        found = standardised(x, mean, std, np.float64, padding)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
        assert found.shape == (2, 1, 28 + 2 * padding, 28 + 2 * padding)
    if not padding:
        np.testing.assert_allclose(np.abs(standardised(x, None, None, np.float64)[0]), 0.5**0.5)


@pytest.mark.parametrize("n", [0, 1, 70])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_logits_and_probabilities(model, n, n_jobs):
    model.mean, model.std = MEAN, STD
    X, _ = batch(n)
    expected = reference.lenet(model.parameters, (X[:, None] / 255 - MEAN) / STD)["output"]
    for x in (X, X / 255):
        np.testing.assert_allclose(model.logits(x, n_jobs=n_jobs), expected, rtol=0, atol=1e-12)
        probabilities = model.predict_proba(x, n_jobs=n_jobs)
        np.testing.assert_allclose(probabilities, np.exp(reference.log_softmax(expected)), rtol=1e-12)
        assert model.predict(x, n_jobs=n_jobs).tolist() == expected.argmax(axis=1).tolist()


@pytest.mark.parametrize("n", [35, 36, 49, 60, 97, 125, 200])
@pytest.mark.parametrize(("network", "dtype"), [(LeNet5, np.float64), (LeNet1998, np.float32)])
def test_logits_keep_their_bits_for_any_number_of_threads(network, dtype, n):
    model, (X, _) = network(seed=0, dtype=dtype), batch(n)
    expected = model.logits(X, n_jobs=1)
    for n_jobs in (2, 3, 8):
        assert np.array_equal(model.logits(X, n_jobs=n_jobs), expected), n_jobs


def test_losses_and_gradients_with_non_digits(model):
    """70 images are several chunks, whose gradients are added."""
    X, y = batch(70)
    y[[0, 20, 69]] = -1
    losses, logits, gradients = learn(model, X, y, n_jobs=2)
    loss, expected = of_reference(model, X, y)
    assert losses.mean() == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(
        logits, reference.lenet(model.parameters, (X[:, None] / 255 - MEAN) / STD)["output"], rtol=0, atol=1e-12
    )
    assert_close(gradients, expected)


def test_a_large_batch_has_the_gradients_of_its_parts(model):
    """Its pieces have more than 64 images, the most of one call, so that a piece adds the gradients of two calls."""
    X, y = batch(600)
    whole = learn(model, X, y)[2].flat.copy()
    parts = [learn(model, X[part], y[part], batch_size=600)[2].flat.copy() for part in np.s_[:300, 300:]]
    np.testing.assert_allclose(sum(parts), whole, rtol=0, atol=1e-12 * np.abs(whole).max())


def test_each_image_counts_by_its_weight(model):
    X, y = batch(5)
    weights = np.array([0, 1, 2, 0.5, 1.5])
    _, _, gradients = learn(model, X, y, sample_weight=weights)
    each = [of_reference(model, X[n : n + 1], y[n : n + 1])[1] for n in range(5)]
    assert_close(
        gradients,
        {name: sum(w * g[name] for w, g in zip(weights, each, strict=True)) / 5 for name in gradients},
    )


def test_distorted_bytes_are_learned_from_as_they_look(model):
    X, y = batch(5)
    maps = random_affine(5, np.random.default_rng(0))
    _, _, gradients = learn(model, X, y, distortions=AffineMaps(maps))
    assert_close(gradients, of_reference(model, AffineMaps(maps).apply(X), y)[1])


@pytest.mark.parametrize("vary", [False, True])
def test_training_follows_that_in_float32(vary):
    """By as many steps, with distortions and weights; the difference is that of rounding."""
    digits, weights = lenet.data.load_digits(), np.linspace(0.5, 1.5, 100)
    recipe = Recipe("short", epochs=1, batch_size=25, lr=0.1, momentum=0.9, distort=True, vary=vary)
    models = [LeNet5(seed=0, dtype=dtype) for dtype in (np.float32, np.float64)]
    before = models[0].parameters.flat.copy()
    for each in models:
        train(each, digits.X_train[:100], digits.y_train[:100], recipe, seed=0, sample_weight=weights)
    single, double = (each.parameters.flat for each in models)
    assert np.abs(double - single).max() < 1e-4 * np.abs(double - before).max()


def test_a_diverged_training_run_ends_without_a_warning(model):
    X, y = batch(20)
    with pytest.raises(DivergedError, match="The loss is not finite"):
        train(model, X, y, Recipe("wrong", epochs=60, batch_size=10, lr=1e300, weight_decay=1e200), seed=0)
    assert np.isfinite(model.parameters.flat).all()


@np.errstate(under="raise")
def test_large_weights_underflow_without_an_error(model):
    X, y = batch(2)
    model.parameters.flat[...] *= 300
    with np.errstate(under="ignore"):
        expected, _ = reference.lenet_loss_and_gradients(model.parameters, X[:, None] / 255, y)
    assert model.loss_and_gradients(X, y)[0] == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bytes_become_floats_within_a_border_of_zeros(dtype):
    chunk = np.arange(2 * 784).reshape(2, 28, 28).astype(np.uint8)
    expected = np.zeros((2, 1, 32, 32), dtype)
    expected[:, 0, 2:30, 2:30] = chunk * dtype(1 / 255)
    found = standardised(chunk, 0, 1, dtype, 2)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(standardised(chunk, 0, 1, dtype), expected[..., 2:30, 2:30])


def test_floats_are_copied_without_scaling():
    chunk = np.random.default_rng(0).random((2, 28, 28)).astype(np.float32)
    found = standardised(chunk, 0, 1, np.float32)
    np.testing.assert_array_equal(found[:, 0], chunk)
    assert not np.shares_memory(found, chunk)
    assert standardised(np.asfortranarray(chunk), 0, 1, np.float64).flags.c_contiguous
