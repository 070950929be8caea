# LeNet-5 as a whole: the logits of images, and the gradient of a batch.
#
# `parameters` and `gradient` are flat vectors of the model, laid out as in shape.pxi. Only the weights of C1 and C3 are
# transformed. Each call does so again, which takes almost no time, so that no copy can be out of date.

cdef enum:
    GROUP = 12              # images that the dense layers predict at once
    TRAIN_GROUP = 10        # images in one pass of training: 6 + 4, the rows of two tiles of products


cdef void sigmoids(real* x, Py_ssize_t n) noexcept nogil:
    """x[n] = its sigmoids."""
    cdef Py_ssize_t v
    for v in range(n // LANES):
        vstore(x + v * LANES, vsigmoid(vload(x + v * LANES)))
    if n % LANES:
        vstore_part(x + n - n % LANES, vsigmoid(vload_part(x + n - n % LANES, n % LANES)), n % LANES)


# ---- the dense layers ----------------------------------------------------------------------------------
# Each has a function of its own, so that the compiler knows its sizes, which saves 5% of a prediction's time.

cdef void c5_sums(const real* parameters, Py_ssize_t N, const real* s4, real* c5) noexcept nogil:
    dense(N, C5_INPUTS, C5_UNITS, s4, parameters + C5_WEIGHT, parameters + C5_BIAS, c5)


cdef void f6_sums(const real* parameters, Py_ssize_t N, const real* c5, real* f6) noexcept nogil:
    dense(N, C5_UNITS, F6_UNITS, c5, parameters + F6_WEIGHT, parameters + F6_BIAS, f6)


cdef void output_sums(const real* parameters, Py_ssize_t N, Py_ssize_t classes, const real* f6,
                      real* out) noexcept nogil:
    dense(N, F6_UNITS, classes, f6, parameters + OUTPUT_WEIGHT, parameters + output_bias(classes), out)


cdef void dense_layers(const real* parameters, Py_ssize_t N, Py_ssize_t classes, const real* s4, real* c5,
                       real* f6, real* out) noexcept nogil:
    c5_sums(parameters, N, s4, c5)
    sigmoids(c5, N * C5_UNITS)
    f6_sums(parameters, N, c5, f6)
    sigmoids(f6, N * F6_UNITS)
    output_sums(parameters, N, classes, f6, out)


# ---- the weights of the convolutions --------------------------------------------------------------------

cdef struct Filters:
    # Those of winograd.pxi, for C3_MAPS maps; those of C1 are zero after the first C1_MAPS. by_row is scratch memory.
    real c1[POINTS * KERNEL * C3_MAPS]          # (point, i, map)
    real c3[POINTS * KERNEL_ROWS * C3_MAPS]     # (point, c, i, map)
    real by_row[C3_TAPS * C3_MAPS]              # (c, i, j, map)


cdef void fill_filters(const real* parameters, Filters* filters) noexcept nogil:
    memset(filters.by_row, 0, TAPS * C3_MAPS * sizeof(real))
    transpose(C1_MAPS, TAPS, parameters + C1_WEIGHT, TAPS, filters.by_row, C3_MAPS)
    to_filters(KERNEL, filters.by_row, filters.c1)
    transpose(C3_MAPS, C3_TAPS, parameters + C3_WEIGHT, C3_TAPS, filters.by_row, C3_MAPS)
    to_filters(KERNEL_ROWS, filters.by_row, filters.c3)


# ---- logits --------------------------------------------------------------------------------------------

cdef struct Scratch:
    # The scratch memory of forward.
    real pixels[SIDE * SIDE]
    real image[IMAGE_SIZE]
    Filters filters
    real products[C1_PRODUCTS]      # of a band of C1, and then of two rows of C3, which are fewer
    real s2[S2_SIZE]
    real points[S2_POINTS_SIZE]
    real s4[GROUP * C5_INPUTS]
    real c5[GROUP * C5_UNITS]
    real f6[GROUP * F6_UNITS]
    real spare[LANES]               # aligned() moves everything by up to a vector


cdef void forward(const real* parameters, const Images* x, Py_ssize_t N, Py_ssize_t classes,
                  real* out, real* work) noexcept nogil:
    """out[N, classes] = the logits."""
    cdef Scratch* w = <Scratch*> aligned(work)
    cdef Py_ssize_t group, start, n, count
    # Zero the padding above the image, and numbers that no result needs, which must not be subnormal (stages.pxi).
    memset(w.image, 0, IMAGE_SIZE * sizeof(real))
    memset(w.s2, 0, S2_SIZE * sizeof(real))
    fill_filters(parameters, &w.filters)
    for group in range(ceil_div(N, GROUP)):
        start = group * GROUP
        count = min(<Py_ssize_t> GROUP, N - start)
        for n in range(count):
            read_image(x, start + n, w.pixels, w.image)
            c1_stage(False, w.image, w.filters.c1, parameters + C1_BIAS, w.products, w.products, w.s2)
            s2_points(w.s2, w.points)
            c3_stage(False, w.points, w.filters.c3, parameters + C3_BIAS, w.products, w.products,
                     w.s4 + n * C5_INPUTS)
        dense_layers(parameters, count, classes, w.s4, w.c5, w.f6, out + start * classes)


# ---- softmax and cross-entropy -------------------------------------------------------------------------

cdef inline real maximum(Py_ssize_t n, const real* x) noexcept nogil:
    cdef Py_ssize_t k
    cdef real highest = x[0]
    for k in range(1, n):
        highest = max(highest, x[k])
    return highest


cdef inline real exponentials(Py_ssize_t classes, const real* logits, real highest, real* out) noexcept nogil:
    """out = exp(logits - highest), and return their sum."""
    cdef Py_ssize_t k, v
    cdef real total = 0
    cdef vreal below
    for v in range(ceil_div(classes, LANES)):
        below = vset(highest) - vload_part(logits + v * LANES, classes - v * LANES)
        vstore_part(out + v * LANES, vexp_negative(vmin(vset(EXP_RANGE), below)), classes - v * LANES)
    for k in range(classes):
        total += out[k]
    return total


cdef void softmax(Py_ssize_t N, Py_ssize_t classes, real* x) noexcept nogil:
    """x[N, classes] = the softmax of each row."""
    cdef Py_ssize_t _, k
    cdef real total
    for _ in range(N):
        total = exponentials(classes, x, maximum(classes, x), x)
        for k in range(classes):
            x[k] /= total
        x += classes


cdef void target_of(Py_ssize_t classes, long long label, real* target) noexcept nogil:
    """target = the probabilities of a label: one-hot or, below 0 (an image of none of the classes), uniform."""
    cdef Py_ssize_t k
    for k in range(classes):
        target[k] = 0 if label >= 0 else 1 / <real> classes
    if label >= 0:
        target[label] = 1


cdef void cross_entropy_gradient(Py_ssize_t classes, const real* logits, const real* target, real share,
                                 real* dlogits, real* exp_sum, real* target_logit) noexcept nogil:
    """dlogits = share * (softmax - target). The caller computes the loss, log(exp_sum) - target_logit."""
    cdef Py_ssize_t k
    cdef real highest = maximum(classes, logits), sum_ = 0
    exp_sum[0] = exponentials(classes, logits, highest, dlogits)
    for k in range(classes):
        dlogits[k] = dlogits[k] * (share / exp_sum[0]) - share * target[k]
        sum_ += target[k] * (logits[k] - highest)
    target_logit[0] = sum_


# ---- gradients -----------------------------------------------------------------------------------------

cdef struct Saved:
    # The memory of one image for the backward pass, in the layouts of stages.pxi.
    real image[IMAGE_SIZE]
    real c1[C1_SIZE]                # sigmoids
    real s2[S2_SIZE]
    real c3[C3_SIZE]                # sigmoids


cdef struct ConvGradients:
    # Gradients of the convolutions, summed over images in the layouts of their tiles.
    real c1_filters[POINTS * C1_MAPS * KERNEL * LANES]      # (point, map, i, lane)
    real c1_bias[C1_MAPS * LANES]                           # (map, lane)
    real c3_filters[POINTS * KERNEL_ROWS * C3_MAPS]         # (point, c, i, map)
    real c3_bias[C3_MAPS]


cdef struct Workspace:
    # The scratch memory of forward_backward; dlogits, a target and the work of products follow it.
    Saved saved[TRAIN_GROUP]
    real s4[TRAIN_GROUP * C5_INPUTS]
    real c5[TRAIN_GROUP * C5_UNITS]
    real f6[TRAIN_GROUP * F6_UNITS]
    real df6[TRAIN_GROUP * F6_UNITS]
    real dc5[TRAIN_GROUP * C5_UNITS]
    real ds4[TRAIN_GROUP * C5_INPUTS]
    Filters filters
    real pixels[SIDE * SIDE]
    real products[C1_PRODUCTS]
    real points[S2_POINTS_SIZE]
    real c3_planes[POOL * PLANES_SIZE]
    real dproducts[PLANES_SIZE]
    real dpoints[DPOINTS_SIZE]
    real wide[POINTS * WIDE]
    real ds2[S2_SIZE]
    ConvGradients conv
    real dweight[C3_WEIGHTS]                    # (map, tap)
    real spare[LANES]                           # aligned() moves everything by up to a vector


cdef Py_ssize_t scratch_size(Py_ssize_t classes) noexcept nogil:
    """The length of the scratch memory of forward_backward, which must consist of zeros at first."""
    return (sizeof(Workspace) // sizeof(real) + (TRAIN_GROUP + 1) * classes
            + matmul_work(max(<Py_ssize_t> C5_UNITS, classes), TRAIN_GROUP))


cdef void convolutions_forward(const real* parameters, Saved* saved, Workspace* w, real* s4) noexcept nogil:
    c1_stage(True, saved.image, w.filters.c1, parameters + C1_BIAS, w.products, saved.c1, saved.s2)
    s2_points(saved.s2, w.points)
    c3_stage(True, w.points, w.filters.c3, parameters + C3_BIAS, w.products, saved.c3, s4)


cdef void convolutions_backward(Saved* saved, const real* ds4, Workspace* w) noexcept nogil:
    """Add an image's share to the gradients of C3 and C1 in w.conv."""
    c3_sums_gradient(ds4, saved.c3, w.c3_planes)                # replaces the sigmoids of C3
    s2_points(saved.s2, w.points)                               # again: keeping them would take 16 KB per image
    c3_filter_gradient(saved.c3, w.points, w.dproducts, w.conv.c3_filters, w.conv.c3_bias)
    s2_points_gradient(w.c3_planes, w.filters.c3, w.dproducts, w.dpoints)
    s2_gradient(w.dpoints, w.wide, w.ds2)
    c1_sums_gradient(w.ds2, saved.c1, w.conv.c1_bias)           # replaces those of C1
    c1_filter_gradient(saved.c1, saved.image, w.conv.c1_filters)


cdef void dense_layers_backward(const real* parameters, Py_ssize_t N, Py_ssize_t classes, const real* dlogits,
                                Workspace* w, real* work, real* gradient) noexcept nogil:
    dense_backward(N, F6_UNITS, classes, dlogits, w.f6, parameters + OUTPUT_WEIGHT,
                   gradient + OUTPUT_WEIGHT, gradient + output_bias(classes), w.df6, work)
    sigmoids_backward(w.df6, w.f6, N * F6_UNITS)
    dense_backward(N, C5_UNITS, F6_UNITS, w.df6, w.c5, parameters + F6_WEIGHT,
                   gradient + F6_WEIGHT, gradient + F6_BIAS, w.dc5, work)
    sigmoids_backward(w.dc5, w.c5, N * C5_UNITS)
    dense_backward(N, C5_INPUTS, C5_UNITS, w.dc5, w.s4, parameters + C5_WEIGHT,
                   gradient + C5_WEIGHT, gradient + C5_BIAS, w.ds4, work)


cdef void add_weight_gradient(Py_ssize_t rows, Py_ssize_t maps, const real* dfilters, Workspace* w,
                              real* dweight) noexcept nogil:
    """dweight[map, row, j] += G^T dfilters[point, row, C3_MAPS]."""
    cdef Py_ssize_t k
    weight_gradient(rows, dfilters, w.filters.by_row)
    transpose(rows * KERNEL, maps, w.filters.by_row, C3_MAPS, w.dweight, rows * KERNEL)
    for k in range(maps * rows * KERNEL):
        dweight[k] += w.dweight[k]


cdef void add_sums(Workspace* w, real* gradient) noexcept nogil:
    """Add the summed gradients of C1 and C3 to the flat vector, and overwrite w.filters."""
    cdef Py_ssize_t k, row
    for k in range(POINTS * C1_MAPS * KERNEL):
        row = k // (C1_MAPS * KERNEL) * KERNEL + k % KERNEL
        w.filters.c1[row * C3_MAPS + k // KERNEL % C1_MAPS] = vsum(vload(w.conv.c1_filters + k * LANES))
    add_weight_gradient(KERNEL, C1_MAPS, w.filters.c1, w, gradient + C1_WEIGHT)
    add_weight_gradient(KERNEL_ROWS, C3_MAPS, w.conv.c3_filters, w, gradient + C3_WEIGHT)
    for k in range(C1_MAPS):
        gradient[C1_BIAS + k] += vsum(vload(w.conv.c1_bias + k * LANES))
    for k in range(C3_MAPS):
        gradient[C3_BIAS + k] += w.conv.c3_bias[k]


cdef void forward_backward(const real* parameters, const Images* x, Py_ssize_t N, const long long* labels,
                           const real* targets, const real* shares, Py_ssize_t classes, real* logits, real* exp_sums,
                           real* target_logits, real* gradient, real* work) noexcept nogil:
    """Fill logits, exp_sums and target_logits, and add the gradient of the sum of shares times losses to gradient."""
    cdef Workspace* w = <Workspace*> aligned(work)
    cdef real* dlogits = <real*> (w + 1)                        # behind the Workspace
    cdef real* one_hot = dlogits + TRAIN_GROUP * classes
    cdef const real* target
    cdef Py_ssize_t group, start, n, count
    memset(&w.conv, 0, sizeof(ConvGradients))
    fill_filters(parameters, &w.filters)
    for group in range(ceil_div(N, TRAIN_GROUP)):
        start = group * TRAIN_GROUP
        count = min(<Py_ssize_t> TRAIN_GROUP, N - start)
        for n in range(count):
            read_image(x, start + n, w.pixels, w.saved[n].image)
            convolutions_forward(parameters, &w.saved[n], w, w.s4 + n * C5_INPUTS)
        dense_layers(parameters, count, classes, w.s4, w.c5, w.f6, logits + start * classes)
        for n in range(count):
            if labels:
                target_of(classes, labels[start + n], one_hot)
                target = one_hot
            else:
                target = targets + (start + n) * classes
            cross_entropy_gradient(classes, logits + (start + n) * classes, target, shares[start + n],
                                   dlogits + n * classes, exp_sums + start + n, target_logits + start + n)
        dense_layers_backward(parameters, count, classes, dlogits, w, one_hot + classes, gradient)
        for n in range(count):
            convolutions_backward(&w.saved[n], w.ds4 + n * C5_INPUTS, w)
    add_sums(w, gradient)


cdef void sgd_step(Py_ssize_t n, real* w, const real* g, real* v, real lr, real momentum,
                   real weight_decay) noexcept nogil:
    """From the gradient g of the parameters w: v = momentum v + g + weight_decay w; w -= lr v."""
    cdef Py_ssize_t k, i
    for k in range(n // LANES):
        i = k * LANES
        vstore(v + i, vmuladd(vset(momentum), vload(v + i), vmuladd(vset(weight_decay), vload(w + i), vload(g + i))))
        vstore(w + i, vmuladd(vset(-lr), vload(v + i), vload(w + i)))
    for i in range(n - n % LANES, n):
        v[i] = momentum * v[i] + (weight_decay * w[i] + g[i])
        w[i] -= lr * v[i]
