"""Ask a server of the Open Inference Protocol for digits: Triton, KServe or `lenet serve --model digits=mnist`.

    pip install 'tritonclient[http]' scikit-learn
    python client.py localhost:8000

LENET_TOKEN holds the token, if the server wants one.
"""

import os
import sys

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

import lenet


def ask(address: str, images: np.ndarray, token: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels (n,) and the probabilities (n, classes) of uint8 images (n, 28, 28)."""
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
    print("read:", labels, "with", probabilities.max(axis=1).round(3))
    print("are: ", digits.y_test[:8])
