"""Write a model repository for Triton: FOLDER/digits/config.pbtxt and FOLDER/digits/1/model.onnx.

    pip install '.[onnx]'
    python export.py FOLDER [FILE.safetensors]
    tritonserver --model-repository=FOLDER

The default is the shipped weights.
"""

import sys
from pathlib import Path

import lenet
from lenet.interop import to_onnx

# The graph returns labels of shape (n,). Triton requires a dimension after the batch, so clients see (n, 1).
CONFIGURATION = """\
name: "digits"
platform: "onnxruntime_onnx"
max_batch_size: 1024
input [ {{ name: "images" data_type: TYPE_UINT8 dims: [ 1, 28, 28 ] }} ]
output [
  {{ name: "label" data_type: TYPE_INT64 dims: [ 1 ] reshape: {{ shape: [ ] }} }},
  {{ name: "probabilities" data_type: TYPE_FP32 dims: [ {classes} ] }}
]
dynamic_batching {{ }}
instance_group [ {{ kind: KIND_CPU }} ]
"""


def write_repository(folder: Path, model: lenet.LeNet5) -> None:
    """Write the model as version 1 of `digits` into a model repository."""
    version = folder / "digits" / "1"
    version.mkdir(parents=True, exist_ok=True)
    (version / "model.onnx").write_bytes(to_onnx(model, pixels="uint8").SerializeToString())
    (folder / "digits" / "config.pbtxt").write_text(CONFIGURATION.format(classes=model.num_classes))


if __name__ == "__main__":
    write_repository(Path(sys.argv[1]), lenet.load(sys.argv[2]) if sys.argv[2:] else lenet.load_pretrained())
