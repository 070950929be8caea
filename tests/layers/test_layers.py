"""The same tests for every layer: the reference, central differences, and values computed by hand."""

import copy
import pickle

import numpy as np
import pytest
import reference
from reference import relative_error

from lenet.errors import InputError, InputTypeError
from lenet.layers import (
    RBF,
    AvgPool2d,
    Conv2d,
    Flatten,
    Linear,
    ScaledTanh,
    Sigmoid,
    SparseConv2d,
    Subsample2d,
    col2im,
    im2col,
)  # fmt: skip
from lenet.layers.rbf import DIGIT_CODES
from lenet.layers.sparse_conv2d import TABLE_I

LONG_IS_DOUBLE = pytest.mark.skipif(np.dtype("longdouble") != float, reason="long doubles have more bits than doubles")


def conv(*arguments):
    """A convolution in float64 and the reference's, of the same weights."""
    layer = Conv2d(*arguments, dtype=np.float64, rng=np.random.default_rng(1))
    weight, bias = layer.parameters["weight"], layer.parameters["bias"]
    bias[...] = np.linspace(-1, 1, len(bias))
    return layer, lambda x: reference.conv2d(x, weight, bias, layer.padding)


def linear(*arguments):
    layer = Linear(*arguments, dtype=np.float64, rng=np.random.default_rng(1))
    weight, bias = layer.parameters["weight"], layer.parameters["bias"]
    bias[...] = np.linspace(-1, 1, len(bias))
    return layer, lambda x: reference.linear(x, weight, bias)


def pool(window, stride):
    layer = AvgPool2d(window, stride, dtype=np.float64)
    return layer, lambda x: reference.avg_pool2d(x, *layer.kernel_size, *layer.stride)


def sigmoid():
    return Sigmoid(np.float64), reference.sigmoid


def flatten():
    return Flatten(np.float64), lambda x: x.reshape(len(x), int(np.prod(x.shape[1:])))


def scaled_tanh():
    return ScaledTanh(np.float64), lambda x: 1.7159 * np.tanh(2 * x / 3)


def subsample(*arguments):
    layer = Subsample2d(*arguments, dtype=np.float64, rng=np.random.default_rng(1))
    weight, bias = (parameter[:, None, None] for parameter in layer.parameters.values())
    bias[...] = np.linspace(-1, 1, len(bias))[:, None, None]
    side = layer.kernel_size[0]
    return layer, lambda x: weight * side**2 * reference.avg_pool2d(x, side, side, side, side) + bias


def sparse(table, side):
    """A sparse convolution, and one convolution for each map of the maps that it sees."""
    layer = SparseConv2d(table, side, dtype=np.float64, rng=np.random.default_rng(1))
    bias = layer.parameters["bias"]
    bias[...] = np.linspace(-1, 1, len(bias))

    def expected(x):
        kernels, maps = iter(layer.parameters["weight"]), []
        for row, b in zip(table, bias, strict=True):
            seen = np.flatnonzero(row)
            kernel = np.stack([next(kernels) for _ in seen])[None]
            maps.append(reference.conv2d(x[:, seen], kernel, np.array([b]), 0))
        return np.concatenate(maps, axis=1)

    return layer, expected


def rbf(codes):
    return RBF(codes, np.float64), lambda x: -np.array([[((row - code) ** 2).sum() for code in codes] for row in x]
                                                       ).reshape(-1, len(codes))  # fmt: skip


# The layer, the shape of an input without the batch, that of its output, and an input that it must refuse
# (None: it takes any).
LAYERS = {
    "conv 5x5": (conv, (2, 3, 5), (2, 7, 6), (3, 3, 2), (1, 3, 7, 6)),
    "conv 5x5 padded": (conv, (1, 6, 5, 2), (1, 6, 5), (6, 6, 5), (1, 6, 5)),
    "conv 3x3 padded": (conv, (3, 2, 3, 1), (3, 4, 5), (2, 4, 5), (1, 2, 4, 5)),
    "conv 1x1": (conv, (4, 7, 1), (4, 2, 3), (7, 2, 3), (4, 2, 3)),
    "conv as large as its input": (conv, (3, 7, 4), (3, 4, 4), (7, 1, 1), (1, 3, 3, 4)),
    "linear": (linear, (13, 6), (13,), (6,), (1, 12)),
    "pool 2x2": (pool, (2, 2), (3, 6, 4), (3, 3, 2), (3, 6, 4)),
    "pool ragged": (pool, (2, None), (1, 5, 7), (1, 2, 3), (1, 1, 1, 7)),
    "pool overlapping": (pool, ((3, 2), (1, 2)), (2, 5, 5), (2, 3, 2), (1, 2, 2, 5)),
    "sigmoid": (sigmoid, (), (3, 2, 5), (3, 2, 5), None),
    "scaled tanh": (scaled_tanh, (), (3, 2, 5), (3, 2, 5), None),
    "subsample 2x2": (subsample, (3, 2), (3, 6, 4), (3, 3, 2), (1, 2, 6, 4)),
    "subsample 3x3 ragged": (subsample, (2, 3), (2, 7, 6), (2, 2, 2), (1, 2, 2, 7)),
    "sparse conv": (sparse, (np.array([[1, 0, 1], [0, 1, 0]]) > 0, 3), (3, 5, 4), (2, 3, 2), (1, 2, 5, 4)),
    "rbf": (rbf, (np.array([[1.0, -1, 1], [-1, -1, 2]]),), (3,), (2,), (1, 4)),
    "flatten": (flatten, (), (3, 2, 5), (30,), None),
}


@pytest.fixture(params=LAYERS)
def case(request):
    make, arguments, *shapes = LAYERS[request.param]
    return *make(*arguments), *shapes


def numeric_gradient(function, array, step=1e-5):
    """The central differences of a number by each element of `array`, which is changed in place and restored."""
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        before = array[index]
        array[index] = before + step
        above = function()
        array[index] = before - step
        below = function()
        array[index] = before
        gradient[index] = (above - below) / (2 * step)
    return gradient


def draw(*shape):
    return np.random.default_rng(2).normal(size=shape)


# ---- the contract --------------------------------------------------------------------------------------


def test_output_shape(case):
    layer, _, shape, out_shape, _ = case
    assert layer.output_shape(shape) == out_shape
    assert layer.forward(draw(3, *shape))[0].shape == (3, *out_shape)


def test_forward_is_the_reference(case):
    layer, expected, shape, *_ = case
    x = draw(3, *shape)
    np.testing.assert_allclose(layer.forward(x)[0], expected(x), rtol=1e-12, atol=1e-13)


def test_call_is_forward(case):
    layer, _, shape, *_ = case
    x = draw(2, *shape)
    np.testing.assert_array_equal(layer(x.tolist()), layer.forward(x)[0])


def test_backward_by_the_input_against_central_differences(case):
    layer, _, shape, out_shape, _ = case
    x, dy = draw(2, *shape), draw(2, *out_shape) + 1
    dx, _ = layer.forward(x)[1](dy)
    assert dx.shape == x.shape
    assert relative_error(dx, numeric_gradient(lambda: (dy * layer.forward(x)[0]).sum(), x)) < 1e-8


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_backward_by_the_parameters_against_central_differences(case, name):
    layer, _, shape, out_shape, _ = case
    x, dy = draw(2, *shape), draw(2, *out_shape) + 1
    _, gradients = layer.forward(x)[1](dy)
    assert gradients.keys() == layer.parameters.keys()
    if name not in layer.parameters:
        return
    expected = numeric_gradient(lambda: (dy * layer.forward(x)[0]).sum(), layer.parameters[name])
    assert relative_error(gradients[name], expected) < 1e-8


def test_empty_batch(case):
    layer, _, shape, out_shape, _ = case
    y, backward = layer.forward(np.zeros((0, *shape)))
    dx, gradients = backward(np.zeros((0, *out_shape)))
    assert y.shape == (0, *out_shape)
    assert dx.shape == (0, *shape)
    assert all((gradients[name] == np.zeros_like(value)).all() for name, value in layer.parameters.items())


def test_neither_pass_changes_its_arguments(case):
    layer, _, shape, out_shape, _ = case
    x, dy = draw(2, *shape), draw(2, *out_shape)
    before = {name: parameter.copy() for name, parameter in layer.parameters.items()}
    layer.forward(x)[1](dy)
    np.testing.assert_array_equal(x, draw(2, *shape))
    np.testing.assert_array_equal(dy, draw(2, *out_shape))
    for name, parameter in layer.parameters.items():
        np.testing.assert_array_equal(parameter, before[name])


def test_images_do_not_depend_on_their_neighbours(case):
    layer, _, shape, *_ = case
    x = draw(7, *shape)
    together = layer.forward(x)[0]
    for n in range(7):
        np.testing.assert_allclose(layer.forward(x[n : n + 1])[0], together[n : n + 1], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", [name for name, (*_, wrong) in LAYERS.items() if wrong is not None])
def test_an_input_of_another_shape_is_refused(name):
    make, arguments, *_, wrong = LAYERS[name]
    layer, _ = make(*arguments)
    with pytest.raises(InputError, match="; expected"):
        layer.forward(np.zeros(wrong))


def test_an_image_smaller_than_the_kernel_or_window_is_named_with_the_layer():
    with pytest.raises(
        InputError, match=r"Conv2d\(1, 6, kernel_size=5\) got an input of shape \(1, 4, 9\); expected at least"
    ):
        Conv2d(1, 6, 5)(np.zeros((2, 1, 4, 9)))
    with pytest.raises(
        InputError, match=r"AvgPool2d\(\(2, 3\), stride=\(2, 3\)\) got an input of shape \(1, 9, 2\); expected at least"
    ):
        AvgPool2d((2, 3))(np.zeros((2, 1, 9, 2)))


def test_a_gradient_of_another_shape_is_refused(case):
    layer, _, shape, out_shape, _ = case
    _, backward = layer.forward(draw(2, *shape))
    with pytest.raises(InputError, match=r"dy has shape .*expected"):
        backward(np.zeros((3, *out_shape)))


def test_repr_names_the_layer(case):
    layer = case[0]
    assert repr(layer).startswith(type(layer).__name__ + "(")


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])  # noqa: S301
def test_a_layer_can_be_copied_and_pickled(case, duplicate):
    layer, _, shape, *_ = case
    twin, x = duplicate(layer), draw(2, *shape)
    np.testing.assert_array_equal(twin(x), layer(x))
    for name, parameter in layer.parameters.items():
        assert not np.shares_memory(twin.parameters[name], parameter)


def test_the_error_names_an_argument_that_is_not_an_array(case):
    layer = case[0]
    for forward in (layer, layer.forward):
        with pytest.raises(
            InputError,
            match=r"^x is not a rectangular array .*; expected (an array|an array with \d dimensions|numbers)\.$",
        ):
            forward([[1, 2], [3]])


def test_integers_become_the_layers_dtype(case):
    layer, _, shape, *_ = case
    assert layer.forward(np.ones((2, *shape), int))[0].dtype == np.float64


# ---- values by hand ------------------------------------------------------------------------------------


def test_conv2d_by_hand():
    layer = Conv2d(1, 1, 2)
    layer.parameters["weight"][...] = [[1, 2], [3, 4]]
    layer.parameters["bias"][...] = 0.5
    # 1*0 + 2*1 + 3*3 + 4*4 = 27 at the upper left: the kernel is not flipped.
    x = np.arange(9).reshape(1, 1, 3, 3)
    np.testing.assert_array_equal(layer(x), [[[[27.5, 37.5], [57.5, 67.5]]]])


def test_conv2d_with_padding_by_hand():
    layer = Conv2d(1, 1, 3, padding=1)
    layer.parameters["weight"][...] = np.arange(1, 10).reshape(3, 3)
    np.testing.assert_array_equal(layer(np.eye(2)[None, None]), [[[[5 + 9, 4 + 8], [2 + 6, 1 + 5]]]])


def test_conv2d_backward_by_hand():
    layer = Conv2d(1, 1, 2)
    layer.parameters["weight"][...] = [[1, 2], [3, 4]]
    _, backward = layer.forward(np.arange(9).reshape(1, 1, 3, 3))
    dx, gradients = backward(np.array([[[[1, 0], [0, 10]]]]))
    np.testing.assert_array_equal(dx, [[[[1, 2, 0], [3, 14, 20], [0, 30, 40]]]])
    np.testing.assert_array_equal(gradients["weight"], [[[[0 + 40, 1 + 50], [3 + 70, 4 + 80]]]])
    np.testing.assert_array_equal(gradients["bias"], [11])


def test_avg_pool2d_by_hand():
    x = np.arange(16).reshape(1, 1, 4, 4)
    np.testing.assert_array_equal(AvgPool2d(2)(x), [[[[2.5, 4.5], [10.5, 12.5]]]])
    np.testing.assert_array_equal(AvgPool2d(2, 1)(x), [[[[2.5, 3.5, 4.5], [6.5, 7.5, 8.5], [10.5, 11.5, 12.5]]]])
    np.testing.assert_array_equal(AvgPool2d((1, 4))(x), [[[[1.5], [5.5], [9.5], [13.5]]]])
    np.testing.assert_array_equal(AvgPool2d(3)(x), [[[[5]]]])


def test_avg_pool2d_backward_by_hand():
    layer = AvgPool2d(2, 1)
    _, backward = layer.forward(np.zeros((1, 1, 3, 3)))
    dx, _ = backward(np.array([[[[4, 8], [12, 16]]]]))
    np.testing.assert_array_equal(dx, [[[[1, 3, 2], [4, 10, 6], [3, 7, 4]]]])


def test_linear_by_hand():
    layer = Linear(3, 2)
    layer.parameters["weight"][...] = [[1, 2, 3], [4, 5, 6]]
    layer.parameters["bias"][...] = [10, 20]
    y, backward = layer.forward(np.array([[1, 0, -1], [2, 1, 0]]))
    dx, gradients = backward(np.array([[1, 0], [0, 1]]))
    np.testing.assert_array_equal(y, [[8, 18], [14, 33]])
    np.testing.assert_array_equal(dx, [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(gradients["weight"], [[1, 0, -1], [2, 1, 0]])
    np.testing.assert_array_equal(gradients["bias"], [1, 1])


def test_repr_shows_the_padding_where_there_is_one():
    assert repr(Conv2d(1, 6, 5, padding=2)) == "Conv2d(1, 6, kernel_size=5, padding=2)"
    assert repr(Conv2d(6, 16, 5)) == "Conv2d(6, 16, kernel_size=5)"


# ---- im2col and col2im ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "size", "padding"),
    [((2, 3, 5, 4), 3, 0), ((1, 2, 3, 3), 5, 2), ((0, 1, 4, 4), 2, 1), ((1, 0, 3, 3), 2, 0)],
)
def test_im2col_and_col2im_are_the_reference(shape, size, padding):
    x = draw(*shape)
    columns = im2col(x, size, padding, np.float64)
    np.testing.assert_array_equal(columns, reference.im2col(x, size, padding))
    back = col2im(columns, shape, size, padding, np.float64)
    np.testing.assert_allclose(back, reference.col2im(columns, shape, size, padding), rtol=1e-14)


def test_sizes_of_narrow_integers_do_not_overflow():
    size = np.int8(12)  # its square is 144
    x = draw(1, 2, 13, 12)
    columns = im2col(x, size, dtype=np.float64)
    np.testing.assert_array_equal(columns, reference.im2col(x, 12))
    np.testing.assert_array_equal(
        col2im(columns, x.shape, size, dtype=np.float64), col2im(columns, x.shape, 12, dtype=np.float64)
    )
    assert SparseConv2d(TABLE_I, size).kernels().shape == (16, 6, 12, 12)


@pytest.mark.parametrize("size", [4, 10**6])
def test_im2col_and_col2im_refuse_an_image_smaller_than_the_kernel(size):
    with pytest.raises(InputError, match=r"^im2col got an input of shape \(1, 3, 3\); expected at least the size"):
        im2col(np.zeros((1, 1, 3, 3)), size)
    with pytest.raises(InputError, match=r"^col2im got an input of shape \(1, 3, 3\); expected at least the size"):
        col2im(np.zeros((1, 4, 4)), (1, 1, 3, 3), size)


@pytest.mark.parametrize("dtype", ["float16", int])
def test_im2col_and_col2im_refuse_other_types(dtype):
    with pytest.raises(InputTypeError, match=r"dtype is .*; expected float32 or float64"):
        im2col(np.zeros((1, 1, 3, 3)), 2, dtype=dtype)
    with pytest.raises(InputTypeError, match=r"dtype is .*; expected float32 or float64"):
        col2im(np.zeros((1, 4, 4)), (1, 1, 3, 3), 2, dtype=dtype)


@pytest.mark.parametrize("dtype", [np.float64, pytest.param("longdouble", marks=LONG_IS_DOUBLE)])
def test_long_doubles_are_treated_as_doubles(dtype):
    """On Windows, they are equal to NumPy, but not to Cython."""
    x = np.random.default_rng(0).normal(size=(2, 1, 6, 6))
    for layer in (Conv2d(1, 2, 3, dtype=dtype, rng=np.random.default_rng(1)), AvgPool2d(2, dtype=dtype)):
        y = layer(x.astype(np.longdouble))
        assert y.dtype.char == "d"
        np.testing.assert_array_equal(y, layer(x))


def test_col2im_refuses_a_shape_without_channels():
    with pytest.raises(InputError, match=r"shape is \(1, 3, 3\); expected four dimensions, \(n, C, H, W\)"):
        col2im(np.zeros((1, 4, 4)), (1, 3, 3), 2)


def test_col2im_refuses_columns_that_do_not_fit():
    with pytest.raises(InputError, match=r"columns has shape \(1, 4, 5\); expected \(1, 4, 4\)"):
        col2im(np.zeros((1, 4, 5)), (1, 1, 3, 3), 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_of_any_number(dtype):
    """It neither overflows nor warns, and keeps its relative precision for large inputs."""
    bound = 87 if dtype == np.float32 else 708
    x = np.linspace(-bound, bound, 10_001).astype(dtype)
    exact = reference.sigmoid(x.astype(np.float64))
    np.testing.assert_allclose(Sigmoid(dtype)(x), exact, rtol=4 * np.finfo(dtype).eps)
    largest = np.finfo(dtype).max
    np.testing.assert_array_equal(Sigmoid(dtype)(np.array([-np.inf, -largest, largest, np.inf])), [0, 0, 1, 1])
    assert np.isnan(Sigmoid(dtype)(np.array([np.nan]))).all()


def test_a_number_is_an_array_of_no_dimensions():
    y = Sigmoid()(0)
    assert (y.shape, float(y)) == ((), 0.5)


# ---- arguments -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Conv2d(0, 1, 3), InputError, "in_channels is 0"),
        (lambda: Conv2d(1, -1, 3), InputError, "out_channels is -1"),
        (lambda: Conv2d(1, 1, 2.5), InputTypeError, "kernel_size is 2.5"),
        (lambda: Conv2d(1, 1, 3, padding=-1), InputError, "padding is -1"),
        (lambda: Linear(0, 2), InputError, "in_features is 0"),
        (lambda: Linear(3, True), InputTypeError, "out_features is True"),
        (lambda: Linear(3, 2, rng=0), InputTypeError, "rng is 0"),
        (lambda: Conv2d(1, 1, 3, rng=0), InputTypeError, "rng is 0"),
        (lambda: SparseConv2d(TABLE_I, 5, rng=0), InputTypeError, "rng is 0"),
        (lambda: Subsample2d(6, rng=0), InputTypeError, "rng is 0"),
        (lambda: AvgPool2d(0), InputError, "kernel_size is 0"),
        (lambda: AvgPool2d(2, (1, 0)), InputError, "stride is 0"),
        (lambda: AvgPool2d(2, "2"), InputTypeError, "stride is '2'"),
        (lambda: Sigmoid(np.float16), InputTypeError, "dtype is float16"),
        (lambda: Linear(3, 2)(np.zeros((1, 3), complex)), InputTypeError, "x has dtype complex128"),
        (lambda: Linear(3, 2)([["a", "b", "c"]]), InputTypeError, "x has dtype <U1"),
        (lambda: Flatten()(np.zeros((2, 3), complex)), InputTypeError, "x has dtype complex128"),
        (lambda: Flatten()(3), InputError, r"x has shape \(\); expected \(any length,\)"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


# ---- the layers of 1998 --------------------------------------------------------------------------------


def test_the_scaled_tanh_maps_targets_to_themselves():
    np.testing.assert_allclose(ScaledTanh(np.float64)([[-1.0, 1.0, 100.0]]), [[-1, 1, 1.7159]], atol=1e-5)


def test_the_table_of_the_paper():
    """Six maps see three maps in a row, six see four in a row, three see four others, and the last sees all."""

    def ring(first, length):
        return {(first + k) % 6 for k in range(length)}

    expected = [*(ring(k, 3) for k in range(6)), *(ring(k, 4) for k in range(6))]
    expected += [{0, 1, 3, 4}, {1, 2, 4, 5}, {0, 2, 3, 5}, set(range(6))]
    assert [set(np.flatnonzero(row)) for row in TABLE_I] == expected


def test_each_output_map_of_a_sparse_convolution_has_its_own_limit():
    layer = SparseConv2d(TABLE_I, 5, rng=np.random.default_rng(0))
    largest = np.array([abs(layer.kernels()[o]).max() for o in range(16)])
    limits = np.sqrt(3 / (25 * TABLE_I.sum(axis=1)))
    assert (largest <= limits).all()
    assert (largest >= 0.9 * limits).all()


@pytest.mark.parametrize("table", [[[1, 0]], [True, False], [[True, False], [False, False]], np.zeros((0, 3), bool)])
def test_sparse_convolution_refuses_a_table(table):
    with pytest.raises(InputError, match="table has dtype"):
        SparseConv2d(table, 5)


def test_layers_do_not_change_with_the_table_or_the_codes_that_made_them():
    table, codes = TABLE_I.copy(), DIGIT_CODES.astype(np.float32)
    for layer, given in ((SparseConv2d(table, 5), table), (RBF(codes), codes)):
        x = draw(2, 6, 5, 5) if given is table else draw(2, 84)
        before = layer(x)
        given[...] = 1
        np.testing.assert_array_equal(layer(x), before)


def test_the_codes_are_bitmaps_that_differ():
    assert DIGIT_CODES.shape == (10, 84)
    assert set(DIGIT_CODES.flat) == {-1, 1}
    distances = (DIGIT_CODES[:, None] != DIGIT_CODES).sum(axis=2)
    assert distances[~np.eye(10, dtype=bool)].min() >= 8
    assert DIGIT_CODES[1].reshape(12, 7)[0].tolist() == [-1, -1, -1, 1, -1, -1, -1]
