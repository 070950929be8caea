"""The loops of convolution and average pooling: im2col, col2im, and the pooling windows, forward and backward.

`lenet.layers` validates, allocates and pads; these kernels fill the output and release the GIL.
They check neither shapes nor bounds, and write beyond an output that is too small: call them through `lenet.layers`.

Axes: N images, C channels, H x W input pixels, OH x OW output pixels, K x K kernel, KH x KW window, SH x SW stride.
Weight (i, j) of a kernel multiplies the input pixel (r + i, s + j) for the output pixel (r, s).
A `d` before a name is the gradient of the loss with respect to it.
"""

from cython cimport floating     # float and double

# Not noexcept: in a build with bounds checks (see setup.py), these functions raise IndexError.

cdef void _im2col(const floating[:, :, :, ::1] x, Py_ssize_t K, floating[:, :, ::1] out):
    """out[N, C K K, OH OW]: row d = (c, i, j) holds the pixel under weight (c, i, j) for every output pixel."""
    cdef Py_ssize_t N = x.shape[0], C = x.shape[1], H = x.shape[2], W = x.shape[3]
    cdef Py_ssize_t OH = H - K + 1, OW = W - K + 1
    cdef Py_ssize_t n, c, d, i, j, r, s
    with nogil:
        for n in range(N):
            for c in range(C):
                for i in range(K):
                    for j in range(K):
                        d = (c * K + i) * K + j
                        for r in range(OH):
                            for s in range(OW):
                                out[n, d, r * OW + s] = x[n, c, r + i, s + j]


cdef void _col2im(const floating[:, :, ::1] columns, Py_ssize_t K, floating[:, :, :, ::1] out):
    """The transpose of im2col: add each element of `columns` to the pixel of out[N, C, H, W] it came from."""
    cdef Py_ssize_t N = out.shape[0], C = out.shape[1], H = out.shape[2], W = out.shape[3]
    cdef Py_ssize_t OH = H - K + 1, OW = W - K + 1
    cdef Py_ssize_t n, c, d, i, j, r, s
    with nogil:
        for n in range(N):
            for c in range(C):
                for i in range(K):
                    for j in range(K):
                        d = (c * K + i) * K + j
                        for r in range(OH):
                            for s in range(OW):
                                out[n, c, r + i, s + j] += columns[n, d, r * OW + s]


cdef void _avg_pool2d_forward(const floating[:, :, :, ::1] x, Py_ssize_t KH, Py_ssize_t KW, Py_ssize_t SH,
                              Py_ssize_t SW, floating[:, :, :, ::1] out):
    """out[N, C, OH, OW]: the mean of each window of x[N, C, H, W]."""
    cdef Py_ssize_t N = out.shape[0], C = out.shape[1], OH = out.shape[2], OW = out.shape[3]
    cdef Py_ssize_t n, c, i, j, r, s
    cdef floating total
    with nogil:
        for n in range(N):
            for c in range(C):
                for r in range(OH):
                    for s in range(OW):
                        total = 0
                        for i in range(KH):
                            for j in range(KW):
                                total += x[n, c, r * SH + i, s * SW + j]
                        out[n, c, r, s] = total / (KH * KW)


cdef void _avg_pool2d_backward(const floating[:, :, :, ::1] dy, Py_ssize_t KH, Py_ssize_t KW, Py_ssize_t SH,
                               Py_ssize_t SW, floating[:, :, :, ::1] dx):
    """Add to every pixel of a window of dx[N, C, H, W] its equal share of dy[N, C, OH, OW]."""
    cdef Py_ssize_t N = dy.shape[0], C = dy.shape[1], OH = dy.shape[2], OW = dy.shape[3]
    cdef Py_ssize_t n, c, i, j, r, s
    with nogil:
        for n in range(N):
            for c in range(C):
                for r in range(OH):
                    for s in range(OW):
                        for i in range(KH):
                            for j in range(KW):
                                dx[n, c, r * SH + i, s * SW + j] += dy[n, c, r, s] / (KH * KW)


# ---- for Python: the kernel for the type of the output. Functions of fused types enlarge the wheel by 8 KB. ------

def im2col(x, Py_ssize_t K, out, /):
    if out.itemsize == sizeof(float):
        _im2col[float](x, K, out)
    else:
        _im2col[double](x, K, out)


def col2im(columns, Py_ssize_t K, out, /):
    if out.itemsize == sizeof(float):
        _col2im[float](columns, K, out)
    else:
        _col2im[double](columns, K, out)


def avg_pool2d_forward(x, Py_ssize_t KH, Py_ssize_t KW, Py_ssize_t SH, Py_ssize_t SW, out, /):
    if out.itemsize == sizeof(float):
        _avg_pool2d_forward[float](x, KH, KW, SH, SW, out)
    else:
        _avg_pool2d_forward[double](x, KH, KW, SH, SW, out)


def avg_pool2d_backward(dy, Py_ssize_t KH, Py_ssize_t KW, Py_ssize_t SH, Py_ssize_t SW, dx, /):
    if dx.itemsize == sizeof(float):
        _avg_pool2d_backward[float](dy, KH, KW, SH, SW, dx)
    else:
        _avg_pool2d_backward[double](dy, KH, KW, SH, SW, dx)
