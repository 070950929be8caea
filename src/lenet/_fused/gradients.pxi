# The backward pass of the convolutions, one image at a time. The layouts are those of stages.pxi.
#
# The gradients of products, filters and points are computed for one point of winograd.pxi at a time; dproducts is
# element k of A dz.

cdef enum:
    # The gradients of C3's sums, one plane per map, with rows of zeros before and after, so that each row of a kernel
    # reads a gradient or a zero.
    MARGIN = (KERNEL - 1) * S4_SIDE
    PLANE = (MARGIN + C3_PAIRS + MARGIN + MAX_LANES - 1) // MAX_LANES * MAX_LANES       # (row, pair)
    PLANES_SIZE = C3_MAPS * PLANE
    PLANE_ROWS = KERNEL * C3_MAPS                                                       # (i, o)
    DPOINTS = (S2_SIDE * S4_SIDE + MAX_LANES - 1) // MAX_LANES * MAX_LANES              # (row, pair)
    DPOINTS_SIZE = POINTS * C1_MAPS * DPOINTS
    WIDE = MAX_LANES + S2_PAIRS                                                         # zeros, and (row, PAIRS)
    S2_BLOCK = S2_VECTORS * LANES

cdef Py_ssize_t[PLANE_ROWS] plane_rows      # (i, o): the offset of plane o, i rows further up


cdef void fill_plane_rows() noexcept nogil:
    cdef Py_ssize_t i_o
    for i_o in range(PLANE_ROWS):
        plane_rows[i_o] = i_o % C3_MAPS * PLANE + MARGIN - i_o // C3_MAPS * S4_SIDE


cdef inline vreal sigmoid_backward(vreal dy, vreal y) noexcept nogil:
    return dy * y * (vset(1) - y)


cdef inline void sigmoids_backward(real* dy, const real* y, Py_ssize_t n) noexcept nogil:
    """Multiply dy[n] by the slopes y (1 - y) of the sigmoids, in place."""
    cdef Py_ssize_t i
    for i in range(n):
        dy[i] = dy[i] * y[i] * (1 - y[i])


cdef inline void pooled_sigmoids_backward(vreal dy, real* y, Py_ssize_t right, Py_ssize_t down) noexcept nogil:
    """Replace the sigmoids y of a window by the gradients of their sums, each from a quarter of dy."""
    cdef vreal share = dy * vset(0.25)
    vstore(y, sigmoid_backward(share, vload(y)))
    vstore(y + right, sigmoid_backward(share, vload(y + right)))
    vstore(y + down, sigmoid_backward(share, vload(y + down)))
    vstore(y + down + right, sigmoid_backward(share, vload(y + down + right)))


# ---- from S4 to C3's sums, its filters and S2 -----------------------------------------------------------

cdef void c3_sums_gradient(const real* ds4, real* y, real* planes) noexcept nogil:
    """Compute the gradients of C3's sums from ds4[map, S4_PIXELS]: into y, replacing the sigmoids, and into planes.

    There are two sets of planes: of the even and of the odd columns.
    """
    cdef real by_pixel[S4_PIXELS * C3_MAPS]
    cdef Py_ssize_t row, n, v, half
    transpose(C3_MAPS, S4_PIXELS, ds4, S4_PIXELS, by_pixel, C3_MAPS)
    for v in range(S4_PIXELS * C3_MAPS // LANES):
        n = v * LANES
        row = n // C3_ROW       # of S4, to which two rows of C3 belong
        pooled_sigmoids_backward(vload(by_pixel + n), y + row * C3_ROW + n, C3_HALF, C3_ROW)
    for half in range(POOL):
        transpose(C3_PAIRS, C3_MAPS, y + half * C3_HALF, C3_MAPS, planes + half * PLANES_SIZE + MARGIN, PLANE)


cdef inline void c3_filter_tile(const real* dproducts, const real* points, real* dfilters) noexcept nogil:
    """Add to one point of dfilters[c, i, map] for C3_WEIGHT_MAPS maps c; C3_VECTORS vectors of maps of each.

    for c, i, o: dfilters[c, i, o] += sum over y, x of dproducts[y, x, o] * points[c, y + i, x]
    """
    cdef vreal acc[C3_WEIGHT_MAPS * KERNEL * C3_VECTORS]
    cdef vreal d[C3_VECTORS]
    cdef vreal pixel
    cdef Py_ssize_t n
    cdef int c, i, v, k
    for c in range(C3_WEIGHT_MAPS):
        for i in range(KERNEL):
            for v in range(C3_VECTORS):
                acc[(c * KERNEL + i) * C3_VECTORS + v] = vload(dfilters + (c * KERNEL + i) * C3_MAPS + v * LANES)
    for n in range(C3_PAIRS):
        for v in range(C3_VECTORS):
            d[v] = vload(dproducts + n * C3_MAPS + v * LANES)
        for c in range(C3_WEIGHT_MAPS):
            for i in range(KERNEL):
                pixel = vset(points[s2_pairs[n] + c * S2_PAIRS + i * PAIRS])
                for v in range(C3_VECTORS):
                    k = (c * KERNEL + i) * C3_VECTORS + v
                    acc[k] = vmuladd(pixel, d[v], acc[k])
        FORGET_LOADS()
    for c in range(C3_WEIGHT_MAPS):
        for i in range(KERNEL):
            for v in range(C3_VECTORS):
                vstore(dfilters + (c * KERNEL + i) * C3_MAPS + v * LANES, acc[(c * KERNEL + i) * C3_VECTORS + v])


cdef void c3_filter_gradient(const real* dz, const real* points, real* dproducts, real* dfilters,
                             real* dbias) noexcept nogil:
    """Add an image's gradients to dfilters[point, c, i, map] and dbias[map]. dproducts is scratch memory."""
    cdef Py_ssize_t k, c, v, n
    cdef const real* d
    cdef vreal total
    for k in range(POINTS):
        d = gradients_of_point(C3_HALF, k, dz, dz + C3_HALF, dproducts)
        for c in range(C1_MAPS // C3_WEIGHT_MAPS):
            for v in range(C3_MAPS // (C3_VECTORS * LANES)):
                c3_filter_tile(d + v * C3_VECTORS * LANES,
                               points + (k * C1_MAPS + c * C3_WEIGHT_MAPS) * S2_PAIRS,
                               dfilters + (k * C1_MAPS + c * C3_WEIGHT_MAPS) * KERNEL * C3_MAPS
                               + v * C3_VECTORS * LANES)
    for v in range(C3_MAPS // LANES):
        total = vload(dbias + v * LANES)
        for n in range(POOL * C3_PAIRS):
            total += vload(dz + n * C3_MAPS + v * LANES)
        vstore(dbias + v * LANES, total)


cdef inline void s2_tile(const real* dproducts, const real* filters, Py_ssize_t first, Py_ssize_t last,
                         real* dpoints) noexcept nogil:
    """Compute S2_BLOCK pairs of one point of dpoints, of every map, from rows first to last - 1 of the kernels.

    for c, y, x: dpoints[c, y, x] = sum over i, o of filters[c, i, o] * dproducts[o, y - i, x]
    """
    cdef vreal acc[C1_MAPS * S2_VECTORS]
    cdef vreal d[S2_VECTORS]
    cdef vreal w
    cdef Py_ssize_t i_o
    cdef int c, v
    for c in range(C1_MAPS):
        for v in range(S2_VECTORS):
            acc[c * S2_VECTORS + v] = vset(0)
    for i_o in range(first * C3_MAPS, last * C3_MAPS):
        for v in range(S2_VECTORS):
            d[v] = vload(dproducts + plane_rows[i_o] + v * LANES)
        for c in range(C1_MAPS):
            w = vset(filters[c * PLANE_ROWS + i_o])
            for v in range(S2_VECTORS):
                acc[c * S2_VECTORS + v] = vmuladd(w, d[v], acc[c * S2_VECTORS + v])
    for c in range(C1_MAPS):
        for v in range(S2_VECTORS):
            vstore(dpoints + c * DPOINTS + v * LANES, acc[c * S2_VECTORS + v])


cdef void s2_points_gradient(const real* planes, const real* filters, real* dproducts, real* dpoints) noexcept nogil:
    """Compute dpoints[point, map, row, pair]. dproducts is scratch memory."""
    cdef Py_ssize_t k, block, start
    cdef const real* d
    for k in range(POINTS):
        d = gradients_of_point(PLANES_SIZE, k, planes, planes + PLANES_SIZE, dproducts)
        for block in range(ceil_div(S2_SIDE * S4_SIDE, S2_BLOCK)):
            start = block * S2_BLOCK
            s2_tile(d + start, filters + k * KERNEL_ROWS * C3_MAPS, max(<Py_ssize_t> 0, start // S4_SIDE - C3_SIDE + 1),
                    min(<Py_ssize_t> KERNEL, (start + S2_BLOCK - 1) // S4_SIDE + 1),
                    dpoints + k * C1_MAPS * DPOINTS + start)


cdef void s2_gradient(const real* dpoints, real* wide, real* ds2) noexcept nogil:
    """Compute ds2[map, row, column] from the gradients of its points.

    wide[point, WIDE] is scratch memory that is zero at first. It separates the rows of pairs by zeros: up to three
    pairs of C3 read a pixel of S2, and zeros take the place of the others. So the padding of ds2 becomes zero, as
    c1_sums_gradient requires.
    """
    cdef Py_ssize_t k, c, v
    cdef const real* d
    cdef vreal left, right
    for c in range(C1_MAPS):
        for k in range(POINTS):
            copy_rows(S2_SIDE, S4_SIDE, dpoints + (k * C1_MAPS + c) * DPOINTS, S4_SIDE,
                      wide + k * WIDE + MAX_LANES, PAIRS)
        for v in range(ceil_div(S2_SIDE * PAIRS, LANES)):
            d = wide + MAX_LANES + v * LANES
            left = (input_gradient(0, d, WIDE) + input_gradient(2, d - 1, WIDE)) + input_gradient(4, d - 2, WIDE)
            right = (input_gradient(1, d, WIDE) + input_gradient(3, d - 1, WIDE)) + input_gradient(5, d - 2, WIDE)
            vstore(ds2 + c * S2_STRIDE + 2 * v * LANES, vinterleave_low(left, right))
            vstore(ds2 + c * S2_STRIDE + (2 * v + 1) * LANES, vinterleave_high(left, right))


# ---- from S2 to C1's sums and filters -------------------------------------------------------------------

cdef void c1_sums_gradient(const real* ds2, real* y, real* dbias) noexcept nogil:
    """Replace the sigmoids of C1 by the gradients of its sums, and add those up in dbias[map, LANES]."""
    cdef Py_ssize_t band, c, place
    cdef real* window
    cdef vreal total
    for c in range(C1_MAPS):
        total = vload(dbias + c * LANES)
        for band in range(ceil_div(S2_SIDE * S2_SIDE, LANES)):
            window = y + (band * C1_MAPS + c) * PLACES * LANES
            pooled_sigmoids_backward(vload(ds2 + c * S2_STRIDE + band * LANES), window, LANES, 2 * LANES)
            for place in range(PLACES):
                total += vload(window + place * LANES)
        vstore(dbias + c * LANES, total)


cdef inline void c1_filter_tile(Py_ssize_t point, const real* dz, const real* image, real* dfilters) noexcept nogil:
    """Add to one point of dfilters[map, i, LANES], for C1_WEIGHT_MAPS maps; add_sums adds up the lanes.

    for c, i: dfilters[c, i] += sum over y, x of dproducts[c, y, x] * image[y + i, x]
    """
    cdef vreal acc[C1_WEIGHT_MAPS * KERNEL]
    cdef vreal d[C1_WEIGHT_MAPS]
    cdef vreal pixel
    cdef const real* left
    cdef Py_ssize_t band, row
    cdef int c, i
    for c in range(C1_WEIGHT_MAPS):
        for i in range(KERNEL):
            acc[c * KERNEL + i] = vload(dfilters + (c * KERNEL + i) * LANES)
    for band in range(ceil_div(S2_SIDE * S2_SIDE, LANES)):
        for row in range(POOL):
            for c in range(C1_WEIGHT_MAPS):
                left = dz + (c * PLACES + row * POOL) * LANES
                d[c] = product_gradient(point, left, left + LANES)
            for i in range(KERNEL):
                pixel = vload(image + image_rows[row * KERNEL + i])
                for c in range(C1_WEIGHT_MAPS):
                    acc[c * KERNEL + i] = vmuladd(d[c], pixel, acc[c * KERNEL + i])
            FORGET_LOADS()
        image += LANES
        dz += C1_MAPS * PLACES * LANES
    for c in range(C1_WEIGHT_MAPS):
        for i in range(KERNEL):
            vstore(dfilters + (c * KERNEL + i) * LANES, acc[c * KERNEL + i])


cdef void c1_filter_gradient(const real* dz, const real* image, real* dfilters) noexcept nogil:
    """Add an image's gradients to dfilters[point, map, i, LANES], lane by lane."""
    cdef Py_ssize_t c, k
    for k in range(POINTS):
        for c in range(C1_MAPS // C1_WEIGHT_MAPS):
            c1_filter_tile(k, dz + c * C1_WEIGHT_MAPS * PLACES * LANES, image + k * POOL * PART,
                           dfilters + (k * C1_MAPS + c * C1_WEIGHT_MAPS) * KERNEL * LANES)
