"""Convert a scikit-learn pipeline with a LeNetClassifier to ONNX, and run it in onnxruntime alone."""

import numpy as np
import onnxruntime
import skl2onnx
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from lenet import LeNetClassifier
from lenet.interop import register_skl2onnx

X, y = load_digits(return_X_y=True)
X, names = X.astype(np.float32), np.array([f"digit {label}" for label in y])
pipeline = make_pipeline(MinMaxScaler(), LeNetClassifier(max_iter=60, random_state=0)).fit(X, names)

register_skl2onnx()
model = skl2onnx.to_onnx(pipeline, X[:1], options={"zipmap": False})
label, probabilities = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"X": X})
print("The same labels:", np.array_equal(label, pipeline.predict(X)))
print(f"The probabilities differ by at most {np.abs(probabilities - pipeline.predict_proba(X)).max():.0e}")
