"""LeNet-5 in each library, behind one interface, with the same weights.

A peer's `images(pixels)` converts uint8 pixels to its input beforehand, except for lenet, which reads the
pixels themselves. `predictor(batch, threads)` returns a function from these to logits, `trainer(images, y, threads)`
one that performs a step of SGD, or None if it cannot. Each library is set up as its documentation recommends:
graphs for one batch size, a given number of threads, and no recording for gradients.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet import LeNet5
from lenet import _layerwise as layerwise
from lenet._fused.batches import Learner
from lenet.interop.onnx_writer import IR, OPSET, Operators
from lenet.training.optim import SGD

Array = NDArray[Any]
Predictor = Callable[[Array], Array]
LR, MOMENTUM = 0.01, 0.9


def standardised(pixels: Array, model: LeNet5) -> Array:
    """Return pixels as the network's input, float32 (n, 1, 28, 28)."""
    return layerwise.standardised(pixels, model.mean, model.std, np.float32)


class Lenet:
    """lenet itself. It reads uint8 pixels, from which the others' images are made, and trains as `lenet.train` does."""

    name = "lenet"

    def __init__(self, model: LeNet5):
        self.model = model

    def images(self, pixels: Array) -> Array:
        return pixels

    def predictor(self, batch: int, threads: int) -> Predictor:
        return lambda pixels: self.model.logits(pixels, n_jobs=threads)

    def trainer(self, pixels: Array, y: Array, threads: int) -> Callable[[], None]:
        model = LeNet5(seed=0)
        model.load_state_dict(self.model.state_dict())
        model.mean, model.std = self.model.mean, self.model.std
        learner, sgd = Learner(model.parameters, model._kernels, model.num_classes), SGD(model, LR, MOMENTUM)

        def step() -> None:
            _, _, gradients = learner(pixels, y, model.mean, model.std, n_jobs=threads)
            sgd.step(gradients)

        return step


class Torch:
    """PyTorch, eager."""

    name = "PyTorch"

    def __init__(self, model: LeNet5):
        import torch

        self.torch, self.model = torch, model
        self.name = f"{self.name} {torch.__version__.partition('+')[0]}"

    def network(self, training: bool) -> Any:
        nn = self.torch.nn
        network = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.AvgPool2d(2),
            nn.Conv2d(16, 120, 5), nn.Sigmoid(), nn.Flatten(),
            nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10),
        )  # fmt: skip
        with self.torch.no_grad():
            for target, source in zip(network.parameters(), self.model.parameters.values(), strict=True):
                target.copy_(self.torch.from_numpy(source.copy()))
        return network.train(training)

    def images(self, pixels: Array) -> Array:
        return standardised(pixels, self.model)

    def predictor(self, batch: int, threads: int) -> Predictor:
        network = self.network(training=False)

        def predict(x: Array) -> Array:
            self.torch.set_num_threads(threads)
            with self.torch.inference_mode():
                logits: Array = network(self.torch.from_numpy(x)).numpy()
            return logits

        return predict

    def trainer(self, x: Array, y: Array, threads: int) -> Callable[[], None]:
        network = self.network(training=True)
        sgd = self.torch.optim.SGD(network.parameters(), LR, MOMENTUM)
        images, labels = self.torch.from_numpy(x), self.torch.from_numpy(y)

        def step() -> None:
            self.torch.set_num_threads(threads)
            sgd.zero_grad()
            self.torch.nn.functional.cross_entropy(network(images), labels).backward()
            sgd.step()

        return step


class CompiledTorch(Torch):
    """PyTorch, compiled to C++ for the size of the batch: half a minute for each. Predictions have constant weights."""

    name = "torch.compile"

    def network(self, training: bool) -> Any:
        self.torch.compiler.reset()  # it compiles at most eight sizes of the batch
        return self.torch.compile(super().network(training), dynamic=False, options={"freezing": not training})


class OnnxRuntime:
    """onnxruntime on its CPU provider."""

    name = "onnxruntime"

    def __init__(self, model: LeNet5):
        import onnxruntime

        self.onnxruntime, self.model = onnxruntime, model
        self.name = f"onnxruntime {onnxruntime.__version__}"

    def images(self, pixels: Array) -> Array:
        return standardised(pixels, self.model)

    def predictor(self, batch: int, threads: int) -> Predictor:
        options = self.onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.graph_optimization_level = self.onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        session = self.onnxruntime.InferenceSession(
            onnx_bytes(self.model, batch), options, providers=["CPUExecutionProvider"]
        )
        return lambda x: session.run(None, {"input": x})[0]  # type: ignore[no-any-return]

    trainer = None


class OpenVino:
    """OpenVINO in float32, with its settings for latency."""

    name, hint = "OpenVINO", "LATENCY"

    def __init__(self, model: LeNet5):
        import openvino

        self.openvino, self.model = openvino, model
        self.name = f"{self.name} {openvino.__version__.partition('-')[0]} float32"

    def images(self, pixels: Array) -> Array:
        return standardised(pixels, self.model)

    def predictor(self, batch: int, threads: int) -> Predictor:
        core = self.openvino.Core()
        compiled = core.compile_model(
            core.read_model(onnx_bytes(self.model, batch)),
            "CPU",
            {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": self.hint},
        )
        request, output = compiled.create_infer_request(), compiled.output(0)
        return lambda x: request.infer([x], share_inputs=True, share_outputs=True)[output]  # type: ignore[no-any-return]

    trainer = None


class OpenVinoThroughput(OpenVino):
    """OpenVINO in float32, with its settings for throughput."""

    name, hint = "OpenVINO for throughput", "THROUGHPUT"


def onnx_bytes(model: LeNet5, batch: int) -> bytes:
    """Return the network as an ONNX file for one batch size."""
    from onnx import TensorProto, helper, numpy_helper

    operators = Operators()
    logits = operators.network(model, "pixels")
    graph = helper.make_graph(
        [
            helper.make_node(kind, inputs, [output], **attributes)
            for kind, inputs, output, attributes in operators.nodes
            if output not in ("centred", "input")  # the peers get standardised images
        ],
        "LeNet-5",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 1, 28, 28])],
        [helper.make_tensor_value_info(logits, TensorProto.FLOAT, [batch, model.num_classes])],
        [numpy_helper.from_array(value, name) for name, value in operators.constants.items() if "." in name],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    data: bytes = proto.SerializeToString()
    return data


def installed(model: LeNet5, variants: bool) -> list[Any]:
    """Return the peers whose libraries can be imported, this package first; with other settings too, if asked."""
    peers: list[Any] = [Lenet(model)]
    others = (OnnxRuntime, OpenVino, Torch)
    for peer in (*others, OpenVinoThroughput, CompiledTorch) if variants else others:
        with contextlib.suppress(ImportError):
            peers.append(peer(model))
    return peers
