"""Every array parameter of a public function, with a plain array that it accepts."""

import copy

import numpy as np
from array_kinds import TYPES

import lenet
from lenet import LeNet5, LeNetClassifier, losses
from lenet.evaluation import calibration, classification_report, evaluate
from lenet.interop import from_torch
from lenet.layers import (
    RBF,
    AvgPool2d,
    Conv2d,
    Flatten,
    Linear,
    ScaledTanh,
    Sigmoid,
    SparseConv2d,
    Subsample2d,
    col2im,
    im2col,
)
from lenet.reading import as_mnist, prepare, read
from lenet.rejection import digit_score, margin
from lenet.training.augment.distortions import AffineMaps, Variations, random_variations
from lenet.training.recipes import Recipe

RNG = np.random.default_rng(7)
N = 12
BYTES = RNG.integers(0, 256, (N, 784), np.uint8)
REALS = RNG.integers(0, 257, (N, 784)) / 256  # exact in float16
LABELS = np.arange(N) % 3
TABLE, TWO = np.rint(BYTES / 2), np.arange(N) % 2  # of a classifier: any numbers, any labels
WEIGHTS = RNG.integers(1, 9, N) / 4
LOGITS = RNG.integers(-20, 20, (N, 3)) / 4
PROBABILITIES = np.array([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125], [0.0, 0.0, 1.0]] * 4)
MAPS = RNG.integers(-4, 5, (N, 2, 3)) / 4
PICTURE = np.full((60, 50), 255, np.uint8)
PICTURE[15:45, 22:27] = RNG.integers(0, 60, (30, 5))

MODEL = LeNet5(seed=0, num_classes=3)
DOUBLE = LeNet5(seed=0, num_classes=3, dtype=np.float64)
CALIBRATED = lenet.load_pretrained()
MANY_BYTES = np.tile(BYTES, (10, 1))  # enough to calibrate by
MANY_LABELS = CALIBRATED.predict(MANY_BYTES)
MANY_LABELS[:6] = 3  # some are wrong
CLASSIFIER = LeNetClassifier.from_pretrained()


# ---- the functions -------------------------------------------------------------------------------------


def of_model(model, method, **named):
    return lambda x: getattr(model, method)(x, **named)


def trained(x=BYTES, y=LABELS, w=None):
    model = LeNet5(seed=0, num_classes=3)
    lenet.train(model, x, y, Recipe("one", epochs=1, batch_size=4, lr=0.1), sample_weight=w)
    return model.state_dict()


def calibrated(x=MANY_BYTES, y=MANY_LABELS):
    model = copy.deepcopy(CALIBRATED)
    calibration.calibrate(model, x, y)
    return [*model.parameters.values(), *model.metadata.items()]


def with_weight(make):
    """A function that replaces C1's weights by an array, and returns all weights."""

    def call(weight):
        model = LeNet5(seed=0, num_classes=3)
        return (make(model, {**model.state_dict(), "c1.weight": weight}) or model).parameters

    return call


def assign(model, state):
    model.parameters["c1.weight"] = state["c1.weight"]


def step(gradient, name="c1.weight"):
    model = LeNet5(seed=0, num_classes=3)
    lenet.SGD(model, 0.5).step({**model.state_dict(), name: gradient})
    return model.parameters


def varied(**changes):
    arrays = vars(random_variations(N, np.random.default_rng(0)))
    return Variations(**{**arrays, **changes}).apply(BYTES.reshape(N, 28, 28))


def fitted(method="fit", **given):
    classifier = LeNetClassifier(max_iter=1, random_state=0)
    getattr(classifier, method)(**{"X": BYTES, "y": TWO, **given})
    return classifier.model_.parameters


WEIGHT = MODEL.state_dict()["c1.weight"]
VARIATIONS = vars(random_variations(N, np.random.default_rng(0)))
FUNCTIONS = {
    **{f"{method} of bytes": (of_model(MODEL, method), BYTES)
       for method in ("predict", "predict_proba", "logits", "activations")},
    **{f"{method} of reals": (of_model(DOUBLE, method), REALS)
       for method in ("predict", "predict_proba", "logits", "activations")},
    "logits of float32": (of_model(MODEL, "logits"), REALS.astype(np.float32)),
    "predict with rejection": (of_model(CALIBRATED, "predict", reject_at=0.002), BYTES),
    "loss_and_gradients x": (of_model(MODEL, "loss_and_gradients", y=LABELS), BYTES),
    "loss_and_gradients y": (lambda y: MODEL.loss_and_gradients(BYTES, y), LABELS),
    "loss_and_gradients w": (lambda w: MODEL.loss_and_gradients(BYTES, LABELS, sample_weight=w), WEIGHTS),
    "evaluate X": (lambda x: evaluate(MODEL, x, LABELS), BYTES),
    "evaluate y": (lambda y: evaluate(MODEL, BYTES, y), LABELS),
    "evaluate w": (lambda w: evaluate(MODEL, BYTES, LABELS, sample_weight=w), WEIGHTS),
    "train X": (trained, BYTES),
    "train X of reals": (trained, REALS.astype(np.float32)),
    "train y": (lambda y: trained(y=y), LABELS),
    "train w": (lambda w: trained(w=w), WEIGHTS),
    "load_state_dict": (with_weight(lambda model, state: model.load_state_dict(state)), WEIGHT),
    "parameters": (with_weight(assign), WEIGHT),
    "from_torch": (with_weight(lambda _, state: from_torch(state)), WEIGHT),
    "SGD.step weight": (step, WEIGHT),
    "SGD.step bias": (lambda b: step(b, "f6.bias"), RNG.normal(size=84).astype(np.float32)),
    "softmax": (losses.softmax, LOGITS),
    "log_softmax": (losses.log_softmax, LOGITS),
    "cross_entropy logits": (lambda z: losses.cross_entropy(z, LABELS), LOGITS),
    "cross_entropy y": (lambda y: losses.cross_entropy(LOGITS, y), LABELS),
    "report logits": (lambda z: str(classification_report(z, LABELS)), LOGITS),
    "report y": (lambda y: str(classification_report(LOGITS, y)), LABELS),
    "calibrate X": (calibrated, MANY_BYTES),
    "calibrate y": (lambda y: calibrated(y=y), MANY_LABELS),
    "temperature logits": (lambda z: calibration.temperature(z, LABELS), LOGITS),
    "temperature y": (lambda y: calibration.temperature(LOGITS, y), LABELS),
    "threshold p": (lambda p: calibration.threshold(p, LABELS, 0.3), PROBABILITIES),
    "threshold y": (lambda y: calibration.threshold(PROBABILITIES, y, 0.3), LABELS),
    "rejection_rate p": (lambda p: calibration.rejection_rate(p, LABELS, 0.3), PROBABILITIES),
    "rejection_rate y": (lambda y: calibration.rejection_rate(PROBABILITIES, y, 0.3), LABELS),
    "calibration error p": (lambda p: calibration.expected_calibration_error(p, LABELS), PROBABILITIES),
    "calibration error y": (lambda y: calibration.expected_calibration_error(PROBABILITIES, y), LABELS),
    "digit_score": (digit_score, PROBABILITIES),
    "margin": (margin, PROBABILITIES),
    "distort images": (AffineMaps(MAPS).apply, BYTES.reshape(N, 28, 28)),
    "distort reals": (AffineMaps(MAPS).apply, REALS.reshape(N, 28, 28)),
    "distort maps": (lambda maps: AffineMaps(maps).apply(BYTES.reshape(N, 28, 28)), MAPS),
    "vary images": (random_variations(N, np.random.default_rng(0)).apply, BYTES.reshape(N, 28, 28)),
    **{f"vary {name}": (lambda value, name=name: varied(**{name: value}), VARIATIONS[name]) for name in VARIATIONS},
    "prepare": (prepare, PICTURE),
    "as_mnist": (as_mnist, BYTES.reshape(N, 28, 28)),
    "prepare reals": (prepare, PICTURE / 256),
    "read": (lambda x: read(x).as_dict(), PICTURE),
    "fit X": (lambda X: fitted(X=X), TABLE),
    "fit bytes": (lambda X: fitted(X=X), BYTES),
    "fit y": (lambda y: fitted(y=y), TWO),
    "fit w": (lambda w: fitted(sample_weight=w), WEIGHTS),
    "partial_fit X": (lambda X: fitted("partial_fit", X=X, classes=[0, 1]), TABLE),
    "partial_fit y": (lambda y: fitted("partial_fit", y=y, classes=[0, 1]), TWO),
    "partial_fit classes": (lambda c: fitted("partial_fit", classes=c), np.arange(2)),
    "partial_fit w": (lambda w: fitted("partial_fit", classes=[0, 1], sample_weight=w), WEIGHTS),
    "classifier.predict": (CLASSIFIER.predict, TABLE),
    "classifier.predict_proba": (CLASSIFIER.predict_proba, TABLE),
    "classifier.score X": (lambda X: CLASSIFIER.score(X, TWO), TABLE),
    "classifier.score y": (lambda y: CLASSIFIER.score(TABLE, y), TWO),
    "classifier.score w": (lambda w: CLASSIFIER.score(TABLE, TWO, w), WEIGHTS),
}  # fmt: skip


def add_layers():
    """A forward and a backward pass of each layer."""
    rng = np.random.default_rng(3)
    for layer, shape in (
        (Conv2d(2, 3, 3, 1, np.float32, rng), (2, 2, 5, 4)),
        (Conv2d(2, 3, 4, 0, np.float64, rng), (2, 2, 4, 4)),
        (Linear(5, 3, np.float32, rng), (4, 5)),
        (Sigmoid(), (3, 4)),
        (ScaledTanh(), (3, 4)),
        (Subsample2d(2, 2, np.float32, rng), (2, 2, 4, 6)),
        (SparseConv2d(np.array([[1, 0], [1, 1]]) > 0, 3, np.float32, rng), (2, 2, 5, 4)),
        (RBF(np.ones((3, 5)), np.float64), (4, 5)),
        (AvgPool2d(2), (2, 1, 4, 6)),
        (Flatten(), (2, 3, 2, 2)),
    ):
        x = rng.integers(-8, 9, shape).astype(layer.dtype) / 4
        y, backward = layer.forward(x)
        FUNCTIONS[f"{layer!r} forward"] = (lambda x, layer=layer: layer.forward(x)[0], x)
        FUNCTIONS[f"{layer!r} called"] = (layer, x)
        FUNCTIONS[f"{layer!r} backward"] = (lambda dy, backward=backward: backward(dy)[0], np.rint(8 * y) / 4)
    x = rng.integers(-8, 9, (2, 2, 5, 4)).astype(np.float32)
    FUNCTIONS["im2col"] = (lambda x: im2col(x, 3), x)
    FUNCTIONS["col2im"] = (lambda c: col2im(c, x.shape, 3), im2col(x, 3))


add_layers()
SKLEARN = ("fit", "partial_fit", "classifier")  # it checks first, and its ValueError and TypeError say what is wanted
CLASSIFIERS_X = {name for name in FUNCTIONS if name.startswith(SKLEARN) and FUNCTIONS[name][1] is TABLE}
CLASSIFIERS_Y = {name for name in FUNCTIONS if name.startswith(SKLEARN) and name.endswith((" y", " classes"))}
ANY_LABELS = {"datetime64", "timedelta64", "text", "bytes", "objects of text", "structured", "void"}
UNDECIDED = {  # these may be taken for what they are to others, or refused
    *(("from_torch", kind) for kind in ("memory view", "converted", "described")),  # no tensors, no arrays
    *((name, kind) for name in CLASSIFIERS_X for kind in ("matrix", "bool", "objects of text")),
    *((name, kind) for name in CLASSIFIERS_Y for kind in ("broadcast", "matrix")),  # one class; a column
    *((name, "broadcast") for name in ("calibrate X", "calibrate y")),  # labels that do not fit the answers
    *(("fit bytes", kind) for kind in ("matrix", "lists", "objects of text", *TYPES)),  # bytes run from 0 to 255
    *([("distort images", "longdouble")] if np.dtype("longdouble") == float else []),  # as on Windows
    # With NumPy 1, scikit-learn's accuracy counts labels of another type as wrong, instead of refusing them.
    *(("classifier.score y", kind) for kind in ANY_LABELS if np.__version__.startswith("1.")),
}
