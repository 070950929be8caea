"""An application that uses lenet, for type checkers; lines that end in "wrong" must be errors."""

from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import lenet
from lenet.data import Dataset
from lenet.errors import DataError, LenetError
from lenet.training import State


def predict(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Use the models, which have their types through the lazy names of the package."""
    model = lenet.load_pretrained("mnist")
    assert_type(model, lenet.LeNet5)
    assert_type(model.predict_proba(pixels, n_jobs=1), NDArray[Any])  # float32 or float64, as the model is
    assert_type(model.logits([[0.0] * 28] * 28), NDArray[Any])
    assert_type(model.metadata, dict[str, str])
    assert_type(model.state_dict(), dict[str, NDArray[Any]])
    model.save("model.safetensors")
    assert_type(lenet.load("model.safetensors"), lenet.LeNet5)
    assert_type(lenet.rejection.RejectionRule().answers(model.predict_proba(pixels)).is_digit, NDArray[np.bool_])
    return assert_type(model.predict(pixels, reject_at=0.005), NDArray[np.int64])


def read(path: str) -> str:
    """Read pictures."""
    try:
        picture = assert_type(lenet.reading.read_picture(path), NDArray[np.uint8])
    except (DataError, OSError):
        return ""
    assert_type(lenet.reading.prepare(picture), NDArray[np.uint8])
    assert_type(lenet.reading.prepare(Image.fromarray(picture)), NDArray[np.uint8])
    reading = assert_type(lenet.reading.read(picture), lenet.reading.Reading)
    for line in reading.lines:
        assert_type(line.confidence, float)
        assert_type([digit.label for digit in line.digits], list[int | None])
    return reading.text


def train(digits: Dataset) -> float:
    """Train by hand, and as users of scikit-learn do."""
    X_train, y_train, X_test, y_test = digits
    assert_type(X_train, NDArray[np.uint8])
    assert_type(y_test, NDArray[np.int64])
    model = lenet.LeNet5(seed=0)

    def tell(state: State) -> None:
        print(state.epoch, assert_type(state.history[-1].loss, float))

    state = lenet.train(model, X_train, y_train, lenet.training.RECIPES["small"], on_step=tell, on_epoch=tell)
    assert_type(state, State)
    loss, gradients = model.loss_and_gradients(X_train, y_train)
    assert_type(loss, float)
    lenet.SGD(model, lr=0.1).step(gradients)
    classifier = lenet.LeNetClassifier(max_iter=3, random_state=0)
    assert_type(classifier.fit(X_train, y_train), lenet.LeNetClassifier)
    assert_type(classifier.partial_fit(X_train, y_train), lenet.LeNetClassifier)
    assert_type(classifier.predict(X_test), NDArray[Any])  # of the labels that it was taught
    assert_type(classifier.predict_proba(X_test), NDArray[np.float32])
    return assert_type(classifier.score(X_test, y_test), float)


def mistakes(digits: Dataset) -> None:
    """Make mistakes that a type checker must find."""
    model = lenet.load_pretrained("mnist")
    lenet.LeNet6()  # wrong
    lenet.load_pretrained(5)  # wrong
    model.predict_probabilities(digits.X_test)  # wrong
    model.predict(digits.X_test, reject_at="never")  # wrong
    model.predict(digits.X_test, None)  # wrong
    digits.X_val.mean()  # wrong
    lenet.LeNetClassifier(layers=3)  # wrong
    text: str = model.predict(digits.X_test)  # wrong
    print(lenet.reading.read(digits.X_test[0]).words)  # wrong
    raise LenetError(text)
