"""Pictures as arrays are prepared as digits and read as pages, without unexpected errors.

An input is a width, a height, the side of the squares that its grey levels fill, and levels, over and over.
"""

import json

import numpy as np

import lenet
from lenet.reading import prepare, read

_MODEL = lenet.load_pretrained()


def run(data):
    if len(data) < 4:
        return
    grey = _array(data)
    image = prepare(grey)
    assert (image.shape, image.dtype) == ((28, 28), np.uint8), "not as MNIST's"
    _check_reading(read(grey, _MODEL, n_jobs=1), grey)


def _array(data):
    width, height, side = 1 + data[0] % 80, 1 + data[1] % 80, 1 + data[2] % 8
    levels = np.resize(np.frombuffer(data[3:], np.uint8), (-(-height // side), -(-width // side)))
    return np.kron(levels, np.ones((side, side), np.uint8))[:height, :width]


def _check_reading(reading, grey):
    height, width = grey.shape
    json.dumps(reading.as_dict(), allow_nan=False)
    for line in reading.lines:
        assert 0 <= line.confidence <= 1 + 1e-9, f"a confidence of {line.confidence}"
        shown = ["?" if digit.label is None else str(digit.label) for digit in line.digits]
        assert line.text.replace(" ", "") == "".join(shown), "the text and its digits differ"
        for digit in line.digits:
            left, top, right, bottom = digit.box
            assert 0 <= left < right <= width, f"a box {digit.box} in {width} x {height} pixels"
            assert 0 <= top < bottom <= height, f"a box {digit.box} in {width} x {height} pixels"
            assert all(0 <= each <= 1 + 1e-9 for each in (digit.probability, digit.second_probability)), f"{digit}"
            assert digit.label is None or digit.label in set(range(10)) - {digit.second}, f"{digit}"


def seeds():
    digits = lenet.data.load_digits().X_test[183:185]
    return {
        "noise": bytes([63, 63, 0, *range(0, 256, 7)]),
        "squares": bytes([79, 40, 7, 255, 0, 255, 255, 128]),
        "digits": bytes([55, 27, 0]) + (255 - np.concatenate(digits, axis=1)).tobytes(),
    }
