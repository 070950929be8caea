"""The arithmetic of LeNet-5 in plain NumPy and float64, directly from the mathematics.

It shares nothing with the package, and is written for readability, not speed: the tests compare the kernels, the layers
and the model with it.

Axes: N images, C input channels, H x W the input, O output channels, K = KH x KW the kernel or window.
A `d` before a name denotes the gradient of the loss with respect to it.
"""

import numpy as np

LAYERS = ("c1", "c3", "c5", "f6", "output")


def relative_error(actual, expected):
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


def pad(x, padding):
    """x[N, C, H, W] with `padding` rows and columns of zeros on each side."""
    N, C, H, W = x.shape
    padded = np.zeros((N, C, H + 2 * padding, W + 2 * padding))
    padded[:, :, padding : padding + H, padding : padding + W] = x
    return padded


def im2col(x, K, padding=0):
    """columns[N, C K K, OH OW]: the pixel that each weight meets, for each output pixel."""
    padded = pad(x, padding)
    N, C, H, W = padded.shape
    OH, OW = H - K + 1, W - K + 1
    columns = np.zeros((N, C * K * K, OH * OW))
    for n in range(N):
        for c in range(C):
            for i in range(K):
                for j in range(K):
                    for row in range(OH):
                        for column in range(OW):
                            weight, pixel = (c * K + i) * K + j, row * OW + column
                            columns[n, weight, pixel] = padded[n, c, row + i, column + j]
    return columns


def col2im(columns, shape, K, padding=0):
    """x[N, C, H, W]: every element of columns[N, C K K, OH OW] added to the pixel that im2col took it from."""
    N, C, H, W = shape
    padded = np.zeros((N, C, H + 2 * padding, W + 2 * padding))
    OH, OW = H + 2 * padding - K + 1, W + 2 * padding - K + 1
    parts = columns.reshape(N, C, K, K, OH, OW)
    for i in range(K):
        for j in range(K):
            for row in range(OH):
                for column in range(OW):
                    padded[:, :, row + i, column + j] += parts[:, :, i, j, row, column]
    return padded[:, :, padding : padding + H, padding : padding + W]


def conv2d(x, weight, bias, padding=0):
    """y[n, o, row, column] = bias[o] + the sum of weight[o] times the window of x[n] at (row, column)."""
    padded = pad(x, padding)
    O, _, KH, KW = weight.shape
    N, _, H, W = padded.shape
    y = np.zeros((N, O, H - KH + 1, W - KW + 1))
    for row in range(y.shape[2]):
        for column in range(y.shape[3]):
            window = padded[:, :, row : row + KH, column : column + KW]
            y[:, :, row, column] = np.einsum("ncij,ocij->no", window, weight) + bias
    return y


def conv2d_backward(dy, x, weight, padding=0):
    """dx, dweight, dbias of conv2d."""
    padded = pad(x, padding)
    _, _, KH, KW = weight.shape
    dpadded, dweight = np.zeros_like(padded), np.zeros(weight.shape)
    for row in range(dy.shape[2]):
        for column in range(dy.shape[3]):
            place = (slice(None), slice(None), slice(row, row + KH), slice(column, column + KW))
            dweight += np.einsum("no,ncij->ocij", dy[:, :, row, column], padded[place])
            dpadded[place] += np.einsum("no,ocij->ncij", dy[:, :, row, column], weight)
    H, W = x.shape[2:]
    return dpadded[:, :, padding : padding + H, padding : padding + W], dweight, dy.sum(axis=(0, 2, 3))


def avg_pool2d(x, KH, KW, SH, SW):
    """y[n, c, row, column] = the mean of the window at (row SH, column SW); what fills no window is left out."""
    N, C, H, W = x.shape
    y = np.zeros((N, C, (H - KH) // SH + 1, (W - KW) // SW + 1))
    for row in range(y.shape[2]):
        for column in range(y.shape[3]):
            window = x[:, :, row * SH : row * SH + KH, column * SW : column * SW + KW]
            y[:, :, row, column] = window.mean(axis=(2, 3))
    return y


def avg_pool2d_backward(dy, shape, KH, KW, SH, SW):
    """dx of avg_pool2d for an input of `shape`."""
    dx = np.zeros(shape)
    for row in range(dy.shape[2]):
        for column in range(dy.shape[3]):
            share = dy[:, :, row, column, None, None] / (KH * KW)
            dx[:, :, row * SH : row * SH + KH, column * SW : column * SW + KW] += share
    return dx


def sigmoid(x):
    """1 / (1 + exp(-x)), without the exponential of a large number."""
    power = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + power), power / (1 + power))


def sigmoid_backward(dy, y):
    """dx of y = sigmoid(x)."""
    return dy * y * (1 - y)


def linear(x, weight, bias):
    """y[N, O] of x[N, D], weight[O, D]."""
    return x @ weight.T + bias


def linear_backward(dy, x, weight):
    """dx, dweight, dbias of linear."""
    return dy @ weight, dy.T @ x, dy.sum(axis=0)


def log_softmax(logits):
    """The logarithm of each row's softmax."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def cross_entropy(logits, y):
    """Each image's loss -log p[y], and the gradient of their sum, p - onehot(y); y = -1 is uniform over the classes.

    y may also have the target probabilities themselves, one row per image.
    """
    log_p = log_softmax(logits)
    classes = logits.shape[1]
    y = np.array(y)
    target = y if y.ndim == 2 else np.where(y[:, None] < 0, 1 / classes, np.eye(classes)[y])
    return -(log_p * target).sum(axis=1), np.exp(log_p) - target


def standardised(x):
    """Images x[N, 28, 28] in [0, 1], each by its own mean and deviation, as [N, 1, 28, 28]."""
    return ((x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 1e-5))[:, None]


def lenet(parameters, x):
    """Every stage's output of LeNet-5 for standardised images x[N, 1, 28, 28], by the paper's names."""
    weight, bias = ({name: np.float64(parameters[f"{name}.{kind}"]) for name in LAYERS} for kind in ("weight", "bias"))
    out = {"input": np.float64(x)}
    out["c1"] = sigmoid(conv2d(out["input"], weight["c1"], bias["c1"], padding=2))
    out["s2"] = avg_pool2d(out["c1"], 2, 2, 2, 2)
    out["c3"] = sigmoid(conv2d(out["s2"], weight["c3"], bias["c3"]))
    out["s4"] = avg_pool2d(out["c3"], 2, 2, 2, 2)
    out["c5"] = sigmoid(conv2d(out["s4"], weight["c5"], bias["c5"]))[:, :, 0, 0]
    out["f6"] = sigmoid(linear(out["c5"], weight["f6"], bias["f6"]))
    out["output"] = linear(out["f6"], weight["output"], bias["output"])
    return out


def lenet_loss_and_gradients(parameters, x, y):
    """The mean cross-entropy of LeNet-5 over a batch, and its gradient with respect to every parameter."""
    weight = {name: np.float64(parameters[f"{name}.weight"]) for name in LAYERS}
    out = lenet(parameters, x)
    losses, dlogits = cross_entropy(out["output"], y)
    dweight, dbias = {}, {}
    d, dweight["output"], dbias["output"] = linear_backward(dlogits / len(x), out["f6"], weight["output"])
    d = sigmoid_backward(d, out["f6"])
    d, dweight["f6"], dbias["f6"] = linear_backward(d, out["c5"], weight["f6"])
    d = sigmoid_backward(d, out["c5"])[:, :, None, None]
    d, dweight["c5"], dbias["c5"] = conv2d_backward(d, out["s4"], weight["c5"])
    d = sigmoid_backward(avg_pool2d_backward(d, out["c3"].shape, 2, 2, 2, 2), out["c3"])
    d, dweight["c3"], dbias["c3"] = conv2d_backward(d, out["s2"], weight["c3"])
    d = sigmoid_backward(avg_pool2d_backward(d, out["c1"].shape, 2, 2, 2, 2), out["c1"])
    _, dweight["c1"], dbias["c1"] = conv2d_backward(d, out["input"], weight["c1"], padding=2)
    gradients = {}
    for name in LAYERS:
        gradients[f"{name}.weight"], gradients[f"{name}.bias"] = dweight[name], dbias[name]
    return losses.mean(), gradients
