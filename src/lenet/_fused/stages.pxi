# LeNet-5 forwards, an image at a time: stages that go from one pooled map to the next within the caches.
#
# Where the lanes of a vector lie. In C1 they are pixels: the even columns of a row of sums, then the odd ones,
# so that the four numbers of a pooling window lie in the same lane of four vectors. In C3, whose 16 maps fill
# vectors, they are maps, and the four are four vectors again. In C5, F6 and the output they are inputs.
# No patch is copied: a tile meets the pixels of weight (i, j) where they lie.

cdef enum:
    SIDE = 28               # of the image
    HALF = 14               # of S2, and the columns of one parity
    WIDE = 16               # the room of HALF columns in whole vectors: lanes 14 and 15 are of no account
    C1_MAPS = 6
    C3_MAPS = 16
    C3_SIDE = 10
    S4_SIDE = 5
    KERNEL = 5
    WINDOW = 25             # KERNEL^2
    C3_TAPS = 150           # C1_MAPS WINDOW
    C5_INPUTS = 400         # C3_MAPS S4_SIDE^2
    C5_UNITS = 120
    F6_UNITS = 84
    # An image as C1 reads it: rows of padded pixels, each three times: its even columns, its odd ones, and
    # the even ones from the second on. A parity is PARITY numbers wide, a row three times that.
    PADDING = 2
    ROWS_PADDED = 32
    PARITY = 32
    IMAGE_ROW = 96
    IMAGE = 3072            # ROWS_PADDED IMAGE_ROW
    # Two rows of C1's sums: (map, row, parity, WIDE)
    PLACES = 4
    C1_PAIR = 384           # C1_MAPS PLACES WIDE
    C1_SUMS = 5376          # HALF C1_PAIR
    S2 = 1344               # C1_MAPS HALF WIDE
    C3_PAIR = 320           # 2 C3_SIDE C3_MAPS
    C3_SUMS = 1600          # S4_SIDE C3_PAIR
    # The gradient of C3's sums once more, as planes with zeros around them: (map, row, MARGIN + column).
    MARGIN = 4
    PLANE_ROW = 24
    PLANE = 288             # (1 + C3_SIDE + 1) PLANE_ROW
    PLANES = 4608           # C3_MAPS PLANE


# Where the pixel that weight (i, j) meets lies, beyond that of weight (0, 0): in an image, in S2, and, backwards, in
# the planes of gradients.pxi. Tables, since gcc unrolls the loops over i and j else, and runs out of registers.
cdef Py_ssize_t[WINDOW] image_taps
cdef Py_ssize_t[WINDOW] s2_taps
cdef Py_ssize_t[WINDOW] plane_taps
for _tap in range(WINDOW):
    image_taps[_tap] = _tap // KERNEL * IMAGE_ROW + _tap % KERNEL % 2 * PARITY + _tap % KERNEL // 2
    s2_taps[_tap] = _tap // KERNEL * WIDE + _tap % KERNEL
    plane_taps[_tap] = -(_tap // KERNEL * PLANE_ROW + _tap % KERNEL)


# ---- the image -----------------------------------------------------------------------------------------

cdef void spread_pixels(const real* pixels, real* image) noexcept nogil:
    """Lay out pixels[28, 28], and as many zeros behind them as a vector holds, for C1.

    The borders of `image` are zero already and stay so.
    """
    cdef Py_ssize_t y, column
    cdef const real* row
    cdef real* even
    cdef vreal left, right
    for y in range(SIDE):
        row = pixels + y * SIDE
        even = image + (y + PADDING) * IMAGE_ROW
        for column from 0 <= column < WIDE by LANES:
            left = vload_part(row + 2 * column, SIDE - 2 * column)
            right = vload_part(row + 2 * column + LANES, SIDE - 2 * column - LANES)
            vstore(even + 1 + column, veven(left, right))
            vstore(even + 2 * PARITY + column, veven(left, right))
            vstore(even + PARITY + 1 + column, vodd(left, right))


cdef void read_bytes(const unsigned char* x, real scale, real shift, real* image) noexcept nogil:
    """The image of bytes x[28, 28], standardised: scale x + shift."""
    cdef real pixels[SIDE * SIDE]
    cdef Py_ssize_t k
    for k from 0 <= k < SIDE * SIDE by LANES:
        vstore(pixels + k, vmuladd(vload_bytes(x + k), vset(scale), vset(shift)))
    spread_pixels(pixels, image)


cdef void read_reals(const real* x, real scale, real shift, real* image) noexcept nogil:
    """The image of numbers x[28, 28] in [0, 1], standardised."""
    cdef real pixels[SIDE * SIDE]
    cdef Py_ssize_t k
    for k from 0 <= k < SIDE * SIDE by LANES:
        vstore(pixels + k, vmuladd(vload(x + k), vset(scale), vset(shift)))
    spread_pixels(pixels, image)


# ---- C1 and S2 -----------------------------------------------------------------------------------------

cdef inline void c1_tile(const real* image, Py_ssize_t start, const real* weight, const real* bias,
                         real* sums) noexcept nogil:
    """C1_VECTORS vectors of two rows of sums (map, place, WIDE), from lane `start` of each map's 64 on."""
    cdef vreal acc[C1_MAPS * C1_VECTORS]
    cdef vreal pixel[C1_VECTORS]
    cdef vreal w
    cdef const real* pixels[C1_VECTORS]
    cdef Py_ssize_t lane, place, tap
    cdef int c, v
    for v in range(C1_VECTORS):
        lane = start + v * LANES
        place = lane // WIDE
        pixels[v] = image + place // 2 * IMAGE_ROW + place % 2 * PARITY + lane % WIDE
    for c in range(C1_MAPS):
        for v in range(C1_VECTORS):
            acc[c * C1_VECTORS + v] = vset(bias[c])
    for tap in range(WINDOW):
        for v in range(C1_VECTORS):
            pixel[v] = vload(pixels[v] + image_taps[tap])
        for c in range(C1_MAPS):
            w = vset(weight[c * WINDOW + tap])
            for v in range(C1_VECTORS):
                acc[c * C1_VECTORS + v] = vmuladd(w, pixel[v], acc[c * C1_VECTORS + v])
        FORGET_LOADS()
    for c in range(C1_MAPS):
        for v in range(C1_VECTORS):
            vstore(sums + c * PLACES * WIDE + start + v * LANES, acc[c * C1_VECTORS + v])


cdef void c1_stage(const bint keep, const real* image, const real* weight, const real* bias, real* y,
                   real* s2) noexcept nogil:
    """s2[map, HALF, WIDE] = the pooled sigmoids of C1; y gets the sigmoids where they are to be kept."""
    cdef Py_ssize_t row, start, c, lane
    cdef real* pair = y
    for row in range(HALF):
        for start from 0 <= start < PLACES * WIDE by C1_VECTORS * LANES:
            c1_tile(image + 2 * row * IMAGE_ROW, start, weight, bias, pair)
        for c in range(C1_MAPS):
            for lane from 0 <= lane < WIDE by LANES:
                vstore(s2 + (c * HALF + row) * WIDE + lane,
                       pooled(keep, pair + c * PLACES * WIDE + lane, WIDE, 2 * WIDE))
        if keep:
            pair += C1_PAIR


cdef inline vreal pooled(const bint keep, real* sums, Py_ssize_t right, Py_ssize_t down) noexcept nogil:
    """The mean of the sigmoids of four vectors, a window; where they are kept, they replace their sums."""
    cdef vreal a = vsigmoid(vload(sums)), b = vsigmoid(vload(sums + right))
    cdef vreal c = vsigmoid(vload(sums + down)), d = vsigmoid(vload(sums + down + right))
    if keep:
        vstore(sums, a)
        vstore(sums + right, b)
        vstore(sums + down, c)
        vstore(sums + down + right, d)
    return ((a + b) + (c + d)) * vset(0.25)


# ---- C3 and S4 -----------------------------------------------------------------------------------------

cdef inline void c3_tile(const real* s2, const real* weight, const real* bias, real* sums) noexcept nogil:
    """C3_ROWS x C3_COLUMNS pixels of sums (row, column, map); C3_VECTORS vectors of maps of each."""
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
        for tap in range(WINDOW):
            pixels = s2 + s2_taps[tap]
            for v in range(C3_VECTORS):
                w[v] = vload(weight + v * LANES)
            for row in range(C3_ROWS):
                for column in range(C3_COLUMNS):
                    pixel = vset(pixels[row * WIDE + column])
                    for v in range(C3_VECTORS):
                        k = (row * C3_COLUMNS + column) * C3_VECTORS + v
                        acc[k] = vmuladd(pixel, w[v], acc[k])
            weight += C3_MAPS
            FORGET_LOADS()
        s2 += HALF * WIDE
    for row in range(C3_ROWS):
        for column in range(C3_COLUMNS):
            for v in range(C3_VECTORS):
                vstore(sums + (row * C3_SIDE + column) * C3_MAPS + v * LANES,
                       acc[(row * C3_COLUMNS + column) * C3_VECTORS + v])


cdef void c3_stage(const bint keep, const real* s2, const real* weight, const real* bias, real* y,
                   real* s4) noexcept nogil:
    """s4[map, S4_SIDE^2] = the pooled sigmoids of C3, whose weights come as (tap, map)."""
    cdef real by_pixel[S4_SIDE * S4_SIDE * C3_MAPS]
    cdef Py_ssize_t pair_row, row, column, lane
    cdef real* pair = y
    for pair_row in range(S4_SIDE):
        for row from 0 <= row < 2 by C3_ROWS:
            for column from 0 <= column < C3_SIDE by C3_COLUMNS:
                for lane from 0 <= lane < C3_MAPS by C3_VECTORS * LANES:
                    c3_tile(s2 + (2 * pair_row + row) * WIDE + column, weight + lane, bias + lane,
                            pair + (row * C3_SIDE + column) * C3_MAPS + lane)
        for column in range(S4_SIDE):
            for lane from 0 <= lane < C3_MAPS by LANES:
                vstore(by_pixel + (pair_row * S4_SIDE + column) * C3_MAPS + lane,
                       pooled(keep, pair + 2 * column * C3_MAPS + lane, C3_MAPS, C3_SIDE * C3_MAPS))
        if keep:
            pair += C3_PAIR
    transpose(False, S4_SIDE * S4_SIDE, C3_MAPS, by_pixel, C3_MAPS, s4, S4_SIDE * S4_SIDE)
