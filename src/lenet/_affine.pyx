"""The kernel of `lenet.data.distortions`: affine maps of images with bilinear interpolation."""

ctypedef unsigned char uint8

ctypedef fused pixel:
    uint8
    float
    double


cdef inline double value(const pixel* image, Py_ssize_t H, Py_ssize_t W, Py_ssize_t y, Py_ssize_t x) noexcept nogil:
    """The pixel at (y, x); outside of the image it is background, 0."""
    return image[y * W + x] if 0 <= y < H and 0 <= x < W else 0


def affine(const pixel[:, :, ::1] images, const double[:, :, ::1] maps, pixel[:, :, ::1] out):
    """out[n, y, x] = images[n] at maps[n] (2, 3) times (x, y, 1), for images of shape (N, H, W).

    Coordinates count pixels from the image's centre. Integers are rounded to the nearest.
    """
    cdef Py_ssize_t N = images.shape[0], H = images.shape[1], W = images.shape[2], n, y, x, left, top
    cdef double middle_x = (W - 1) / 2.0, middle_y = (H - 1) / 2.0, u, v, right_part, low_part, result
    cdef double half = 0.5 if pixel is uint8 else 0.0
    cdef const pixel* image
    with nogil:
        for n in range(N):
            image = &images[n, 0, 0]
            for y in range(H):
                for x in range(W):
                    u = maps[n, 0, 0] * (x - middle_x) + maps[n, 0, 1] * (y - middle_y) + maps[n, 0, 2] + middle_x
                    v = maps[n, 1, 0] * (x - middle_x) + maps[n, 1, 1] * (y - middle_y) + maps[n, 1, 2] + middle_y
                    if not (-1 < u < W and -1 < v < H):     # NaN too
                        out[n, y, x] = 0
                        continue
                    left, top = <Py_ssize_t> (u + 1) - 1, <Py_ssize_t> (v + 1) - 1
                    right_part, low_part = u - left, v - top
                    result = (1 - low_part) * ((1 - right_part) * value(image, H, W, top, left)
                                               + right_part * value(image, H, W, top, left + 1))
                    result += low_part * ((1 - right_part) * value(image, H, W, top + 1, left)
                                          + right_part * value(image, H, W, top + 1, left + 1))
                    out[n, y, x] = <pixel> (result + half)
