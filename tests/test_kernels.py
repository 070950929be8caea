"""Every kernel of every build against the NumPy reference, over shapes that fill no vector and no tile."""

import numpy as np
import pytest
import reference
from guarded import Arrays

# N, C, H, W, O, KH, KW, padding
CONVOLUTIONS = [
    (1, 1, 1, 1, 1, 1, 1, 0),
    (1, 1, 5, 5, 6, 5, 5, 0),
    (1, 1, 5, 7, 1, 5, 5, 0),
    (3, 1, 9, 9, 5, 3, 3, 1),
    (1, 2, 4, 4, 10, 3, 3, 2),
    (3, 3, 7, 6, 7, 3, 3, 0),
    (1, 3, 3, 3, 17, 1, 1, 3),
    (1, 1, 6, 17, 16, 5, 5, 2),
    (1, 2, 6, 40, 23, 3, 3, 1),
    (1, 5, 5, 33, 6, 1, 1, 0),
    (1, 1, 3, 75, 12, 3, 3, 1),
    (2, 1, 12, 11, 17, 5, 5, 3),
    (1, 4, 6, 5, 11, 3, 5, 1),
    (1, 4, 5, 6, 13, 5, 3, 0),
    (1, 23, 3, 4, 4, 3, 3, 1),
    (1, 1, 28, 28, 6, 5, 5, 2),  # C1
    (2, 6, 14, 14, 16, 5, 5, 0),  # C3
    (3, 16, 5, 5, 120, 5, 5, 0),  # C5
    (0, 2, 6, 6, 3, 3, 3, 1),
]
# N, D, O
LINEARS = [
    (1, 1, 1),
    (1, 7, 5),
    (2, 3, 4),
    (3, 15, 6),
    (3, 16, 7),
    (4, 17, 10),
    (5, 33, 16),
    (6, 64, 17),
    (7, 31, 23),
    (13, 120, 84),  # F6
    (3, 84, 10),  # output
    (2, 400, 120),  # C5
    (0, 5, 3),
]
# N, C, H, W, KH, KW, SH, SW
POOLINGS = [
    (1, 1, 2, 2, 2, 2, 2, 2),
    (3, 6, 28, 28, 2, 2, 2, 2),  # S2
    (1, 2, 7, 9, 2, 2, 2, 2),  # ragged
    (1, 1, 5, 5, 3, 3, 1, 1),  # overlapping
    (1, 3, 8, 7, 3, 2, 2, 3),
    (1, 2, 9, 8, 2, 2, 3, 3),  # pixels between the windows
    (2, 1, 6, 5, 6, 5, 1, 1),  # one window
    (1, 1, 4, 35, 1, 1, 1, 1),
    (1, 1, 9, 9, 2, 2, 1, 2),
    (1, 2, 6, 8, 2, 2, 2, 3),  # all but one of the four are 2, each in turn
    (1, 1, 7, 6, 2, 3, 2, 2),
    (1, 1, 7, 6, 3, 2, 2, 2),
    (0, 2, 4, 4, 2, 2, 2, 2),
]


def double(*arrays):
    return [array.astype(np.float64) for array in arrays]


def convolution(build, arrays, shape):
    """The input, weights, bias, the gradient by the output, and scratch memory of a convolution."""
    N, C, H, W, O, KH, KW, padding = shape
    OH, OW = H + 2 * padding - KH + 1, W + 2 * padding - KW + 1
    work = arrays.output(build.conv2d_work(C, H, W, O, KH, KW, padding))
    return arrays.input(N, C, H, W), arrays.input(O, C, KH, KW), arrays.input(O), arrays.input(N, O, OH, OW), work


# ---- convolution ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", CONVOLUTIONS, ids=str)
def test_conv2d_forward(build, arrays, shape):
    x, weight, bias, dy, work = convolution(build, arrays, shape)
    out = arrays.output(*dy.shape)
    build.conv2d_forward(x, weight, bias, shape[-1], out, work)
    arrays.assert_close(out, reference.conv2d(*double(x, weight, bias), shape[-1]))


@pytest.mark.parametrize("shape", CONVOLUTIONS, ids=str)
def test_conv2d_backward_input(build, arrays, shape):
    x, weight, _, dy, work = convolution(build, arrays, shape)
    dx = arrays.output(*x.shape)
    build.conv2d_backward_input(dy, weight, shape[-1], dx, work)
    arrays.assert_close(dx, reference.conv2d_backward(*double(dy, x, weight), shape[-1])[0])


@pytest.mark.parametrize("shape", CONVOLUTIONS, ids=str)
def test_conv2d_backward_weight_adds(build, arrays, shape):
    x, weight, bias, dy, work = convolution(build, arrays, shape)
    dweight, dbias = arrays.output(*weight.shape, value=2), arrays.output(*bias.shape, value=3)
    build.conv2d_backward_weight(dy, x, shape[-1], dweight, dbias, work)
    _, expected_weight, expected_bias = reference.conv2d_backward(*double(dy, x, weight), shape[-1])
    arrays.assert_close(dweight, 2 + expected_weight)
    arrays.assert_close(dbias, 3 + expected_bias)


@pytest.mark.parametrize("shape", CONVOLUTIONS, ids=str)
def test_im2col(build, arrays, shape):
    x, _, _, dy, work = convolution(build, arrays, shape)
    N, C, _, _, _, KH, KW, padding = shape
    out = arrays.output(N, C * KH * KW, dy.shape[2] * dy.shape[3])
    build.im2col(x, KH, KW, padding, out, work)
    np.testing.assert_array_equal(out, reference.im2col(x, KH, KW, padding))


@pytest.mark.parametrize("shape", CONVOLUTIONS, ids=str)
def test_col2im(build, arrays, shape):
    x, _, _, dy, work = convolution(build, arrays, shape)
    N, C, _, _, _, KH, KW, padding = shape
    columns = arrays.input(N, C * KH * KW, dy.shape[2] * dy.shape[3])
    out = arrays.output(*x.shape)
    build.col2im(columns, KH, KW, padding, out, work)
    arrays.assert_close(out, reference.col2im(*double(columns), x.shape, KH, KW, padding))


@pytest.mark.parametrize("shape", CONVOLUTIONS, ids=str)
def test_col2im_is_the_transpose_of_im2col(build, arrays, shape):
    """For all x and c, <im2col(x), c> = <x, col2im(c)>."""
    x, _, _, dy, work = convolution(build, arrays, shape)
    N, C, _, _, _, KH, KW, padding = shape
    columns = arrays.input(N, C * KH * KW, dy.shape[2] * dy.shape[3])
    there, back = arrays.output(*columns.shape), arrays.output(*x.shape)
    build.im2col(x, KH, KW, padding, there, work)
    build.col2im(columns, KH, KW, padding, back, work)
    there, columns, x, back = double(there, columns, x, back)
    # The rounding of a sum is in proportion to its terms, which may cancel.
    scale = np.abs(there * columns).sum()
    tolerance = 1e-6 if arrays.dtype == np.float32 else 1e-14
    assert (there * columns).sum() == pytest.approx((x * back).sum(), rel=0, abs=tolerance * scale)


# ---- dense layers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", LINEARS, ids=str)
def test_linear_forward(build, arrays, shape):
    N, D, O = shape
    x, weight, bias, out = arrays.input(N, D), arrays.input(O, D), arrays.input(O), arrays.output(N, O)
    build.linear_forward(x, weight, bias, out)
    arrays.assert_close(out, reference.linear(*double(x, weight, bias)))


@pytest.mark.parametrize(("D", "O"), [(400, 120), (120, 84), (84, 10), (84, 7), (33, 1), (16, 2), (17, 3)])
def test_linear_rows_do_not_depend_on_their_neighbours(build, arrays, D, O):
    """To the bit: the tiles of two rows and of one must round alike."""
    x, weight, bias = arrays.input(31, D), arrays.input(O, D), arrays.input(O)
    together, alone = arrays.output(31, O), arrays.output(31, O)
    build.linear_forward(x, weight, bias, together)
    for n in range(31):
        build.linear_forward(x[n : n + 1], weight, bias, alone[n : n + 1])
    np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize(("D", "O"), [(400, 120), (120, 84), (84, 10), (33, 1), (17, 3)])
def test_linear_gradients_by_rows_do_not_depend_on_their_neighbours(build, arrays, D, O):
    """To the bit: the tiles of six rows, of four and of one must round alike."""
    dy, weight = arrays.input(17, O), arrays.input(O, D)
    together, alone = arrays.output(17, D), arrays.output(17, D)
    work = arrays.output(build.linear_work(17, O))
    build.linear_backward_input(dy, weight, together, work)
    for n in range(17):
        build.linear_backward_input(dy[n : n + 1], weight, alone[n : n + 1], work)
    np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize("shape", LINEARS, ids=str)
def test_linear_backward_input(build, arrays, shape):
    N, D, O = shape
    dy, weight, dx = arrays.input(N, O), arrays.input(O, D), arrays.output(N, D)
    build.linear_backward_input(dy, weight, dx, arrays.output(build.linear_work(N, O)))
    arrays.assert_close(dx, np.einsum("no,od->nd", *double(dy, weight)))


@pytest.mark.parametrize("shape", LINEARS, ids=str)
def test_linear_backward_weight_adds(build, arrays, shape):
    N, D, O = shape
    dy, x = arrays.input(N, O), arrays.input(N, D)
    dweight, dbias = arrays.output(O, D, value=2), arrays.output(O, value=3)
    build.linear_backward_weight(dy, x, dweight, dbias, arrays.output(build.linear_work(N, O)))
    arrays.assert_close(dweight, 2 + np.einsum("no,nd->od", *double(dy, x)))
    arrays.assert_close(dbias, 3 + dy.astype(np.float64).sum(axis=0))


# ---- average pooling -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", POOLINGS, ids=str)
def test_avg_pool2d_forward(build, arrays, shape):
    x, window = arrays.input(*shape[:4]), shape[4:]
    expected = reference.avg_pool2d(*double(x), *window)
    out = arrays.output(*expected.shape)
    build.avg_pool2d_forward(x, *window, out)
    arrays.assert_close(out, expected)


@pytest.mark.parametrize("shape", POOLINGS, ids=str)
def test_avg_pool2d_backward(build, arrays, shape):
    window = shape[4:]
    dy = arrays.input(*reference.avg_pool2d(np.zeros(shape[:4]), *window).shape)
    dx = arrays.output(*shape[:4])
    build.avg_pool2d_backward(dy, *window, dx)
    arrays.assert_close(dx, reference.avg_pool2d_backward(*double(dy), shape[:4], *window))


# ---- sigmoid -------------------------------------------------------------------------------------------


def sigmoid_of(build, x):
    arrays = Arrays(build)
    out = arrays.output(len(x))
    build.sigmoid_forward(np.ascontiguousarray(x, arrays.dtype), out)
    arrays.check_guards()
    return out


def range_of_exponential(dtype):
    """How far out the sigmoid is still a normal number, with a bit to spare."""
    return 87.0 if dtype == np.float32 else 708.0


def test_sigmoid_within_4_ulp(build):
    """float64 is its own reference, and NumPy's exponential is within 1 ulp."""
    dtype = Arrays(build).dtype
    bound = range_of_exponential(dtype)
    x = np.concatenate([np.linspace(-bound, bound, 200_003), np.linspace(-1, 1, 100_003)]).astype(dtype)
    exact = reference.sigmoid(x.astype(np.longdouble))
    ulps = np.abs(sigmoid_of(build, x) - exact) / np.spacing(exact.astype(dtype))
    assert ulps.max() <= 4


def test_sigmoid_far_out_is_0_or_1(build):
    dtype = Arrays(build).dtype
    far = np.concatenate([np.geomspace(range_of_exponential(dtype), 1e4, 1001), [1e30, np.finfo(dtype).max, np.inf]])
    np.testing.assert_array_equal(sigmoid_of(build, far), 1)
    low = sigmoid_of(build, -far)
    assert low.min() >= 0
    assert low.max() <= 3 * np.finfo(dtype).tiny


def test_sigmoid_of_the_smallest_numbers_is_a_half(build):
    dtype = Arrays(build).dtype
    tiny = np.array([0.0, -0.0, np.finfo(dtype).tiny, -np.finfo(dtype).tiny, np.finfo(dtype).smallest_subnormal])
    np.testing.assert_array_equal(sigmoid_of(build, tiny), 0.5)


def test_sigmoid_stays_in_0_to_1_and_never_falls_by_more_than_rounding(build):
    x = np.linspace(-1e2, 1e2, 400_001)
    y = sigmoid_of(build, x).astype(np.float64)
    assert y.min() >= 0
    assert y.max() <= 1
    assert np.all(np.diff(y) >= -4 * np.spacing(y[:-1].astype(Arrays(build).dtype)))


def test_sigmoid_keeps_nan_in_its_place(build):
    x = np.zeros(37)
    places = [0, 7, 16, 36]
    x[places] = np.nan
    assert np.flatnonzero(np.isnan(sigmoid_of(build, x))).tolist() == places


@pytest.mark.parametrize("length", [*range(36), 63, 64, 65])
def test_sigmoid_of_any_length(build, arrays, length):
    x, out = arrays.input(length), arrays.output(length)
    build.sigmoid_forward(x, out)
    arrays.assert_close(out, reference.sigmoid(x.astype(np.float64)))


def test_sigmoid_does_not_depend_on_the_place_in_the_array(build, arrays):
    """To the bit: whole vectors and the rest behind them must round alike."""
    x, together, alone = arrays.input(83), arrays.output(83), arrays.output(83)
    build.sigmoid_forward(x, together)
    for i in range(83):
        build.sigmoid_forward(x[i : i + 1], alone[i : i + 1])
    np.testing.assert_array_equal(alone, together)


def test_sigmoid_may_overwrite_its_input(build, arrays):
    x = arrays.input(45)
    both = arrays.output(45, value=x)
    build.sigmoid_forward(both, both)
    arrays.assert_close(both, reference.sigmoid(x.astype(np.float64)))


@pytest.mark.parametrize("length", [0, 1, 5, 16, 37])
def test_sigmoid_backward(build, arrays, length):
    dy, y, dx = arrays.input(length), arrays.input(length), arrays.output(length)
    build.sigmoid_backward(dy, y, dx)
    arrays.assert_close(dx, reference.sigmoid_backward(*double(dy, y)))
