"""Faults in the kernels that the tests must catch: each changes one text in one file.

Each is a fault that somebody could make: a bound, a sign, an index, a term that is missing, the tail of a tile, an
edge, an assignment where a sum is wanted.
"""

from typing import NamedTuple

from tests.mutation.building import Change


class Mutant(NamedTuple):
    """A change, and what is tested with it: a key of TESTS in kernels.py."""

    change: Change
    tested: str


def _of(file: str, *mutants: tuple[str, str, str], tested: str = "x86-64-v3") -> dict[str, Mutant]:
    return {name: Mutant(Change(file, old, new), tested) for name, old, new in mutants}


LAYERS = _of(
    "_conv.pyx",
    ("im2col-row-and-column-swapped", "x[n, c, r + i, s + j]\n", "x[n, c, r + j, s + i]\n"),
    ("im2col-pixels-by-the-height", "out[n, d, r * OW + s]", "out[n, d, r * OH + s]"),
    ("col2im-assigned", "out[n, c, r + i, s + j] += columns", "out[n, c, r + i, s + j] = columns"),
    ("col2im-first-image-only", "columns[n, d, r * OW + s]", "columns[0, d, r * OW + s]"),
    ("pool-without-share", "total / (KH * KW)", "total"),
    ("pool-total-kept", "                        total = 0\n", "                        total *= 0.5\n"),
    ("pool-strides-swapped", "total += x[n, c, r * SH + i, s * SW + j]",
     "total += x[n, c, r * SW + i, s * SH + j]"),
    ("pool-dx-without-share", "dy[n, c, r, s] / (KH * KW)", "dy[n, c, r, s]"),
    ("pool-dx-assigned", "dx[n, c, r * SH + i, s * SW + j] += dy", "dx[n, c, r * SH + i, s * SW + j] = dy"),
    tested="layers",
)  # fmt: skip
PRODUCTS = _of(
    "_fused/products.pxi",
    ("tile-assigned", "acc[4 * m + v] = vload(c + m * row + v * LANES)", "acc[4 * m + v] = vset(0)"),
    ("tile-by-the-columns-of-a", "vmuladd(vset(a[m * a_row]), b_now[v]", "vmuladd(vset(a[m * a_step]), b_now[v]"),
    ("last-tile-too-high", "if m + LAST_ROWS <= M:", "if m + LAST_ROWS <= M + 1:"),
    ("row-left-out", "        m += LAST_ROWS\n", "        m += LAST_ROWS + 1\n"),
    ("panel-beyond-the-end-of-b", "partial = vectors * LANES > width", "partial = vectors * LANES > width + LANES"),
    ("panel-of-c-without-its-last-row", "copy_rows(M, width, c + start, cols, c_now",
     "copy_rows(M - 1, width, c + start, cols, c_now"),
    ("panel-of-c-back-without-its-last", "copy_rows(M, width, c_now, row, c",
     "copy_rows(M, width - 1, c_now, row, c"),
    ("panel-half", "elif vectors == 2:\n            panel(2,", "elif vectors == 2:\n            panel(1,"),
    ("dots-without-the-tail", "    if left:\n", "    if left > 4:\n"),
    ("dots-without-bias", "= bias[n] + sums[m * cols + n]", "= sums[m * cols + n]"),
    ("dense-last-tile-beyond", "col = min(4 * o, O - 4)", "col = 4 * o"),
    ("dense-last-images-beyond", "row = min(n * DOT_ROWS, N - DOT_ROWS)", "row = n * DOT_ROWS"),
    ("dense-bias-of-the-tile-before", "weight + col * D, bias + col, out + n * O + col, O)",
     "weight + col * D, bias + o, out + n * O + col, O)"),
    ("dense-dbias-assigned", "dbias[o] += dy[n * O + o]", "dbias[o] = dy[n * O + o]"),
    ("dense-dx-not-zeroed", "memset(dx, 0, N * D * sizeof(real))", "memset(dx, 0, D * sizeof(real))"),
    ("transpose-without-the-last", "vstore_part(out + (col + i) * out_row + row, block[i], height)",
     "vstore_part(out + (col + i) * out_row + row, block[i], height - 1)"),
)  # fmt: skip
SHAPE = _of(
    "_fused/shape.pxi",
    ("bias-of-c3-a-place-before", "C3_BIAS = C3_WEIGHT + C3_WEIGHTS", "C3_BIAS = C3_WEIGHT + C3_WEIGHTS - 1"),
)
STAGES = _of(
    "_fused/stages.pxi",
    ("tap-in-the-wrong-parity", "(row + i) % 2 * PART", "(row + i + 1) % 2 * PART"),
    ("padding-of-one-row", "(y + PADDING) // 2 * S2_SIDE + v", "(y + PADDING - 1) // 2 * S2_SIDE + v"),
    ("padding-below-missing", "vstore(image + part * PART + (SIDE // 2 + PADDING // 2) * S2_SIDE + v * LANES, vset(0))",
     "pass"),
    ("row-ends-with-the-next", "SIDE - (2 * v + 1) * LANES)", "LANES)"),
    ("bytes-not-shifted", "vmuladd(values, vset(scale), vset(shift))", "vmuladd(values, vset(scale), vset(0))"),
    ("bytes-not-scaled", "scale = 1 / (unit * x.std)", "scale = 1 / unit"),
    ("every-image-the-first", "x.pixels + n * SIDE * x.row_bytes", "x.pixels + 0 * SIDE * x.row_bytes"),
    ("image-without-its-mean", "shift = vset(vsum(total(parts)) / (SIDE * SIDE))", "shift = vset(0)"),
    ("image-without-its-last-sum", "((parts[4] + parts[5]) + parts[6])", "(parts[4] + parts[5])"),
    ("epsilon-of-bytes", "epsilon * unit * unit", "epsilon"),
    ("c1-rows-swapped", "image_rows[row * KERNEL + i])", "image_rows[(1 - row) * KERNEL + i])"),
    ("c1-without-bias", "LANES, vset(bias[c]),", "LANES, vset(0),"),
    ("pooled-as-a-maximum-of-two", "(window[2] + window[3])) * vset", "(window[2] + window[2])) * vset"),
    ("pooled-by-a-half", "window[3])) * vset(0.25)", "window[3])) * vset(0.5)"),
    ("pooled-keeps-three", "        vstore(y + down + right, window[3])\n", ""),
    ("s2-without-its-last-pairs", "ceil_div(S2_SIDE * PAIRS, LANES)", "S2_SIDE * PAIRS // LANES - 1"),
    ("c3-without-bias", "vload(bias + o % C3_MAPS)", "vset(0)"),
    ("c3-next-map-too-near", "c_i // KERNEL * S2_PAIRS", "c_i // KERNEL * (S2_PAIRS - PAIRS)"),
    ("c3-rows-overlap", "(POOL * row + down * C3_ROWS) * PAIRS", "(row + down * C3_ROWS) * PAIRS"),
)  # fmt: skip
WINOGRAD = _of(
    "_fused/winograd.pxi",
    ("point-of-an-input", "vmuladd(vset(-4), d[1], d[3])", "vmuladd(vset(-4), d[1], d[2])"),
    ("point-at-infinity", "vmuladd(vset(-5), d[3], d[5])", "vmuladd(vset(5), d[3], d[5])"),
    ("right-output-of-three-points", "(m[5] + bias) + (m[1] - m[2])", "(m[5] + bias) + m[1]"),
    ("left-output-without-infinity", "(m[0] + bias)", "(m[5] + bias)"),
    ("filter-at-two", "vmuladd(vset(16), w[4], vmuladd(vset(4), w[2], w[0]))",
     "vmuladd(vset(8), w[4], vmuladd(vset(4), w[2], w[0]))"),
    ("input-gradient-sign", "vmuladd(vset(-2), difference2, vset(4)", "vmuladd(vset(2), difference2, vset(4)"),
    ("product-gradient-factor", "{0, 1, -1, 2, -2, 0}", "{0, 1, -1, 2, 2, 0}"),
    ("product-gradient-at-infinity", "left, right = right, left", "left, right = left, left"),
    ("weight-gradient-scale", "(d[3] - d[4]) * vset(1. / 12)", "(d[3] - d[4]) * vset(1. / 24)"),
)  # fmt: skip
GRADIENTS = _of(
    "_fused/gradients.pxi",
    ("sigmoid-backward-sign", "dy * y * (vset(1) - y)", "dy * y * (vset(1) + y)"),
    ("sigmoids-backward-half", "dy[i] = dy[i] * y[i] * (1 - y[i])", "dy[i] = dy[i] * y[i]"),
    ("avg-pool-backward-by-a-half", "dy * vset(0.25)", "dy * vset(0.5)"),
    ("avg-pool-backward-down-twice", "sigmoid_backward(share, vload(y + down + right))",
     "sigmoid_backward(share, vload(y + down))"),
    ("c3-filters-of-one-row", "s2_pairs[n] + c * S2_PAIRS + i * PAIRS", "s2_pairs[n] + c * S2_PAIRS"),
    ("c3-filters-of-the-last-image", "= vload(dfilters + (c * KERNEL + i) * C3_MAPS + v * LANES)", "= vset(0)"),
    ("c3-bias-of-the-last-image", "total = vload(dbias + v * LANES)", "total = vset(0)"),
    ("s2-gradient-first-row", "start // S4_SIDE - C3_SIDE + 1", "start // S4_SIDE - C3_SIDE + 2"),
    ("s2-gradient-last-row", "(start + S2_BLOCK - 1) // S4_SIDE + 1)", "(start + S2_BLOCK - 1) // S4_SIDE)"),
    ("s2-gradient-one-neighbour-less", " + input_gradient(5, d - 2, WIDE)", ""),
    ("planes-a-row-up", "planes + half * PLANES_SIZE + MARGIN,", "planes + half * PLANES_SIZE + MARGIN - S4_SIDE,"),
    ("c1-bias-of-three-places", "for place in range(PLACES):", "for place in range(PLACES - 1):"),
    ("c1-filters-in-the-wrong-parity", "product_gradient(point, left, left + LANES)",
     "product_gradient(point, left + LANES, left)"),
    ("c1-filters-of-one-band", "        dz += C1_MAPS * PLACES * LANES\n", ""),
)  # fmt: skip
NETWORK = _of(
    "_fused/network.pxi",
    ("sigmoids-without-their-last", "vsigmoid(vload_part(x + n - n % LANES, n % LANES)), n % LANES)",
     "vsigmoid(vload_part(x + n - n % LANES, n % LANES)), n % LANES - 1)"),
    ("padding-above-missing", "    memset(w.image, 0, IMAGE_SIZE * sizeof(real))\n", ""),
    ("every-group-the-first", "read_image(x, start + n, w.pixels, w.image)", "read_image(x, n, w.pixels, w.image)"),
    ("logits-of-the-first-group-overwritten", "w.f6, out + start * classes)", "w.f6, out)"),
    ("f6-sigmoids-of-one-image", "sigmoids(f6, N * F6_UNITS)", "sigmoids(f6, F6_UNITS)"),
    ("softmax-unclipped", "vmin(vset(EXP_RANGE), below)", "below"),
    ("softmax-by-the-least", "highest = max(highest, x[k])", "highest = min(highest, x[k])"),
    ("softmax-maximum-without-the-last", "for k in range(1, n):", "for k in range(1, n - 1):"),
    ("softmax-not-divided", "x[k] /= total", "x[k] *= 1"),
    ("target-added", "- share * target[k]", "+ share * target[k]"),
    ("target-of-none-not-shared", "1 / <real> classes", "1"),
    ("margin-without-the-highest", "target[k] * (logits[k] - highest)", "target[k] * logits[k]"),
    ("target-of-the-first-group", "target = targets + (start + n) * classes", "target = targets + n * classes"),
    ("c3-bias-assigned", "gradient[C3_BIAS + k] += w.conv.c3_bias[k]",
     "gradient[C3_BIAS + k] = w.conv.c3_bias[k]"),
    ("biases-of-the-batch-before", "memset(&w.conv, 0, sizeof(ConvGradients))",
     "memset(w.conv.c1_filters, 0, sizeof(w.conv.c1_filters))"),
    ("share-of-the-first-group", "target, shares[start + n]", "target, shares[n]"),
    ("label-of-the-first-group", "labels[start + n], one_hot", "labels[n], one_hot"),
    ("learn-work-too-short", "max(<Py_ssize_t> C5_UNITS, classes), TRAIN_GROUP))", "C5_UNITS, TRAIN_GROUP))"),
    ("decay-of-the-velocity", "vmuladd(vset(weight_decay), vload(w + i)",
     "vmuladd(vset(weight_decay), vload(v + i)"),
    ("decay-of-the-tail", "v[i] = momentum * v[i] + (weight_decay * w[i] + g[i])",
     "v[i] = momentum * v[i] + g[i]"),
    ("step-without-its-last", "for i in range(n - n % LANES, n):", "for i in range(n - n % LANES, n - 1):"),
    ("tail-climbs", "w[i] -= lr * v[i]", "w[i] += lr * v[i]"),
)  # fmt: skip
UNUSED = _of(
    "_fused/network.pxi",
    ("unused-points-not-zeroed", "    memset(w.s2, 0, S2_SIZE * sizeof(real))\n", ""),
    ("unused-filters-not-zeroed", "    memset(filters.by_row, 0, TAPS * C3_MAPS * sizeof(real))\n", ""),
    tested="subnormals",
)
VECTORS = {
    **_of(
        "_fused/simd.h",
        ("interleaved-sums-subtract", " + vinterleave_high(vectors[i], vectors[i + half])",
         " - vinterleave_high(vectors[i], vectors[i + half])"),
        ("transpose-of-the-lower-half", "rows[2 * i + 1] = vinterleave_high(", "rows[2 * i + 1] = vinterleave_low("),
        ("long-row-without-its-end", "for (; i + 16 <= n; i += 16)", "for (; i + 32 <= n; i += 16)"),
        ("ln2-without-its-low-part", "#define LN2_LOW -2.12194440e-04f", "#define LN2_LOW 0.0f"),
        ("exp-coefficient", "-0.166676381272f", "-0.1666f"),
        ("sigmoid-of-nan", "vmin(vconstant(EXP_RANGE), x[i])", "vmin(x[i], vconstant(EXP_RANGE))"),
        ("sigmoid-unclipped", "vmax(vconstant(-EXP_RANGE), vmin(vconstant(EXP_RANGE), x[i]))",
         "vmin(vconstant(EXP_RANGE), x[i])"),
        ("mask-of-eight-lanes-one-less", "LANES - (n > 0 ? n : 0)", "LANES - (n > 0 ? n - 1 : 0)"),
        ("bytes-with-a-sign", "_mm256_cvtepu8_epi32", "_mm256_cvtepi8_epi32"),
        ("odd-lanes-swapped", "ODD_LANES 1, 3, 5, 7, 9, 11, 13, 15\n", "ODD_LANES 3, 1, 5, 7, 9, 11, 13, 15\n"),
    ),
    **_of(
        "_fused/simd.h",
        ("product-subtracts", "return a * b + c;", "return a * b - c;"),
        ("part-reads-one-less", "i < n; i++) lanes[i] = p[i];", "i < n - 1; i++) lanes[i] = p[i];"),
        ("part-writes-on", "i < n; i++) p[i] = lanes[i];", "i < LANES; i++) p[i] = lanes[i];"),
        ("sum-of-half-the-lanes", "lanes[i] += lanes[i + half];", "lanes[i] += lanes[i + half / 2];"),
        tested="x86-64-v2",
    ),
    **_of(
        "_fused/simd.h",
        ("mask-one-less", "(1u << n) - 1", "(1u << n) / 2 - 1"),
        tested="x86-64-v4",
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
    ("black-turns-white", "min(max(<float> 0, level), <float> 255)", "min(level, <float> 255)"),
    tested="distortions",
)  # fmt: skip
MUTANTS = LAYERS | SHAPE | PRODUCTS | WINOGRAD | STAGES | GRADIENTS | NETWORK | UNUSED | VECTORS | DISTORTIONS
