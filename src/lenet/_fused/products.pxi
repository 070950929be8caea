# Matrix products, and the dense layers, which consist of them.
#
# A product is cut into panels of VECTORS vectors (the last may have 2 or 1), and a panel into tiles of ROWS rows. A
# tile's accumulators stay in registers while both operands stream past: each step loads one row of b's panel, and
# multiplies it by each element of a column of a.

cdef enum:
    ROWS = 6                # of a tile; the last tile of a panel may have fewer
    LAST_ROWS = 4


cdef inline Py_ssize_t ceil_div(Py_ssize_t n, Py_ssize_t size) noexcept nogil:
    return (n + size - 1) // size


cdef real* aligned(real* work) noexcept nogil:
    """Return the first address at or after `work` at which vectors do not straddle cache lines."""
    cdef uintptr_t size = LANES * sizeof(real)
    return <real*> ((<uintptr_t> work + size - 1) // size * size)


cdef inline void tile(const int rows, const int vectors, Py_ssize_t depth, const real* a, Py_ssize_t a_row,
                      Py_ssize_t a_step, const real* b, real* c, Py_ssize_t row) noexcept nogil:
    """c[m, v] += sum over k of a[m, k] * b[k, v], for `rows` rows and `vectors` vectors, with c in registers.

    The rows of b and of c are `row` apart.
    """
    cdef vreal acc[ROWS * 4]
    cdef vreal b_now[4]
    cdef Py_ssize_t k
    cdef int m, v
    for m in range(rows):
        for v in range(vectors):
            acc[4 * m + v] = vload(c + m * row + v * LANES)
    for k in range(depth):
        for v in range(vectors):
            b_now[v] = vload(b + v * LANES)
        for m in range(rows):
            for v in range(vectors):
                acc[4 * m + v] = vmuladd(vset(a[m * a_row]), b_now[v], acc[4 * m + v])
        a += a_step
        b += row
    for m in range(rows):
        for v in range(vectors):
            vstore(c + m * row + v * LANES, acc[4 * m + v])


cdef inline void panel(const int vectors, Py_ssize_t M, Py_ssize_t depth, const real* a, Py_ssize_t a_row,
                       Py_ssize_t a_step, const real* b, real* c, Py_ssize_t row) noexcept nogil:
    """Compute one panel of c from the top: tiles of ROWS rows, then at most one of LAST_ROWS, then single rows."""
    cdef Py_ssize_t m = 0
    while m + ROWS <= M:
        tile(ROWS, vectors, depth, a + m * a_row, a_row, a_step, b, c + m * row, row)
        m += ROWS
    if m + LAST_ROWS <= M:
        tile(LAST_ROWS, vectors, depth, a + m * a_row, a_row, a_step, b, c + m * row, row)
        m += LAST_ROWS
    while m < M:
        tile(1, vectors, depth, a + m * a_row, a_row, a_step, b, c + m * row, row)
        m += 1


cdef inline void copy_rows(Py_ssize_t rows, Py_ssize_t count, const real* source, Py_ssize_t source_row,
                           real* target, Py_ssize_t target_row) noexcept nogil:
    cdef Py_ssize_t row
    for row in range(rows):
        copy_row(target + row * target_row, source + row * source_row, count)


cdef void matmul(Py_ssize_t M, Py_ssize_t depth, Py_ssize_t cols, const real* a, Py_ssize_t a_row, Py_ssize_t a_step,
                 const real* b, real* c, real* work) noexcept nogil:
    """c[M, cols] += a[M, depth] b[depth, cols], where a[m, k] is at m * a_row + k * a_step.

    work has matmul_work(M, depth) numbers. Each element of c is one chain of multiply-adds over k, in order.
    """
    cdef Py_ssize_t start = 0, width, vectors, row
    cdef const real* b_now
    cdef real* c_now
    cdef bint partial
    work = aligned(work)
    while start < cols:
        width = min(<Py_ssize_t> VECTORS * LANES, cols - start)
        vectors = ceil_div(width, LANES)
        if vectors > 2:
            vectors = VECTORS
        partial = vectors * LANES > width
        b_now, c_now, row = b + start, c + start, cols
        if partial:     # whole vectors would reach beyond the end of b, and beyond the rows of c
            row = vectors * LANES
            b_now, c_now = work, work + depth * row
            memset(work, 0, depth * row * sizeof(real))
            copy_rows(depth, width, b + start, cols, work, row)
            copy_rows(M, width, c + start, cols, c_now, row)
        if vectors > 2:
            panel(VECTORS, M, depth, a, a_row, a_step, b_now, c_now, row)
        elif vectors == 2:
            panel(2, M, depth, a, a_row, a_step, b_now, c_now, row)
        else:
            panel(1, M, depth, a, a_row, a_step, b_now, c_now, row)
        if partial:
            copy_rows(M, width, c_now, row, c + start, cols)
        start += width


cdef Py_ssize_t matmul_work(Py_ssize_t M, Py_ssize_t depth) noexcept nogil:
    return (M + depth) * VECTORS * LANES + LANES


cdef inline void dots(const int rows, const int cols, Py_ssize_t depth, const real* a, const real* b,
                      const real* bias, real* c, Py_ssize_t c_row) noexcept nogil:
    """c[m, n] = bias[n] + sum over k of a[m, k] * b[n, k], for one tile of c; rows of a and b are `depth` long.

    Lanes are k: each accumulator has LANES partial sums, which are added up at the end.
    """
    cdef vreal acc[16]      # rows * cols of them, and zeros up to a multiple of LANES
    cdef vreal a_now[4]
    cdef vreal b_now
    cdef real sums[16]
    cdef Py_ssize_t k, block, left = depth % LANES
    cdef int m, n
    for m in range(16):
        acc[m] = vset(0)
    for block in range(depth // LANES):
        k = block * LANES
        for m in range(rows):
            a_now[m] = vload(a + m * depth + k)
        for n in range(cols):
            b_now = vload(b + n * depth + k)
            for m in range(rows):
                acc[m * cols + n] = vmuladd(a_now[m], b_now, acc[m * cols + n])
    if left:
        for m in range(rows):
            a_now[m] = vload_part(a + m * depth + depth - left, left)
        for n in range(cols):
            b_now = vload_part(b + n * depth + depth - left, left)
            for m in range(rows):
                acc[m * cols + n] = vmuladd(a_now[m], b_now, acc[m * cols + n])
    for m in range(ceil_div(rows * cols, LANES)):
        vstore(sums + m * LANES, vsums(acc + m * LANES))
    for m in range(rows):
        for n in range(cols):
            c[m * c_row + n] = bias[n] + sums[m * cols + n]


cdef inline void dense(Py_ssize_t N, Py_ssize_t D, Py_ssize_t O, const real* x, const real* weight,
                       const real* bias, real* out) noexcept nogil:
    """out[N, O] = x[N, D] weight[O, D]^T + bias[O]. An output's sum runs in the same order in every tile.

    The last tiles overlap the ones before, so that they are whole; outputs computed twice have the same bits.
    """
    cdef Py_ssize_t n, o, row, col
    if N >= DOT_ROWS and O >= 4:
        for o in range(ceil_div(O, 4)):
            col = min(4 * o, O - 4)
            for n in range(ceil_div(N, DOT_ROWS)):
                row = min(n * DOT_ROWS, N - DOT_ROWS)
                dots(DOT_ROWS, 4, D, x + row * D, weight + col * D, bias + col, out + row * O + col, O)
    elif O >= 8:
        for n in range(N):
            for o in range(ceil_div(O, 8)):
                col = min(8 * o, O - 8)
                dots(1, 8, D, x + n * D, weight + col * D, bias + col, out + n * O + col, O)
    else:
        for n in range(N):
            for o in range(O):
                dots(1, 1, D, x + n * D, weight + o * D, bias + o, out + n * O + o, O)


cdef void dense_backward(Py_ssize_t N, Py_ssize_t D, Py_ssize_t O, const real* dy, const real* x, const real* weight,
                         real* dweight, real* dbias, real* dx, real* work) noexcept nogil:
    """dweight[O, D] += dy[N, O]^T x[N, D], dbias[O] += dy summed over N, dx[N, D] = dy weight."""
    cdef Py_ssize_t n, o
    matmul(O, N, D, dy, 1, O, x, dweight, work)     # dy^T: its element (o, n) is at o + n O
    for n in range(N):
        for o in range(O):
            dbias[o] += dy[n * O + o]
    memset(dx, 0, N * D * sizeof(real))
    matmul(N, O, D, dy, O, 1, weight, dx, work)     # its element (n, o) is at n O + o


cdef void transpose(Py_ssize_t rows, Py_ssize_t cols, const real* a, Py_ssize_t a_row,
                    real* out, Py_ssize_t out_row) noexcept nogil:
    """out[col, row] = a[row, col], in squares of LANES x LANES."""
    cdef vreal block[LANES]
    cdef Py_ssize_t row, col, height, width, down, right
    cdef int i
    for down in range(ceil_div(rows, LANES)):
        row = down * LANES
        height = min(<Py_ssize_t> LANES, rows - row)
        for right in range(ceil_div(cols, LANES)):
            col = right * LANES
            width = min(<Py_ssize_t> LANES, cols - col)
            for i in range(LANES):
                block[i] = vload_part(a + (row + i) * a_row + col, width if i < height else 0)
            vtranspose(block)
            for i in range(LANES):
                if i < width:
                    vstore_part(out + (col + i) * out_row + row, block[i], height)
