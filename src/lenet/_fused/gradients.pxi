# LeNet-5 backwards through its convolutions, an image at a time. The layouts are those of stages.pxi.

cdef inline void unpool(real dy_share, vreal dy, real* y, Py_ssize_t right, Py_ssize_t down) noexcept nogil:
    """Replace the sigmoids y of a window by the gradients of their sums: dy dy_share y (1 - y)."""
    cdef vreal share = dy * vset(dy_share)
    unsigmoid(share, y)
    unsigmoid(share, y + right)
    unsigmoid(share, y + down)
    unsigmoid(share, y + down + right)


cdef inline void unsigmoid(vreal dy, real* y) noexcept nogil:
    cdef vreal value = vload(y)
    vstore(y, dy * value * (vset(1) - value))


# ---- S4 to C3's sums, its weights and S2 ---------------------------------------------------------------

cdef void c3_unpool(const real* ds4, real* y, real* planes) noexcept nogil:
    """From ds4[map, S4_SIDE^2], the gradients of C3's sums: in y's place (row, column, map), and as planes."""
    cdef real by_pixel[S4_SIDE * S4_SIDE * C3_MAPS]
    cdef Py_ssize_t row, column, lane
    cdef real* pair
    transpose(True, C3_MAPS, S4_SIDE * S4_SIDE, ds4, S4_SIDE * S4_SIDE, by_pixel, C3_MAPS)
    for row in range(S4_SIDE):
        for column in range(S4_SIDE):
            for lane from 0 <= lane < C3_MAPS by LANES:
                pair = y + row * C3_PAIR + 2 * column * C3_MAPS + lane
                unpool(0.25, vload(by_pixel + (row * S4_SIDE + column) * C3_MAPS + lane), pair, C3_MAPS,
                       C3_SIDE * C3_MAPS)
    for row in range(C3_SIDE):
        transpose(True, C3_SIDE, C3_MAPS, y + row * C3_SIDE * C3_MAPS, C3_MAPS,
                  planes + (1 + row) * PLANE_ROW + MARGIN, PLANE)


cdef inline void c3_weight_row(const int i, const real* s2, const vreal* d, vreal* acc) noexcept nogil:
    cdef vreal pixel
    cdef int j, v, k
    for j in range(KERNEL):
        pixel = vset(s2[i * WIDE + j])
        for v in range(C3_VECTORS):
            k = (i * KERNEL + j) * C3_VECTORS + v
            acc[k] = vmuladd(pixel, d[v], acc[k])
    FORGET_LOADS()


cdef inline void c3_weight_tile(const real* dz, const real* s2, real* dweight) noexcept nogil:
    """dweight[C3_WEIGHT_ROWS, KERNEL, map] += the sum over pixels of dz and the pixel of s2 that each tap meets."""
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
            if C3_WEIGHT_ROWS == KERNEL:
                c3_weight_row(1, s2 + column, d, acc)
                c3_weight_row(2, s2 + column, d, acc)
                c3_weight_row(3, s2 + column, d, acc)
                c3_weight_row(4, s2 + column, d, acc)
            dz += C3_MAPS
        s2 += WIDE
    for i in range(C3_WEIGHT_ROWS):
        for j in range(KERNEL):
            for v in range(C3_VECTORS):
                vstore(dweight + (i * KERNEL + j) * C3_MAPS + v * LANES, acc[(i * KERNEL + j) * C3_VECTORS + v])


cdef void c3_weight_gradient(const real* dz, const real* s2, real* dweight, real* dbias) noexcept nogil:
    """dweight[tap, map] and dbias[map] += the image's."""
    cdef Py_ssize_t c, i, lane, pixel
    cdef vreal total
    for c in range(C1_MAPS):
        for i from 0 <= i < KERNEL by C3_WEIGHT_ROWS:
            for lane from 0 <= lane < C3_MAPS by C3_VECTORS * LANES:
                c3_weight_tile(dz + lane, s2 + (c * HALF + i) * WIDE,
                               dweight + (c * WINDOW + i * KERNEL) * C3_MAPS + lane)
    for lane from 0 <= lane < C3_MAPS by LANES:
        total = vload(dbias + lane)
        for pixel in range(C3_SIDE * C3_SIDE):
            total += vload(dz + pixel * C3_MAPS + lane)
        vstore(dbias + lane, total)


cdef inline void s2_tile(const real* planes, const real* weight, Py_ssize_t row, Py_ssize_t first, Py_ssize_t last,
                         Py_ssize_t start, real* ds2) noexcept nogil:
    """S2_VECTORS vectors of every map of ds2, from lane `start` of a row on; the taps first..last - 1 reach them."""
    cdef vreal acc[C1_MAPS * S2_VECTORS]
    cdef const real* dz[S2_VECTORS]
    cdef vreal d[S2_VECTORS]
    cdef vreal w
    cdef Py_ssize_t lane, tap, o
    cdef int c, v
    for v in range(S2_VECTORS):
        lane = start + v * LANES
        dz[v] = planes + (1 + row + lane // WIDE) * PLANE_ROW + MARGIN + lane % WIDE
    for c in range(C1_MAPS):
        for v in range(S2_VECTORS):
            acc[c * S2_VECTORS + v] = vset(0)
    for o in range(C3_MAPS):
        for tap in range(first, last):
            for v in range(S2_VECTORS):
                d[v] = vload(dz[v] + plane_taps[tap])
            for c in range(C1_MAPS):
                w = vset(weight[c * WINDOW + tap])
                for v in range(S2_VECTORS):
                    acc[c * S2_VECTORS + v] = vmuladd(w, d[v], acc[c * S2_VECTORS + v])
        for v in range(S2_VECTORS):
            dz[v] += PLANE
        weight += C3_TAPS
    for c in range(C1_MAPS):
        for v in range(S2_VECTORS):
            vstore(ds2 + (c * HALF + row) * WIDE + start + v * LANES, acc[c * S2_VECTORS + v])


cdef void s2_gradient(const real* planes, const real* weight, real* ds2) noexcept nogil:
    """ds2[map, HALF, WIDE]: each weight (o, c, i, j) takes the gradient of (o, y - i, x - j) to (c, y, x)."""
    cdef Py_ssize_t rows = max(1, S2_VECTORS * LANES // WIDE), row, start
    for row from 0 <= row < HALF by rows:
        for start from 0 <= start < rows * WIDE by S2_VECTORS * LANES:
            s2_tile(planes, weight, row, KERNEL * max(<Py_ssize_t> 0, row - C3_SIDE + 1),
                    KERNEL * min(<Py_ssize_t> KERNEL, row + rows), start, ds2)


# ---- S2 to C1's sums and weights -----------------------------------------------------------------------

cdef void c1_unpool(const real* ds2, real* y, real* dbias) noexcept nogil:
    """Replace the sigmoids of C1 by the gradients of its sums, and add those up in dbias[map, LANES]."""
    cdef Py_ssize_t row, c, lane, place
    cdef real* window
    cdef vreal total
    for c in range(C1_MAPS):
        total = vload(dbias + c * LANES)
        for row in range(HALF):
            for lane from 0 <= lane < WIDE by LANES:
                window = y + row * C1_PAIR + c * PLACES * WIDE + lane
                unpool(0.25, vload(ds2 + (c * HALF + row) * WIDE + lane), window, WIDE, 2 * WIDE)
                for place in range(PLACES):
                    total += vload(window + place * WIDE)
        vstore(dbias + c * LANES, total)


cdef inline void c1_weight_tile(const real* dz, const real* image, real* dweight) noexcept nogil:
    """dweight[C1_WEIGHT_MAPS, one row of KERNEL weights, LANES] += dz and the pixels that they meet, lane by lane."""
    cdef vreal acc[C1_WEIGHT_MAPS * KERNEL]
    cdef vreal d[C1_WEIGHT_MAPS]
    cdef vreal pixel
    cdef Py_ssize_t row, lane
    cdef const real* pixels
    cdef int c, j
    for c in range(C1_WEIGHT_MAPS):
        for j in range(KERNEL):
            acc[c * KERNEL + j] = vload(dweight + (c * WINDOW + j) * LANES)
    for row in range(HALF):
        for lane from 0 <= lane < PLACES * WIDE by LANES:
            pixels = image + (2 * row + lane // (2 * WIDE)) * IMAGE_ROW + lane // WIDE % 2 * PARITY + lane % WIDE
            for c in range(C1_WEIGHT_MAPS):
                d[c] = vload(dz + c * PLACES * WIDE + lane)
            for j in range(KERNEL):
                pixel = vload(pixels + j % 2 * PARITY + j // 2)
                for c in range(C1_WEIGHT_MAPS):
                    acc[c * KERNEL + j] = vmuladd(d[c], pixel, acc[c * KERNEL + j])
        dz += C1_PAIR
    for c in range(C1_WEIGHT_MAPS):
        for j in range(KERNEL):
            vstore(dweight + (c * WINDOW + j) * LANES, acc[c * KERNEL + j])


cdef void c1_weight_gradient(const real* dz, const real* image, real* dweight) noexcept nogil:
    """dweight[map, i, j, LANES] += the image's, lane by lane."""
    cdef Py_ssize_t c, i
    for c from 0 <= c < C1_MAPS by C1_WEIGHT_MAPS:
        for i in range(KERNEL):
            c1_weight_tile(dz + c * PLACES * WIDE, image + i * IMAGE_ROW, dweight + (c * WINDOW + i * KERNEL) * LANES)
