"""Every public callable with valid arguments, and bad values of every class for each of its arguments.

A case names the callable, gives valid arguments, and says of which sort each is. `BAD` has the values that an argument
of this sort refuses, by class: a wrong type, shape or value, numbers that are not finite, and huge ones.
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import lenet
from lenet import LeNet5, LeNetClassifier, evaluation, interop, layers, losses, plots, reading, rejection, training
from lenet.data import Dataset
from lenet.training import Recipe, optim, splits
from lenet.training.augment import defects, distortions
from lenet.training.augment.drawn_digits import drawn_digits
from lenet.training.augment.non_digits import non_digits
from lenet.training.curvature import DiagonalLevenbergMarquardt
from lenet.training.foof import FOOF

N, CLASSES = 6, 3
BYTES = np.random.default_rng(1).integers(0, 256, (N, 28, 28), np.uint8)
REALS = BYTES / 255
LABELS = np.arange(N) % CLASSES
WEIGHTS = np.arange(N) / 4 + 1
LOGITS = np.random.default_rng(2).normal(size=(N, CLASSES))
PROBABILITIES = losses.softmax(LOGITS)
MANY = {"X": np.tile(BYTES, (20, 1, 1)), "y": np.ones(20 * N, int)}  # enough to calibrate by; the answers of SMALL
HUGE = 10**400
LONG = "x" * 100_000


def images(reals: bool = True) -> dict[str, list[Any]]:
    bad = {
        "type": [None, "x", {}, object(), BYTES.astype(int), REALS.astype(complex), [[1, 2], [3]], BYTES > 9],
        "shape": [BYTES[:, :5], BYTES[0, 0], np.zeros((2, 2, 28, 28), np.uint8), np.zeros((0, 5, 5), np.uint8), 3.0],
        "value": [REALS - 1, REALS * 1.001],
        "not finite": [REALS * np.nan, REALS + np.inf],
        "huge": [REALS + 1e308, [[HUGE]]],
    }
    return bad if reals else {name: bad[name] for name in ("type", "shape", "huge")}


def tables(finite: bool = False, **more: list[Any]) -> dict[str, list[Any]]:
    bad = {
        "type": [None, "x", {}, object(), LOGITS.astype(complex), [[1, 2], [3]], LOGITS.astype(str)],
        "shape": [LOGITS[0], LOGITS[None], LOGITS[:, :0], 3.0],
        "huge": [[[HUGE, 0]]],
    }
    not_finite = {"not finite": [LOGITS * np.nan, np.full_like(LOGITS, np.inf), np.full_like(LOGITS, -np.inf)]}
    return bad | (not_finite if finite else {}) | more


def numbers(*values: Any) -> dict[str, list[Any]]:
    bad = {"type": ["1", [], {}, True, 1j, np.zeros(3), object()], "value": list(values), "huge": [HUGE]}
    return bad | {"not finite": [math.nan, math.inf, -math.inf]}


def wholes(*values: Any, huge: tuple[Any, ...] = ()) -> dict[str, list[Any]]:
    bad = {"type": ["1", [], {}, True, 1.0, 1j, np.zeros(3), object()], "value": list(values), "huge": list(huge)}
    return bad | {"not finite": [math.nan, math.inf]}


LABEL = {
    "type": [None, "x", {}, object(), LABELS + 0.0, LABELS.astype(str), [[1, 2], [3]], LABELS > 0],
    "shape": [LABELS[1:], LABELS[:, None], 3],
    "value": [LABELS - 2, LABELS + CLASSES],
    "not finite": [LABELS * np.nan],
    "huge": [LABELS.astype(np.uint64) + 2**63, [HUGE] * N],
}
WEIGHT = {
    "type": ["x", {}, object(), WEIGHTS.astype(complex), WEIGHTS.astype(str)],
    "shape": [WEIGHTS[1:], WEIGHTS[:, None]],
    "value": [-1, -WEIGHTS, 0 * WEIGHTS],
    "not finite": [WEIGHTS * np.nan, WEIGHTS + np.inf],
    "huge": [[HUGE] * N],
}
N_JOBS = {"type": ["1", [], {}, True, 1.0, np.zeros(3)], "value": [0, -2], "not finite": [math.nan]}
SEED = wholes(-1)
MODEL = {"type": ["mnist", 3, object(), {}, LeNet5]}
A_MODEL = {"type": [None, *MODEL["type"]]}
GIVEN_MODEL = {"type": [None, *MODEL["type"][1:]], "value": ["missing"]}
SWITCH = {"type": ["no", 1, [], np.zeros(2)]}
CALLBACK = {"type": ["x", 3, []]}
RNG = {"type": [None, 3, "x", np.random]}
DTYPE = {"type": ["x", object(), 3, int, "int8", np.float16, [], {}]}
PATH = {"type": [None, 3, [], object()], "value": ["", ".", "missing", "missing/too", "a\0b"], "huge": [LONG]}
NEW_PATH = {"type": [None, 3, [], object()], "value": ["", ".", "missing/too", "a\0b"], "huge": [LONG]}
TEXT = {"type": [3, [], {}, object(), np.zeros(3)], "value": ["", "x"], "huge": [LONG]}
NAME = TEXT | {"type": [None, *TEXT["type"]]}
NAMES = {"type": [3, "abc", [1, 2, 3], object()], "shape": [["a"], []], "value": [["a", "a", "b"], ["a", "", "b"]],
         "huge": [["a", "b", LONG]]}  # fmt: skip
SHAPE = {"type": [None, 3, "x", ("a",) * 4, (1.5,) * 4], "shape": [(), (1,)], "value": [(0, 0, 0, 0), (-1,) * 4]}
METADATA = {"type": [None, 3, "x", [], {1: 2}, {"a": 1}], "value": [{"a": "\udcff"}]}
HISTORY = {"type": [None, 3, "x", [3], [None]]}
LOGIT = tables()
PROBABILITY = tables(finite=True, value=[PROBABILITIES - 1, PROBABILITIES * 2])
FRACTION = numbers(-0.1, 1.1)
POSITIVE = numbers(0, -1)
TENSOR = {"type": [None, "x", {}, object(), 1j], "shape": [3.0, np.zeros(3), np.zeros((1,) * 6)]}
STATE = {"type": [3, "x", {}, object()]}


@dataclass
class Case:
    """A callable with valid arguments, and the bad values of each."""

    call: Callable[..., Any]
    valid: Mapping[str, Any] = field(default_factory=dict)
    bad: Mapping[str, Mapping[str, list[Any]]] = field(default_factory=dict)


def fitted() -> LeNetClassifier:
    return LeNetClassifier.from_pretrained("mnist", max_iter=1, random_state=0)


SMALL = LeNet5(seed=0, num_classes=CLASSES)
TRAINED = lenet.load_pretrained()
ONE = Recipe("one", epochs=1, batch_size=4, lr=0.1)
RECIPE = {
    "name": {"type": [None, 3, []]},
    "epochs": wholes(0, -1, huge=(10**10, HUGE)),
    "batch_size": wholes(0, -1, huge=(10**10, HUGE)),
    "lr": POSITIVE,
    "momentum": numbers(-0.1, 1.0),
    "weight_decay": numbers(-0.1),
    "schedule": TEXT | {"type": [3, [], {}, np.zeros(3)]},
    "standardise": TEXT | {"type": [3, [], {}, np.zeros(3)]},
    "distort": SWITCH,
    "vary": SWITCH,
    "defects": numbers(-0.1, 1.1),
    "non_digits": numbers(-0.1, 101),
    "validation": numbers(-0.1, 1.0),
    "patience": wholes(0, -1),
}
OPTIMIZER = {
    "model": A_MODEL,
    "lr": numbers(-0.1),
    "momentum": numbers(-0.1, 1.0),
    "weight_decay": numbers(-0.1),
}
CLASSIFIER = {
    "learning_rate_init": POSITIVE,
    "batch_size": wholes(0) | {"type": ["all", [], True, 1.5]},
    "max_iter": wholes(0) | {"type": ["all", [], True, 1.5]},
    "momentum": numbers(-0.1, 1.0),
    "alpha": numbers(-0.1),
    "learning_rate": TEXT,
    "warm_start": SWITCH,
    "early_stopping": SWITCH,
    "validation_fraction": numbers(-0.1, 1.0, 0.0),
    "n_iter_no_change": wholes(0),
    "tol": numbers(-0.1),
    "random_state": {"type": ["x", 1.5, []], "value": [-1]},
    "n_jobs": N_JOBS | {"value": [0]},  # scikit-learn also counts cores from -2 downwards
    "distortions": SWITCH,
    "image_shape": {"type": [3, None, "x", (1.5, 2)], "shape": [(3,), (1, 2, 3)], "value": [(0, 1), (99, 99), (5, 5)]},
}
X_AND_Y = {"X": images(), "y": LABEL}
ROWS = {
    "type": [None, "x", {}, object(), REALS.reshape(N, -1).astype(complex)],
    "shape": [3.0, BYTES[0, 0], BYTES.reshape(N, -1)[:, :9], np.zeros((N, 900)), np.zeros((N, 3, 28, 28))],
    "not finite": [REALS.reshape(N, -1) * np.nan, REALS.reshape(N, -1) + np.inf],
    "huge": [[[HUGE] * 784] * N, np.tile([-1e308, 1e308], (N, 392))],
}

CLASSIFIER_ARRAYS = {"X": ROWS, "y": {"shape": [LABELS[1:], 3], "type": [None, {}]}}
LAYERS = {
    "layers.Conv2d": (layers.Conv2d(2, 3, 3), (N, 2, 5, 4)),
    "layers.Linear": (layers.Linear(5, 3), (N, 5)),
    "layers.Sigmoid": (layers.Sigmoid(), (N, 5)),
    "layers.AvgPool2d": (layers.AvgPool2d(2), (N, 2, 5, 4)),
    "layers.Flatten": (layers.Flatten(), (N, 2, 5)),
    "layers.ScaledTanh": (layers.ScaledTanh(), (N, 5)),
    "layers.Subsample2d": (layers.Subsample2d(2), (N, 2, 5, 4)),
    "layers.SparseConv2d": (layers.SparseConv2d(np.ones((3, 2), bool), 3), (N, 2, 5, 4)),
    "layers.RBF": (layers.RBF(np.ones((3, 5))), (N, 5)),
}
READ = {"type": [3.0, {}, object(), BYTES.astype(complex)], "shape": [np.zeros(3), BYTES],
        "value": [b"no picture", np.full((9, 9), -1)], "not finite": [np.full((9, 9), np.nan)],
        "huge": [np.full((9, 9), 1e308)]}  # fmt: skip
A_PICTURE = np.full((40, 40), 255, np.uint8)
A_PICTURE[10:30, 18:22] = 0
DATA = Dataset(BYTES, LABELS, BYTES, LABELS)


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def set_on(name: str) -> Callable[[LeNet5, Any], None]:
    def assign(model: LeNet5, value: Any) -> None:
        setattr(model, name, value)

    return assign


def update(model: LeNet5, values: Any) -> None:
    model.parameters.update(values)


def classifier_with(**parameters: Any) -> LeNetClassifier:
    return LeNetClassifier(**{"max_iter": 1, "random_state": 0, **parameters}).fit(BYTES, LABELS)


def backward_of(layer: layers.Layer, shape: tuple[int, ...]) -> Callable[[Any], Any]:
    _, backward = layer.forward(np.zeros(shape))
    return lambda dy: backward(dy)


def bad_gradients(gradients: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {
        "type": [None, 3, "x", [], {**gradients, "c1.bias": "x"}, {**gradients, "c1.bias": None}],
        "shape": [{}, {**gradients, "c1.bias": np.zeros(7)}, {"c1.bias": np.zeros(6)}],
        "huge": [{**gradients, "c1.bias": np.full(6, 1e300)}, {**gradients, "c1.bias": [HUGE] * 6}],
    }


def cases(folder: Path) -> dict[str, Case]:
    """Return the cases; `folder` has the files that the loaders read."""
    model, classifier = copy.deepcopy(SMALL), fitted()
    batch = {"x": BYTES, "y": LABELS}
    a_batch = {"x": images(), "y": LABEL}
    out = {"type": ["x", [], 3, np.ma.zeros((N, CLASSES), np.float32)],
           "shape": [np.zeros((N, 9), np.float32), np.zeros((N, CLASSES))]}  # fmt: skip
    of_1998 = lenet.LeNet1998(seed=0)
    sgd, foof, diagonal = lenet.SGD(model, 0.1), FOOF(model, 0.1), DiagonalLevenbergMarquardt(of_1998, 0.001)
    gradients = model.loss_and_gradients(BYTES, LABELS)[1]
    gradients_of_1998 = of_1998.loss_and_gradients(BYTES, LABELS)[1]
    file = lenet.weights.ModelFile.read_pretrained("mnist")
    rows = BYTES.reshape(N, -1)
    found = {
        "LeNet5": Case(LeNet5, {"seed": 0}, {"seed": SEED, "dtype": DTYPE, "num_classes": wholes(1, 0, huge=(HUGE,))}),
        "LeNet5.logits": Case(model.logits, {"x": BYTES}, {"x": images(), "n_jobs": N_JOBS, "out": out}),
        "LeNet5.predict_proba": Case(model.predict_proba, {"x": BYTES}, {"x": images(), "n_jobs": N_JOBS, "out": out}),
        "LeNet5.predict": Case(TRAINED.predict, {"x": BYTES}, {"x": images(), "n_jobs": N_JOBS, "out": out,
                               "reject_at": numbers(-1, 0, 1) | {"huge": [1e-300, HUGE]}}),
        "LeNet5.activations": Case(model.activations, {"x": BYTES}, {"x": images()}),
        "LeNet5.loss_and_gradients": Case(model.loss_and_gradients, batch,
                                          a_batch | {"sample_weight": WEIGHT, "n_jobs": N_JOBS}),
        "LeNet5.layerwise_loss_and_gradients": Case(model.layerwise_loss_and_gradients, batch, a_batch),
        "LeNet5.load_state_dict": Case(model.load_state_dict, {"state": model.state_dict()}, {"state": {
            "type": [None, 3, "x", []],
            "shape": [{}, model.state_dict() | {"output.bias": np.zeros(4)}, model.state_dict() | {"more": 1}],
            "value": [model.state_dict() | {"output.bias": ["a", "b", "c"]}],
            "not finite": [model.state_dict() | {"output.bias": np.full(CLASSES, np.nan)}],
            "huge": [model.state_dict() | {"output.bias": np.full(CLASSES, 1e300)},
                     model.state_dict() | {"output.bias": [HUGE] * CLASSES}],
        }}),
        "LeNet5.parameters": Case(model.parameters.__setitem__, {"name": "c1.bias", "value": np.zeros(6)}, {
            "value": TENSOR | {"shape": [np.zeros(3)], "huge": [np.full(6, 1e300), [HUGE] * 6]}}),
        "LeNet5.parameters.update": Case(update, {"model": model, "values": {}}, {"values": {
            "type": [{"c1.weight": 0.0, "c1.bias": None}, {"c1.weight": 0.0, "c1.bias": "x"}],
            "shape": [{"c1.weight": 0.0, "c1.bias": np.zeros(7)}],
            "huge": [{"c1.weight": 0.0, "c1.bias": np.full(6, 1e300)}]}}),
        "LeNet5.save": Case(model.save, {"path": "saved.safetensors"}, {"path": NEW_PATH, "half": SWITCH}),
        "LeNet5.mean": Case(set_on("mean"), {"model": model, "value": 0.5}, {"value": numbers()}),
        "LeNet5.std": Case(set_on("std"), {"model": model, "value": 0.5}, {"value": POSITIVE}),
        "LeNet5.classes": Case(set_on("classes"), {"model": model, "value": ["a", "b", "c"]}, {"value": NAMES}),
        "LeNetClassifier": Case(classifier_with, {}, CLASSIFIER),
        "LeNetClassifier.fit": Case(classifier.fit, {"X": rows, "y": LABELS},
                                    CLASSIFIER_ARRAYS | {"sample_weight": WEIGHT}),
        "LeNetClassifier.partial_fit": Case(classifier.partial_fit, {"X": rows, "y": LABELS, "classes": range(10)},
                                            CLASSIFIER_ARRAYS | {"sample_weight": WEIGHT,
                                            "y": {"shape": [LABELS[1:], 3], "type": [None, {}], "value": [LABELS - 1]},
                                            "classes": {"type": [3, {}], "value": [[], [0], [0, 1, 2, 99]]}}),
        "LeNetClassifier.predict": Case(classifier.predict, {"X": rows}, {"X": ROWS}),
        "LeNetClassifier.predict_proba": Case(classifier.predict_proba, {"X": rows}, {"X": ROWS}),
        "LeNetClassifier.predict_log_proba": Case(classifier.predict_log_proba, {"X": rows}, {"X": ROWS}),
        "LeNetClassifier.score": Case(classifier.score, {"X": rows, "y": LABELS},
                                      {"X": ROWS, "y": {"shape": [LABELS[1:], 3]}, "sample_weight": WEIGHT}),
        "LeNetClassifier.save": Case(classifier.save, {"path": "saved.safetensors"}, {"path": NEW_PATH}),
        "LeNetClassifier.load": Case(LeNetClassifier.load, {"path": folder / "classifier.safetensors"}, {"path": PATH}),
        "LeNetClassifier.from_pretrained": Case(LeNetClassifier.from_pretrained, {"name": "mnist"}, {"name": PATH}),
        "train": Case(lenet.train, {"model": model, "X": BYTES, "y": LABELS, "recipe": ONE}, X_AND_Y | {
            "model": A_MODEL, "recipe": NAME,
            "seed": SEED | {"type": [None, *SEED["type"]]}, "sample_weight": WEIGHT, "n_jobs": N_JOBS, "state": STATE,
            "on_step": CALLBACK, "on_epoch": CALLBACK, "comm": {"type": [3, "x", object()]}}),
        "SGD": Case(lenet.SGD, {"model": model, "lr": 0.1}, OPTIMIZER),
        "SGD.step": Case(sgd.step, {"gradients": gradients}, {"gradients": bad_gradients(gradients)}),
        "load": Case(lenet.load, {"path": folder / "model.safetensors"}, {"path": PATH}),
        "load_pretrained": Case(lenet.load_pretrained, {}, {"name": NAME}),
        "layers.im2col": Case(layers.im2col, {"x": np.zeros((1, 1, 3, 3)), "kernel_size": 2},
                              {"x": TENSOR, "kernel_size": wholes(0, 4, huge=(HUGE,)), "padding": wholes(-1),
                               "dtype": DTYPE}),
        "layers.col2im": Case(layers.col2im, {"columns": np.zeros((1, 4, 4)), "shape": (1, 1, 3, 3), "kernel_size": 2},
                              {"columns": TENSOR, "shape": SHAPE, "kernel_size": wholes(0, 4, huge=(HUGE,)),
                               "padding": wholes(-1), "dtype": DTYPE}),
        "losses.log_softmax": Case(losses.log_softmax, {"logits": LOGITS}, {"logits": LOGIT}),
        "losses.softmax": Case(losses.softmax, {"logits": LOGITS}, {"logits": LOGIT}),
        "losses.cross_entropy": Case(losses.cross_entropy, {"logits": LOGITS, "y": LABELS},
                                     {"logits": LOGIT, "y": LABEL}),
        "losses.competitive_distance": Case(losses.competitive_distance, {"logits": LOGITS, "y": LABELS},
                                            {"logits": LOGIT, "y": LABEL, "j": numbers()}),
        "LeNet1998": Case(lenet.LeNet1998, {"seed": 0},
                          {"seed": SEED, "dtype": DTYPE, "num_classes": wholes(1, 0, huge=(HUGE,))}),
        "init.fan_in_uniform": Case(lenet.init.fan_in_uniform, {"shape": (3, 2), "fan_in": 2, "rng": rng()},
                                    {"shape": SHAPE, "rng": RNG, "fan_in": {"type": ["x", {}], "value": [0, -1]}}),
        "init.xavier_uniform": Case(lenet.init.xavier_uniform, {"shape": (3, 2), "rng": rng()},
                                    {"shape": SHAPE, "rng": RNG}),
        "training.transfer": Case(training.transfer, {"model": model, "classes": ["a", "b", "c"]},
                                  {"model": A_MODEL, "classes": NAMES | {"shape": [["a"], []]}, "seed": SEED}),
        "training.Recipe": Case(Recipe, {"name": "a", "epochs": 1, "batch_size": 1, "lr": 0.1, "validation": 0.1},
                                RECIPE),
        "training.Recipe.with_changes": Case(ONE.with_changes, {"validation": 0.1},
                                             {name: bad | {"type": [x for x in bad.get("type", []) if x is not None]}
                                              for name, bad in RECIPE.items()}),
        "training.foof.FOOF": Case(FOOF, {"model": model, "lr": 0.1}, OPTIMIZER | {
            "model": A_MODEL | {"value": [of_1998]}, "damping": POSITIVE}),
        "training.foof.FOOF.estimate": Case(foof.estimate, {"x": BYTES}, {"x": images() | {"empty": [BYTES[:0]]}}),
        "training.foof.FOOF.step": Case(foof.step, {"gradients": gradients}, {"gradients": bad_gradients(gradients)}),
        "training.curvature.DiagonalLevenbergMarquardt": Case(
            DiagonalLevenbergMarquardt, {"model": of_1998, "lr": 0.001},
            {"model": A_MODEL | {"value": [model]}, "lr": numbers(-0.1), "mu": POSITIVE}),
        "training.curvature.DiagonalLevenbergMarquardt.estimate": Case(
            diagonal.estimate, {"x": BYTES}, {"x": images()}),
        "training.curvature.DiagonalLevenbergMarquardt.step": Case(
            diagonal.step, {"gradients": gradients_of_1998}, {"gradients": bad_gradients(gradients_of_1998)}),
        "training.recipes.recipe_named": Case(training.recipes.recipe_named, {"recipe": "small"}, {"recipe": NAME}),
        **{f"training.optim.{schedule.__name__}": Case(schedule, {"lr": 0.1, "total_steps": 10, "steps_per_epoch": 5},
                {"lr": numbers(-0.1), "total_steps": wholes(0), "steps_per_epoch": wholes(0)})
           for schedule in (optim.constant, optim.one_cycle, optim.paper_steps)},
        "training.Run": Case(training.Run, {"folder": folder / "train-1"}, {"folder": PATH}),
        "training.Run.create": Case(training.Run.create, {"parent": "runs", "args": ARGS}, {
            "parent": {"type": [None, 3, []], "value": ["a\0b"], "huge": [LONG]}, "start": MODEL,
            "args": {"type": [None, 3, "x", [], {**ARGS, "seed": "x"}, {**ARGS, "recipe": object()}],
                     "value": [{}, {**ARGS, "seed": -1}], "huge": [{**ARGS, "num_classes": 10**9}]}}),
        "training.splits.split": Case(splits.split, {"y": np.repeat(LABELS, 4), "validation": 0.25, "seed": 0}, {
            "y": {name: LABEL[name] for name in ("type", "not finite", "huge")}, "validation": numbers(-0.1, 1.0),
            "seed": SEED}),
        "training.splits.standardisation": Case(splits.standardisation, {"X": BYTES}, {
            "X": {name: bad for name, bad in images().items() if name != "shape"},
            "members": {"type": ["x", 3, [0.5]], "value": [[99]]}}),
        "training.augment.distortions.random_affine": Case(distortions.random_affine, {"n": 2, "rng": rng()},
                                                           {"n": wholes(-1, huge=(HUGE,)), "rng": RNG}),
        "training.augment.distortions.random_variations": Case(distortions.random_variations, {"n": 2, "rng": rng()},
                                                               {"n": wholes(-1, huge=(HUGE,)), "rng": RNG}),
        "training.augment.distortions.random_distortions": Case(
            distortions.random_distortions, {"n": 2, "rng": rng(), "distort": True, "vary": True, "defects": 0.0},
            {"n": wholes(-1, huge=(HUGE,)), "rng": RNG, "distort": SWITCH, "vary": SWITCH,
             "defects": numbers(-0.1, 1.1)}),
        "training.augment.defects.random_defects": Case(
            defects.random_defects, {"n": 2, "rng": rng(), "fraction": 0.5},
            {"n": wholes(-1, huge=(HUGE,)), "rng": RNG, "fraction": numbers(-0.1, 1.1)}),
        "training.augment.defects.spoil": Case(
            defects.spoil, {"images": BYTES, "seeds": np.arange(N, dtype=np.uint64)},
            {"images": {"type": [None, "x", {}, REALS], "shape": [BYTES[0], BYTES[1:], 3]},
             "seeds": {"type": [None, "x", {}, np.zeros(N)], "shape": [np.zeros(N + 1, np.uint64), np.uint64(3)]}}),
        "evaluation.corrupt": Case(evaluation.corrupt, {"images": BYTES, "name": "scale", "severity": 1}, {
            "images": {"type": [None, "x", {}, REALS], "shape": [BYTES[0], 3]}, "name": TEXT,
            "severity": wholes(0, 6), "seed": wholes(-1)}),
        "evaluation.robustness_report": Case(
            evaluation.robustness_report, {"model": model, "X": BYTES, "y": LABELS},
            X_AND_Y | {"model": A_MODEL, "seed": SEED, "n_jobs": N_JOBS, "progress": CALLBACK}),
        "training.augment.drawn_digits.drawn_digits": Case(
            drawn_digits, {"n": 2, "rng": rng()}, {"n": wholes(-1, huge=(HUGE,)), "rng": RNG}),
        "training.augment.non_digits.non_digits": Case(non_digits, {"n": 2, "digits": BYTES, "rng": rng()}, {
            "n": wholes(-1, huge=(HUGE,)), "rng": RNG,
            "digits": {"type": [None, "x", REALS], "shape": [BYTES[0], BYTES[:0]]}}),
        "evaluation.evaluate": Case(evaluation.evaluate, {"model": model, "X": BYTES, "y": LABELS},
                                    X_AND_Y | {"model": A_MODEL, "sample_weight": WEIGHT, "n_jobs": N_JOBS}),
        "evaluation.classification_report": Case(
            evaluation.classification_report, {"logits": LOGITS, "y": LABELS},
            {"logits": tables(finite=True), "y": LABEL, "classes": NAMES}),
        "evaluation.calibrate": Case(evaluation.calibrate, {"model": copy.deepcopy(SMALL), **MANY}, {
            "model": A_MODEL, "X": images() | {"shape": [BYTES]}, "n_jobs": N_JOBS,
            "y": LABEL | {"value": [MANY["y"] - 2, MANY["y"] - 1], "shape": [LABELS]}}),
        "evaluation.temperature": Case(evaluation.temperature, {"logits": LOGITS, "y": LABELS},
                                       {"logits": tables(finite=True), "y": LABEL}),
        **{f"evaluation.{each.__name__}": Case(each, {"probabilities": PROBABILITIES, "y": LABELS, "rate": 0.3},
                                               {"probabilities": PROBABILITY, "y": LABEL, "rate": FRACTION})
           for each in (evaluation.threshold, evaluation.rejection_rate)},
        "evaluation.expected_calibration_error": Case(
            evaluation.expected_calibration_error, {"probabilities": PROBABILITIES, "y": LABELS},
            {"probabilities": PROBABILITY, "y": LABEL}),
        "rejection.digit_score": Case(rejection.digit_score, {"probabilities": PROBABILITIES},
                                      {"probabilities": PROBABILITY}),
        "rejection.margin": Case(rejection.margin, {"probabilities": PROBABILITIES}, {"probabilities": PROBABILITY}),
        "rejection.RejectionRule": Case(rejection.RejectionRule, {}, {
            "min_digit_score": FRACTION, "min_margin": numbers(-0.1)}),
        "rejection.RejectionRule.from_metadata": Case(rejection.RejectionRule.from_metadata,
            {"metadata": TRAINED.metadata, "reject_at": 0.01}, {
                "reject_at": numbers(-1, 0, 1), "metadata": {"type": [None, 3, "x", []], "value": [
                    {"min_digit_score": "x"}, {"margins": "x"}, {"margins": "[]"}, {"margins": 3}]}}),
        "rejection.RejectionRule.answers": Case(rejection.RejectionRule().answers, {"probabilities": PROBABILITIES},
                                                {"probabilities": PROBABILITY}),
        "rejection.learned_thresholds": Case(rejection.learned_thresholds, {"metadata": TRAINED.metadata}, {
            "metadata": {"type": [None, 3, "x", []], "value": [{}, {"margins": "{"}, {"margins": 3}]}}),
        "data.Dataset.with_classes": Case(DATA.with_classes, {"classes": ["a", "b", "c"]}, {"classes": NAMES}),
        "data.Dataset.numbered_as": Case(DATA.with_classes(["a", "b", "c"]).numbered_as,
            {"classes": ["c", "b", "a"], "source": "it"}, {"classes": {"type": [None, 3], "value": [["a", "b"]]}}),
        **{f"data.{name}": Case(getattr(lenet.data, name), {key: folder / file}, {
                key: NAMED if name in NAMED_SETS else PATH, **(OF_PICTURES if name in TAKE_PICTURES else {}),
                **({"hold_out": SWITCH} if name in HOLD_OUT else {})})
           for name, (key, file) in LOADERS.items()},
        "weights.ModelFile.read": Case(lenet.weights.ModelFile.read, {"path": folder / "model.safetensors"},
                                       {"path": PATH}),
        "weights.ModelFile.read_pretrained": Case(lenet.weights.ModelFile.read_pretrained, {"name": "mnist"},
                                                  {"name": NAME}),
        "weights.ModelFile.write": Case(file.write, {"path": "written.safetensors"}, {"path": NEW_PATH}),
        "weights.to_bytes": Case(lenet.weights.to_bytes, {"tensors": {"a": LOGITS}, "metadata": {}}, {
            "metadata": METADATA,
            "tensors": {"type": [None, 3, "x", [], {"a": "x"}, {"a": LOGITS.astype(object)}, {3: LOGITS}]}}),
        "weights.read_tensors": Case(lenet.weights.read_tensors, {"path": folder / "model.safetensors"},
                                     {"path": PATH}),
        "plots.learning_curves": Case(plots.learning_curves, {"history": [{"epoch": 1, "loss": 1.0}]}, {
            "history": HISTORY | {"shape": [[]], "value": [[{}]], "huge": [[{"epoch": HUGE}]]},
            "title": {"type": [3, []]}}),
        "plots.comparison": Case(plots.comparison, {"runs": {"a": [{"epoch": 1, "loss": 1.0}]}}, {
            "runs": {"type": [None, 3, "x", [], {"a": 3}], "shape": [{"a": []}], "value": [{}, {"a": [{}]}],
                     "huge": [{"a": [{"epoch": HUGE}]}]}}),
        "plots.confusion_matrix": Case(plots.confusion_matrix, {"matrix": [[9, 1], [0, 10]]}, {
            "matrix": {"type": [None, "x", {}, [[1.0, 2.0]] * 2, [[1, 2], [3]]], "shape": [3, [1, 2], [[1]], [[1, 2]]],
                       "value": [[[1, -1], [0, 0]]], "not finite": [[[math.nan, 0], [0, 0]]],
                       "huge": [[[HUGE, 0], [0, 0]]]},
            "classes": NAMES}),
        "plots.filters": Case(plots.filters, {"weight": model.parameters["c1.weight"]}, {"weight": {
            "type": [None, "x", {}, [[1, 2], [3]], np.full((6, 1, 5, 5), "x")], "shape": [3.0, np.zeros((6, 2, 5, 5))],
            "not finite": [np.full((6, 1, 5, 5), np.nan)], "huge": [[[[[HUGE]]]], np.full((1, 1, 2, 2), 1e308)]}}),
        "plots.worst": Case(plots.worst, {"images": BYTES, "labels": LABELS, "predictions": LABELS,
                                          "probabilities": PROBABILITIES}, {
            "images": {"type": [None, "x", REALS.astype(complex)], "shape": [BYTES[1:], BYTES[0]]},
            "labels": LABEL | {"value": [LABELS - 1, LABELS + 1]}, "predictions": LABEL | {"value": [LABELS - 1]},
            "probabilities": PROBABILITY, "classes": NAMES}),
        "plots.architecture": Case(plots.architecture, {}, {
            "num_classes": wholes(0, -1, huge=(HUGE,)), "network": {"type": [1998, []], "value": ["", "1989"]}}),
        "reading.read_picture": Case(reading.read_picture, {"file": folder / "picture.png"}, {
            "file": PATH | {"value": ["", ".", "missing", b"", b"no picture"]},
            "colour": SWITCH, "largest": wholes(0, -1, 10)}),
        "reading.as_mnist": Case(reading.as_mnist, {"images": BYTES}, {
            "images": {"type": [None, "x", {}, BYTES.astype(int)], "shape": [3.0, BYTES[0], BYTES[:, :0]],
                       "value": [[[[2.0]]], [[[-1.0]]]], "not finite": [[[[math.nan]]]]}, "deslant": SWITCH}),
        "reading.prepare": Case(reading.prepare, {"image": A_PICTURE}, {
            "image": READ, "dark_on_light": {"type": ["no", 1, []]}}),
        "reading.read": Case(reading.read, {"image": A_PICTURE}, {
            "image": READ, "model": GIVEN_MODEL, "only_digits": SWITCH, "rotate": SWITCH, "marks": SWITCH,
            "n_jobs": N_JOBS}),
        "reading.load_fields": Case(reading.load_fields, {"file": folder / "fields.json"}, {
            "file": PATH | {"type": [None, b"[]", [], 3], "value": ["", ".", "missing", "picture.png"]}}),
        "reading.Field": Case(reading.Field, {"name": "a", "cell": (0, 0)}, {
            "name": {"type": [None, 3, b"a"], "value": ["", "1", "=a", "a" * 65]}, "box": {"value": [(0, 0, 1, 1)]},
            "cell": {"type": ["x", 3], "shape": [(1,), (1, 2, 3)], "value": [(0, -1), None]}, "grid": wholes(-1),
            "digits": wholes(0, 65), "checksum": {"type": [3, []], "value": ["", "crc"]}}),
        "reading.read_form": Case(reading.read_form, {"image": A_PICTURE, "fields": [FIELD]}, {
            "image": READ, "model": GIVEN_MODEL,
            "fields": {"type": [None, 3, {}, [3]], "value": [[], [FIELD, FIELD], "", "missing"]},
            "check_below": {"type": ["x", None, []], "value": [-1, 2, math.nan]}, "rotate": SWITCH,
            "n_jobs": N_JOBS}),
        "interop.to_onnx": Case(interop.to_onnx, {"model": model}, {"model": A_MODEL, "pixels": TEXT}),
        "interop.from_onnx": Case(interop.from_onnx, {"source": folder / "model.onnx"}, {"source": PATH}),
        "interop.to_torch_state_dict": Case(interop.to_torch_state_dict, {"model": model}, {
            "model": A_MODEL, "like": {"type": [3, "x", []], "value": [{}]}}),
        "interop.from_torch": Case(interop.from_torch, {"source": model.state_dict()}, {
            "source": PATH | {"shape": [{}, {"a": LOGITS}]}}),
        "interop.to_c": Case(interop.to_c, {"model": model}, {
            "model": A_MODEL, "name": NAME | {"value": ["", "1", "a b", "math"]}}),
        "scale.score": Case(lenet.scale.score, {"images": BYTES, "out": "scores.npy", "client": NO_CLIENT}, {
            "out": {**NEW_PATH, "value": ["", "missing/too.npy", "a.txt"]},
            "model": GIVEN_MODEL,
            "retries": wholes(-1), "client": {"type": [3, "x"]}, "probabilities": SWITCH,
            "column": {"type": [3, []]}, "progress": SWITCH,
            "images": {"type": [None, 3, BYTES.astype(int)], "shape": [BYTES[0, 0], BYTES[:0]],
                       "value": [[], "missing.npy"]}}),
        "serving.create_app": Case(lenet.serving.create_app, {"models": {"a": model}}, {
            "models": {"type": [None, 3, "x", [], {"a": 3}], "value": [{}, {"a b": model}]},
            "loader": {"type": [None, 3]}, "limits": {"type": [3, "x"]},
            "token": {"type": [3, []], "value": ["", "sesame "]}, "allow_control": SWITCH,
            "on_request": {"type": [None, 3]}}),
        "serving.Models": Case(lenet.serving.Models, {"sources": {"a": model}}, {
            "sources": {"type": [None, 3, "x", [], {"a": 3}], "value": [{}, {"a b": model}]},
            "loader": {"type": [None, 3]}}),
        "serving.Limits": Case(lenet.serving.Limits, {}, {
            name: numbers(-1) if name == "drain_seconds" else POSITIVE if name.endswith("seconds") else wholes(0, -1)
            for name in vars(lenet.serving.Limits())}),
        "serving.serve": Case(lenet.serving.serve, {"models": {"a": model}, "port": 0}, {
            "models": {"type": [None, 3, "x", []], "value": [{}]}, "host": {"type": [None, 3], "value": ["no host"]},
            "port": wholes(-1, 65536), "workers": wholes(0), "log_level": TEXT, "limits": {"type": [3]},
            "token": {"type": [3], "value": [""]}, "allow_control": SWITCH}),
        "serving.page.model_document": Case(lenet.serving.page.model_document,
                                            {"model": model, "name": "a", "version": "1"}, {"model": A_MODEL}),
    }  # fmt: skip
    for name, (layer, shape) in LAYERS.items():
        tensor = (
            TENSOR if name not in ("layers.Sigmoid", "layers.ScaledTanh", "layers.Flatten") else TENSOR | {"shape": []}
        )
        found[f"{name}.forward"] = Case(layer.forward, {"x": np.zeros(shape)},
                                        {"x": tensor | {"huge": [np.full(shape, 1e300)]}})  # fmt: skip
        y = layer.forward(np.zeros(shape))[0]
        found[f"{name}.backward"] = Case(backward_of(layer, shape), {"dy": y}, {"dy": TENSOR})
        found[f"{name}.output_shape"] = Case(layer.output_shape, {"shape": shape[1:]}, {})
    sizes = wholes(0, -1, huge=(HUGE,))
    found["layers.Conv2d"] = Case(layers.Conv2d, {"in_channels": 1, "out_channels": 1, "kernel_size": 2}, {
        "in_channels": sizes, "out_channels": sizes, "kernel_size": sizes, "padding": wholes(-1), "dtype": DTYPE,
        "rng": {"type": [3, "x"]}})  # fmt: skip
    found["layers.Linear"] = Case(layers.Linear, {"in_features": 1, "out_features": 1}, {
        "in_features": sizes, "out_features": sizes, "dtype": DTYPE, "rng": {"type": [3, "x"]}})  # fmt: skip
    pairs = {"type": ["x", 1.5, None], "shape": [(1,), (1, 2, 3)], "value": [0, (1, -1)]}
    found["layers.AvgPool2d"] = Case(layers.AvgPool2d, {"kernel_size": 2}, {
        "kernel_size": pairs, "stride": {**pairs, "type": ["x", 1.5]}, "dtype": DTYPE})  # fmt: skip
    found["layers.Subsample2d"] = Case(layers.Subsample2d, {"channels": 1}, {
        "channels": sizes, "kernel_size": sizes, "dtype": DTYPE, "rng": {"type": [3, "x"]}})  # fmt: skip
    found["layers.SparseConv2d"] = Case(layers.SparseConv2d, {"table": np.ones((3, 2), bool), "kernel_size": 2}, {
        "table": {"type": ["x", {}], "shape": [True]}, "kernel_size": sizes, "dtype": DTYPE,
        "rng": {"type": [3, "x"]}})  # fmt: skip
    found["layers.RBF"] = Case(layers.RBF, {"codes": np.ones((3, 5))}, {"codes": TENSOR, "dtype": DTYPE})
    for name in ("Sigmoid", "Flatten", "ScaledTanh"):
        found[f"layers.{name}"] = Case(getattr(layers, name), {}, {"dtype": DTYPE})
    return found


NOT_CALLED = {  # why they have no case
    "show_config": "no arguments",
    "data.load_digits": "no arguments",
    "interop.register_skl2onnx": "no arguments",
    "layers.Layer": "abstract; its subclasses have cases",
    "SGD.estimate": "does nothing; those of other optimizers check images",
    "data.Dataset": "a record; the functions that take it check it",
    "evaluation.Report": "a record that lenet makes",
    "evaluation.RobustnessReport": "a record that lenet makes",
    "reading.Reading": "a record that lenet makes",
    "reading.Line": "a record that lenet makes",
    "reading.Cell": "a record that lenet makes",
    "reading.Digit": "a record that lenet makes",
    "reading.FieldValue": "a record that lenet makes",
    "rejection.Answers": "a record that lenet makes",
    "training.Epoch": "a record that lenet makes; State.check checks it",
    "training.State": "a record that lenet makes; State.check checks it",
    "training.splits.Split": "a record that lenet makes",
    "training.augment.distortions.AffineMaps": "a record; apply checks it",
    "training.augment.distortions.Defects": "a record; spoil checks it",
    "training.augment.distortions.Variations": "a record; apply checks it",
    "weights.ModelFile": "a record; write checks it",
    "training.mpi.Ranks": "needs MPI; see tests/training/test_mpi.py",
    "serving.watching": "takes objects of lenet only",
    "serving.page.page_html": "takes what model_document returns",
    "serving.page.content_security_policy": "takes what page_html returns",
}
FIELD = reading.Field("a", cell=(0, 0))
NO_CLIENT = object()  # refused after all other arguments, before any cluster starts
ARGS = {"lenet": "0.1.0", "data": "digits", "data_sha256": "", "num_classes": 10, "seed": 0, "recipe": {}}
LOADERS = {
    "load": ("source", "data.npz"),
    "load_mnist": ("folder", "idx"),
    "load_fashion_mnist": ("folder", "idx"),
    "load_image_folder": ("folder", "pictures"),
    "load_csv": ("path", "data.csv"),
    "load_parquet": ("path", "data.parquet"),
    "load_idx_folder": ("folder", "idx"),
    "load_npz": ("path", "data.npz"),
    "load_npy_folder": ("folder", "npy"),
    "read_csv": ("path", "data.csv"),
    "read_idx": ("path", "idx/train-labels-idx1-ubyte"),
}
NAMED_SETS = {"load_mnist", "load_fashion_mnist"}
NAMED = PATH | {"type": [3, [], object()]}  # None means that the set is looked up or downloaded
OF_PICTURES = {"raw": SWITCH, "strict": SWITCH, "progress": CALLBACK}
TAKE_PICTURES = {"load", "load_image_folder", "load_parquet"}
HOLD_OUT = TAKE_PICTURES | {"load_csv", "load_npz", "load_npy_folder"}
