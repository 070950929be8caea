# The shape of LeNet-5. All other sizes and all offsets follow from the first eight constants. Three of these are fixed:
# winograd.pxi requires KERNEL = 5 and POOL = 2, and stages.pxi requires PADDING = 2.
#
# stage    output          weight
# image    (1, 28, 28)
# c1       (6, 28, 28)     (6, 1, 5, 5)
# s2       (6, 14, 14)
# c3       (16, 10, 10)    (16, 6, 5, 5)
# s4       (16, 5, 5)
# c5       (120,)          (120, 16, 5, 5)
# f6       (84,)           (84, 120)
# output   (classes,)      (classes, 84)

cdef enum:
    SIDE = 28
    PADDING = 2             # of the image
    KERNEL = 5
    POOL = 2
    C1_MAPS = 6
    C3_MAPS = 16
    C5_UNITS = 120
    F6_UNITS = 84

    TAPS = KERNEL * KERNEL
    C1_SIDE = SIDE + 2 * PADDING - KERNEL + 1
    S2_SIDE = C1_SIDE // POOL
    C3_SIDE = S2_SIDE - KERNEL + 1
    S4_SIDE = C3_SIDE // POOL
    C3_TAPS = C1_MAPS * TAPS
    KERNEL_ROWS = C1_MAPS * KERNEL  # (c, i): the rows of the kernels of one map of C3
    C3_WEIGHTS = C3_MAPS * C3_TAPS
    S4_PIXELS = S4_SIDE * S4_SIDE
    C5_INPUTS = C3_MAPS * S4_PIXELS

    MAX_LANES = 16          # of all builds

    # Offsets in the flat vector of parameters; the output's bias follows its weight.
    C1_WEIGHT = 0
    C1_BIAS = C1_WEIGHT + C1_MAPS * TAPS
    C3_WEIGHT = C1_BIAS + C1_MAPS
    C3_BIAS = C3_WEIGHT + C3_WEIGHTS
    C5_WEIGHT = C3_BIAS + C3_MAPS
    C5_BIAS = C5_WEIGHT + C5_UNITS * C5_INPUTS
    F6_WEIGHT = C5_BIAS + C5_UNITS
    F6_BIAS = F6_WEIGHT + F6_UNITS * C5_UNITS
    OUTPUT_WEIGHT = F6_BIAS + F6_UNITS


cdef inline Py_ssize_t output_bias(Py_ssize_t classes) noexcept nogil:
    return OUTPUT_WEIGHT + classes * F6_UNITS
