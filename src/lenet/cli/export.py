"""Write a model in another form: ONNX for runtimes, or C for microcontrollers and other languages."""

import argparse
from pathlib import Path

from lenet.cli.output import say

FORMATS = {".onnx": "onnx", ".c": "c"}
PIXELS = ("float32", "uint8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lenet export`."""
    parser.add_argument("model", metavar="MODEL", help="a .safetensors, .onnx or .pt file, a run's folder, or mnist")
    parser.add_argument("output", metavar="FILE", help="what to write: model.onnx, or model.c and with it model.h")
    parser.add_argument("--to", choices=sorted(FORMATS.values()), help="the form, where FILE's ending does not tell it")
    parser.add_argument(
        "--pixels",
        choices=PIXELS,
        help="what the ONNX model takes: floats in [0, 1] (default), or bytes from 0 to 255; C takes bytes",
    )


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run `lenet export`."""
    from lenet._files import write_together
    from lenet.cli.options import load_model
    from lenet.errors import InputError
    from lenet.interop import to_c, to_onnx

    output = Path(arguments.output)
    told = FORMATS.get(output.suffix.lower())
    form = arguments.to or told
    if told not in (None, form):
        parser.error(f"{output}: its ending and --to {form} contradict each other")
    if form is None:
        parser.error(f"{output}: end FILE in .onnx or .c, or give --to")
    if form == "c" and arguments.pixels == "float32":
        parser.error("--pixels float32: the C functions take bytes")
    if form == "c" and output.suffix == ".h":
        parser.error(
            f"{output}: give the name of the source, such as {output.with_suffix('.c')}; its header comes along"
        )
    model = load_model(arguments.model)
    files = {}
    if form == "onnx":
        files[output] = to_onnx(model, pixels=arguments.pixels or "float32").SerializeToString(deterministic=True)
    else:
        try:
            source, header = to_c(model, output.stem)
        except InputError as error:
            parser.error(f"{output}: {error}")
        files[output] = source.encode()
        files[output.with_suffix(".h")] = header.encode()
    refuse_loss(files, arguments.model)
    write_together(files)
    for path, content in files.items():
        say(f"{path} ({len(content):,} bytes)")
    return 0


def refuse_loss(files: "dict[Path, bytes]", model: str) -> None:
    """Refuse to write over the model itself, or over a header that is somebody else's."""
    from lenet._files import begins_with
    from lenet.errors import InputError

    for path in files:
        if path.is_dir():
            raise InputError(f"{path} is a folder: give the name of a file.")
        if path.exists() and Path(model).exists() and path.samefile(model):
            raise InputError(f"{path} is the model itself: give another name to write to.")
        if path.suffix == ".h" and path.exists() and not begins_with(path, b"/* LeNet-5 for ", within=15):
            raise InputError(f"{path} was not written by lenet, and the source's header would replace it: rename one.")
