"""Export a model to ONNX, for inference runtimes, or to C, for microcontrollers and other languages."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from lenet._files import check_replaceable, write_together
from lenet.cli.options import add_quiet, load_model
from lenet.cli.output import say
from lenet.errors import InputError

FORMATS = {".onnx": "onnx", ".c": "c"}
MARKS = (b"/* LeNet-5 for ", b"/* LeNet-5 in C99", b"\x12\x05lenet")  # of headers, C files, and ONNX (the producer)
PIXELS = ("float32", "uint8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lenet export`."""
    parser.add_argument("model", metavar="MODEL", help="a .safetensors, .onnx or .pt file, a run folder, or mnist")
    parser.add_argument("output", metavar="FILE", help="output file: model.onnx, or model.c (also writes model.h)")
    parser.add_argument("--to", choices=sorted(FORMATS.values()), help="format (default: from the suffix of FILE)")
    parser.add_argument(
        "--pixels",
        choices=PIXELS,
        help="input of the ONNX model: floats in [0, 1] (default), or bytes from 0 to 255; C always takes bytes",
    )
    add_quiet(parser)


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run `lenet export`."""
    from lenet.interop import to_c, to_onnx

    output = Path(arguments.output)
    by_suffix = FORMATS.get(output.suffix.lower())
    target = arguments.to or by_suffix
    if by_suffix not in (None, target):
        parser.error(f"{output} has the suffix of another format; expected that of --to {target}. Change one of them.")
    if target is None:
        parser.error(f"{output} has an unknown suffix; expected .onnx or .c. Pass --to for other names.")
    if target == "c" and arguments.pixels == "float32":
        parser.error("--pixels is float32; expected uint8, as the C functions take bytes.")
    if target == "c" and output.suffix.lower() == ".h":
        parser.error(f"{output} is the name of a header; expected a source file, such as {output.with_suffix('.c')}.")
    model = load_model(arguments.model, quiet=arguments.quiet)
    files = {}
    if target == "onnx":
        files[output] = to_onnx(model, pixels=arguments.pixels or "float32").SerializeToString(deterministic=True)
    else:
        try:
            source, header = to_c(model, output.stem)
        except InputError as error:
            parser.error(f"{output}: {error}")
        files[output] = source.encode()
        files[output.with_suffix(".h")] = header.encode()
    check_overwrite(files, arguments.model)
    write_together(files)
    for path, content in () if arguments.quiet else files.items():
        say(f"{path} ({len(content):,} bytes)")
    return 0


def check_overwrite(files: Iterable[Path], model: str) -> None:
    """Reject outputs that would replace the model itself, or a file that lenet did not write."""
    for path in files:
        if path.exists() and Path(model).exists() and path.samefile(model):
            raise InputError(f"{path} is the model itself. Choose another name for the output.")
        check_replaceable(path, *MARKS)
