# The forward pass of the convolutions, one image at a time: C1 with S2, and C3 with S4, each within the L1 cache.
#
# In C1, the lanes of a vector are pooling windows, row after row, so that the four pixels of a window are in the same
# lane of four vectors. In C3, the lanes are maps.
# No patch is copied (no im2col): a tile reads the pixels under a tap in place.

cdef enum:
    MAX_LANES = 16          # of all builds
    PLACES = POOL * POOL    # of a pixel in its pooling window
    # The windows of a map of C1, or the pixels of one of S2, in whole vectors. Predictions ignore the padding;
    # in gradients, it must be zero.
    S2_STRIDE = (S2_SIDE * S2_SIDE + MAX_LANES - 1) // MAX_LANES * MAX_LANES
    S2_SIZE = C1_MAPS * S2_STRIDE                       # (map, row, column)
    # A part of the padded image has the pixels that a tap reads for one place of all windows, row after row. Taps in
    # the same column share a part: a tap two rows further down begins S2_SIDE numbers later, so a part is longer than
    # S2_STRIDE.
    SHIFTS = KERNEL + POOL - 1
    PART = S2_STRIDE + 2 * MAX_LANES
    IMAGE_SIZE = POOL * SHIFTS * PART                   # (parity of the row, first column, row, every other column)
    # C1, in bands of LANES windows: (map, place, window).
    C1_SIZE = C1_MAPS * PLACES * S2_STRIDE              # (band, map, place, window)
    C3_PAIR = POOL * C3_SIDE * C3_MAPS                  # (row, column, map)
    C3_SIZE = S4_SIDE * C3_PAIR
    SPLIT_ROW = 2 * MAX_LANES   # every other column of a row
    PARTIAL_SUMS = 7            # of an image, each over every seventh vector, so that additions overlap


# Offsets of the pixel under tap (i, j): in the image, for the upper and the lower row of a window; in S2, relative to
# tap (0, 0). They are in tables, because gcc unrolls loops over i and j and then runs out of registers.
cdef Py_ssize_t[POOL * TAPS] image_taps
cdef Py_ssize_t[TAPS] s2_taps


cdef void fill_taps() noexcept nogil:
    cdef Py_ssize_t tap, i, j, row
    for tap in range(TAPS):
        i, j = tap // KERNEL, tap % KERNEL
        for row in range(POOL):
            image_taps[row * TAPS + tap] = ((row + i) % 2 * SHIFTS + j) * PART + (row + i) // 2 * S2_SIDE
        s2_taps[tap] = i * S2_SIDE + j


# ---- the image -----------------------------------------------------------------------------------------

cdef void spread_pixels(const real* pixels, real* image) noexcept nogil:
    """Write pixels[SIDE, SIDE] into the parts of `image`, whose rows of padding are zero already.

    First, each row is split into its even and its odd columns. Then each half is copied to three parts: the even
    columns to those with the shifts 0, 2 and 4, and the odd ones to 1, 3 and 5.
    """
    cdef real[SIDE * 2 * SPLIT_ROW] split       # (row, parity of the column, column), a zero on either side included
    cdef Py_ssize_t y, column, v, shift
    cdef const real* row
    cdef real* even
    cdef vreal left, right
    for y in range(SIDE):
        row = pixels + y * SIDE
        even = split + y * 2 * SPLIT_ROW
        even[0], even[SPLIT_ROW] = 0, 0
        for v in range(ceil_div(SIDE // 2 + PADDING // 2, LANES)):
            column = v * LANES
            left = vload_part(row + 2 * column, SIDE - 2 * column)
            right = vload_part(row + 2 * column + LANES, SIDE - 2 * column - LANES)
            vstore(even + PADDING // 2 + column, veven(left, right))
            vstore(even + SPLIT_ROW + PADDING // 2 + column, vodd(left, right))
    for y in range(SIDE):
        for shift in range(SHIFTS):
            copy_row(image + (y % 2 * SHIFTS + shift) * PART + (y + PADDING) // 2 * S2_SIDE,
                     split + (2 * y + shift % 2) * SPLIT_ROW + shift // 2, S2_SIDE)


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


cdef void read_image(const Images* x, Py_ssize_t n, real* image) noexcept nogil:
    """image = image n, standardised."""
    cdef real epsilon = 1e-5    # added to the variance of an image; must equal lenet._layerwise.EPSILON
    cdef real pixels[SIDE * SIDE]
    cdef bint bytes_ = x.row_bytes == SIDE
    cdef real unit = 255 if bytes_ else 1, scale = 1 / (unit * x.std), shift = -x.mean / x.std
    cdef const unsigned char* source = x.pixels + n * SIDE * x.row_bytes
    cdef vreal values
    cdef Py_ssize_t v
    if x.each:
        scale, shift = 1, 0
    for v in range(SIDE * SIDE // LANES):
        values = vload_bytes(source + v * LANES) if bytes_ else vload(<const real*> source + v * LANES)
        vstore(pixels + v * LANES, vmuladd(values, vset(scale), vset(shift)))
    if x.each:
        standardise(pixels, epsilon * unit * unit)      # bytes are 255 times as large, so their variance 255^2 times
    spread_pixels(pixels, image)


cdef inline vreal avg_pool(const bint keep, real* sums, Py_ssize_t right, Py_ssize_t down) noexcept nogil:
    """Return the mean of the sigmoids of windows, from four vectors of sums; with `keep`, sigmoids replace the sums."""
    cdef vreal window[4]
    window[0], window[1] = vload(sums), vload(sums + right)
    window[2], window[3] = vload(sums + down), vload(sums + down + right)
    vsigmoids(4, window)
    if keep:
        vstore(sums, window[0])
        vstore(sums + right, window[1])
        vstore(sums + down, window[2])
        vstore(sums + down + right, window[3])
    return ((window[0] + window[1]) + (window[2] + window[3])) * vset(0.25)


# ---- C1 and S2 -----------------------------------------------------------------------------------------

cdef inline void c1_tile(const real* image, const Py_ssize_t* taps, const real* weight, const real* bias,
                         real* sums) noexcept nogil:
    """Compute C1_VECTORS places of the sums of a band of LANES windows (map, place, window), in one row or in both.

    for c, y, x: sums[c, y, x] = bias[c] + sum over i, j of weight[c, i, j] * image[y + i, x + j]
    """
    cdef vreal acc[C1_MAPS * C1_VECTORS]
    cdef vreal pixel[C1_VECTORS]
    cdef vreal w
    cdef Py_ssize_t tap
    cdef int c, v
    for c in range(C1_MAPS):
        for v in range(C1_VECTORS):
            acc[c * C1_VECTORS + v] = vset(bias[c])
    for tap in range(TAPS):
        for v in range(C1_VECTORS):
            pixel[v] = vload(image + taps[v // POOL * TAPS + tap] + v % POOL * PART)
        for c in range(C1_MAPS):
            w = vset(weight[c * TAPS + tap])
            for v in range(C1_VECTORS):
                acc[c * C1_VECTORS + v] = vmuladd(w, pixel[v], acc[c * C1_VECTORS + v])
        FORGET_LOADS()
    for c in range(C1_MAPS):
        for v in range(C1_VECTORS):
            vstore(sums + (c * PLACES + v) * LANES, acc[c * C1_VECTORS + v])


cdef void c1_stage(const bint keep, const real* image, const real* weight, const real* bias, real* y,
                   real* s2) noexcept nogil:
    """s2[map, row, column] = the pooled sigmoids of C1.

    Without `keep`, y is scratch memory for one band. With `keep`, it receives all C1_SIZE sigmoids.
    """
    cdef Py_ssize_t band, half, c
    cdef real* sums = y
    for band in range(ceil_div(S2_SIDE * S2_SIDE, LANES)):
        for half in range(PLACES // C1_VECTORS):
            c1_tile(image + band * LANES, image_taps + half * TAPS, weight, bias, sums + half * C1_VECTORS * LANES)
        for c in range(C1_MAPS):
            vstore(s2 + c * S2_STRIDE + band * LANES, avg_pool(keep, sums + c * PLACES * LANES, LANES, 2 * LANES))
        if keep:
            sums += C1_MAPS * PLACES * LANES


# ---- C3 and S4 -----------------------------------------------------------------------------------------

cdef inline void c3_tile(const real* s2, const real* weight, const real* bias, real* sums) noexcept nogil:
    """Compute C3_ROWS x C3_COLUMNS pixels of sums (row, column, map); C3_VECTORS vectors of maps of each.

    for y, x, o: sums[y, x, o] = bias[o] + sum over c, i, j of weight[c, i, j, o] * s2[c, y + i, x + j]
    """
    cdef vreal acc[C3_ROWS * C3_COLUMNS * C3_VECTORS]
    cdef vreal w[C3_VECTORS]
    cdef vreal pixel
    cdef const real* pixels
    cdef Py_ssize_t c, tap
    cdef int row, column, v, k
    for row in range(C3_ROWS):
        for column in range(C3_COLUMNS):
            for v in range(C3_VECTORS):
                acc[(row * C3_COLUMNS + column) * C3_VECTORS + v] = vload(bias + v * LANES)
    for c in range(C1_MAPS):
        for tap in range(TAPS):
            pixels = s2 + s2_taps[tap]
            for v in range(C3_VECTORS):
                w[v] = vload(weight + v * LANES)
            for row in range(C3_ROWS):
                for column in range(C3_COLUMNS):
                    pixel = vset(pixels[row * S2_SIDE + column])
                    for v in range(C3_VECTORS):
                        k = (row * C3_COLUMNS + column) * C3_VECTORS + v
                        acc[k] = vmuladd(pixel, w[v], acc[k])
            weight += C3_MAPS
            FORGET_LOADS()
        s2 += S2_STRIDE
    for row in range(C3_ROWS):
        for column in range(C3_COLUMNS):
            for v in range(C3_VECTORS):
                vstore(sums + (row * C3_SIDE + column) * C3_MAPS + v * LANES,
                       acc[(row * C3_COLUMNS + column) * C3_VECTORS + v])


cdef void c3_stage(const bint keep, const real* s2, const real* weight, const real* bias, real* y,
                   real* s4) noexcept nogil:
    """s4[map, S4_PIXELS] = the pooled sigmoids of C3, whose weights come as (tap, map).

    Without `keep`, y is scratch memory for one pair of rows. With `keep`, it receives all C3_SIZE sigmoids.
    """
    cdef real by_pixel[S4_PIXELS * C3_MAPS]
    cdef Py_ssize_t row, column, down, o, v
    cdef real* pair = y
    for row in range(S4_SIDE):
        for down in range(2 // C3_ROWS):
            for column in range(C3_SIDE // C3_COLUMNS):
                for v in range(C3_MAPS // (C3_VECTORS * LANES)):
                    o = v * C3_VECTORS * LANES
                    c3_tile(s2 + (2 * row + down * C3_ROWS) * S2_SIDE + column * C3_COLUMNS, weight + o, bias + o,
                            pair + (down * C3_ROWS * C3_SIDE + column * C3_COLUMNS) * C3_MAPS + o)
        for column in range(S4_SIDE):
            for v in range(C3_MAPS // LANES):
                vstore(by_pixel + (row * S4_SIDE + column) * C3_MAPS + v * LANES,
                       avg_pool(keep, pair + 2 * column * C3_MAPS + v * LANES, C3_MAPS, C3_SIDE * C3_MAPS))
        if keep:
            pair += C3_PAIR
    transpose(False, S4_PIXELS, C3_MAPS, by_pixel, C3_MAPS, s4, S4_PIXELS)
