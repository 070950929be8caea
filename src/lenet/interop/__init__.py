"""Convert LeNet-5 to and from other formats: ONNX, PyTorch and, for export, C; support skops and skl2onnx.

Reading a file never runs code from it. Each function imports the package that it needs.
"""

from lenet.interop.c_source import to_c
from lenet.interop.onnx_reader import from_onnx
from lenet.interop.onnx_writer import to_onnx
from lenet.interop.sklearn_onnx import register_skl2onnx
from lenet.interop.torch_weights import from_torch, to_torch_state_dict

SKOPS_TRUSTED = ["lenet.estimator.classifier.LeNetClassifier", "lenet.estimator.framing.Framing", "lenet.model.LeNet5"]
"""The types that `skops.io.load(file, trusted=SKOPS_TRUSTED)` needs for a LeNetClassifier."""

__all__ = ["SKOPS_TRUSTED", "from_onnx", "from_torch", "register_skl2onnx", "to_c", "to_onnx", "to_torch_state_dict"]
