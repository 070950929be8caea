# The forward pass of the convolutions, one image at a time: C1 with S2, and C3 with S4.
#
# In C1, the lanes of a vector are pooling windows, row after row. In C3, the lanes are maps.
# No patch is copied (no im2col): a tile reads the points under a row of a kernel in place (winograd.pxi).

cdef enum:
    PLACES = POOL * POOL    # of a pixel in its pooling window
    # The windows of a map of C1, or the pixels of one of S2, in whole vectors. Predictions ignore the padding;
    # in gradients, it must be zero. It is never subnormal, because Intel CPUs process subnormal numbers slowly.
    S2_STRIDE = (S2_SIDE * S2_SIDE + MAX_LANES - 1) // MAX_LANES * MAX_LANES
    S2_SIZE = C1_MAPS * S2_STRIDE + 2 * MAX_LANES       # (map, row, column); vectors of pairs reach beyond the end
    # The points of every second row of the padded image, row after row. A row of the kernel two further down begins
    # S2_SIDE numbers later, so this is longer than S2_STRIDE.
    PART = S2_STRIDE + 2 * MAX_LANES
    IMAGE_SIZE = POINTS * POOL * PART                   # (point, parity of the row, row, pair)
    C1_PRODUCTS = C1_MAPS * POINTS * POOL * MAX_LANES   # of a band of LANES windows: (map, point, row, window)
    C1_SIZE = C1_MAPS * PLACES * S2_STRIDE              # (band, map, place, window)
    PAIRS = S2_SIDE // POOL                             # of columns; a row of C3 has only S4_SIDE pairs
    S2_PAIRS = (S2_SIDE * PAIRS + MAX_LANES - 1) // MAX_LANES * MAX_LANES
    S2_POINTS_SIZE = POINTS * C1_MAPS * S2_PAIRS        # (point, map, row, pair)
    C3_ROW = S4_SIDE * C3_MAPS                          # (pair, map)
    C3_PAIRS = C3_SIDE * S4_SIDE
    C3_HALF = C3_SIDE * C3_ROW                          # every other column: (row, pair, map)
    C3_SIZE = POOL * C3_HALF                            # (parity of the column, row, pair, map)
    PARTIAL_SUMS = 7            # of an image, each over every seventh vector, so that additions overlap


# Offsets of the points that row i of a kernel reads. They are in tables, because gcc unrolls short nested loops and
# then runs out of registers.
cdef Py_ssize_t[POOL * KERNEL] image_rows   # (row of the window, i)
cdef Py_ssize_t[KERNEL_ROWS] s2_rows        # (c, i)
cdef Py_ssize_t[C3_PAIRS] s2_pairs          # (row, pair), for row 0 of a kernel


cdef void fill_rows() noexcept nogil:
    cdef Py_ssize_t i, c_i, row, pair
    for i in range(KERNEL):
        for row in range(POOL):
            image_rows[row * KERNEL + i] = (row + i) % 2 * PART + (row + i) // 2 * S2_SIDE
    for c_i in range(KERNEL_ROWS):
        s2_rows[c_i] = c_i // KERNEL * S2_PAIRS + c_i % KERNEL * PAIRS
    for pair in range(C3_PAIRS):
        s2_pairs[pair] = pair // S4_SIDE * PAIRS + pair % S4_SIDE


# ---- the image -----------------------------------------------------------------------------------------

cdef void image_points(const real* pixels, real* image) noexcept nogil:
    """Fill image with the points of pixels[SIDE, SIDE] and of the row of padding below; the row above is zero already.

    Inputs 2 and 3 of each pair are the even and the odd columns. Inputs 0 and 1 are those of the pair before, and 4 and
    5 of the pair after. Vectors reach up to 2 numbers beyond a row of points, which the next row overwrites.
    """
    cdef vreal even[S2_SIDE + 2]        # the even columns of a row, between vectors of zeros
    cdef vreal odd[S2_SIDE + 2]
    cdef vreal d[POINTS]
    cdef vreal left, right
    cdef Py_ssize_t y, part
    cdef int v
    even[0], odd[0] = vset(0), vset(0)
    even[ceil_div(S2_SIDE, LANES) + 1], odd[ceil_div(S2_SIDE, LANES) + 1] = vset(0), vset(0)
    for y in range(SIDE):
        for v in range(ceil_div(S2_SIDE, LANES)):
            left = vload_part(pixels + 2 * v * LANES, SIDE - 2 * v * LANES)
            right = vload_part(pixels + (2 * v + 1) * LANES, SIDE - (2 * v + 1) * LANES)
            even[v + 1], odd[v + 1] = veven(left, right), vodd(left, right)
        for v in range(ceil_div(S2_SIDE, LANES)):
            d[0], d[1] = vbefore(even[v], even[v + 1]), vbefore(odd[v], odd[v + 1])
            d[2], d[3] = even[v + 1], odd[v + 1]
            d[4], d[5] = vafter(even[v + 1], even[v + 2]), vafter(odd[v + 1], odd[v + 2])
            to_points(d, image + y % 2 * PART + (y + PADDING) // 2 * S2_SIDE + v * LANES, POOL * PART)
        pixels += SIDE
    for part in range(POINTS * POOL):
        for v in range(ceil_div(S2_SIDE, LANES)):
            vstore(image + part * PART + (SIDE // 2 + PADDING // 2) * S2_SIDE + v * LANES, vset(0))


cdef inline vreal total(const vreal* parts) noexcept nogil:
    return ((parts[0] + parts[1]) + (parts[2] + parts[3])) + ((parts[4] + parts[5]) + parts[6])


cdef void standardise(real* pixels, real epsilon) noexcept nogil:
    """pixels[SIDE * SIDE] = (pixels - mean) / sqrt(variance + epsilon)."""
    cdef vreal parts[PARTIAL_SUMS]
    cdef vreal shift, values
    cdef real scale
    cdef Py_ssize_t v
    cdef int k
    for k in range(PARTIAL_SUMS):
        parts[k] = vset(0)
    for v in range(SIDE * SIDE // (PARTIAL_SUMS * LANES)):
        for k in range(PARTIAL_SUMS):
            parts[k] += vload(pixels + (v * PARTIAL_SUMS + k) * LANES)
    shift = vset(vsum(total(parts)) / (SIDE * SIDE))
    for k in range(PARTIAL_SUMS):
        parts[k] = vset(0)
    for v in range(SIDE * SIDE // (PARTIAL_SUMS * LANES)):
        for k in range(PARTIAL_SUMS):
            values = vload(pixels + (v * PARTIAL_SUMS + k) * LANES) - shift
            parts[k] = vmuladd(values, values, parts[k])
    scale = 1 / sqrtf(vsum(total(parts)) / (SIDE * SIDE) + epsilon)
    for v in range(SIDE * SIDE // LANES):
        vstore(pixels + v * LANES, (vload(pixels + v * LANES) - shift) * vset(scale))


cdef void read_image(const Images* x, Py_ssize_t n, real* pixels, real* image) noexcept nogil:
    """pixels[SIDE, SIDE] = image n, standardised, and image = its points."""
    cdef real epsilon = 1e-5    # added to the variance of an image; must equal lenet._layerwise.EPSILON
    cdef bint bytes_ = x.row_bytes == SIDE
    cdef real unit = 255 if bytes_ else 1, scale = 1 / (unit * x.std), shift = -x.mean / x.std
    cdef const unsigned char* source = x.pixels + n * SIDE * x.row_bytes
    cdef vreal values
    cdef Py_ssize_t v
    if x.per_image:
        scale, shift = 1, 0
    for v in range(SIDE * SIDE // LANES):
        values = vload_bytes(source + v * LANES) if bytes_ else vload(<const real*> source + v * LANES)
        vstore(pixels + v * LANES, vmuladd(values, vset(scale), vset(shift)))
    if x.per_image:
        standardise(pixels, epsilon * unit * unit)      # bytes are 255 times as large, so their variance 255^2 times
    image_points(pixels, image)


cdef inline vreal pooled_sigmoids(const bint keep, const real* products, Py_ssize_t point, Py_ssize_t row, vreal bias,
                                  real* y, Py_ssize_t right, Py_ssize_t down) noexcept nogil:
    """Return the mean of the sigmoids of windows, each from two rows of products; with `keep`, y receives the sigmoids.
    """
    cdef vreal window[4]
    pair_outputs(products, point, bias, window)
    pair_outputs(products + row, point, bias, window + 2)
    vsigmoids(4, window)
    if keep:
        vstore(y, window[0])
        vstore(y + right, window[1])
        vstore(y + down, window[2])
        vstore(y + down + right, window[3])
    return ((window[0] + window[1]) + (window[2] + window[3])) * vset(0.25)


# ---- C1 and S2 -----------------------------------------------------------------------------------------

cdef inline void c1_tile(const real* image, const real* filters, real* products) noexcept nogil:
    """Compute one point of the products of a band of LANES windows (map, point, row, window).

    for c, y, x: products[c, y, x] = sum over i of filters[i, c] * image[y + i, x]
    """
    cdef vreal acc[C1_MAPS * POOL]
    cdef vreal pixel[POOL]
    cdef vreal w
    cdef Py_ssize_t i
    cdef int c, row
    for c in range(C1_MAPS):
        for row in range(POOL):
            acc[c * POOL + row] = vset(0)
    for i in range(unknown(KERNEL)):
        for row in range(POOL):
            pixel[row] = vload(image + image_rows[row * KERNEL + i])
        for c in range(C1_MAPS):
            w = vset(filters[i * C3_MAPS + c])
            for row in range(POOL):
                acc[c * POOL + row] = vmuladd(w, pixel[row], acc[c * POOL + row])
        FORGET_LOADS()
    for c in range(C1_MAPS):
        for row in range(POOL):
            vstore(products + (c * POINTS * POOL + row) * LANES, acc[c * POOL + row])


cdef void c1_stage(const bint keep, const real* image, const real* filters, const real* bias, real* products,
                   real* y, real* s2) noexcept nogil:
    """s2[map, row, column] = the pooled sigmoids of C1.

    With `keep`, y receives all C1_SIZE sigmoids; otherwise, it is unused.
    """
    cdef Py_ssize_t band, k, c
    for band in range(ceil_div(S2_SIDE * S2_SIDE, LANES)):
        for k in range(POINTS):
            c1_tile(image + k * POOL * PART + band * LANES, filters + k * KERNEL * C3_MAPS,
                    products + k * POOL * LANES)
        for c in range(C1_MAPS):
            vstore(s2 + c * S2_STRIDE + band * LANES,
                   pooled_sigmoids(keep, products + c * POINTS * POOL * LANES, POOL * LANES, LANES, vset(bias[c]),
                                   y + (band * C1_MAPS + c) * PLACES * LANES, LANES, 2 * LANES))


# ---- C3 and S4 -----------------------------------------------------------------------------------------

cdef void s2_points(const real* s2, real* points) noexcept nogil:
    """points[point, map, row, pair] = the points of s2[map, row, column]."""
    cdef vreal d[POINTS]
    cdef vreal left, right
    cdef const real* columns
    cdef Py_ssize_t c, v
    cdef int j
    for c in range(C1_MAPS):
        for v in range(unknown(ceil_div(S2_SIDE * PAIRS, LANES))):
            for j in range(POINTS // 2):
                columns = s2 + c * S2_STRIDE + 2 * (v * LANES + j)
                left, right = vload(columns), vload(columns + LANES)
                d[2 * j], d[2 * j + 1] = veven(left, right), vodd(left, right)
            to_points(d, points + c * S2_PAIRS + v * LANES, C1_MAPS * S2_PAIRS)


cdef inline void c3_tile(const real* points, const real* filters, real* products) noexcept nogil:
    """Compute one point of C3_ROWS rows of products (point, row, pair, map); C3_VECTORS vectors of maps of each.

    for y, x, o: products[y, x, o] = sum over c, i of filters[c, i, o] * points[c, y + i, x]
    """
    cdef vreal acc[C3_ROWS * S4_SIDE * C3_VECTORS]
    cdef vreal w[C3_VECTORS]
    cdef vreal pixel
    cdef Py_ssize_t c_i
    cdef int row, pair, v, k
    for row in range(C3_ROWS):
        for pair in range(S4_SIDE):
            for v in range(C3_VECTORS):
                acc[(row * S4_SIDE + pair) * C3_VECTORS + v] = vset(0)
    for c_i in range(KERNEL_ROWS):
        for v in range(C3_VECTORS):
            w[v] = vload(filters + c_i * C3_MAPS + v * LANES)
        for row in range(C3_ROWS):
            for pair in range(S4_SIDE):
                pixel = vset(points[s2_rows[c_i] + row * PAIRS + pair])
                for v in range(C3_VECTORS):
                    k = (row * S4_SIDE + pair) * C3_VECTORS + v
                    acc[k] = vmuladd(pixel, w[v], acc[k])
        FORGET_LOADS()
    for row in range(C3_ROWS):
        for pair in range(S4_SIDE):
            for v in range(C3_VECTORS):
                vstore(products + (row * S4_SIDE + pair) * C3_MAPS + v * LANES,
                       acc[(row * S4_SIDE + pair) * C3_VECTORS + v])


cdef void c3_stage(const bint keep, const real* points, const real* filters, const real* bias, real* products,
                   real* y, real* s4) noexcept nogil:
    """s4[map, S4_PIXELS] = the pooled sigmoids of C3.

    With `keep`, y receives all C3_SIZE sigmoids; otherwise, it is unused.
    """
    cdef real by_pixel[S4_PIXELS * C3_MAPS]
    cdef Py_ssize_t row, down, o, v, k
    for row in range(S4_SIDE):
        for k in range(POINTS):
            for down in range(POOL // C3_ROWS):
                for v in range(C3_MAPS // (C3_VECTORS * LANES)):
                    o = v * C3_VECTORS * LANES
                    c3_tile(points + k * C1_MAPS * S2_PAIRS + (POOL * row + down * C3_ROWS) * PAIRS,
                            filters + k * KERNEL_ROWS * C3_MAPS + o,
                            products + (k * POOL + down * C3_ROWS) * C3_ROW + o)
        for v in range(C3_ROW // LANES):
            o = v * LANES
            vstore(by_pixel + row * C3_ROW + o,
                   pooled_sigmoids(keep, products + o, POOL * C3_ROW, C3_ROW, vload(bias + o % C3_MAPS),
                                   y + POOL * row * C3_ROW + o, C3_HALF, C3_ROW))
    transpose(S4_PIXELS, C3_MAPS, by_pixel, C3_MAPS, s4, S4_PIXELS)
