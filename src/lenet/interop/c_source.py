"""Export a model as C99: the templates lenet.c and lenet.h with a model's name, sizes and parameters."""

import re
from collections.abc import Mapping
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from lenet import __version__
from lenet._checks import SIDE, short_repr
from lenet._layerwise import EPSILON
from lenet.errors import InputError
from lenet.interop.parameters import exportable
from lenet.layers import Conv2d
from lenet.model import LeNet5

_STANDARD_HEADERS = {
    "assert", "complex", "ctype", "errno", "fenv", "float", "inttypes", "iso646", "limits", "locale", "math", "setjmp",
    "signal", "stdarg", "stdbool", "stddef", "stdint", "stdio", "stdlib", "string", "tgmath", "time", "wchar", "wctype",
}  # fmt: skip


def to_c(model: LeNet5, name: str = "lenet") -> tuple[str, str]:
    """Return a model as C99: a source file and its header.

    Parameters
    ----------
    model : LeNet5
        Parameters in float64 are rounded to float32.
    name : str, default "lenet"
        The name of the header, without ".h", and the prefix of its declarations, such as `lenet_predict`.

    Returns
    -------
    source : str
        The code, with the weights as hexadecimal literals, which compilers read without rounding: about 0.7 MB of text
        for the shipped weights, and 1 MB for others. Compiled, the weights take 247 KB for 10 classes. The code
        allocates no memory, and calls only `expf` from the C library, and `sqrtf` if the model standardises each image.
    header : str
        The declarations of three functions and of the class names, in UTF-8.

    Raises
    ------
    InputError
        If name is not a C identifier of at most 31 letters, digits and underscores that starts with a letter, or is the
        name of a standard header; if a parameter is not finite in float32.
    InputTypeError
        If model is not a LeNet5, or its metadata is not text.

    Examples
    --------
    >>> source, header = to_c(LeNet5(seed=0), "digits")
    >>> "int digits_predict(const unsigned char image[784]);" in header
    True
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,30}", name):
        raise InputError(
            f"name is {short_repr(name)}; expected at most 31 letters, digits and underscores, beginning with a letter."
        )
    if name.lower() in _STANDARD_HEADERS:
        raise InputError(f"name is {name!r}, but {name}.h is a standard C header. Choose another name.")
    numbers = exportable(model)
    constants = f"{_constants(model, numbers)}\n{_class_names(model, name)}"
    return _filled("lenet.c", name, constants), _filled("lenet.h", name, _card(model, name))


def _filled(file: str, name: str, generated: str) -> str:
    """Return a template with `name` as the prefix, and the generated lines in place of its generated.h."""
    template = resources.files("lenet.interop").joinpath(file).read_text("utf-8")  # nosemgrep: no-reading-without-end
    return generated.join(part.replace("lenet", name) for part in template.split('#include "generated.h"\n'))


def _card(model: LeNet5, name: str) -> str:
    """Return the lines of the header that describe the model."""
    metadata = "".join(f"\n   {_comment(key)}: {_comment(value)}" for key, value in sorted(model.metadata.items()))
    return f"/* Written by lenet {__version__}.{metadata} */\n#define {name}_CLASSES {model.num_classes}\n"


def _constants(model: LeNet5, numbers: Mapping[str, NDArray[np.float32]]) -> str:
    """Return the sizes and the parameters of the network as C."""
    sizes = "".join(f"#define {name} {size}\n" for name, size in _sizes(model).items())
    scaling = f"/* Added to the variance of an image. */\n#define EPSILON {EPSILON}f"
    if "mean" in numbers:
        scaling = "/* A pixel in [0, 1] enters the network as (pixel - MEAN) * SCALE. */\n"
        scaling += f"static const float MEAN = {_literal(numbers['mean'])}, SCALE = {_literal(numbers['scale'])};"
    arrays = "\n".join(_array(name, numbers[name]) for name in model.parameters)
    return f"{sizes}\n{scaling}\n\n{arrays}"


def _class_names(model: LeNet5, name: str) -> str:
    literals = "".join(f"    {_string(each)},\n" for each in model.classes)
    return f"const char *const {name}_class_names[{name}_CLASSES] = {{\n{literals}}};\n"


def _sizes(model: LeNet5) -> dict[str, int]:
    """Return the sizes of the kernels, of the padding, and of each stage's output."""
    c1 = next(layer for _, layer in model._layers() if isinstance(layer, Conv2d))
    sizes = {"KERNEL": c1.kernel_size, "PADDING": c1.padding, "INPUT_SIDE": SIDE}
    for stage, shape, _ in [*model._outputs()][1:]:
        axes = ("MAPS", "SIDE") if len(shape) == 3 else ("UNITS",)
        sizes |= {f"{stage.upper()}_{axis}": length for axis, length in zip(axes, shape, strict=False)}
    return sizes


def _comment(text: str) -> str:
    """Return text as one line of ASCII that cannot end a C comment."""
    text = text.encode("unicode_escape").decode()
    text = text.replace("*/", "* /").replace("/*", "/ *")
    return re.sub(r"\?(?=\?)", "? ", text)  # ?? can begin a trigraph


def _string(text: str) -> str:
    r"""Return text as an ASCII C string literal of its UTF-8 bytes.

    Octal escapes end after three digits, so no character that follows can become part of them.

    Examples
    --------
    >>> print(_string('Zoë "?"'))
    "Zo\303\253 \"\?\""
    """
    escaped = {ord(character): f"\\{character}" for character in '"?\\'}  # ?? can begin a trigraph
    bytes_of_text = (escaped.get(byte, chr(byte) if byte < 0x80 else f"\\{byte:03o}") for byte in text.encode())
    return f'"{"".join(bytes_of_text)}"'


def _array(name: str, value: NDArray[np.float32]) -> str:
    numbers = [_literal(number) for number in value.ravel()]
    lines = "".join(f"    {', '.join(numbers[start : start + 8])},\n" for start in range(0, len(numbers), 8))
    return f"static const float {name.replace('.', '_').upper()}[{value.size}] = {{ /* {value.shape} */\n{lines}}};\n"


def _literal(number: np.float32 | NDArray[np.float32]) -> str:
    """Return a number as a hexadecimal literal of C's float.

    Examples
    --------
    >>> _literal(np.float32(0.1)), _literal(np.float32(-3))
    ('0x1.99999ap-4f', '-0x1.8p+1f')
    """
    mantissa, exponent = float(number).hex().split("p")
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}p{exponent}f"
