# Winograd's minimal filtering F(2, 5): a pair of neighbouring outputs from 6 products, not 10.
#
# w are the 5 taps in a row of a kernel, and d the 6 inputs that a pair reads (Lavin and Gray, Fast Algorithms for
# Convolutional Neural Networks, 2016, section 3):
#
#     pair = A^T ((G w) * (B^T d))
#
# The filters are G w: the values of the polynomial with the coefficients w at 0, 1, -1, 2, -2 and infinity, divided
# by constants. The points of a pair are B^T d, one number for each of these. A^T is linear, so the products of all
# rows and maps are added up first. The gradients use the transposes of the same matrices.

cdef enum:
    POINTS = KERNEL + POOL - 1

cdef extern from *:
    """static const float factors[] = {0, 1, -1, 2, -2, 0};     /* row k of A is (1, factors[k]), or (0, 1) */"""
    const real[POINTS] factors


# ---- inputs --------------------------------------------------------------------------------------------

cdef inline void to_points(const vreal* d, real* points, Py_ssize_t stride) noexcept nogil:
    """points = B^T d, for a vector of pairs; the points are `stride` apart."""
    cdef vreal even, odd
    vstore(points, vmuladd(vset(4), d[0], vmuladd(vset(-5), d[2], d[4])))
    even, odd = vmuladd(vset(-4), d[2], d[4]), vmuladd(vset(-4), d[1], d[3])
    vstore(points + stride, even + odd)
    vstore(points + 2 * stride, even - odd)
    even, odd = d[4] - d[2], d[3] - d[1]
    vstore(points + 3 * stride, vmuladd(vset(2), odd, even))
    vstore(points + 4 * stride, vmuladd(vset(-2), odd, even))
    vstore(points + 5 * stride, vmuladd(vset(4), d[1], vmuladd(vset(-5), d[3], d[5])))


cdef inline vreal input_gradient(const int j, const real* dpoints, Py_ssize_t stride) noexcept nogil:
    """Return element j of B dpoints: the gradient that each pair adds to its input j."""
    cdef vreal d[POINTS]
    cdef vreal sum1, difference1, sum2, difference2
    cdef int k
    for k in range(POINTS):
        d[k] = vload(dpoints + k * stride)
    sum1, difference1, sum2, difference2 = d[1] + d[2], d[1] - d[2], d[3] + d[4], d[3] - d[4]
    if j == 0:
        return vset(4) * d[0]
    if j == 1:
        return vmuladd(vset(-2), difference2, vset(4) * (d[5] - difference1))
    if j == 2:
        return vmuladd(vset(-5), d[0], vmuladd(vset(-4), sum1, -sum2))
    if j == 3:
        return vmuladd(vset(-5), d[5], vmuladd(vset(2), difference2, difference1))
    if j == 4:
        return d[0] + sum1 + sum2
    return d[5]


# ---- outputs -------------------------------------------------------------------------------------------

cdef inline void pair_outputs(const real* products, Py_ssize_t stride, vreal bias, vreal* pair) noexcept nogil:
    """pair = A^T products + bias, for a vector of pairs; the points are `stride` apart."""
    cdef vreal m[POINTS]
    cdef int k
    for k in range(POINTS):
        m[k] = vload(products + k * stride)
    pair[0] = (m[0] + bias) + (m[1] + m[2]) + (m[3] + m[4])
    pair[1] = vmuladd(vset(2), m[3] - m[4], (m[5] + bias) + (m[1] - m[2]))


cdef inline vreal product_gradient(Py_ssize_t k, const real* left, const real* right) noexcept nogil:
    """Return element k of A (left, right), for the gradients of a vector of pairs."""
    if k == POINTS - 1:     # infinity
        left, right = right, left
    return vmuladd(vset(factors[k]), vload(right), vload(left))


cdef const real* gradients_of_point(Py_ssize_t n, Py_ssize_t k, const real* left, const real* right,
                                    real* out) noexcept nogil:
    """Return element k of A (left, right) for n pairs: `left` or `right` itself, or in `out`."""
    cdef Py_ssize_t v
    if k == 0:
        return left
    if k == POINTS - 1:
        return right
    for v in range(n // LANES):
        vstore(out + v * LANES, product_gradient(k, left + v * LANES, right + v * LANES))
    return out


# ---- filters -------------------------------------------------------------------------------------------
# The lanes are maps, C3_MAPS in a row.

cdef void to_filters(Py_ssize_t rows, const real* weight, real* filters) noexcept nogil:
    """filters[point, row, map] = G weight[row, j, map], for all rows of kernels."""
    cdef vreal w[KERNEL]
    cdef vreal even, odd
    cdef Py_ssize_t v, n, stride = rows * C3_MAPS
    cdef int j
    for v in range(stride // LANES):
        n = v * LANES
        for j in range(KERNEL):
            w[j] = vload(weight + (n // C3_MAPS * KERNEL + j) * C3_MAPS + n % C3_MAPS)
        vstore(filters + n, w[0] * vset(0.25))
        even, odd = (w[0] + w[2] + w[4]) * vset(-1. / 6), (w[1] + w[3]) * vset(-1. / 6)
        vstore(filters + stride + n, even + odd)
        vstore(filters + 2 * stride + n, even - odd)
        even = vmuladd(vset(16), w[4], vmuladd(vset(4), w[2], w[0])) * vset(1. / 24)
        odd = vmuladd(vset(4), w[3], w[1]) * vset(1. / 12)
        vstore(filters + 3 * stride + n, even + odd)
        vstore(filters + 4 * stride + n, even - odd)
        vstore(filters + 5 * stride + n, w[4])


cdef void weight_gradient(Py_ssize_t rows, const real* dfilters, real* dweight) noexcept nogil:
    """dweight[row, j, map] = G^T dfilters[point, row, map]."""
    cdef vreal d[POINTS]
    cdef vreal sum1, difference1, sum2, difference2
    cdef Py_ssize_t v, n, stride = rows * C3_MAPS
    cdef real* out
    cdef int k
    for v in range(stride // LANES):
        n = v * LANES
        out = dweight + n // C3_MAPS * KERNEL * C3_MAPS + n % C3_MAPS
        for k in range(POINTS):
            d[k] = vload(dfilters + k * stride + n)
        sum1, difference1 = (d[1] + d[2]) * vset(-1. / 6), (d[1] - d[2]) * vset(-1. / 6)
        sum2, difference2 = (d[3] + d[4]) * vset(1. / 24), (d[3] - d[4]) * vset(1. / 12)
        vstore(out, vmuladd(vset(0.25), d[0], sum1 + sum2))
        vstore(out + C3_MAPS, difference1 + difference2)
        vstore(out + 2 * C3_MAPS, vmuladd(vset(4), sum2, sum1))
        vstore(out + 3 * C3_MAPS, vmuladd(vset(4), difference2, difference1))
        vstore(out + 4 * C3_MAPS, vmuladd(vset(16), sum2, sum1 + d[5]))
