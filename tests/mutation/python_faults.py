"""Faults in the Python code that the tests must notice: each one changes one text in one file.

A maintainer could make any of these mistakes: an index that is off by one, a swapped axis, a forgotten copy, a lost
check, a missing fsync, a wrong order. They were chosen from the source alone, before any test was read.
"""

from typing import NamedTuple

from tests.mutation.building import Change


class Fault(NamedTuple):
    """A change, and the test files to run first; if those pass, all tests run."""

    change: Change
    tests: tuple[str, ...]


def _of(file: str, tests: tuple[str, ...], name: str, old: str, new: str) -> dict[str, Fault]:
    return {name: Fault(Change(file, old, new), tuple(f"tests/test_{each}.py" for each in tests))}


NETWORK = {
    **_of(
        "model.py", ("gradients",), "gradients-not-copied",
        "FlatDict(gradients.shapes, self.dtype, gradients.flat.copy())",
        "FlatDict(gradients.shapes, self.dtype, gradients.flat)",
    ),
    **_of(
        "losses.py", ("losses",), "softmax-with-the-maximum-of-the-batch",
        "np.exp(values - values.max(axis=1, keepdims=True))",
        "np.exp(values - values.max())",
    ),
    **_of(
        "training/optim.py", ("optim",), "cosine-one-step-late",
        "progress = (step - warm_up + 1) / max(1, total_steps - warm_up)",
        "progress = (step - warm_up) / max(1, total_steps - warm_up)",
    ),
    **_of(
        "training/loop.py", ("training", "training_by_hand", "resume"), "same-order-every-epoch",
        "rng = np.random.default_rng([seed, state.epoch])",
        "rng = np.random.default_rng(seed)",
    ),
    **_of(
        "weights/container.py", ("weights_containers",), "header-padded-by-the-remainder",
        'text += b" " * (-len(text) % 8)',
        'text += b" " * (len(text) % 8)',
    ),
    **_of(
        "evaluation/calibration.py", ("calibration",), "threshold-between-equal-probabilities",
        "last_of_equals = np.append(largest[1:] < largest[:-1], True)",
        "last_of_equals = np.ones(len(largest), bool)",
    ),
    **_of(
        "init.py", ("init",), "fan-out-without-the-kernel",
        "shape[1] * field + shape[0] * field",
        "shape[1] * field + shape[0]",
    ),
    **_of(
        "_fused/batches.py", ("gradients",), "gradients-of-an-earlier-batch-added",
        "self._gradients[1 : len(chunks)]",
        "self._gradients[1:]",
    ),
}  # fmt: skip
INFRASTRUCTURE = {
    **_of(
        "_checks.py", ("checks",), "overlap-of-views-accepted",
        "if np.may_share_memory(out, x):",
        "if out is x:",
    ),
    **_of(
        "_files.py", ("weights",), "file-not-synced",
        "        file.flush()\n        os.fsync(file.fileno())\n",
        "        file.flush()\n",
    ),
    **_of(
        "_fused/threads.py", ("threads_and_cpu", "concurrency"), "helpers-not-awaited",
        "turn.acquire()  # waits for a helper",
        "turn.acquire(blocking=False)  # waits for a helper",
    ),
    **_of(
        "training/runs.py", ("runs", "resume"), "checkpoint-before-the-weights",
        """\
        self.write("results.csv", results_csv(state.history))
        model.metadata = self.metadata(state.history[-1])
        model.save(self.folder / "last.safetensors")
        if state.best_epoch == len(state.history):
            model.save(self.folder / BEST)
        self.save_checkpoint(state)
""",
        """\
        self.save_checkpoint(state)
        self.write("results.csv", results_csv(state.history))
        model.metadata = self.metadata(state.history[-1])
        model.save(self.folder / "last.safetensors")
        if state.best_epoch == len(state.history):
            model.save(self.folder / BEST)
""",
    ),
    **_of(
        "plots/curves.py", ("plots",), "best-epoch-by-accuracy",
        "    best = _best(loss)\n",
        "    best = _best(-accuracy)\n",
    ),
    **_of(
        "cli/predict.py", ("cli",), "exit-code-0-after-a-failure",
        "return int(len(rows) < len(names))",
        "return 0",
    ),
    **_of(
        "scale/outputs.py", ("scale_outputs",), "file-made-meanwhile-replaced",
        "            _check_missing(target, out)  # another process may have created it in the meantime\n",
        "",
    ),
    **_of(
        "interop/lenet.c", ("interop_c",), "softmax-overflows-in-c",
        """\
    float highest, total = 0.0f;
    lenet_logits(image, probabilities);
    highest = probabilities[largest(probabilities)];
    for (int k = 0; k < lenet_CLASSES; k++) {
        probabilities[k] = expf(probabilities[k] - highest);
""",
        """\
    float total = 0.0f;
    lenet_logits(image, probabilities);
    for (int k = 0; k < lenet_CLASSES; k++) {
        probabilities[k] = expf(probabilities[k]);
""",
    ),
}  # fmt: skip
CLASSIFIER_AND_DATA = {
    **_of(
        "estimator/classifier.py", ("estimator_training",), "same-order-at-every-partial-fit",
        "seed=self._seed + self.n_iter_",
        "seed=self._seed",
    ),
    **_of(
        "estimator/framing.py", ("framing",), "odd-images-rounded-to-even-pixels",
        "at = np.floor(at)",
        "at = np.round(at)",
    ),
    **_of(
        "data/npz.py", ("data_npz",), "fortran-order-ignored",
        "np.frombuffer(stream.read(size), dtype).reshape(shape, order=order)",
        "np.frombuffer(stream.read(size), dtype).reshape(shape)",
    ),
    **_of(
        "data/openml.py", ("data_openml",), "damaged-copy-not-replaced",
        "with contextlib.suppress(DataError):  # not there yet",
        "if copy.exists():  # not there yet",
    ),
    **_of(
        "training/splits.py", ("splits",), "standardised-by-the-first-images",
        "np.bincount(X[indices[start : start + _COUNTED_AT_ONCE]]",
        "np.bincount(X[start : min(start + _COUNTED_AT_ONCE, len(indices))]",
    ),
}  # fmt: skip
READING = {
    **_of(
        "_mnist_form.py", ("prepare", "lines"), "centre-of-mass-transposed",
        'round(MIDDLE - moments["m01"] / mass)',
        'round(MIDDLE - moments["m10"] / mass)',
    ),
    **_of(
        "reading/ink.py", ("lines",), "deviation-of-noise-too-small",
        "median + _NOISE * 1.5 * deviation",
        "median + _NOISE * deviation",
    ),
    **_of(
        "reading/pieces.py", ("reading", "lines"), "boxes-of-pieces-one-pixel-short",
        "boxes[n] = left, top, left + part.shape[1], top + part.shape[0]",
        "boxes[n] = left, top, left + part.shape[1] - 1, top + part.shape[0] - 1",
    ),
    **_of(
        "reading/paths.py", ("paths", "reading"), "confidence-without-non-digits",
        "sums[node, 1:] = np.logaddexp(sums[node, 1:], read)",
        "sums[node, 1:] = read",
    ),
    **_of(
        "reading/pixels.py", ("pictures",), "rotation-of-the-camera-ignored",
        "    return _upright(pixels, _orientation(picture))\n",
        "    return pixels\n",
    ),
}  # fmt: skip
SERVING = {
    **_of(
        "serving/protocol/tensors.py", ("serving_tensors",), "shape-of-more-classes-than-there-are",
        "[len(values), min(output.num_classes, values.shape[1])]",
        "[len(values), output.num_classes]",
    ),
    **_of(
        "serving/limits/bodies.py", ("serving_limits", "serving"), "buffered-bytes-not-released",
        "        self._buffered -= context.buffered\n",
        "        context.buffered = 0\n",
    ),
    **_of(
        "serving/models.py", ("serving_reloading",), "file-stamp-taken-after-loading",
        """\
            self._seen[name] = _stamp(source)  # before loading, so that a write during loading is noticed
            model = source if isinstance(source, LeNet5) else self._loader(os.fspath(source))
""",
        """\
            model = source if isinstance(source, LeNet5) else self._loader(os.fspath(source))
            self._seen[name] = _stamp(source)
""",
    ),
    **_of(
        "serving/protocol/inference.py", ("serving_tensors",), "bytes-missing-from-mixed-outputs",
        "if not any(output.binary for output in request.outputs):",
        "if not all(output.binary for output in request.outputs):",
    ),
}  # fmt: skip
FAULTS = NETWORK | INFRASTRUCTURE | CLASSIFIER_AND_DATA | READING | SERVING
