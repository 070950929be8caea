"""The loops of convolution and average pooling: im2col, col2im, and the pooling windows, forward and backward.

`lenet.layers` validates, allocates and pads; these kernels fill the output and release the GIL.

Axes: N images, C channels, H x W input pixels, OH x OW output pixels, KH x KW kernel or window, SH x SW stride.
A `d` before a name is the gradient of the loss with respect to it.
"""

ctypedef fused real:
    float
    double


def im2col(const real[:, :, :, ::1] x, Py_ssize_t KH, Py_ssize_t KW, real[:, :, ::1] out):
    """out[N, C KH KW, OH OW]: row (c, i, j) holds the pixel under weight (c, i, j) for every output pixel."""
    cdef Py_ssize_t N = x.shape[0], C = x.shape[1], H = x.shape[2], W = x.shape[3]
    cdef Py_ssize_t OH = H - KH + 1, OW = W - KW + 1
    cdef Py_ssize_t n, c, i, j, y, column, row
    with nogil:
        for n in range(N):
            for c in range(C):
                for i in range(KH):
                    for j in range(KW):
                        row = (c * KH + i) * KW + j
                        for y in range(OH):
                            for column in range(OW):
                                out[n, row, y * OW + column] = x[n, c, y + i, column + j]


def col2im(const real[:, :, ::1] columns, Py_ssize_t KH, Py_ssize_t KW, real[:, :, :, ::1] out):
    """The transpose of im2col: add each element of `columns` to the pixel of out[N, C, H, W] it came from."""
    cdef Py_ssize_t N = out.shape[0], C = out.shape[1], H = out.shape[2], W = out.shape[3]
    cdef Py_ssize_t OH = H - KH + 1, OW = W - KW + 1
    cdef Py_ssize_t n, c, i, j, y, column, row
    with nogil:
        for n in range(N):
            for c in range(C):
                for i in range(KH):
                    for j in range(KW):
                        row = (c * KH + i) * KW + j
                        for y in range(OH):
                            for column in range(OW):
                                out[n, c, y + i, column + j] += columns[n, row, y * OW + column]


def avg_pool2d_forward(const real[:, :, :, ::1] x, Py_ssize_t KH, Py_ssize_t KW, Py_ssize_t SH, Py_ssize_t SW,
                       real[:, :, :, ::1] out):
    """out[N, C, OH, OW]: the mean of each window of x[N, C, H, W]."""
    cdef Py_ssize_t N = out.shape[0], C = out.shape[1], OH = out.shape[2], OW = out.shape[3]
    cdef Py_ssize_t n, c, i, j, y, column
    cdef real total
    with nogil:
        for n in range(N):
            for c in range(C):
                for y in range(OH):
                    for column in range(OW):
                        total = 0
                        for i in range(KH):
                            for j in range(KW):
                                total += x[n, c, y * SH + i, column * SW + j]
                        out[n, c, y, column] = total / (KH * KW)


def avg_pool2d_backward(const real[:, :, :, ::1] dy, Py_ssize_t KH, Py_ssize_t KW, Py_ssize_t SH, Py_ssize_t SW,
                        real[:, :, :, ::1] dx):
    """Add to every pixel of a window of dx[N, C, H, W] its equal share of dy[N, C, OH, OW]."""
    cdef Py_ssize_t N = dy.shape[0], C = dy.shape[1], OH = dy.shape[2], OW = dy.shape[3]
    cdef Py_ssize_t n, c, i, j, y, column
    with nogil:
        for n in range(N):
            for c in range(C):
                for y in range(OH):
                    for column in range(OW):
                        for i in range(KH):
                            for j in range(KW):
                                dx[n, c, y * SH + i, column * SW + j] += dy[n, c, y, column] / (KH * KW)
