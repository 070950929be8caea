"""im2col, col2im and average pooling against the NumPy reference, over shapes of every kind."""

import numpy as np
import pytest
import reference
from guarded import Arrays

from lenet import _compiled

# N, C, H, W, K
PATCHES = [
    (1, 1, 1, 1, 1),
    (1, 1, 5, 7, 5),
    (3, 3, 7, 6, 3),
    (1, 4, 6, 5, 5),
    (2, 4, 5, 6, 2),
    (1, 1, 32, 32, 5),  # C1, padded
    (2, 6, 14, 14, 5),  # C3
    (3, 16, 5, 5, 5),  # C5
    (0, 2, 6, 6, 3),
]
# N, C, H, W, KH, KW, SH, SW
POOLINGS = [
    (3, 6, 28, 28, 2, 2, 2, 2),  # S2
    (1, 2, 7, 9, 2, 2, 2, 2),  # ragged
    (1, 1, 5, 5, 3, 3, 1, 1),  # overlapping
    (1, 3, 8, 7, 3, 2, 2, 3),
    (1, 2, 9, 8, 2, 2, 3, 3),  # pixels between the windows
    (2, 1, 6, 5, 6, 5, 1, 1),  # one window
    (1, 1, 4, 35, 1, 1, 1, 1),
    (0, 2, 4, 4, 2, 2, 2, 2),
]


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def arrays(request):
    made = Arrays(request.param)
    yield made
    made.check_guards()


def columns_shape(N, C, H, W, K):
    return N, C * K * K, (H - K + 1) * (W - K + 1)


@pytest.mark.parametrize("shape", PATCHES, ids=str)
def test_im2col(arrays, shape):
    x, out = arrays.input(*shape[:4]), arrays.output(*columns_shape(*shape))
    _compiled.im2col(x, *shape[4:], out)
    np.testing.assert_array_equal(out, reference.im2col(x, *shape[4:]))


@pytest.mark.parametrize("shape", PATCHES, ids=str)
def test_col2im_adds(arrays, shape):
    columns, out = arrays.input(*columns_shape(*shape)), arrays.output(*shape[:4], value=7)
    _compiled.col2im(columns, *shape[4:], out)
    arrays.assert_close(out, 7 + reference.col2im(columns.astype(np.float64), shape[:4], *shape[4:]))


@pytest.mark.parametrize("shape", POOLINGS, ids=str)
def test_avg_pool2d_forward(arrays, shape):
    x = arrays.input(*shape[:4])
    expected = reference.avg_pool2d(x.astype(np.float64), *shape[4:])
    out = arrays.output(*expected.shape)
    _compiled.avg_pool2d_forward(x, *shape[4:], out)
    arrays.assert_close(out, expected)


@pytest.mark.parametrize("shape", POOLINGS, ids=str)
def test_avg_pool2d_backward_adds(arrays, shape):
    dy = arrays.input(*reference.avg_pool2d(np.zeros(shape[:4]), *shape[4:]).shape)
    dx = arrays.output(*shape[:4], value=7)
    _compiled.avg_pool2d_backward(dy, *shape[4:], dx)
    arrays.assert_close(dx, 7 + reference.avg_pool2d_backward(dy.astype(np.float64), shape[:4], *shape[4:]))
