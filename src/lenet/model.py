"""LeNet-5: the architecture, and how it predicts, learns and keeps its weights."""

import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from lenet import __version__, _checks
from lenet._flat import FlatDict
from lenet._fused.batches import Learner, Predictor
from lenet._fused.dispatch import kernels
from lenet.errors import InputError, InputTypeError, WeightsError
from lenet.layers import AvgPool2d, Conv2d, Flatten, Layer, Linear, Sigmoid
from lenet.losses import cross_entropy
from lenet.rejection import RejectionRule
from lenet.weights.files import ModelFile

Array = NDArray[Any]


Stage = tuple[str, tuple[Layer, ...]]


def architecture(num_classes: int, dtype: DTypeLike, rng: np.random.Generator) -> tuple[Stage, ...]:
    """Return the stages of LeNet-5 under the paper's names, each with its layers."""
    return (  # the input:                                             (1, 28, 28)
        ("c1", (Conv2d(1, 6, 5, 2, dtype, rng), Sigmoid(dtype))),  # (6, 28, 28)
        ("s2", (AvgPool2d(2, 2, dtype),)),  # (6, 14, 14)
        ("c3", (Conv2d(6, 16, 5, 0, dtype, rng), Sigmoid(dtype))),  # (16, 10, 10)
        ("s4", (AvgPool2d(2, 2, dtype),)),  # (16, 5, 5)
        ("c5", (Conv2d(16, 120, 5, 0, dtype, rng), Sigmoid(dtype), Flatten(dtype))),  # (120,)
        ("f6", (Linear(120, 84, dtype, rng), Sigmoid(dtype))),  # (84,)
        ("output", (Linear(84, num_classes, dtype, rng),)),  # (10,)
    )


class LeNet5:
    """LeNet-5 with sigmoids and average pooling.

    Threads may share one for all that does not change it: predicting, `loss_and_gradients`, `state_dict`, `save`. While
    `load_state_dict`, `lenet.train` or `lenet.evaluation.calibrate` change it, nothing else may use it: change a copy
    of `copy.deepcopy` and let it take the model's place.

    Parameters
    ----------
    seed : int, optional
        The seed of the initial weights, Xavier uniform; fresh entropy by default.
    dtype : float32 or float64, default float32
        Of the parameters and of all that is computed.
    num_classes : int, default 10
        The length of the output, at least 2.

    Attributes
    ----------
    parameters : dict of str to ndarray
        The parameters themselves, by name.
    mean, std : float
        Pixels in [0, 1] enter the network as (x - mean) / std. 0 and 1 at first; training sets them. They are
        finite, and std is above 0.
    metadata : dict of str to str
        Facts about the model that its file carries.

    Raises
    ------
    InputError, InputTypeError
        If dtype or num_classes is none of those.

    References
    ----------
    LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998,
    section II.B.

    Examples
    --------
    >>> model = LeNet5(seed=0)
    >>> sum(parameter.size for parameter in model.parameters.values())
    61706
    >>> model.predict(np.zeros((3, 28, 28), np.uint8)).shape
    (3,)
    """

    def __init__(self, seed: int | None = None, dtype: DTypeLike = np.float32, num_classes: int = 10):
        dtype = np.dtype(dtype)
        kernels(dtype)  # refuses other types
        self.mean, self.std = 0.0, 1.0
        self.metadata: dict[str, str] = {}
        num_classes = _checks.whole(num_classes, "num_classes", least=2)
        self._stages = architecture(num_classes, dtype, np.random.default_rng(seed))
        initial = {f"{name}.{key}": value for name, layer in self._layers() for key, value in layer.parameters.items()}
        self._parameters = FlatDict({name: value.shape for name, value in initial.items()}, dtype)
        self._parameters.update(initial)
        for name, layer in self._layers():
            layer.parameters = _of_layer(self._parameters, name, layer)
        self._predictor = Predictor(self._parameters)
        self._learners: list[Learner] = []  # those that nobody uses just now
        self._training: object = None  # the latest, by which lenet.train notices another

    @property
    def parameters(self) -> FlatDict:
        """The parameters themselves, by name.

        They are views of one flat vector: "c1.weight" (6, 1, 5, 5), "c1.bias" (6,), and so on to "output.bias".
        `state_dict` returns copies.
        """
        return self._parameters

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The layers of each stage, by the paper's name of the stage: ("c1", (Conv2d, Sigmoid)), ("s2", ...), ..."""
        return self._stages

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the parameters."""
        return self._parameters.flat.dtype

    @property
    def num_classes(self) -> int:
        """The length of the output."""
        return len(self._parameters["output.bias"])

    @property
    def mean(self) -> float:
        """What is subtracted from pixels in [0, 1]."""
        return self._mean

    @mean.setter
    def mean(self, value: float) -> None:
        number = _checks.number(value, "mean")
        if not math.isfinite(number):
            raise InputError(f"mean is {number}, and a finite number is wanted.")
        self._mean = number

    @property
    def std(self) -> float:
        """What the difference is divided by."""
        return self._std

    @std.setter
    def std(self, value: float) -> None:
        number = _checks.number(value, "std")
        if not 0 < number < math.inf:
            raise InputError(f"std is {number}, and a finite number above 0 is wanted.")
        self._std = number

    def __repr__(self) -> str:
        return f"LeNet5(dtype={self.dtype.name}, num_classes={self.num_classes})"

    def __getstate__(self) -> dict[str, Any]:
        return {
            "lenet": __version__,
            "dtype": self.dtype.name,
            "num_classes": self.num_classes,
            "parameters": self.parameters.flat,
            "mean": self.mean,
            "std": self.std,
            "metadata": dict(self.metadata),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        _checks.not_newer(state["lenet"], "LeNet5")
        LeNet5.__init__(self, seed=0, dtype=state["dtype"], num_classes=state["num_classes"])
        parameters, flat = state["parameters"], self.parameters.flat
        if not isinstance(parameters, np.ndarray) or (parameters.shape, parameters.dtype) != (flat.shape, flat.dtype):
            raise WeightsError("This pickle of a LeNet5 is damaged: its parameters are of another shape or type.")
        flat[...] = parameters
        self.mean, self.std, self.metadata = state["mean"], state["std"], dict(state["metadata"])

    def _layers(self) -> Iterable[tuple[str, Layer]]:
        return ((name, layer) for name, layers in self.stages for layer in layers)

    # ---- predicting ------------------------------------------------------------------------------------

    def logits(self, x: ArrayLike, *, n_jobs: int | None = None, out: Array | None = None) -> Array:
        """Return the output layer's sums, before softmax.

        Parameters
        ----------
        x : array_like of shape (n, 1, 28, 28), (n, 28, 28), (n, 784), or (28, 28) for one image
            Of uint8 from 0, background, to 255, ink; or floating in [0, 1]. Any strides and byte order. C-contiguous
            uint8 is read as it is; the rest is copied, some dozens of images at a time.
        n_jobs : int, optional
            Threads to use, at most one for each 48 images: by default LENET_NUM_THREADS, or OMP_NUM_THREADS, or all
            cores. It does not change the result, nor does cutting a batch into parts.
        out : ndarray, optional
            A C-contiguous array to be filled and returned, of the shape and dtype of the result and apart from x.

        Returns
        -------
        ndarray of shape (n, num_classes), of the model's dtype

        Raises
        ------
        InputError
            If x has another shape, or pixels outside of [0, 1] or NaN; if out does not fit.
        InputTypeError
            If x is neither uint8 nor floating.

        Examples
        --------
        >>> LeNet5(seed=0).logits(np.zeros((28, 28))).shape
        (1, 10)
        """
        x = _checks.images(x)
        if out is None:
            out = self._predictor.empty(len(x))
        else:
            _checks.output(out, (len(x), self.num_classes), self.dtype, x)
        self._predictor(x, self.mean, self.std, out, n_jobs)
        return out

    def predict_proba(self, x: ArrayLike, *, n_jobs: int | None = None, out: Array | None = None) -> Array:
        """Return each class's probability, the softmax of the logits.

        Parameters
        ----------
        x, n_jobs, out : array_like, int and ndarray
            As for `logits`, with the same errors.

        Returns
        -------
        ndarray of shape (n, num_classes), each row adding up to 1

        Examples
        --------
        >>> float(LeNet5(seed=0).predict_proba(np.zeros((28, 28))).sum().round(6))
        1.0
        """
        out = self.logits(x, n_jobs=n_jobs, out=out)
        kernels(self.dtype).softmax(out)
        return out

    def predict(
        self,
        x: ArrayLike,
        *,
        reject_at: float | None = None,
        n_jobs: int | None = None,
        out: NDArray[np.int64] | None = None,
    ) -> NDArray[np.int64]:
        """Return the likeliest class of each image, or -1 if it is rejected.

        Parameters
        ----------
        x : array_like
            As for `logits`, with the same errors.
        reject_at : float, optional
            The error rate to keep to among the accepted answers, such as 0.005. Images that do not look like digits are
            rejected, and those below the probability threshold that met this error rate on the calibration set. On
            other images, the error rate may be higher. By default, no image is rejected.
        n_jobs : int, optional
            As for `logits`.
        out : ndarray of int64, shape (n,), optional
            To be filled and returned.

        Returns
        -------
        ndarray of int64, shape (n,)

        Raises
        ------
        InputError
            If the model was not calibrated (`lenet.evaluation.calibrate`), or not for so low a rate.

        Examples
        --------
        >>> import lenet
        >>> digits = lenet.data.load_digits()
        >>> lenet.load_pretrained("mnist").predict(digits.X_test[:3]).tolist() == digits.y_test[:3].tolist()
        True
        >>> lenet.load_pretrained("mnist").predict(np.full((28, 28), 99, np.uint8), reject_at=0.005)
        array([-1])
        """
        x = _checks.images(x)
        if out is None:
            out = np.empty(len(x), np.int64)
        else:
            _checks.output(out, (len(x),), np.dtype(np.int64), x)
        if reject_at is None:
            self._predictor(x, self.mean, self.std, out, n_jobs)
            return out
        rule = RejectionRule.from_metadata(self.metadata, reject_at)
        probabilities = self._predictor.empty(len(x))
        self._predictor(x, self.mean, self.std, probabilities, n_jobs)
        kernels(self.dtype).softmax(probabilities)
        out[...] = rule.answers(probabilities).labels
        return out

    def activations(self, x: ArrayLike) -> dict[str, Array]:
        """Return every stage's output under the paper's name.

        Parameters
        ----------
        x : array_like
            As for `logits`, with the same errors.

        Returns
        -------
        dict of str to ndarray
            "input" (n, 1, 28, 28), standardised; "c1" (n, 6, 28, 28), after its sigmoid; "s2" (n, 6, 14, 14);
            "c3" (n, 16, 10, 10); "s4" (n, 16, 5, 5); "c5" (n, 120); "f6" (n, 84); "output" (n, num_classes),
            the logits.

        Examples
        --------
        >>> LeNet5(seed=0).activations(np.zeros((28, 28)))["s4"].shape
        (1, 16, 5, 5)
        """
        y = self._input(_checks.images(x))
        outputs = {"input": y}
        for name, layers in self.stages:
            for layer in layers:
                y, _ = layer.forward(y)
            outputs[name] = y
        return outputs

    def _input(self, x: Array) -> Array:
        """Return checked images as the standardised input of C1."""
        y = _checks.pixels(x, self.dtype)
        y -= self.mean
        y *= 1 / self.std
        return y

    # ---- learning --------------------------------------------------------------------------------------

    def loss_and_gradients(
        self, x: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None, n_jobs: int | None = None
    ) -> tuple[float, dict[str, Array]]:
        """Return the mean cross-entropy of a batch, and its gradient by every parameter.

        Parameters
        ----------
        x : array_like
            As for `logits`.
        y : array_like of int, shape (n,)
            Labels in 0 .. num_classes - 1.
        sample_weight : array_like of shape (n,), optional
            What each image counts for in the mean, at least 0; alike by default.
        n_jobs : int, optional
            As for `logits`.

        Returns
        -------
        loss : float
            In nats.
        gradients : dict of str to ndarray
            Under the parameters' names and in their shapes.

        Raises
        ------
        InputError, InputTypeError
            As `logits` does; if y does not fit x and the classes; if sample_weight does not fit x, or is negative
            or all zero; if the batch is empty.

        Examples
        --------
        >>> loss, gradients = LeNet5(seed=0).loss_and_gradients(np.zeros((2, 28, 28)), [3, 5])
        >>> gradients["c1.weight"].shape
        (6, 1, 5, 5)
        """
        x, labels = self._batch(x, y)
        weights = _checks.weights(sample_weight, len(x))
        try:  # one for each call at a time, and a signal handler's is another call
            learner = self._learners.pop()
        except IndexError:
            learner = Learner(self.parameters)
        losses, _, gradients = learner(x, labels, self.mean, self.std, weights=weights, n_jobs=n_jobs)
        gradients = FlatDict(gradients.shapes, self.dtype, gradients.flat.copy())
        self._learners.append(learner)
        return float(np.average(losses, weights=weights)), gradients

    def layerwise_loss_and_gradients(self, x: ArrayLike, y: ArrayLike) -> tuple[float, dict[str, Array]]:
        """Return the mean loss of a batch and its gradients, computed layer by layer.

        This is `loss_and_gradients` without sample weights, as a plain chain rule: several times slower, and equal
        within rounding.

        Parameters
        ----------
        x : array_like
            As for `logits`.
        y : array_like of int, shape (n,)
            Labels in 0 .. num_classes - 1.

        Returns
        -------
        loss : float
            The mean cross-entropy, in nats.
        gradients : dict of str to ndarray
            Under the parameters' names and in their shapes.

        Raises
        ------
        InputError, InputTypeError
            As for `loss_and_gradients`.

        Examples
        --------
        >>> loss, gradients = LeNet5(seed=0).layerwise_loss_and_gradients(np.zeros((2, 28, 28)), [3, 5])
        >>> gradients["c1.weight"].shape
        (6, 1, 5, 5)
        """
        images, labels = self._batch(x, y)
        output, backwards = self._input(images), []
        for name, layer in self._layers():
            output, backward = layer.forward(output)
            backwards.append((name, backward))
        losses, doutput = cross_entropy(output, labels)
        doutput /= len(images)  # the loss is a mean over the batch
        gradients: dict[str, Array] = {}
        for name, backward in reversed(backwards):
            doutput, dparameters = backward(doutput)
            gradients |= {f"{name}.{key}": value for key, value in dparameters.items()}
        return float(losses.mean()), {name: gradients[name] for name in self.parameters}

    def _batch(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, NDArray[np.int64]]:
        """Validate a batch; return its images and labels."""
        images = _checks.images(x)
        labels = _checks.labels(y, len(images), self.num_classes)
        if len(images) == 0:
            raise InputError("The batch is empty; expected at least one image, as the mean loss is undefined.")
        return images, labels

    # ---- weights ---------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Array]:
        """Return a copy of every parameter under its name.

        Returns
        -------
        dict of str to ndarray
            In the order and of the shapes and dtype of `parameters`.

        Examples
        --------
        >>> list(LeNet5(seed=0).state_dict())[:2]
        ['c1.weight', 'c1.bias']
        """
        return {name: value.copy() for name, value in self.parameters.items()}

    def load_state_dict(self, state: Mapping[str, ArrayLike]) -> None:
        """Copy parameters in; either all of them, or, after an error, none.

        What other threads predict with this model meanwhile may be of some of the old and some of the new.

        Parameters
        ----------
        state : mapping of str to array_like
            Under the names and in the shapes of `parameters`, finite.

        Raises
        ------
        WeightsError
            If names are missing or unknown, or a shape or a number does not fit.

        Examples
        --------
        >>> a, b = LeNet5(seed=0), LeNet5(seed=1)
        >>> b.load_state_dict(a.state_dict())
        """
        if not isinstance(state, Mapping):
            raise InputTypeError(f"state is a {type(state).__name__}, and a mapping of names to arrays is wanted.")
        missing, unknown = self.parameters.keys() - state.keys(), state.keys() - self.parameters.keys()
        if missing or unknown:
            raise WeightsError(
                f"The weights lack {_listed(missing)} and have {_listed(unknown)} besides: those of LeNet-5 are "
                f"{', '.join(self.parameters)}."
            )
        new = FlatDict(self.parameters.shapes, np.float64)
        for name, parameter in self.parameters.items():
            value = _checks.array(state[name], name, f"shape {parameter.shape} is wanted", WeightsError)
            if value.shape != parameter.shape or value.dtype.kind not in "fiu":
                raise WeightsError(
                    f"{name} is {value.dtype} of shape {value.shape}; wanted: {self.dtype} of shape {parameter.shape}."
                )
            with np.errstate(over="ignore"):  # of longer floats
                new[name][...] = value
            if not (np.abs(new[name]) <= np.finfo(self.dtype).max).all():  # NaN fails too
                raise WeightsError(
                    f"{name} holds numbers that are not finite in {self.dtype}: the weights are damaged."
                )
        self.parameters.flat[...] = new.flat  # in one go, which Ctrl-C does not cut

    def save(self, path: str | os.PathLike[str], *, half: bool = False) -> None:
        """Write the model to a safetensors file; one that is already there is replaced whole or left alone.

        Parameters
        ----------
        path : path-like
        half : bool, default False
            Whether to round the weights to float16, which halves the file; `lenet.load` makes them float32.

        Raises
        ------
        InputTypeError
            If the metadata do not map text to text.
        InputError
            If the file could not be loaded again, for example because weights are not finite (in float16: beyond
            65,504).
        SaveError
            If the file cannot be written.

        Examples
        --------
        >>> import lenet, tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp(), "model.safetensors")
        >>> LeNet5(seed=0).save(path)
        >>> lenet.load(path)
        LeNet5(dtype=float32, num_classes=10)
        """
        tensors = FlatDict(self.parameters.shapes, np.float16 if half else self.dtype)
        with np.errstate(over="ignore"):  # the file rejects infinite weights
            tensors.flat[:] = self.parameters.flat
        ModelFile(tensors, self.mean, self.std, self.metadata).write(path)

    def summary(self) -> None:
        """Print the table of the network: stages, output shapes, parameters.

        Examples
        --------
        >>> LeNet5().summary()  # doctest: +ELLIPSIS
        Stage   Layers ...
        """
        shape: tuple[int, ...] = (1, _checks.SIDE, _checks.SIDE)
        row = "{:<7} {:<53} {:<12} {:>10}".format
        print(row("Stage", "Layers", "Output", "Parameters"))
        print(row("input", "", str(shape), ""))
        for name, layers in self.stages:
            for layer in layers:
                shape = layer.output_shape(shape)
            count = sum(value.size for layer in layers for value in layer.parameters.values())
            print(row(name, ", ".join(map(repr, layers)), str(shape), f"{count:,}" if count else ""))
        print(row("total", "", "", f"{self.parameters.flat.size:,}"))


def _of_layer(values: Mapping[str, Array], name: str, layer: Layer) -> dict[str, Array]:
    """Return the arrays of one layer from those of the model: those under "c1.weight" as "weight"."""
    return {key: values[f"{name}.{key}"] for key in layer.parameters}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(map(str, names))) or "none"
