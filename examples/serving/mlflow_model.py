"""Log a model in MLflow as ONNX, which contains no pickle, and predict with it.

    pip install mlflow '.[onnx,train]' onnxruntime
    python mlflow_model.py [FILE.safetensors]               # by default, the shipped weights
    mlflow models serve -m models:/m-... --env-manager local -p 5001

The server expects {"inputs": {"images": [...]}} at /invocations, with images of shape (n, 1, 28, 28).
"""

import sys

import mlflow
import mlflow.onnx
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

import lenet
from lenet.interop import to_onnx

model = lenet.load(sys.argv[1]) if sys.argv[1:] else lenet.load_pretrained()
signature = ModelSignature(
    inputs=Schema([TensorSpec(np.dtype("uint8"), (-1, 1, 28, 28), "images")]),
    outputs=Schema([
        TensorSpec(np.dtype("int64"), (-1,), "label"),
        TensorSpec(np.dtype("float32"), (-1, model.num_classes), "probabilities"),
    ]),
)  # fmt: skip
with mlflow.start_run():
    logged = mlflow.onnx.log_model(
        to_onnx(model, pixels="uint8"),
        name="digits",
        signature=signature,
        metadata=model.metadata,
        onnx_execution_providers=["CPUExecutionProvider"],
        save_as_external_data=False,
    )
print("Logged as", logged.model_uri)

images = lenet.data.load_digits().X_test[:8]
answer = mlflow.pyfunc.load_model(logged.model_uri).predict({"images": images[:, np.newaxis]})
print("Labels:", answer["label"])
print("The same as lenet:", np.array_equal(answer["label"], model.predict(images)))
