"""Describe a model, or this installation if no model is given."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from lenet import __version__
from lenet._files import atomic_write
from lenet.cli.options import add_network, at_most_one, check_png
from lenet.cli.output import say, standard_output

if TYPE_CHECKING:
    from lenet.model import LeNet5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `lenet info`."""
    parser.add_argument(
        "model", nargs="?", metavar="FILE", help="a .safetensors, .onnx or .pt file, a run folder, or mnist"
    )
    text = "print only the layers of LeNet5; with 1998, those of the network of the 1998 paper"
    add_network(parser, text, nargs="?", const=True)
    parser.add_argument(
        "--figure", metavar="PNG", help="write a diagram of the network to a PNG file, and print nothing"
    )
    parser.add_argument(
        "--bench",
        action="store_true",
        help="measure the speed of this installation, in about five seconds; may be given with --json only",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Run `lenet info`."""
    from lenet import plots
    from lenet._fused.dispatch import show_config
    from lenet.cli import bench
    from lenet.interop.loading import load_any
    from lenet.loading import network_class

    network = None if arguments.network is True else arguments.network
    at_most_one(parser, FILE=arguments.model, network=network)
    at_most_one(parser, network=arguments.network, json=arguments.json)
    if arguments.bench:
        at_most_one(parser, bench=True, FILE=arguments.model, network=arguments.network, figure=arguments.figure)
    if arguments.figure is not None:
        check_png(parser, "--figure", arguments.figure)
    model = network_class(network)(seed=0) if arguments.model is None else load_any(arguments.model)
    if arguments.figure is not None:
        atomic_write(arguments.figure, plots.architecture(model.num_classes, model.network))
        return 0
    metadata = metadata_of(model, arguments)
    if arguments.json:
        say(json.dumps(metadata))
        return 0
    with standard_output():
        if arguments.model is None and arguments.network is None:
            show_config()
            if arguments.bench:
                print(bench.report(metadata["bench"]))
                return 0
            print()
        model.summary()
        if arguments.model is not None and not arguments.network:
            print()
            for name, value in metadata.items():
                text = ", ".join(value) if name == "classes" else "of each image" if value is None else value
                say(f"{name:<18} {text}")
    return 0


def metadata_of(model: "LeNet5", arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the metadata that `--json` prints, of a model or of this installation."""
    from lenet._fused.dispatch import available, kernels
    from lenet._fused.threads import resolve_n_jobs
    from lenet.cli import bench

    metadata: dict[str, Any] = {
        "num_classes": model.num_classes,
        "dtype": model.dtype.name,
        "parameters": model.parameters.flat.size,
    }
    if arguments.model is not None:
        metadata |= {} if model.network is None else {"network": model.network}
        metadata |= {"mean": model.mean, "std": model.std}
        return metadata | model.metadata | metadata | {"classes": list(model.classes)}  # a file replaces no value
    if arguments.json:
        metadata |= {"lenet": __version__} | kernels().build() | {"available": list(available())}
        metadata["threads"] = resolve_n_jobs(None)
    if arguments.bench:
        metadata["bench"] = bench.measure()
    return metadata
