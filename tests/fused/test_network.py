"""The compiled LeNet-5 of every build against the NumPy reference, for every remainder of tiles and groups."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import reference
from guarded import AT_THE_END_OF_A_PAGE

import lenet._fused.batches
from lenet import LeNet5
from lenet._flat import FlatDict
from lenet._fused.batches import kernels_for
from lenet.errors import InputError

MEAN, STD = 0.13, 0.31
# Groups of 12 images to predict and of 10 to learn from; tiles of 2, 3, 4 and 6 of them.
LENGTHS = [1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 23, 25]
CLASSES = [2, 3, 9, 10, 16, 17, 26, 300]
if os.environ.get("LENET_TEST_PAGES") == "few":  # one of each remainder of the tiles
    LENGTHS, CLASSES = [1, 2, 5, 7, 13], [3, 10, 17]


def weights(num_classes=10, seed=3):
    """Parameters in float64 that are large enough, and sums that are centred enough, to distinguish images."""
    model = LeNet5(seed=seed, dtype=np.float64, num_classes=num_classes)
    model.parameters.flat *= 4
    for name in reference.LAYERS:
        weight = model.parameters[f"{name}.weight"]
        model.parameters[f"{name}.bias"] = -0.5 * weight.reshape(len(weight), -1).sum(axis=1)
    return model.parameters


def images(n, seed=4):
    return np.random.default_rng(seed).integers(0, 256, (n, 28, 28), dtype=np.uint8)


def standardised(pixels):
    values = pixels / 255 if pixels.dtype == np.uint8 else np.float64(pixels)
    return (values[:, None] - MEAN) / STD


def of_any_contrast(n):
    """Images in 256 steps: blank, of two neighbouring greys, bright and dark, and of full contrast."""
    x = images(n)
    low, contrast = np.resize([200, 90, 3, 0], n)[:, None, None], np.resize([1, 2, 40, 256], n)[:, None, None]
    return (low + x * contrast // 256).astype(np.uint8)


def in_build(arrays, parameters):
    """The parameters as the build's numbers, guarded, and the same numbers for the reference."""
    flat = arrays.holding(parameters.flat.astype(arrays.dtype))
    return flat, FlatDict(parameters.shapes, np.float64, flat.astype(np.float64))


# ---- the flat vector -----------------------------------------------------------------------------------


@pytest.mark.parametrize("num_classes", CLASSES)
def test_offsets_are_those_of_the_model(build, num_classes):
    parameters = LeNet5(seed=0, num_classes=num_classes).parameters
    starts = [(value.ctypes.data - parameters.flat.ctypes.data) // 4 for value in parameters.values()]
    assert build.offsets(num_classes) == [*starts, parameters.flat.size]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"c1.weight": (6, 1, 3, 3)}, "c1.bias is at offset 54 of the parameter vector; expected 150,"),
        ({"f6.weight": (85, 120)}, "f6.bias is at offset 60892 of .*; expected 60772,"),
        ({"output.bias": (10, 2)}, "the end is at offset 61716 of .*; expected 61706,"),
        ({"extra": (2,)}, "the end is at offset 61708 of .*; expected None,"),
    ],
)
def test_a_model_of_another_layout_is_refused(changes, message):
    shapes = LeNet5(seed=0).parameters.shapes | changes
    with pytest.raises(InputError, match=message):
        kernels_for(FlatDict(shapes, np.float32))


# ---- sigmoid -------------------------------------------------------------------------------------------


BOUND = 87.0  # so far out, the sigmoid is still a normal number, with a bit to spare


def sigmoid_of(build, x):
    y = np.array(x, np.float32)
    build.sigmoid(y)
    return y


def test_sigmoid_within_4_ulp(build):
    x = np.concatenate([np.linspace(-BOUND, BOUND, 200_003), np.linspace(-1, 1, 100_003)]).astype(np.float32)
    exact = reference.sigmoid(x.astype(np.float64))
    ulps = np.abs(sigmoid_of(build, x) - exact) / np.spacing(exact.astype(np.float32))
    assert ulps.max() <= 4


def test_sigmoid_far_out_is_0_or_1(build):
    far = np.concatenate([np.geomspace(BOUND, 1e4, 1001), [1e30, np.finfo(np.float32).max, np.inf]])
    np.testing.assert_array_equal(sigmoid_of(build, far), 1)
    low = sigmoid_of(build, -far)
    assert low.min() >= 0
    assert low.max() <= 3 * np.finfo(np.float32).tiny


def test_sigmoid_of_the_smallest_numbers_is_a_half(build):
    limits = np.finfo(np.float32)
    tiny = np.array([0.0, -0.0, limits.tiny, -limits.tiny, limits.smallest_subnormal])
    np.testing.assert_array_equal(sigmoid_of(build, tiny), 0.5)


def test_sigmoid_is_in_0_to_1_and_never_falls_by_more_than_rounding(build):
    x = np.linspace(-1e2, 1e2, 400_001)
    y = sigmoid_of(build, x).astype(np.float64)
    assert y.min() >= 0
    assert y.max() <= 1
    assert np.all(np.diff(y) >= -4 * np.spacing(y[:-1].astype(np.float32)))


def test_sigmoid_keeps_nan_in_its_place(build):
    x = np.zeros(37)
    places = [0, 7, 16, 36]
    x[places] = np.nan
    assert np.flatnonzero(np.isnan(sigmoid_of(build, x))).tolist() == places


@pytest.mark.parametrize("length", [*range(36), 63, 64, 65])
def test_sigmoid_of_any_length(build, arrays, length):
    x = arrays.input(length)
    y = arrays.output(length, value=x)
    build.sigmoid(y)
    arrays.assert_close(y, reference.sigmoid(x.astype(np.float64)))


def test_sigmoid_does_not_depend_on_the_place_in_the_array(build, arrays):
    """Bit-identical: full vectors and the remainder must round alike."""
    x = arrays.input(83)
    together, alone = arrays.output(83, value=x), arrays.output(83, value=x)
    build.sigmoid(together)
    for i in range(83):
        build.sigmoid(alone[i : i + 1])
    np.testing.assert_array_equal(alone, together)


# ---- logits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "kind"), [*((n, "bytes") for n in LENGTHS), (1, "reals"), (13, "reals")])
def test_logits(build, arrays, n, kind):
    flat, parameters = in_build(arrays, weights())
    pixels = images(n) if kind == "bytes" else (images(n) / 255).astype(arrays.dtype)
    out = arrays.output(n, 10)
    build.logits(flat, arrays.holding(pixels).view(np.uint8), MEAN, STD, out)
    arrays.assert_close(out, reference.lenet(parameters, standardised(pixels))["output"])


@pytest.mark.parametrize("kind", ["bytes", "reals"])
def test_logits_of_images_that_are_standardised_one_by_one(build, arrays, kind):
    flat, parameters = in_build(arrays, weights())
    pixels = of_any_contrast(13) if kind == "bytes" else (images(13) / 255).astype(arrays.dtype)
    values = pixels / 255 if kind == "bytes" else np.float64(pixels)
    out = arrays.output(13, 10)
    build.logits(flat, arrays.holding(pixels).view(np.uint8), None, None, out)
    arrays.assert_close(out, reference.lenet(parameters, reference.standardised(values))["output"])


@pytest.mark.parametrize("num_classes", CLASSES)
def test_logits_of_other_numbers_of_classes(build, arrays, num_classes):
    flat, parameters = in_build(arrays, weights(num_classes))
    out = arrays.output(5, num_classes)
    build.logits(flat, arrays.holding(images(5)), MEAN, STD, out)
    arrays.assert_close(out, reference.lenet(parameters, standardised(images(5)))["output"])


@pytest.mark.parametrize("place", [(0, 0), (0, 27), (27, 0), (27, 27), (13, 14), (14, 1), (1, 13)])
def test_one_pixel_anywhere(build, arrays, place):
    """An image of one pixel shows which weights meet it; at the border, those that meet the padding do not."""
    flat, parameters = in_build(arrays, weights())
    x = np.zeros((1, 28, 28), np.uint8)
    x[0][place] = 255
    out = arrays.output(1, 10)
    build.logits(flat, arrays.holding(x), 0.0, 0.01, out)  # the pixel counts 100
    arrays.assert_close(out, reference.lenet(parameters, x[:, None] / 255 / 0.01)["output"])


def test_no_images_require_no_work(build, arrays):
    flat, _ = in_build(arrays, weights())
    build.logits(flat, images(0), MEAN, STD, arrays.output(0, 10))


@pytest.mark.parametrize("scaling", [(MEAN, STD), (None, None)])
def test_logits_do_not_depend_on_the_place_in_the_batch(build, arrays, scaling):
    flat, _ = in_build(arrays, weights())
    x, together = of_any_contrast(29), arrays.output(29, 10)
    build.logits(flat, x, *scaling, together)
    for n in range(29):
        alone = arrays.output(1, 10)
        build.logits(flat, x[n : n + 1], *scaling, alone)
        np.testing.assert_array_equal(alone[0], together[n])


@pytest.mark.parametrize("num_classes", CLASSES)
def test_softmax(build, arrays, num_classes):
    x = 30 * np.random.default_rng(0).normal(size=(5, num_classes))
    out = arrays.output(5, num_classes, value=x)
    expected = np.exp(reference.log_softmax(out.astype(np.float64)))
    build.softmax(out)
    arrays.assert_close(out, expected)
    np.testing.assert_allclose(out.sum(axis=1), 1, rtol=1e-6)


def test_softmax_of_far_apart_logits(build, arrays):
    out = arrays.output(2, 3, value=[[1e4, -1e4, 1e4], [-3e4, -1e30, 0]])
    build.softmax(out)
    np.testing.assert_allclose(out, [[0.5, 0, 0.5], [0, 0, 1]], atol=1e-30)


# ---- gradients -----------------------------------------------------------------------------------------


class Learning:
    """One call of a build's learn, with its arguments between guards."""

    def __init__(self, build, arrays, pixels, labels, num_classes=10, start=0.0, shares=None):
        self.arrays, n = arrays, len(pixels)
        shares = arrays.holding((np.full(n, 1 / n) if shares is None else shares).astype(arrays.dtype))
        if labels.ndim == 2:
            labels = arrays.holding(labels.astype(arrays.dtype))
        flat, self.parameters = in_build(arrays, weights(num_classes))
        self.logits = arrays.output(n, num_classes)
        self.exp_sums, self.target_logits = arrays.output(n), arrays.output(n)
        self.gradient = arrays.output(flat.size, value=start)
        self.work = arrays.output(build.scratch_size(num_classes), value=0)
        self.call = lambda: build.forward_backward(
            flat, arrays.holding(pixels).view(np.uint8), MEAN, STD, labels, shares,
            self.logits, self.exp_sums, self.target_logits, self.gradient, self.work,
        )  # fmt: skip
        self.call()

    def check(self, pixels, labels, start=0.0):
        loss, expected = reference.lenet_loss_and_gradients(self.parameters, standardised(pixels), labels)
        assert np.mean(np.log(np.float64(self.exp_sums)) - self.target_logits) == pytest.approx(loss, rel=1e-5)
        self.arrays.assert_close(self.logits, reference.lenet(self.parameters, standardised(pixels))["output"])
        actual = FlatDict(self.parameters.shapes, np.float64, self.gradient.astype(np.float64) - start)
        for name, value in expected.items():
            scale = np.abs(value).max() + abs(start)
            np.testing.assert_allclose(actual[name], value, rtol=0, atol=2e-5 * scale, err_msg=name)


def labels_of(n, num_classes=10):
    return np.random.default_rng(n).integers(0, num_classes, n)


@pytest.mark.parametrize(("n", "kind"), [*((n, "bytes") for n in LENGTHS), (1, "reals"), (13, "reals")])
def test_learn(build, arrays, n, kind):
    pixels = images(n) if kind == "bytes" else (images(n) / 255).astype(arrays.dtype)
    Learning(build, arrays, pixels, labels_of(n)).check(pixels, labels_of(n))


@pytest.mark.parametrize("num_classes", CLASSES)
def test_learn_with_other_numbers_of_classes(build, arrays, num_classes):
    pixels, labels = images(6), labels_of(6, num_classes)
    Learning(build, arrays, pixels, labels, num_classes).check(pixels, labels)


def test_learn_from_images_of_none_of_the_classes(build, arrays):
    pixels, labels = images(12), labels_of(12)
    labels[[0, 3, 11]] = -1
    Learning(build, arrays, pixels, labels).check(pixels, labels)


def test_learn_from_probabilities(build, arrays):
    pixels, targets = images(13), np.random.default_rng(0).dirichlet(np.full(10, 0.3), 13)
    Learning(build, arrays, pixels, targets).check(pixels, targets)


def test_learn_adds_to_the_gradient(build, arrays):
    pixels, labels = images(4), labels_of(4)
    Learning(build, arrays, pixels, labels, start=0.25).check(pixels, labels, start=0.25)


def test_learn_from_no_images_adds_nothing(build, arrays):
    learning = Learning(build, arrays, images(0), labels_of(0), start=0.25, shares=np.empty(0))
    assert set(learning.gradient) == {0.25}


def test_learn_weighs_each_image(build, arrays):
    """The same as the images one by one, each gradient weighted by its share."""
    pixels, labels, shares = images(18), labels_of(18), np.linspace(0, 2, 18)  # two groups, and one image without
    learning = Learning(build, arrays, pixels, labels, shares=shares)
    gradients = [
        reference.lenet_loss_and_gradients(learning.parameters, standardised(pixels[n : n + 1]), labels[n : n + 1])[1]
        for n in range(18)
    ]
    actual = FlatDict(learning.parameters.shapes, np.float64, learning.gradient.astype(np.float64))
    for name in actual:
        expected = sum(share * each[name] for share, each in zip(shares, gradients, strict=True))
        np.testing.assert_allclose(actual[name], expected, rtol=0, atol=2e-5 * np.abs(expected).max())


def test_scratch_memory_serves_again(build, arrays):
    """The remains of one batch do not affect the next; results are bit-identical."""
    learning = Learning(build, arrays, images(13), labels_of(13))
    first = learning.gradient.copy()
    learning.gradient[...] = 0
    learning.call()
    np.testing.assert_array_equal(learning.gradient, first)


# ---- a step of SGD -------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 3, 15, 16, 17, 100])
@pytest.mark.parametrize(("momentum", "decay"), [(0.0, 0.0), (0.9, 0.0), (0.9, 0.01)])
def test_sgd_step(build, arrays, length, momentum, decay):
    gradient, before, speed = arrays.input(length), arrays.input(length), arrays.input(length)
    parameters, velocity = arrays.output(length, value=before), arrays.output(length, value=speed)
    build.sgd_step(parameters, gradient, velocity, 0.1, momentum, decay)
    g, p, v = (each.astype(np.float64) for each in (gradient, before, speed))
    v = momentum * v + g + decay * p
    arrays.assert_close(velocity, v)
    arrays.assert_close(parameters, p - 0.1 * v)


# ---- one build and another -----------------------------------------------------------------------------


def model_of(build, monkeypatch, parameters):
    monkeypatch.setattr(lenet._fused.batches, "kernels", lambda: build)
    model = LeNet5(seed=0)
    model.load_state_dict(parameters)
    return model


def test_every_build_gives_the_logits_and_digits_of_the_reference(build, monkeypatch):
    coarse = np.random.default_rng(4).random((40, 4, 4)) > 0.5
    x = np.kron(coarse, np.ones((7, 7)))
    model = model_of(build, monkeypatch, weights())
    logits = model.logits(x)
    expected = reference.lenet(model.parameters, x[:, None])["output"]
    digits = expected.argmax(axis=1)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert len(set(digits)) > 2, "the images are told apart"
    np.testing.assert_array_equal(logits.argmax(axis=1), digits)


@pytest.fixture(scope="module")
def exact_logits(mnist):
    """The logits of the shipped model for the test set, by the layers in float64."""
    pretrained = lenet.load_pretrained("mnist")
    exact = LeNet5(seed=0, dtype=np.float64)
    exact.load_state_dict(pretrained.state_dict())
    exact.mean, exact.std = pretrained.mean, pretrained.std
    return exact.logits(mnist[2])


def test_every_build_agrees_with_the_float64_layers_on_mnist(build, mnist, exact_logits, monkeypatch):
    pretrained, expected = lenet.load_pretrained("mnist"), exact_logits
    model = model_of(build, monkeypatch, pretrained.state_dict())
    model.mean, model.std = pretrained.mean, pretrained.std
    logits = model.logits(mnist[2])
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_array_equal(logits.argmax(axis=1), expected.argmax(axis=1))


# ---- at the end of a page ------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux" or AT_THE_END_OF_A_PAGE, reason="only Linux, and only once")
@pytest.mark.parametrize(
    ("files", "lengths"),
    [
        pytest.param(["layers/test_conv.py", "fused/test_network.py"], "few", marks=pytest.mark.landing),
        pytest.param(["fused/test_network.py"], "all", marks=pytest.mark.release),
    ],
    ids=["few lengths", "all lengths"],
)
def test_no_kernel_touches_the_page_behind_its_arrays(files, lengths):
    paths = [str(Path(__file__).parents[1] / file) for file in files]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", "not mnist", *paths]
    env = os.environ | {"LENET_TEST_PAGES": lengths}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
