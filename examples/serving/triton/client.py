"""Send digits to a server of the Open Inference Protocol: Triton, KServe or `lenet serve --model digits=mnist`.

    pip install 'tritonclient[http]' scikit-learn
    python client.py localhost:8000

If the server requires a token, set LENET_TOKEN.
"""

import os
import sys

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

import lenet


def ask(address: str, images: np.ndarray, token: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels, shape (n,), and probabilities, shape (n, classes), of uint8 images of shape (n, 28, 28)."""
    tensor = InferInput("images", [len(images), 1, 28, 28], "UINT8")
    tensor.set_data_from_numpy(images[:, np.newaxis])
    outputs = [InferRequestedOutput("label"), InferRequestedOutput("probabilities")]
    headers = {"Authorization": f"Bearer {token}"} if token else None
    with InferenceServerClient(address) as client:
        answer = client.infer("digits", [tensor], outputs=outputs, headers=headers)
    return answer.as_numpy("label").ravel(), answer.as_numpy("probabilities")  # Triton's labels are (n, 1)


if __name__ == "__main__":
    digits = lenet.data.load_digits()
    labels, probabilities = ask(sys.argv[1], digits.X_test[:8], os.environ.get("LENET_TOKEN"))
    print("predicted:", labels, "with probabilities", probabilities.max(axis=1).round(3))
    print("true:     ", digits.y_test[:8])
