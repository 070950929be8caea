# The backward pass of the convolutions, one image at a time. The layouts are those of stages.pxi.

cdef enum:
    # A second copy of the gradient of C3's sums, one plane per map: each row has zeros before and after it, and the
    # plane begins and ends with a row of zeros. `s2_gradient` skips taps beyond these rows, so each tap of a pixel of
    # S2 reads a gradient or a zero.
    MARGIN = KERNEL - 1
    S2_ROW = (S2_SIDE + MAX_LANES - 1) // MAX_LANES * MAX_LANES     # in whole vectors
    PLANE_ROW = MARGIN + S2_ROW + MARGIN
    PLANE = (1 + C3_SIDE + 1) * PLANE_ROW
    PLANES_SIZE = C3_MAPS * PLANE

cdef Py_ssize_t[TAPS] plane_taps     # like s2_taps, but tap (i, j) reads the gradient i rows up and j columns left


cdef void fill_plane_taps() noexcept nogil:
    cdef Py_ssize_t tap
    for tap in range(TAPS):
        plane_taps[tap] = -(tap // KERNEL * PLANE_ROW + tap % KERNEL)


cdef inline vreal sigmoid_backward(vreal dy, vreal y) noexcept nogil:
    return dy * y * (vset(1) - y)


cdef inline void sigmoids_backward(real* dy, const real* y, Py_ssize_t n) noexcept nogil:
    """Multiply dy[n] by the slopes y (1 - y) of the sigmoids, in place."""
    cdef Py_ssize_t i
    for i in range(n):
        dy[i] = dy[i] * y[i] * (1 - y[i])


cdef inline void avg_pool_backward(vreal dy, real* y, Py_ssize_t right, Py_ssize_t down) noexcept nogil:
    """Replace the sigmoids y of a window by the gradients of their sums, each from a quarter of dy."""
    cdef vreal share = dy * vset(0.25)
    vstore(y, sigmoid_backward(share, vload(y)))
    vstore(y + right, sigmoid_backward(share, vload(y + right)))
    vstore(y + down, sigmoid_backward(share, vload(y + down)))
    vstore(y + down + right, sigmoid_backward(share, vload(y + down + right)))


# ---- from S4 to C3's sums, its weights and S2 -----------------------------------------------------------

cdef void c3_sums_gradient(const real* ds4, real* y, real* planes) noexcept nogil:
    """Compute the gradients of C3's sums from ds4[map, S4_PIXELS]: into y (row, column, map), and into planes."""
    cdef real by_pixel[S4_PIXELS * C3_MAPS]
    cdef Py_ssize_t row, column, v
    transpose(True, C3_MAPS, S4_PIXELS, ds4, S4_PIXELS, by_pixel, C3_MAPS)
    for row in range(S4_SIDE):
        for column in range(S4_SIDE):
            for v in range(C3_MAPS // LANES):
                avg_pool_backward(vload(by_pixel + (row * S4_SIDE + column) * C3_MAPS + v * LANES),
                                  y + row * C3_PAIR + 2 * column * C3_MAPS + v * LANES, C3_MAPS, C3_SIDE * C3_MAPS)
    for row in range(C3_SIDE):
        transpose(True, C3_SIDE, C3_MAPS, y + row * C3_SIDE * C3_MAPS, C3_MAPS,
                  planes + (1 + row) * PLANE_ROW + MARGIN, PLANE)


cdef inline void c3_weight_row(const int i, const real* s2, const vreal* d, vreal* acc) noexcept nogil:
    cdef vreal pixel
    cdef int j, v, k
    for j in range(KERNEL):
        pixel = vset(s2[i * S2_SIDE + j])
        for v in range(C3_VECTORS):
            k = (i * KERNEL + j) * C3_VECTORS + v
            acc[k] = vmuladd(pixel, d[v], acc[k])
    FORGET_LOADS()


cdef inline void c3_weight_tile(const real* dz, const real* s2, real* dweight) noexcept nogil:
    """Add to C3_WEIGHT_ROWS rows of a kernel of dweight[c, i, j, map]; C3_VECTORS vectors of maps of each weight.

    for i, j, o: dweight[i, j, o] += sum over y, x of dz[y, x, o] * s2[y + i, x + j]
    """
    cdef vreal acc[C3_WEIGHT_ROWS * KERNEL * C3_VECTORS]
    cdef vreal d[C3_VECTORS]
    cdef Py_ssize_t row, column
    cdef int i, j, v
    for i in range(C3_WEIGHT_ROWS):
        for j in range(KERNEL):
            for v in range(C3_VECTORS):
                acc[(i * KERNEL + j) * C3_VECTORS + v] = vload(dweight + (i * KERNEL + j) * C3_MAPS + v * LANES)
    for row in range(C3_SIDE):
        for column in range(C3_SIDE):
            for v in range(C3_VECTORS):
                d[v] = vload(dz + v * LANES)
            c3_weight_row(0, s2 + column, d, acc)
            if C3_WEIGHT_ROWS == KERNEL:    # spelt out, since gcc does not unroll a loop of 25 accumulators
                c3_weight_row(1, s2 + column, d, acc)
                c3_weight_row(2, s2 + column, d, acc)
                c3_weight_row(3, s2 + column, d, acc)
                c3_weight_row(4, s2 + column, d, acc)
            dz += C3_MAPS
        s2 += S2_SIDE
    for i in range(C3_WEIGHT_ROWS):
        for j in range(KERNEL):
            for v in range(C3_VECTORS):
                vstore(dweight + (i * KERNEL + j) * C3_MAPS + v * LANES, acc[(i * KERNEL + j) * C3_VECTORS + v])


cdef void c3_weight_gradient(const real* dz, const real* s2, real* dweight, real* dbias) noexcept nogil:
    """Add an image's gradients to dweight[tap, map] and dbias[map]."""
    cdef Py_ssize_t c, i, v, pixel
    cdef vreal total
    for c in range(C1_MAPS):
        for i in range(KERNEL // C3_WEIGHT_ROWS):
            for v in range(C3_MAPS // (C3_VECTORS * LANES)):
                c3_weight_tile(dz + v * C3_VECTORS * LANES, s2 + c * S2_STRIDE + i * C3_WEIGHT_ROWS * S2_SIDE,
                               dweight + (c * TAPS + i * C3_WEIGHT_ROWS * KERNEL) * C3_MAPS + v * C3_VECTORS * LANES)
    for v in range(C3_MAPS // LANES):
        total = vload(dbias + v * LANES)
        for pixel in range(C3_SIDE * C3_SIDE):
            total += vload(dz + pixel * C3_MAPS + v * LANES)
        vstore(dbias + v * LANES, total)


cdef inline void s2_tile(const real* planes, const real* weight, Py_ssize_t row, Py_ssize_t first, Py_ssize_t last,
                         Py_ssize_t start, real* ds2) noexcept nogil:
    """Compute S2_VECTORS vectors of every map of ds2, from number `start` of a row; taps first to last - 1 reach them.

    for c, y, x: ds2[c, y, x] = sum over o, i, j of weight[o, c, i, j] * dz[o, y - i, x - j]
    """
    cdef vreal acc[C1_MAPS * S2_VECTORS]
    cdef const real* dz[S2_VECTORS]
    cdef vreal d[S2_VECTORS]
    cdef vreal w
    cdef Py_ssize_t lane, tap, o
    cdef int c, v
    for v in range(S2_VECTORS):
        lane = start + v * LANES
        dz[v] = planes + (1 + row + lane // S2_ROW) * PLANE_ROW + MARGIN + lane % S2_ROW
    for c in range(C1_MAPS):
        for v in range(S2_VECTORS):
            acc[c * S2_VECTORS + v] = vset(0)
    for o in range(C3_MAPS):
        for tap in range(first, last):
            for v in range(S2_VECTORS):
                d[v] = vload(dz[v] + plane_taps[tap])
            for c in range(C1_MAPS):
                w = vset(weight[c * TAPS + tap])
                for v in range(S2_VECTORS):
                    acc[c * S2_VECTORS + v] = vmuladd(w, d[v], acc[c * S2_VECTORS + v])
        for v in range(S2_VECTORS):
            dz[v] += PLANE
        weight += C3_TAPS
    for c in range(C1_MAPS):
        for v in range(S2_VECTORS):
            lane = start + v * LANES
            vstore(ds2 + c * S2_STRIDE + (row + lane // S2_ROW) * S2_SIDE + lane % S2_ROW, acc[c * S2_VECTORS + v])


cdef void s2_gradient(const real* planes, const real* weight, real* ds2) noexcept nogil:
    """Compute ds2[map, row, column]. A tile spans one row, or several if its vectors have more than S2_ROW numbers.

    Each row ends with zeros, which the next row overwrites; after the last row, they fall into the padding. The rest of
    the padding is never written, but c1_sums_gradient reads it: it must be zero already (see scratch_size).
    """
    cdef Py_ssize_t rows = max(1, S2_VECTORS * LANES // S2_ROW), block, band, row
    for band in range(S2_SIDE // rows):
        row = band * rows
        for block in range(rows * S2_ROW // (S2_VECTORS * LANES)):
            s2_tile(planes, weight, row, KERNEL * max(<Py_ssize_t> 0, row - C3_SIDE + 1),
                    KERNEL * min(<Py_ssize_t> KERNEL, row + rows), block * S2_VECTORS * LANES, ds2)


# ---- from S2 to C1's sums and weights -------------------------------------------------------------------

cdef void c1_sums_gradient(const real* ds2, real* y, real* dbias) noexcept nogil:
    """Replace the sigmoids of C1 by the gradients of its sums, and add those up in dbias[map, LANES]."""
    cdef Py_ssize_t band, c, place
    cdef real* window
    cdef vreal total
    for c in range(C1_MAPS):
        total = vload(dbias + c * LANES)
        for band in range(ceil_div(S2_SIDE * S2_SIDE, LANES)):
            window = y + (band * C1_MAPS + c) * PLACES * LANES
            avg_pool_backward(vload(ds2 + c * S2_STRIDE + band * LANES), window, LANES, 2 * LANES)
            for place in range(PLACES):
                total += vload(window + place * LANES)
        vstore(dbias + c * LANES, total)


cdef inline void c1_weight_tile(const real* dz, const real* image, const Py_ssize_t* taps,
                                real* dweight) noexcept nogil:
    """Add to row i of C1_WEIGHT_MAPS kernels of dweight[map, i, j, LANES], whose lanes add_sums adds up.

    for c, j: dweight[c, i, j] += sum over y, x of dz[c, y, x] * image[y + i, x + j]
    """
    cdef vreal acc[C1_WEIGHT_MAPS * KERNEL]
    cdef vreal d[C1_WEIGHT_MAPS * POOL]
    cdef vreal pixel
    cdef Py_ssize_t band, row
    cdef int c, j, shift
    for c in range(C1_WEIGHT_MAPS):
        for j in range(KERNEL):
            acc[c * KERNEL + j] = vload(dweight + (c * TAPS + j) * LANES)
    for band in range(ceil_div(S2_SIDE * S2_SIDE, LANES)):
        for row in range(POOL):
            for c in range(C1_WEIGHT_MAPS):
                for j in range(POOL):
                    d[c * POOL + j] = vload(dz + (c * PLACES + row * POOL + j) * LANES)
            for shift in range(SHIFTS):     # under tap `shift` of the left place, and the tap before it of the right
                pixel = vload(image + taps[row * TAPS] + shift * PART)
                for c in range(C1_WEIGHT_MAPS):
                    if shift < KERNEL:
                        acc[c * KERNEL + shift] = vmuladd(d[c * POOL], pixel, acc[c * KERNEL + shift])
                    if shift > 0:
                        acc[c * KERNEL + shift - 1] = vmuladd(d[c * POOL + 1], pixel, acc[c * KERNEL + shift - 1])
                FORGET_LOADS()
        image += LANES
        dz += C1_MAPS * PLACES * LANES
    for c in range(C1_WEIGHT_MAPS):
        for j in range(KERNEL):
            vstore(dweight + (c * TAPS + j) * LANES, acc[c * KERNEL + j])


cdef void c1_weight_gradient(const real* dz, const real* image, real* dweight) noexcept nogil:
    """Add an image's gradients to dweight[map, i, j, LANES], lane by lane."""
    cdef Py_ssize_t c, i
    for c in range(C1_MAPS // C1_WEIGHT_MAPS):
        for i in range(KERNEL):
            c1_weight_tile(dz + c * C1_WEIGHT_MAPS * PLACES * LANES, image, image_taps + i * KERNEL,
                           dweight + (c * C1_WEIGHT_MAPS * TAPS + i * KERNEL) * LANES)
