"""The kernels of `lenet.training.augment.distortions`."""

ctypedef unsigned char uint8

ctypedef fused pixel:
    uint8
    float
    double

ctypedef fused level:       # not float: a third copy of the loop would enlarge the wheel
    uint8
    double

cdef enum:
    KNOTS = 4       # a bend is defined at 4 x 4 points


cdef inline double value(const pixel* image, Py_ssize_t H, Py_ssize_t W, Py_ssize_t y, Py_ssize_t x) noexcept nogil:
    """Return the pixel at (y, x), or 0 outside the image."""
    return image[y * W + x] if 0 <= y < H and 0 <= x < W else 0


cdef inline double between(const pixel* image, Py_ssize_t H, Py_ssize_t W, double v, double u) noexcept nogil:
    """Return the level at row v and column u, by bilinear interpolation."""
    cdef Py_ssize_t left, top
    cdef double right_part, low_part, high, low
    cdef const pixel* corner
    if not (-1 < u < W and -1 < v < H):     # NaN too
        return 0
    left, top = <Py_ssize_t> (u + 1) - 1, <Py_ssize_t> (v + 1) - 1
    right_part, low_part = u - left, v - top
    if 0 <= left < W - 1 and 0 <= top < H - 1:
        corner = image + top * W + left
        high = (1 - right_part) * corner[0] + right_part * corner[1]
        low = (1 - right_part) * corner[W] + right_part * corner[W + 1]
    else:
        high = (1 - right_part) * value(image, H, W, top, left) + right_part * value(image, H, W, top, left + 1)
        low = (1 - right_part) * value(image, H, W, top + 1, left) + right_part * value(image, H, W, top + 1, left + 1)
    return (1 - low_part) * high + low_part * low


cdef void _affine(const level[:, :, ::1] images, const double[:, :, ::1] maps, level[:, :, ::1] out):
    """out[n, y, x] = images[n] at maps[n] (2, 3) times (x, y, 1), for images of shape (N, H, W).

    Coordinates are in pixels from the centre of the image.
    """
    cdef Py_ssize_t N = images.shape[0], H = images.shape[1], W = images.shape[2], n, y, x
    cdef double middle_x = (W - 1) / 2.0, middle_y = (H - 1) / 2.0, u, v
    cdef double half = 0.5 if level is uint8 else 0.0
    with nogil:
        for n in range(N):
            for y in range(H):
                for x in range(W):
                    u = maps[n, 0, 0] * (x - middle_x) + maps[n, 0, 1] * (y - middle_y) + maps[n, 0, 2] + middle_x
                    v = maps[n, 1, 0] * (x - middle_x) + maps[n, 1, 1] * (y - middle_y) + maps[n, 1, 2] + middle_y
                    out[n, y, x] = <level> (between(&images[n, 0, 0], H, W, v, u) + half)


def affine(images, const double[:, :, ::1] maps, out, /):
    if out.itemsize == sizeof(uint8):
        _affine[uint8](images, maps, out)
    else:
        _affine[double](images, maps, out)


cdef void warp(const uint8* image, const double* map_, const float* bend, float* out) noexcept nogil:
    """out[28, 28] = the image under an affine map and a bend: (2, 4, 4) shifts in x and y."""
    cdef Py_ssize_t y, x
    cdef double middle = (SIDE - 1) / 2.0, to_knots = (KNOTS - 1.0) / (SIDE - 1.0), u, v
    for y in range(SIDE):
        for x in range(SIDE):
            u = map_[0] * (x - middle) + map_[1] * (y - middle) + map_[2] + middle
            v = map_[3] * (x - middle) + map_[4] * (y - middle) + map_[5] + middle
            u += between(bend, KNOTS, KNOTS, y * to_knots, x * to_knots)
            v += between(bend + KNOTS * KNOTS, KNOTS, KNOTS, y * to_knots, x * to_knots)
            out[y * SIDE + x] = <float> between(image, SIDE, SIDE, v, u)


cdef void thicken(float* image, float strength, float* work) noexcept nogil:
    """Move each pixel towards the maximum of its neighbours, or, if strength is negative, towards the minimum."""
    cdef Py_ssize_t y, x
    cdef float extreme, sign = 1 if strength > 0 else -1
    for y in range(SIDE * SIDE):
        work[y] = sign * image[y]
    for y in range(1, SIDE - 1):
        for x in range(1, SIDE - 1):
            extreme = max(work[y * SIDE + x], max(max(work[(y - 1) * SIDE + x], work[(y + 1) * SIDE + x]),
                                                  max(work[y * SIDE + x - 1], work[y * SIDE + x + 1])))
            image[y * SIDE + x] += sign * strength * (sign * extreme - image[y * SIDE + x])


cdef void blur(float* image, float strength, float* work) noexcept nogil:
    """Move each pixel towards the mean of its neighbours, weighted 1, 2, 1 in both directions."""
    cdef Py_ssize_t y, x
    for y in range(SIDE):
        work[y * SIDE] = image[y * SIDE]
        work[y * SIDE + SIDE - 1] = image[y * SIDE + SIDE - 1]
        for x in range(1, SIDE - 1):
            work[y * SIDE + x] = (image[y * SIDE + x - 1] + 2 * image[y * SIDE + x] + image[y * SIDE + x + 1]) / 4
    for y in range(1, SIDE - 1):
        for x in range(SIDE):
            image[y * SIDE + x] += strength * ((work[(y - 1) * SIDE + x] + 2 * work[y * SIDE + x]
                                                + work[(y + 1) * SIDE + x]) / 4 - image[y * SIDE + x])


cdef inline float noise(unsigned long long* state) noexcept nogil:
    """Return a pseudorandom number in [-1, 1), by Marsaglia's 64-bit xorshift."""
    state[0] ^= state[0] << 13
    state[0] ^= state[0] >> 7
    state[0] ^= state[0] << 17
    return <float> (<double> (state[0] >> 11) * (2.0 / 9007199254740992.0) - 1)


def vary(const uint8[:, :, ::1] images, const double[:, :, ::1] maps, const float[:, :, :, ::1] bends,
         const float[:, ::1] pens, const unsigned long long[::1] seeds, uint8[:, :, ::1] out, /):
    """out[n] = images[n] (28, 28), warped, thickened, blurred, and on an uneven background with noise.

    pens[n] is described in `lenet.training.augment.distortions.Variations`.
    """
    cdef Py_ssize_t n, y, x
    cdef float image[SIDE * SIDE]
    cdef float work[SIDE * SIDE]
    cdef float ground, level
    cdef unsigned long long state
    with nogil:
        for n in range(images.shape[0]):
            warp(&images[n, 0, 0], &maps[n, 0, 0], &bends[n, 0, 0, 0], image)
            if pens[n, 0] != 0:
                thicken(image, pens[n, 0], work)
            if pens[n, 1] != 0:
                blur(image, pens[n, 1], work)
            state = seeds[n] | 1
            for y in range(SIDE):
                for x in range(SIDE):
                    ground = 255 * (pens[n, 3] + (pens[n, 4] * (x - 13.5) + pens[n, 5] * (y - 13.5)) / SIDE)
                    level = ground + (pens[n, 2] - ground / 255) * image[y * SIDE + x]
                    if pens[n, 6] != 0:
                        level += 255 * pens[n, 6] * noise(&state)
                    out[n, y, x] = <uint8> (min(max(<float> 0, level), <float> 255) + <float> 0.5)  # NaN becomes 0
