# LeNet-5 as a whole: the logits of images, and the gradients of a batch. One call does many images.
#
# `parameters` and `gradient` are the flat vectors of lenet.LeNet5, whose order this file knows. Only C3's weights are
# packed, anew in each call since that costs nearly nothing: so nothing can be out of date.

cdef enum:
    C1_WEIGHT = 0
    C1_BIAS = 150
    C3_WEIGHT = 156
    C3_BIAS = 2556
    C5_WEIGHT = 2572
    C5_BIAS = 50572
    F6_WEIGHT = 50692
    F6_BIAS = 60772
    OUTPUT_WEIGHT = 60856   # and the output's bias behind it; their sizes depend on the number of classes
    GROUP = 12              # images that the dense layers predict at once
    TRAIN_GROUP = 10        # images that are learnt from at once: 6 + 4, the rows of two tiles of products
    SAVED = 11392           # IMAGE + C1_SUMS + S2 + C3_SUMS: what an image keeps for the way back


cdef void sigmoids(real* x, Py_ssize_t n) noexcept nogil:
    """x[n] = its sigmoids."""
    cdef Py_ssize_t i
    for i from 0 <= i < n - LANES + 1 by LANES:
        vstore(x + i, vsigmoid(vload(x + i)))
    if n % LANES:
        vstore_part(x + n - n % LANES, vsigmoid(vload_part(x + n - n % LANES, n % LANES)), n % LANES)


def sigmoid(real[::1] x, /):
    """x = its sigmoids."""
    if x.shape[0]:
        with nogil:
            sigmoids(&x[0], x.shape[0])


cdef void read_image(const unsigned char* x, Py_ssize_t row_bytes, Py_ssize_t n, real mean, real std,
                     real* image) noexcept nogil:
    """image = image n of x[N, 28, row_bytes], standardised.

    A row is 28 bytes from 0 to 255, or 28 numbers of type `real` in [0, 1], seen as bytes.
    """
    x += n * SIDE * row_bytes
    if row_bytes == SIDE:
        read_bytes(x, 1 / (255 * std), -mean / std, image)
    else:
        read_reals(<const real*> x, 1 / std, -mean / std, image)


# Functions of their own, so that the compiler knows the sizes of each: 5% of a prediction's time.

cdef void c5_sums(const real* parameters, Py_ssize_t N, const real* s4, real* c5) noexcept nogil:
    dense(N, C5_INPUTS, C5_UNITS, s4, parameters + C5_WEIGHT, parameters + C5_BIAS, c5)


cdef void f6_sums(const real* parameters, Py_ssize_t N, const real* c5, real* f6) noexcept nogil:
    dense(N, C5_UNITS, F6_UNITS, c5, parameters + F6_WEIGHT, parameters + F6_BIAS, f6)


cdef void output_sums(const real* parameters, Py_ssize_t N, Py_ssize_t classes, const real* f6,
                      real* out) noexcept nogil:
    dense(N, F6_UNITS, classes, f6, parameters + OUTPUT_WEIGHT, parameters + OUTPUT_WEIGHT + F6_UNITS * classes, out)


cdef void dense_layers(const real* parameters, Py_ssize_t N, Py_ssize_t classes, const real* s4, real* c5,
                       real* f6, real* out) noexcept nogil:
    c5_sums(parameters, N, s4, c5)
    sigmoids(c5, N * C5_UNITS)
    f6_sums(parameters, N, c5, f6)
    sigmoids(f6, N * F6_UNITS)
    output_sums(parameters, N, classes, f6, out)


# ---- forwards ------------------------------------------------------------------------------------------

cdef void logits_of(const real* parameters, const unsigned char* x, Py_ssize_t row_bytes, Py_ssize_t N, real mean,
                    real std, Py_ssize_t classes, real* out) noexcept nogil:
    """out[N, classes]. Nothing is allocated: scratch memory is on the stack, 58 KB in float and 116 KB in double."""
    cdef real room[IMAGE + C3_TAPS * C3_MAPS + C1_PAIR + S2 + LANES]
    cdef real* image = aligned(room)
    cdef real* c3_weight = image + IMAGE
    cdef real* sums = c3_weight + C3_TAPS * C3_MAPS
    cdef real* s2 = sums + C1_PAIR
    cdef real s4[GROUP * C5_INPUTS]
    cdef real c5[GROUP * C5_UNITS]
    cdef real f6[GROUP * F6_UNITS]
    cdef Py_ssize_t start, n, count
    memset(image, 0, IMAGE * sizeof(real))
    transpose(True, C3_MAPS, C3_TAPS, parameters + C3_WEIGHT, C3_TAPS, c3_weight, C3_MAPS)
    for start from 0 <= start < N by GROUP:
        count = min(<Py_ssize_t> GROUP, N - start)
        for n in range(count):
            read_image(x, row_bytes, start + n, mean, std, image)
            c1_stage(False, image, parameters + C1_WEIGHT, parameters + C1_BIAS, sums, s2)
            c3_stage(False, s2, c3_weight, parameters + C3_BIAS, sums, s4 + n * C5_INPUTS)
        dense_layers(parameters, count, classes, s4, c5, f6, out + start * classes)


def logits(const real[::1] parameters, const unsigned char[:, :, ::1] x, double mean, double std, real[:, ::1] out, /):
    """out[N, classes] = the logits of N images; x is as for read_image."""
    if x.shape[0]:
        with nogil:
            logits_of(&parameters[0], &x[0, 0, 0], x.shape[2], x.shape[0], mean, std, out.shape[1], &out[0, 0])


cdef inline real powers(Py_ssize_t classes, const real* logits, real highest, real* out) noexcept nogil:
    """out = exp(logits - highest), and their sum."""
    cdef Py_ssize_t k
    cdef real total = 0
    cdef vreal below
    for k from 0 <= k < classes by LANES:
        below = vset(highest) - vload_part(logits + k, classes - k)
        vstore_part(out + k, vexp_negative(vmin(vset(EXP_RANGE), below)), classes - k)
    for k in range(classes):
        total += out[k]
    return total


cdef inline real highest_of(Py_ssize_t classes, const real* logits) noexcept nogil:
    cdef Py_ssize_t k
    cdef real highest = logits[0]
    for k in range(1, classes):
        highest = max(highest, logits[k])
    return highest


def softmax(real[:, ::1] x, /):
    """x[N, classes] = the softmax of each row."""
    cdef Py_ssize_t classes = x.shape[1], n, k
    cdef real total
    cdef real* row
    with nogil:
        for n in range(x.shape[0]):
            row = &x[n, 0]
            total = powers(classes, row, highest_of(classes, row), row)
            for k in range(classes):
                row[k] /= total


# ---- forwards and backwards ----------------------------------------------------------------------------

cdef void cross_entropy_gradient(Py_ssize_t classes, const real* logits, Py_ssize_t label, real share,
                                 real* dlogits, real* total, real* margin) noexcept nogil:
    """dlogits = share (softmax - target); the loss is log(total) - margin.

    The target is one-hot, or, for a label below 0, an image of none of the classes, the same for all of them.
    """
    cdef Py_ssize_t k
    cdef real highest = highest_of(classes, logits), sum_ = 0
    total[0] = powers(classes, logits, highest, dlogits)
    for k in range(classes):
        dlogits[k] *= share / total[0]
    if label >= 0:
        margin[0] = logits[label] - highest
        dlogits[label] -= share
        return
    for k in range(classes):
        sum_ += logits[k]
        dlogits[k] -= share / classes
    margin[0] = sum_ / classes - highest


cdef void dense_gradient(Py_ssize_t N, Py_ssize_t D, Py_ssize_t O, const real* dy, const real* x,
                         const real* weight, real* dweight, real* dbias, real* dx, real* work) noexcept nogil:
    """dweight += dy^T x, dbias += dy summed over N, dx[N, D] = dy weight."""
    cdef Py_ssize_t n, o
    matmul(O, N, D, dy, 1, O, x, D, dweight, D, work)
    for n in range(N):
        for o in range(O):
            dbias[o] += dy[n * O + o]
    memset(dx, 0, N * D * sizeof(real))
    matmul(N, O, D, dy, O, 1, weight, D, dx, D, work)


cdef inline void unsigmoids(real* dy, const real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dy[i] = dy[i] * y[i] * (1 - y[i])


cdef struct Workspace:
    # The scratch memory of learn.
    real* saved             # of each image: image, C1's sigmoids, S2, C3's sigmoids
    real* planes
    real* s4
    real* c5
    real* f6
    real* df6
    real* dc5
    real* ds4
    real* c3_weight         # (tap, map)
    real* dc3_weight        # (tap, map)
    real* by_map            # the same as (map, tap)
    real* ds2
    real* dc1_weight        # (map, tap, LANES)
    real* dc1_bias          # (map, LANES)
    real* dc3_bias
    real* dlogits
    real* products
    real* end


cdef Workspace workspace(real* work, Py_ssize_t classes) noexcept nogil:
    cdef Workspace w
    w.saved = aligned(work)
    w.planes = w.saved + TRAIN_GROUP * SAVED
    w.s4 = w.planes + PLANES
    w.c5 = w.s4 + TRAIN_GROUP * C5_INPUTS
    w.f6 = w.c5 + TRAIN_GROUP * C5_UNITS
    w.df6 = w.f6 + TRAIN_GROUP * F6_UNITS
    w.dc5 = w.df6 + TRAIN_GROUP * F6_UNITS
    w.ds4 = w.dc5 + TRAIN_GROUP * C5_UNITS
    w.c3_weight = w.ds4 + TRAIN_GROUP * C5_INPUTS
    w.dc3_weight = w.c3_weight + C3_TAPS * C3_MAPS
    w.by_map = w.dc3_weight + C3_TAPS * C3_MAPS
    w.ds2 = w.by_map + C3_TAPS * C3_MAPS
    w.dc1_weight = w.ds2 + S2
    w.dc1_bias = w.dc1_weight + C1_MAPS * WINDOW * LANES
    w.dc3_bias = w.dc1_bias + C1_MAPS * LANES
    w.dlogits = w.dc3_bias + C3_MAPS
    w.products = w.dlogits + TRAIN_GROUP * classes
    w.end = w.products + matmul_work(max(<Py_ssize_t> C5_UNITS, classes), TRAIN_GROUP)
    return w


def learn_work(Py_ssize_t classes, /) -> int:
    """Return the length of the scratch memory of learn, which has to be zero at first and nobody else's later."""
    cdef real* somewhere = <real*> (LANES * sizeof(real))
    return workspace(somewhere, classes).end - somewhere + LANES


cdef void convolutions_backward(const real* parameters, real* saved, const real* ds4, Workspace* w) noexcept nogil:
    """Add an image's share to the gradients of C3 and C1 in the workspace."""
    cdef real* image = saved
    cdef real* c1 = image + IMAGE
    cdef real* s2 = c1 + C1_SUMS
    cdef real* c3 = s2 + S2
    c3_unpool(ds4, c3, w.planes)
    c3_weight_gradient(c3, s2, w.dc3_weight, w.dc3_bias)
    s2_gradient(w.planes, parameters + C3_WEIGHT, w.ds2)
    c1_unpool(w.ds2, c1, w.dc1_bias)
    c1_weight_gradient(c1, image, w.dc1_weight)


cdef void collect(Workspace* w, real* gradient) noexcept nogil:
    """Add the gradients of C1 and C3, that have been summed in layouts of their own, to the flat vector."""
    cdef Py_ssize_t k
    for k in range(C1_MAPS * WINDOW):
        gradient[C1_WEIGHT + k] += vsum(vload(w.dc1_weight + k * LANES))
    for k in range(C1_MAPS):
        gradient[C1_BIAS + k] += vsum(vload(w.dc1_bias + k * LANES))
    transpose(False, C3_TAPS, C3_MAPS, w.dc3_weight, C3_MAPS, w.by_map, C3_TAPS)
    for k in range(C3_TAPS * C3_MAPS):
        gradient[C3_WEIGHT + k] += w.by_map[k]
    for k in range(C3_MAPS):
        gradient[C3_BIAS + k] += w.dc3_bias[k]


cdef void learn_from(const real* parameters, const unsigned char* x, Py_ssize_t row_bytes, Py_ssize_t N, real mean,
                     real std, const long long* labels, const real* shares, Py_ssize_t classes, real* logits,
                     real* totals, real* margins, real* gradient, real* work) noexcept nogil:
    cdef Workspace w = workspace(work, classes)
    cdef real* saved
    cdef Py_ssize_t start, n, count
    cdef Py_ssize_t output_bias = OUTPUT_WEIGHT + F6_UNITS * classes
    memset(w.dc3_weight, 0, C3_TAPS * C3_MAPS * sizeof(real))
    memset(w.dc1_weight, 0, (w.dlogits - w.dc1_weight) * sizeof(real))
    transpose(True, C3_MAPS, C3_TAPS, parameters + C3_WEIGHT, C3_TAPS, w.c3_weight, C3_MAPS)
    for start from 0 <= start < N by TRAIN_GROUP:
        count = min(<Py_ssize_t> TRAIN_GROUP, N - start)
        for n in range(count):
            saved = w.saved + n * SAVED
            read_image(x, row_bytes, start + n, mean, std, saved)
            c1_stage(True, saved, parameters + C1_WEIGHT, parameters + C1_BIAS, saved + IMAGE, saved + IMAGE + C1_SUMS)
            c3_stage(True, saved + IMAGE + C1_SUMS, w.c3_weight, parameters + C3_BIAS, saved + IMAGE + C1_SUMS + S2,
                     w.s4 + n * C5_INPUTS)
        dense_layers(parameters, count, classes, w.s4, w.c5, w.f6, logits + start * classes)
        for n in range(count):
            cross_entropy_gradient(classes, logits + (start + n) * classes, labels[start + n], shares[start + n],
                                   w.dlogits + n * classes, totals + start + n, margins + start + n)
        dense_gradient(count, F6_UNITS, classes, w.dlogits, w.f6, parameters + OUTPUT_WEIGHT,
                       gradient + OUTPUT_WEIGHT, gradient + output_bias, w.df6, w.products)
        unsigmoids(w.df6, w.f6, count * F6_UNITS)
        dense_gradient(count, C5_UNITS, F6_UNITS, w.df6, w.c5, parameters + F6_WEIGHT,
                       gradient + F6_WEIGHT, gradient + F6_BIAS, w.dc5, w.products)
        unsigmoids(w.dc5, w.c5, count * C5_UNITS)
        dense_gradient(count, C5_INPUTS, C5_UNITS, w.dc5, w.s4, parameters + C5_WEIGHT,
                       gradient + C5_WEIGHT, gradient + C5_BIAS, w.ds4, w.products)
        for n in range(count):
            convolutions_backward(parameters, w.saved + n * SAVED, w.ds4 + n * C5_INPUTS, &w)
    collect(&w, gradient)


def learn(const real[::1] parameters, const unsigned char[:, :, ::1] x, double mean, double std,
          const long long[::1] labels, const real[::1] shares, real[:, ::1] logits, real[::1] totals,
          real[::1] margins, real[::1] gradient, real[::1] work, /):
    """gradient += that of the sum of shares[N] times the cross-entropies of N images; x is as for read_image.

    logits[N, classes] is filled; the loss of image n is log(totals[n]) - margins[n].
    """
    if x.shape[0]:
        with nogil:
            learn_from(&parameters[0], &x[0, 0, 0], x.shape[2], x.shape[0], mean, std, &labels[0], &shares[0],
                       logits.shape[1], &logits[0, 0], &totals[0], &margins[0], &gradient[0], &work[0])


def sgd_step(real[::1] parameters, const real[::1] gradient, real[::1] velocity, double lr, double momentum,
             double weight_decay, /):
    """velocity = momentum velocity + gradient + weight_decay parameters; parameters -= lr velocity."""
    cdef Py_ssize_t n = parameters.shape[0], i
    cdef real rate = lr, keep = momentum, decay = weight_decay
    if n == 0:
        return
    cdef real* p = &parameters[0]
    cdef real* v = &velocity[0]
    cdef const real* g = &gradient[0]
    with nogil:
        for i from 0 <= i < n - LANES + 1 by LANES:
            vstore(v + i, vmuladd(vset(keep), vload(v + i), vmuladd(vset(decay), vload(p + i), vload(g + i))))
            vstore(p + i, vmuladd(vset(-rate), vload(v + i), vload(p + i)))
        for i in range(n - n % LANES, n):
            v[i] = keep * v[i] + (decay * p[i] + g[i])
            p[i] -= rate * v[i]
