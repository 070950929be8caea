"""Export a model to ONNX, run it in onnxruntime, and load it back into lenet."""

import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

import lenet
from lenet.interop import from_onnx, to_onnx

model = lenet.load_pretrained("mnist")
images = lenet.data.load_digits().X_test  # uint8, (n, 28, 28)

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "mnist.onnx")
    path.write_bytes(to_onnx(model, pixels="uint8").SerializeToString())  # or: lenet export mnist mnist.onnx
    session = onnxruntime.InferenceSession(path)
    again = from_onnx(path)

label, probabilities = session.run(None, {"images": images[:, np.newaxis]})
print("The same labels:", np.array_equal(label, model.predict(images)))
print(f"The probabilities differ by at most {np.abs(probabilities - model.predict_proba(images)).max():.0e}")
print("The same weights:", np.array_equal(again.parameters.flat, model.parameters.flat))
