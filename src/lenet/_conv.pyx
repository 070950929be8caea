"""The arithmetic of LeNet-5: im2col convolution, average pooling, sigmoid and dense layers.

Every kernel takes C-contiguous arrays, fills `out` (or the gradients that it names) and releases the GIL.
It neither validates nor allocates: `lenet.layers` and `lenet._compiled` do, and hand over `work`, scratch
memory whose length the `..._work` functions tell.

This file is one source for several builds. `real` is float or double, `vreal` a vector of LANES of them
(see _simd.h); setup.py lists the builds, `lenet._kernels` picks one.

Axes: N images, C input channels, O output channels, H x W the input, OH x OW the output, KH x KW the
kernel or window, P = OH * OW output pixels, D = C * KH * KW weights of an output channel.
A `d` before a name is the gradient of the loss by it.

Sums run in an order that depends neither on N nor on an image's place in the batch, so that results do
not depend on how a batch is cut.
"""
from libc.string cimport memmove, memset

cdef extern from "_simd.h" nogil:
    ctypedef float real     # or double: Cython asks the C compiler for the size
    ctypedef float vreal
    const char* BUILD       # the CPU that it is for, as LENET_CPU names it
    const char* COMPILER
    enum:
        LANES
        VECTORS             # and so on: the sizes of tiles
        C1_VECTORS
        DOT_ROWS
        C3_ROWS
        C3_COLUMNS
        C3_VECTORS
        C3_WEIGHT_ROWS
        S2_VECTORS
        C1_WEIGHT_MAPS
    const real EXP_RANGE
    vreal vload(const real* source)
    void vstore(real* target, vreal vector)
    vreal vload_part(const real* source, Py_ssize_t count)
    void vstore_part(real* target, vreal vector, Py_ssize_t count)
    vreal vset(real x)
    vreal vmuladd(vreal a, vreal b, vreal c)    # a b + c
    real vsum(vreal vector)
    vreal vexp_negative(vreal x)
    vreal vsigmoid(vreal x)
    vreal vload_bytes(const unsigned char* source)
    vreal vmin(vreal a, vreal b)
    vreal veven(vreal a, vreal b)
    vreal vodd(vreal a, vreal b)
    void vtranspose(vreal* rows)
    vreal vsums(vreal* vectors)
    void FORGET_LOADS()
    void copy_row(real* target, const real* source, Py_ssize_t count)

cdef enum:
    PEAK_VECTORS = 12       # the instruction takes 4 cycles, and two begin in each

include "_products.pxi"
include "_stages.pxi"
include "_gradients.pxi"
include "_network.pxi"


def build() -> dict:
    """Return the CPU, the bytes of a number and the numbers in a vector that this build is for, and its compiler."""
    return {"cpu": BUILD.decode(), "itemsize": sizeof(real), "lanes": LANES, "compiler": COMPILER.decode()}


def multiply_adds(Py_ssize_t rounds, /) -> int:
    """Do nothing but multiply-adds, in registers, and return how many: the most that this build can do."""
    cdef vreal acc[PEAK_VECTORS]
    cdef Py_ssize_t _
    cdef int v
    cdef real total = 0
    with nogil:
        for v in range(PEAK_VECTORS):
            acc[v] = vset(v)
        for _ in range(rounds):
            for v in range(PEAK_VECTORS):
                acc[v] = vmuladd(acc[v], vset(0.5), vset(1))
        for v in range(PEAK_VECTORS):
            total += vsum(acc[v])
    return rounds * PEAK_VECTORS * LANES if total else 0


def view(real[::1] vector, /):
    """Return the vector as a memoryview of ours, which the kernels take more quickly than an array."""
    return vector


# ---- dense layers --------------------------------------------------------------------------------------

def linear_forward(const real[:, ::1] x, const real[:, ::1] weight, const real[::1] bias, real[:, ::1] out, /):
    """out[N, O] = bias + x[N, D] weight[O, D]^T."""
    if x.shape[0] and weight.shape[0]:
        with nogil:
            dense(x.shape[0], x.shape[1], weight.shape[0], &x[0, 0], &weight[0, 0], &bias[0], &out[0, 0])


def linear_work(Py_ssize_t N, Py_ssize_t O, /) -> int:
    """Return the length of the scratch memory of the two backward kernels."""
    return matmul_work(N, O)


def linear_backward_input(const real[:, ::1] dy, const real[:, ::1] weight, real[:, ::1] dx, real[::1] work, /):
    """dx[N, D] = dy[N, O] weight[O, D]."""
    cdef Py_ssize_t N = dy.shape[0], O = dy.shape[1], D = weight.shape[1]
    if N == 0:
        return
    with nogil:
        memset(&dx[0, 0], 0, N * D * sizeof(real))
        matmul(N, O, D, &dy[0, 0], O, 1, &weight[0, 0], D, &dx[0, 0], D, &work[0])


def linear_backward_weight(const real[:, ::1] dy, const real[:, ::1] x, real[:, ::1] dweight, real[::1] dbias,
                           real[::1] work, /):
    """dweight[O, D] += dy[N, O]^T x[N, D]; dbias[O] += dy summed over N."""
    cdef Py_ssize_t N = dy.shape[0], O = dy.shape[1], D = x.shape[1], n, o
    if N == 0:
        return
    with nogil:
        matmul(O, N, D, &dy[0, 0], 1, O, &x[0, 0], D, &dweight[0, 0], D, &work[0])
        for n in range(N):
            for o in range(O):
                dbias[o] += dy[n, o]


# ---- convolution ---------------------------------------------------------------------------------------

cdef inline void pad_image(const real* x, Py_ssize_t C, Py_ssize_t H, Py_ssize_t W, Py_ssize_t padding,
                           real* out) noexcept nogil:
    """out[C, H + 2 padding, W + 2 padding] = x[C, H, W] with zeros around it."""
    cdef Py_ssize_t width = W + 2 * padding, height = H + 2 * padding, c, y
    memset(out, 0, C * height * width * sizeof(real))
    for c in range(C):
        for y in range(H):
            copy_row(out + (c * height + y + padding) * width + padding, x + (c * H + y) * W, W)


cdef inline void columns(const real* x, Py_ssize_t C, Py_ssize_t H, Py_ssize_t W, Py_ssize_t KH, Py_ssize_t KW,
                         real* out, Py_ssize_t out_row) noexcept nogil:
    """out[D, P]: row (c, i, j) holds, for each output pixel, the input pixel that weight (c, i, j) meets."""
    cdef Py_ssize_t OH = H - KH + 1, OW = W - KW + 1, c, i, j, y
    for c in range(C):
        for i in range(KH):
            for j in range(KW):
                for y in range(OH):
                    copy_row(out + y * OW, x + (c * H + y + i) * W + j, OW)
                out += out_row


cdef inline void add_columns(const real* columns, Py_ssize_t C, Py_ssize_t H, Py_ssize_t W, Py_ssize_t KH,
                             Py_ssize_t KW, real* x) noexcept nogil:
    """The transpose of `columns`: each element of columns[D, P] is added to the pixel that it came from."""
    cdef Py_ssize_t OH = H - KH + 1, OW = W - KW + 1, c, i, j, y, column
    cdef real* row
    for c in range(C):
        for i in range(KH):
            for j in range(KW):
                for y in range(OH):
                    row = x + (c * H + y + i) * W + j
                    for column in range(OW):
                        row[column] += columns[column]
                    columns += OW


cdef inline void patches(const real* x, Py_ssize_t C, Py_ssize_t H, Py_ssize_t W, Py_ssize_t KH, Py_ssize_t KW,
                         real* out, Py_ssize_t out_row) noexcept nogil:
    """out[P, D]: the columns transposed, a row for each output pixel."""
    cdef Py_ssize_t OH = H - KH + 1, OW = W - KW + 1, c, i, y, column
    for y in range(OH):
        for column in range(OW):
            for c in range(C):
                for i in range(KH):
                    copy_row(out + (c * KH + i) * KW, x + (c * H + y + i) * W + column, KW)
            out += out_row


cdef inline real total(const real* x, Py_ssize_t n) noexcept nogil:
    """The sum of x[n]."""
    cdef vreal acc = vset(0)
    cdef Py_ssize_t i
    for i in range(n // LANES):
        acc += vload(x + i * LANES)
    if n % LANES:
        acc += vload_part(x + n - n % LANES, n % LANES)
    return vsum(acc)


def conv2d_work(Py_ssize_t C, Py_ssize_t H, Py_ssize_t W, Py_ssize_t O, Py_ssize_t KH, Py_ssize_t KW,
                Py_ssize_t padding, /) -> int:
    """Return the length of the scratch memory of the convolution kernels: image, columns and panel."""
    cdef Py_ssize_t height = H + 2 * padding, width = W + 2 * padding, D = C * KH * KW
    cdef Py_ssize_t P = (height - KH + 1) * (width - KW + 1)
    return C * height * width + LANES + whole_vectors(D) * whole_vectors(P) + matmul_work(max(D, O), max(D, O, P))


def im2col(const real[:, :, :, ::1] x, Py_ssize_t KH, Py_ssize_t KW, Py_ssize_t padding, real[:, :, ::1] out,
           real[::1] work, /):
    """out[N, D, P] = the columns of each image of x[N, C, H, W]."""
    cdef Py_ssize_t N = x.shape[0], C = x.shape[1], H = x.shape[2], W = x.shape[3], n
    with nogil:
        for n in range(N):
            pad_image(&x[n, 0, 0, 0], C, H, W, padding, &work[0])
            columns(&work[0], C, H + 2 * padding, W + 2 * padding, KH, KW, &out[n, 0, 0], out.shape[2])


def col2im(const real[:, :, ::1] cols, Py_ssize_t KH, Py_ssize_t KW, Py_ssize_t padding, real[:, :, :, ::1] out,
           real[::1] work, /):
    """out[N, C, H, W] = the transpose of im2col applied to cols[N, D, P]: overlaps are added."""
    cdef Py_ssize_t N = out.shape[0], C = out.shape[1], H = out.shape[2], W = out.shape[3], n
    with nogil:
        for n in range(N):
            scatter(&cols[n, 0, 0], C, H, W, KH, KW, padding, &out[n, 0, 0, 0], &work[0])


cdef void scatter(const real* cols, Py_ssize_t C, Py_ssize_t H, Py_ssize_t W, Py_ssize_t KH, Py_ssize_t KW,
                  Py_ssize_t padding, real* out, real* work) noexcept nogil:
    """out[C, H, W] = cols[D, P] added to a padded image, without its border."""
    cdef Py_ssize_t height = H + 2 * padding, width = W + 2 * padding, c, y
    memset(work, 0, C * height * width * sizeof(real))
    add_columns(cols, C, height, width, KH, KW, work)
    for c in range(C):
        for y in range(H):
            copy_row(out + (c * H + y) * W, work + (c * height + y + padding) * width + padding, W)


def conv2d_forward(const real[:, :, :, ::1] x, const real[:, :, :, ::1] weight, const real[::1] bias,
                   Py_ssize_t padding, real[:, :, :, ::1] out, real[::1] work, /):
    """out[N, O, OH, OW] = bias + weight[O, D] columns[D, P], image by image."""
    cdef Py_ssize_t N = x.shape[0], C = x.shape[1], H = x.shape[2], W = x.shape[3], n, o, p
    cdef Py_ssize_t O = weight.shape[0], KH = weight.shape[2], KW = weight.shape[3]
    cdef Py_ssize_t height = H + 2 * padding, width = W + 2 * padding, D = C * KH * KW
    cdef Py_ssize_t P = out.shape[2] * out.shape[3], row = whole_vectors(P)
    cdef real* cols
    cdef real* panel_work
    if N == 0:
        return
    cols = aligned(&work[C * height * width])
    panel_work = cols + D * row
    with nogil:
        for n in range(N):
            pad_image(&x[n, 0, 0, 0], C, H, W, padding, &work[0])
            columns(&work[0], C, height, width, KH, KW, cols, row)
            for o in range(O):
                for p in range(P):
                    (&out[n, o, 0, 0])[p] = bias[o]
            matmul(O, D, P, &weight[0, 0, 0, 0], D, 1, cols, row, &out[n, 0, 0, 0], P, panel_work)


def conv2d_backward_input(const real[:, :, :, ::1] dy, const real[:, :, :, ::1] weight, Py_ssize_t padding,
                          real[:, :, :, ::1] dx, real[::1] work, /):
    """dx[N, C, H, W] = col2im(weight[O, D]^T dy[O, P]), image by image."""
    cdef Py_ssize_t N = dx.shape[0], C = dx.shape[1], H = dx.shape[2], W = dx.shape[3], n
    cdef Py_ssize_t O = weight.shape[0], KH = weight.shape[2], KW = weight.shape[3]
    cdef Py_ssize_t D = C * KH * KW, P = dy.shape[2] * dy.shape[3]
    cdef real* cols
    cdef real* panel_work
    if N == 0:
        return
    cols = aligned(&work[C * (H + 2 * padding) * (W + 2 * padding)])
    panel_work = cols + D * P
    with nogil:
        for n in range(N):
            memset(cols, 0, D * P * sizeof(real))
            matmul(D, O, P, &weight[0, 0, 0, 0], 1, D, &dy[n, 0, 0, 0], P, cols, P, panel_work)
            scatter(cols, C, H, W, KH, KW, padding, &dx[n, 0, 0, 0], &work[0])


def conv2d_backward_weight(const real[:, :, :, ::1] dy, const real[:, :, :, ::1] x, Py_ssize_t padding,
                           real[:, :, :, ::1] dweight, real[::1] dbias, real[::1] work, /):
    """dweight[O, D] += dy[O, P] patches[P, D] and dbias[O] += dy summed over P, image by image."""
    cdef Py_ssize_t N = x.shape[0], C = x.shape[1], H = x.shape[2], W = x.shape[3], n, o
    cdef Py_ssize_t O = dweight.shape[0], KH = dweight.shape[2], KW = dweight.shape[3]
    cdef Py_ssize_t height = H + 2 * padding, width = W + 2 * padding, D = C * KH * KW
    cdef Py_ssize_t P = dy.shape[2] * dy.shape[3], row = whole_vectors(D)
    cdef real* rows
    cdef real* panel_work
    if N == 0:
        return
    rows = aligned(&work[C * height * width])
    panel_work = rows + P * row
    with nogil:
        memset(rows, 0, P * row * sizeof(real))
        for n in range(N):
            pad_image(&x[n, 0, 0, 0], C, H, W, padding, &work[0])
            patches(&work[0], C, height, width, KH, KW, rows, row)
            matmul(O, P, D, &dy[n, 0, 0, 0], P, 1, rows, row, &dweight[0, 0, 0, 0], D, panel_work)
            for o in range(O):
                dbias[o] += total(&dy[n, o, 0, 0], P)


# ---- average pooling -----------------------------------------------------------------------------------

cdef inline void pool_plane(const Py_ssize_t KH, const Py_ssize_t KW, const Py_ssize_t SH, const Py_ssize_t SW,
                            const real* x, Py_ssize_t W, Py_ssize_t OH, Py_ssize_t OW, real* out) noexcept nogil:
    cdef Py_ssize_t y, column, i, j
    cdef real share = <real> 1 / (KH * KW), window
    for y in range(OH):
        for column in range(OW):
            window = 0
            for i in range(KH):
                for j in range(KW):
                    window += x[(y * SH + i) * W + column * SW + j]
            out[y * OW + column] = window * share


cdef inline void spread_plane(const Py_ssize_t KH, const Py_ssize_t KW, const Py_ssize_t SH, const Py_ssize_t SW,
                              const real* dy, Py_ssize_t W, Py_ssize_t OH, Py_ssize_t OW, real* dx) noexcept nogil:
    cdef Py_ssize_t y, column, i, j
    cdef real share = <real> 1 / (KH * KW), part
    for y in range(OH):
        for column in range(OW):
            part = dy[y * OW + column] * share
            for i in range(KH):
                for j in range(KW):
                    dx[(y * SH + i) * W + column * SW + j] += part


def avg_pool2d_forward(const real[:, :, :, ::1] x, Py_ssize_t KH, Py_ssize_t KW, Py_ssize_t SH, Py_ssize_t SW,
                       real[:, :, :, ::1] out, /):
    """out[N, C, OH, OW] = the means of the windows KH x KW of x[N, C, H, W], a step SH x SW apart."""
    cdef Py_ssize_t N = x.shape[0], C = x.shape[1], W = x.shape[3], OH = out.shape[2], OW = out.shape[3], n, c
    with nogil:
        for n in range(N):
            for c in range(C):
                if KH == 2 and KW == 2 and SH == 2 and SW == 2:     # constants, that the loops unroll
                    pool_plane(2, 2, 2, 2, &x[n, c, 0, 0], W, OH, OW, &out[n, c, 0, 0])
                else:
                    pool_plane(KH, KW, SH, SW, &x[n, c, 0, 0], W, OH, OW, &out[n, c, 0, 0])


def avg_pool2d_backward(const real[:, :, :, ::1] dy, Py_ssize_t KH, Py_ssize_t KW, Py_ssize_t SH, Py_ssize_t SW,
                        real[:, :, :, ::1] dx, /):
    """dx[N, C, H, W] = each element of dy[N, C, OH, OW] shared out equally over its window."""
    cdef Py_ssize_t N = dx.shape[0], C = dx.shape[1], H = dx.shape[2], W = dx.shape[3]
    cdef Py_ssize_t OH = dy.shape[2], OW = dy.shape[3], n, c
    if N == 0:
        return
    with nogil:
        memset(&dx[0, 0, 0, 0], 0, N * C * H * W * sizeof(real))
        for n in range(N):
            for c in range(C):
                if KH == 2 and KW == 2 and SH == 2 and SW == 2:
                    spread_plane(2, 2, 2, 2, &dy[n, c, 0, 0], W, OH, OW, &dx[n, c, 0, 0])
                else:
                    spread_plane(KH, KW, SH, SW, &dy[n, c, 0, 0], W, OH, OW, &dx[n, c, 0, 0])


# ---- sigmoid -------------------------------------------------------------------------------------------

def sigmoid_forward(const real[::1] x, real[::1] out, /):
    """out = 1 / (1 + exp(-x)), elementwise; out may be x."""
    cdef Py_ssize_t n = x.shape[0]
    if n:
        with nogil:
            memmove(&out[0], &x[0], n * sizeof(real))
            sigmoids(&out[0], n)


def sigmoid_backward(const real[::1] dy, const real[::1] y, real[::1] dx, /):
    """dx = dy y (1 - y), elementwise, where y is what sigmoid_forward gave; dx may be dy."""
    cdef Py_ssize_t n = y.shape[0], i
    with nogil:
        for i in range(n):
            dx[i] = dy[i] * y[i] * (1 - y[i])
