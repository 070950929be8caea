"""LeNet5 models, images and labels that the tests of the model share."""

import numpy as np
import reference

from lenet import LeNet5

SHAPES = {
    "c1.weight": (6, 1, 5, 5),
    "c1.bias": (6,),
    "c3.weight": (16, 6, 5, 5),
    "c3.bias": (16,),
    "c5.weight": (120, 16, 5, 5),
    "c5.bias": (120,),
    "f6.weight": (84, 120),
    "f6.bias": (84,),
    "output.weight": (10, 84),
    "output.bias": (10,),
}
MEAN, STD = 0.1307, 0.3081


def make_model(dtype=np.float32, **arguments):
    """A model with biases and a standardisation, so that omitting either is detected."""
    model = LeNet5(seed=0, dtype=dtype, **arguments)
    rng = np.random.default_rng(1)
    for name in reference.LAYERS:
        model.parameters[f"{name}.bias"] = rng.normal(scale=0.3, size=model.parameters[f"{name}.bias"].shape)
    model.mean, model.std = MEAN, STD
    return model


def draw_images(n, kind="dense"):
    """Images in [0, 1]: noise everywhere, or noise in the middle and zeros around it."""
    x = np.random.default_rng(n).random((n, 28, 28))
    if kind == "zero borders":
        x[:, :4] = x[:, -4:] = x[:, :, :4] = x[:, :, -4:] = 0
    return x


def batch(n, kind):
    return draw_images(n, kind), np.random.default_rng(n + 10).integers(0, 10, n)


def standardised(x):
    return (x.reshape(-1, 1, 28, 28) - MEAN) / STD
