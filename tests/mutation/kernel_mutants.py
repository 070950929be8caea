"""Wrong kernels, that the tests have to notice: one text of one file each, changed.

Each is a fault that somebody could make: a bound, a sign, an index, a term that is missing, the tail of a tile, an
edge, an assignment where a sum is wanted.
"""

from typing import NamedTuple

from tests.mutation.building import Change


class Mutant(NamedTuple):
    """A change, and the extension that is built with it."""

    change: Change
    extension: str


def _of(file: str, *mutants: tuple[str, str, str], extension: str = "_fused.lenet5_v3") -> dict[str, Mutant]:
    return {name: Mutant(Change(file, old, new), extension) for name, old, new in mutants}


LAYERS = _of(
    "_conv.pyx",
    ("im2col-row-and-column-swapped", "x[n, c, y + i, column + j]\n", "x[n, c, y + j, column + i]\n"),
    ("im2col-rows-by-the-height", "row = (c * KH + i) * KW + j\n                        for y in range(OH):\n"
     "                            for column in range(OW):\n                                out[n, row",
     "row = (c * KW + i) * KH + j\n                        for y in range(OH):\n"
     "                            for column in range(OW):\n                                out[n, row"),
    ("col2im-assigned", "out[n, c, y + i, column + j] += columns", "out[n, c, y + i, column + j] = columns"),
    ("col2im-first-image-only", "columns[n, row, y * OW + column]", "columns[0, row, y * OW + column]"),
    ("pool-without-share", "total / (KH * KW)", "total"),
    ("pool-total-kept", "                        total = 0\n", "                        total *= 0.5\n"),
    ("pool-strides-swapped", "total += x[n, c, y * SH + i, column * SW + j]",
     "total += x[n, c, y * SW + i, column * SH + j]"),
    ("pool-dx-without-share", "dy[n, c, y, column] / (KH * KW)", "dy[n, c, y, column]"),
    ("pool-dx-assigned", "dx[n, c, y * SH + i, column * SW + j] += dy", "dx[n, c, y * SH + i, column * SW + j] = dy"),
    extension="_conv",
)  # fmt: skip
PRODUCTS = _of(
    "_fused/products.pxi",
    ("tile-assigned", "acc[4 * m + v] = vload(c + m * c_row + v * LANES)", "acc[4 * m + v] = vset(0)"),
    ("tile-by-the-columns-of-a", "vmuladd(vset(a[m * a_row]), b_now[v]", "vmuladd(vset(a[m * a_step]), b_now[v]"),
    ("last-tile-too-high", "if m + LAST_ROWS <= M:", "if m + LAST_ROWS <= M + 1:"),
    ("row-left-out", "        m += LAST_ROWS\n", "        m += LAST_ROWS + 1\n"),
    ("panel-beyond-the-end-of-b", "if start + vectors * LANES > b_row:", "if start + vectors * LANES > b_row + LANES:"),
    ("panel-of-c-without-its-last-row", "copy_rows(M, width, c + start, c_row, c_now",
     "copy_rows(M - 1, width, c + start, c_row, c_now"),
    ("panel-of-c-back-without-its-last", "copy_rows(M, width, c_now, c_now_row, c",
     "copy_rows(M, width - 1, c_now, c_now_row, c"),
    ("panel-half", "elif vectors == 2:\n            panel(2,", "elif vectors == 2:\n            panel(1,"),
    ("dots-without-the-tail", "    if left:\n", "    if left > 1:\n"),
    ("dots-without-bias", "= bias[n] + sums[m * cols + n]", "= sums[m * cols + n]"),
    ("dense-last-tile-beyond", "col = min(o, O - 4)", "col = o"),
    ("dense-last-images-beyond", "row = min(n, N - DOT_ROWS)", "row = n"),
    ("dense-bias-of-the-tile-before", "weight + col * D, bias + col, out + n * O + col, O)",
     "weight + col * D, bias + o, out + n * O + col, O)"),
    ("transpose-reads-on", "width if i < height else 0)", "width)"),
)  # fmt: skip
STAGES = _of(
    "_fused/stages.pxi",
    ("tap-in-the-wrong-parity", "+ _tap % KERNEL % 2 * PARITY + _tap % KERNEL // 2",
     "+ _tap % KERNEL // 3 * PARITY + _tap % KERNEL // 2"),
    ("padding-of-one-row", "even = image + (y + PADDING) * IMAGE_ROW", "even = image + (y + PADDING - 1) * IMAGE_ROW"),
    ("row-reads-into-the-next", "vload_part(row + 2 * column + LANES, SIDE - 2 * column - LANES)",
     "vload(row + 2 * column + LANES)"),
    ("bytes-not-shifted", "vmuladd(vload_bytes(x + k), vset(scale), vset(shift))",
     "vmuladd(vload_bytes(x + k), vset(scale), vset(0))"),
    ("c1-places-swapped", "image + place // 2 * IMAGE_ROW + place % 2 * PARITY",
     "image + place % 2 * IMAGE_ROW + place // 2 * PARITY"),
    ("c1-without-bias", "acc[c * C1_VECTORS + v] = vset(bias[c])", "acc[c * C1_VECTORS + v] = vset(0)"),
    ("pooled-as-a-maximum-of-two", "((a + b) + (c + d)) * vset(0.25)", "((a + b) + (c + c)) * vset(0.25)"),
    ("pooled-by-a-half", "(c + d)) * vset(0.25)", "(c + d)) * vset(0.5)"),
    ("pooled-keeps-three", "        vstore(sums + down + right, d)\n", ""),
    ("c3-without-bias", "= vload(bias + v * LANES)", "= vset(0)"),
    ("c3-next-map-too-near", "        s2 += HALF * WIDE\n", "        s2 += (HALF - 1) * WIDE\n"),
    ("c3-rows-overlap", "s2 + (2 * pair_row + row) * WIDE + column", "s2 + (pair_row + row) * WIDE + column"),
)  # fmt: skip
GRADIENTS = _of(
    "_fused/gradients.pxi",
    ("unsigmoid-sign", "dy * value * (vset(1) - value)", "dy * value * (vset(1) + value)"),
    ("c3-unpool-without-the-quarter", "unpool(0.25, vload(by_pixel", "unpool(1, vload(by_pixel"),
    ("c1-unpool-by-a-half", "unpool(0.25, vload(ds2", "unpool(0.5, vload(ds2"),
    ("c3-weights-transposed", "pixel = vset(s2[i * WIDE + j])", "pixel = vset(s2[j * WIDE + i])"),
    ("c3-weights-of-the-last-image", "= vload(dweight + (i * KERNEL + j) * C3_MAPS + v * LANES)", "= vset(0)"),
    ("c3-bias-of-the-last-image", "total = vload(dbias + lane)", "total = vset(0)"),
    ("s2-gradient-first-tap", "max(<Py_ssize_t> 0, row - C3_SIDE + 1)", "max(<Py_ssize_t> 0, row - C3_SIDE + 2)"),
    ("s2-gradient-last-tap", "min(<Py_ssize_t> KERNEL, row + rows)", "min(<Py_ssize_t> KERNEL, row + rows - 1)"),
    ("planes-a-row-up", "planes + (1 + row) * PLANE_ROW + MARGIN, PLANE)", "planes + row * PLANE_ROW + MARGIN, PLANE)"),
    ("c1-bias-of-three-places", "for place in range(PLACES):", "for place in range(PLACES - 1):"),
    ("c1-weights-in-the-wrong-parity", "pixels + j % 2 * PARITY + j // 2", "pixels + j // 2 * PARITY + j % 2"),
    ("c1-weights-of-one-row", "        dz += C1_PAIR\n", ""),
)  # fmt: skip
NETWORK = _of(
    "_fused/network.pxi",
    ("bias-of-c3-a-place-before", "C3_BIAS = 2556", "C3_BIAS = 2555"),
    ("sigmoids-without-their-last", "vsigmoid(vload_part(x + n - n % LANES, n % LANES)), n % LANES)",
     "vsigmoid(vload_part(x + n - n % LANES, n % LANES)), n % LANES - 1)"),
    ("bytes-not-scaled", "1 / (255 * std), -mean / std", "1 / <real> 255, -mean / std"),
    ("every-image-the-first", "x += n * SIDE * row_bytes", "x += 0 * SIDE * row_bytes"),
    ("every-group-the-first", "read_image(x, row_bytes, start + n, mean, std, image)",
     "read_image(x, row_bytes, n, mean, std, image)"),
    ("logits-of-the-first-group-overwritten", "f6, out + start * classes)", "f6, out)"),
    ("f6-sigmoids-of-one-image", "sigmoids(f6, N * F6_UNITS)", "sigmoids(f6, F6_UNITS)"),
    ("softmax-unclipped", "vmin(vset(EXP_RANGE), below)", "below"),
    ("softmax-by-the-least", "highest = max(highest, logits[k])", "highest = min(highest, logits[k])"),
    ("softmax-maximum-without-the-last", "for k in range(1, classes):", "for k in range(1, classes - 1):"),
    ("softmax-not-divided", "row[k] /= total", "row[k] *= 1"),
    ("target-added", "dlogits[label] -= share", "dlogits[label] += share"),
    ("target-of-none-not-shared", "dlogits[k] -= share / classes", "dlogits[k] -= share"),
    ("margin-of-none", "margin[0] = sum_ / classes - highest", "margin[0] = sum_ - highest"),
    ("dense-dbias-assigned", "dbias[o] += dy[n * O + o]", "dbias[o] = dy[n * O + o]"),
    ("dense-dx-not-zeroed", "memset(dx, 0, N * D * sizeof(real))", "memset(dx, 0, D * sizeof(real))"),
    ("unsigmoids-half", "dy[i] = dy[i] * y[i] * (1 - y[i])", "dy[i] = dy[i] * y[i]"),
    ("c3-bias-assigned", "gradient[C3_BIAS + k] += w.dc3_bias[k]", "gradient[C3_BIAS + k] = w.dc3_bias[k]"),
    ("biases-of-the-batch-before", "(w.dlogits - w.dc1_weight)", "(w.dc1_bias - w.dc1_weight)"),
    ("share-of-the-first-group", "labels[start + n], shares[start + n]", "labels[start + n], shares[n]"),
    ("label-of-the-first-group", "labels[start + n], shares", "labels[n], shares"),
    ("learn-work-too-short", "max(<Py_ssize_t> C5_UNITS, classes), TRAIN_GROUP)", "C5_UNITS, TRAIN_GROUP)"),
    ("decay-of-the-velocity", "vmuladd(vset(decay), vload(p + i)", "vmuladd(vset(decay), vload(v + i)"),
    ("decay-of-the-tail", "v[i] = keep * v[i] + (decay * p[i] + g[i])", "v[i] = keep * v[i] + g[i]"),
    ("step-without-its-last", "for i in range(n - n % LANES, n):", "for i in range(n - n % LANES, n - 1):"),
    ("tail-climbs", "p[i] -= rate * v[i]", "p[i] += rate * v[i]"),
)  # fmt: skip
VECTORS = {
    **_of(
        "_fused/simd.h",
        ("interleaved-sums-subtract", " + vinterleave_high(vectors[i], vectors[i + half])",
         " - vinterleave_high(vectors[i], vectors[i + half])"),
        ("transpose-of-the-lower-half", "rows[2 * i + 1] = vinterleave_high(", "rows[2 * i + 1] = vinterleave_low("),
        ("short-row-without-its-end", "MOVE(n - 8, 8);", "MOVE(n - 9, 8);"),
        ("long-row-without-its-end", "if (i < n) MOVE(n - 16, 16);", ""),
        ("ln2-without-its-low-part", "#define LN2_LOW -2.12194440e-04f", "#define LN2_LOW 0.0f"),
        ("exp-coefficient", "-0.166676381272f", "-0.1666f"),
        ("sigmoid-of-nan", "vmin(vset(EXP_RANGE), x)", "vmin(x, vset(EXP_RANGE))"),
        ("sigmoid-unclipped", "vmax(vset(-EXP_RANGE), vmin(vset(EXP_RANGE), x))", "vmin(vset(EXP_RANGE), x)"),
        ("bytes-with-a-sign", "_mm256_cvtepu8_epi32", "_mm256_cvtepi8_epi32"),
        ("odd-lanes-swapped", "ODD_LANES 1, 3, 5, 7, 9, 11, 13, 15\n", "ODD_LANES 3, 1, 5, 7, 9, 11, 13, 15\n"),
    ),
    **_of(
        "_fused/simd.h",
        ("product-subtracts", "return a * b + c;", "return a * b - c;"),
        ("part-reads-one-less", "i < n; i++) lanes[i] = p[i];", "i < n - 1; i++) lanes[i] = p[i];"),
        ("part-writes-on", "i < n; i++) p[i] = lanes[i];", "i < LANES; i++) p[i] = lanes[i];"),
        ("sum-of-half-the-lanes", "lanes[i] += lanes[i + half];", "lanes[i] += lanes[i + half / 2];"),
        extension="_fused.lenet5",
    ),
    **_of(
        "_fused/simd.h",
        ("mask-one-less", "(1u << n) - 1", "(1u << n) / 2 - 1"),
        extension="_fused.lenet5_v4",
    ),
}  # fmt: skip
DISTORTIONS = _of(
    "training/augment/_distort.pyx",
    ("pixel-of-the-next-row", "0 <= y < H and 0 <= x < W", "0 <= y < H and 0 <= x <= W"),
    ("towards-zero", "<Py_ssize_t> (u + 1) - 1, <Py_ssize_t> (v + 1) - 1", "<Py_ssize_t> u, <Py_ssize_t> v"),
    ("map-of-nan", "if not (-1 < u < W and -1 < v < H):", "if u <= -1 or u >= W or v <= -1 or v >= H:"),
    ("bytes-cut-and-not-rounded", "half = 0.5 if", "half = 0.0 if"),
    ("map-by-x-alone", "maps[n, 0, 1] * (y - middle_y)", "maps[n, 0, 1] * (x - middle_x)"),
    ("bend-in-x-twice", "v += between(bend + KNOTS * KNOTS,", "v += between(bend,"),
    ("bend-transposed", "u += between(bend, KNOTS, KNOTS, y * to_knots, x * to_knots)",
     "u += between(bend, KNOTS, KNOTS, x * to_knots, y * to_knots)"),
    ("thin-as-thick", "image[y * SIDE + x] += sign * strength * (sign * extreme",
     "image[y * SIDE + x] += strength * (sign * extreme"),
    ("thicken-downwards-alone", "max(work[(y - 1) * SIDE + x], work[(y + 1) * SIDE + x])", "work[(y + 1) * SIDE + x]"),
    ("blur-of-equal-weights", "2 * work[y * SIDE + x]", "work[y * SIDE + x]"),
    ("noise-of-another-generator", "state[0] ^= state[0] >> 7", "state[0] ^= state[0] >> 8"),
    ("noise-of-an-even-seed", "state = seeds[n] | 1", "state = seeds[n]"),
    ("ground-slopes-the-other-way", "+ pens[n, 5] * (y - 13.5)", "- pens[n, 5] * (y - 13.5)"),
    ("ink-on-top-of-the-ground", "(pens[n, 2] - ground / 255)", "pens[n, 2]"),
    ("black-turns-white", "min(max(level, <float> 0), <float> 255)", "min(level, <float> 255)"),
    extension="training.augment._distort",
)  # fmt: skip
MUTANTS = LAYERS | PRODUCTS | STAGES | GRADIENTS | NETWORK | VECTORS | DISTORTIONS
