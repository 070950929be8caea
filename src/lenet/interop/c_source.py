"""LeNet-5 as one C99 file and its header: for microcontrollers, and for languages that call C."""

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lenet import __version__
from lenet.errors import InputError
from lenet.interop.operators import exportable
from lenet.model import LeNet5

_HEADERS_OF_C = {
    "assert", "complex", "ctype", "errno", "fenv", "float", "inttypes", "iso646", "limits", "locale", "math", "setjmp",
    "signal", "stdarg", "stdbool", "stddef", "stdint", "stdio", "stdlib", "string", "tgmath", "time", "wchar", "wctype",
}  # fmt: skip

_HEADER = """\
/* LeNet-5 for {classes} classes: reads a picture of 28 x 28 pixels. Written by lenet {version}.{facts}

   An image is 28 rows of 28 bytes, from 0, background, to 255, ink. Nothing is allocated, kept or shared: all functions
   may be called from several threads at once, and take about 12 KB of stack. */
#ifndef LENET_{name}_H
#define LENET_{name}_H

#define {name}_CLASSES {classes}

#ifdef __cplusplus
extern "C" {{
#endif

/* The likeliest class, from 0 on. */
int {name}_predict(const unsigned char image[784]);

/* The probability of each class; they add up to 1. */
void {name}_probabilities(const unsigned char image[784], float probabilities[{name}_CLASSES]);

/* The network's outputs, before softmax. */
void {name}_logits(const unsigned char image[784], float logits[{name}_CLASSES]);

#ifdef __cplusplus
}}
#endif

#endif
"""

_SOURCE = """\
/* LeNet-5 for {classes} classes, written by lenet {version}: see {name}.h. C99; it needs expf, and nothing else. */
#include "{name}.h"
#if {name}_CLASSES != {classes}
#error "{name}.h is of a network with other classes: export both files anew"
#endif

#include <math.h>

static const float MEAN = {mean}, SCALE = {scale}; /* a pixel in [0, 1] enters as (pixel - MEAN) * SCALE */

{weights}
static float sigmoid(float x)
{{
    return 1.0f / (1.0f + expf(-x));
}}

/* Convolve in[channels][side][side] by 5 x 5 kernels, and write the averages over 2 x 2 of the sums' sigmoids. */
static void convolve_and_pool(const float *in, int channels, int side, const float *weight, const float *bias, int maps,
                              float *out)
{{
    const int pooled = (side - 4) / 2;
    for (int map = 0; map < maps; map++) {{
        const float *kernel = weight + map * channels * 25;
        for (int y = 0; y < pooled; y++) {{
            for (int x = 0; x < pooled; x++) {{
                float total = 0.0f;
                for (int part = 0; part < 4; part++) {{
                    const float *corner = in + (2 * y + part / 2) * side + 2 * x + part % 2;
                    float sum = bias[map];
                    for (int channel = 0; channel < channels; channel++)
                        for (int i = 0; i < 5; i++)
                            for (int j = 0; j < 5; j++)
                                sum += kernel[(channel * 5 + i) * 5 + j] * corner[(channel * side + i) * side + j];
                    total += sigmoid(sum);
                }}
                *out++ = 0.25f * total;
            }}
        }}
    }}
}}

static void dense(const float *in, int inputs, const float *weight, const float *bias, int outputs, float *out)
{{
    for (int k = 0; k < outputs; k++) {{
        float sum = bias[k];
        for (int i = 0; i < inputs; i++)
            sum += weight[k * inputs + i] * in[i];
        out[k] = sum;
    }}
}}

static void sigmoids(float *values, int count)
{{
    for (int i = 0; i < count; i++)
        values[i] = sigmoid(values[i]);
}}

void {name}_logits(const unsigned char image[784], float logits[{name}_CLASSES])
{{
    float padded[32 * 32] = {{0.0f}}, s2[6 * 14 * 14], s4[16 * 5 * 5], c5[120], f6[84];
    for (int y = 0; y < 28; y++)
        for (int x = 0; x < 28; x++)
            padded[(y + 2) * 32 + x + 2] = ((float)image[y * 28 + x] * (1.0f / 255.0f) - MEAN) * SCALE;
    convolve_and_pool(padded, 1, 32, C1_WEIGHT, C1_BIAS, 6, s2);
    convolve_and_pool(s2, 6, 14, C3_WEIGHT, C3_BIAS, 16, s4);
    dense(s4, 400, C5_WEIGHT, C5_BIAS, 120, c5); /* a convolution whose kernel covers all of s4 */
    sigmoids(c5, 120);
    dense(c5, 120, F6_WEIGHT, F6_BIAS, 84, f6);
    sigmoids(f6, 84);
    dense(f6, 84, OUTPUT_WEIGHT, OUTPUT_BIAS, {name}_CLASSES, logits);
}}

static int greatest(const float values[{name}_CLASSES])
{{
    int best = 0;
    for (int k = 1; k < {name}_CLASSES; k++)
        if (values[k] > values[best])
            best = k;
    return best;
}}

int {name}_predict(const unsigned char image[784])
{{
    float logits[{name}_CLASSES];
    {name}_logits(image, logits);
    return greatest(logits);
}}

void {name}_probabilities(const unsigned char image[784], float probabilities[{name}_CLASSES])
{{
    float highest, total = 0.0f;
    {name}_logits(image, probabilities);
    highest = probabilities[greatest(probabilities)];
    for (int k = 0; k < {name}_CLASSES; k++) {{
        probabilities[k] = expf(probabilities[k] - highest);
        total += probabilities[k];
    }}
    for (int k = 0; k < {name}_CLASSES; k++)
        probabilities[k] /= total;
}}
"""


def to_c(model: LeNet5, name: str = "lenet") -> tuple[str, str]:
    """Return a model as C99: the text of a source file and that of its header.

    Parameters
    ----------
    model : LeNet5
        Of float64 parameters, the nearest float32 are written.
    name : str, default "lenet"
        Of the header, `name.h`, and before the names of its three functions, such as `lenet_predict`.

    Returns
    -------
    source : str
        The weights are hexadecimal literals, which a compiler reads to the bit, about 1 MB of text; compiled, they take
        247 KB. Nothing is allocated, and of the C library only `expf` is used.
    header : str
        It declares the three functions.

    Raises
    ------
    InputError
        If name cannot begin a name in C, or is that of a header of C itself; if a number is not finite in float32.
    InputTypeError
        If model is no LeNet5.

    Examples
    --------
    >>> source, header = to_c(LeNet5(seed=0), "digits")
    >>> "int digits_predict(const unsigned char image[784]);" in header
    True
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,30}", name):
        raise InputError(
            f"{name!r} cannot begin a name in C here: give letters, digits and _, a letter first, at most 31."
        )
    if name.lower() in _HEADERS_OF_C:
        raise InputError(f"{name}.h is a header of C itself, which it would hide: give another name.")
    numbers = exportable(model)
    facts = {
        "name": name,
        "classes": model.num_classes,
        "version": __version__,
        "facts": "".join(f"\n   {_comment(key)}: {_comment(value)}" for key, value in sorted(model.metadata.items())),
        "mean": _literal(numbers["mean"]),
        "scale": _literal(numbers["scale"]),
        "weights": "\n".join(_array(name, numbers[name]) for name in model.parameters),
    }
    return _SOURCE.format(**facts), _HEADER.format(**facts)


def _comment(text: str) -> str:
    """Return text that cannot end a comment, on one line of ASCII."""
    text = text.encode("unicode_escape").decode()
    return text.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")  # the last may begin a trigraph


def _array(name: str, value: NDArray[np.float32]) -> str:
    lines = "\n".join(f"    {', '.join(line)}," for line in _lines([_literal(number) for number in value.ravel()]))
    return f"static const float {name.replace('.', '_').upper()}[{value.size}] = {{ /* {value.shape} */\n{lines}\n}};\n"


def _lines(literals: list[str]) -> Iterator[list[str]]:
    return (literals[start : start + 8] for start in range(0, len(literals), 8))


def _literal(number: np.float32 | NDArray[np.float32]) -> str:
    """Return a number as a hexadecimal literal of float.

    Examples
    --------
    >>> _literal(np.float32(0.1)), _literal(np.float32(-3))
    ('0x1.99999ap-4f', '-0x1.8p+1f')
    """
    mantissa, exponent = float(number).hex().split("p")
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}p{exponent}f"
