"""LeNet-5: its architecture, predictions, gradients and weights."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from lenet import __version__, _checks, class_names
from lenet._flat import FlatDict
from lenet._fused.batches import Learner, Predictor, kernels_for
from lenet._layerwise import LayerwiseKernels, standardised
from lenet.errors import InputError, InputTypeError, WeightsError
from lenet.layers import AvgPool2d, Conv2d, Flatten, Layer, Linear, Sigmoid
from lenet.layers.base import Array
from lenet.losses import cross_entropy
from lenet.rejection import RejectionRule
from lenet.weights.files import ModelFile

Stage = tuple[str, tuple[Layer, ...]]
MAX_IDLE_LEARNERS = 4  # per model; each occupies up to 7 MB


def architecture(num_classes: int, dtype: DTypeLike, rng: np.random.Generator) -> tuple[Stage, ...]:
    """Return the stages of LeNet-5: the paper's name of each, and its layers.

    The numbers are input and output channels, kernel size and padding of a Conv2d, window and stride of an AvgPool2d,
    and the input and output lengths of a Linear layer.
    """
    return (  # comments: the shape of each stage's output; the input is (1, 28, 28)
        ("c1", (Conv2d(1, 6, 5, 2, dtype, rng), Sigmoid(dtype))),  # (6, 28, 28)
        ("s2", (AvgPool2d(2, 2, dtype),)),  # (6, 14, 14)
        ("c3", (Conv2d(6, 16, 5, 0, dtype, rng), Sigmoid(dtype))),  # (16, 10, 10)
        ("s4", (AvgPool2d(2, 2, dtype),)),  # (16, 5, 5)
        ("c5", (Conv2d(16, 120, 5, 0, dtype, rng), Sigmoid(dtype), Flatten(dtype))),  # (120,)
        ("f6", (Linear(120, 84, dtype, rng), Sigmoid(dtype))),  # (84,)
        ("output", (Linear(84, num_classes, dtype, rng),)),  # (num_classes,)
    )


class LeNet5:
    """LeNet-5 with sigmoids and average pooling.

    Threads may share a model for calls that do not change it: predictions, `loss_and_gradients`, `state_dict`, `save`.
    While `load_state_dict`, `lenet.train` or `lenet.evaluation.calibrate` changes a model, nothing else may use it.
    To replace a model in use, change a `copy.deepcopy` of it.

    Parameters
    ----------
    seed : int, optional
        Seed of the initial weights (Xavier uniform), at least 0; by default, fresh entropy.
    dtype : float32 or float64, default float32
        Type of the parameters and of all computations. float64 is for checking gradients, and many times slower.
    num_classes : int, default 10
        Number of outputs, at least 2.

    Attributes
    ----------
    mean, std : float or None
        Pixels in [0, 1] enter the network as (x - mean) / std. Initially 0 and 1; training sets them. If both are None,
        the network standardises each image by its own pixels, with std = sqrt(variance + 1e-5), so that neither
        brightness nor contrast matters.
    metadata : dict of str to str
        Text that is saved with the model.
    classes : tuple of str
        Names of the classes, saved in the metadata; initially "0", "1", ...
    network : str or None
        The name of the network in model files; None for LeNet5.
    padding : int
        Number of background pixels to add on each side of an image: 2 for LeNet1998, and 0 for LeNet5, whose C1 pads.

    Raises
    ------
    InputError, InputTypeError
        If seed, dtype or num_classes is invalid.

    Notes
    -----
    This is the network as it is usually taught today. `lenet.LeNet1998` is the network of the paper, with an input of
    32x32 pixels, scaled tanh, trainable subsampling, a C3 that sees only some maps of S2 (Table I), and radial basis
    functions as outputs.

    References
    ----------
    LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998, section II.B.

    Examples
    --------
    >>> model = LeNet5(seed=0)
    >>> sum(parameter.size for parameter in model.parameters.values())
    61706
    >>> model.predict(np.zeros((3, 28, 28), np.uint8)).shape
    (3,)
    """

    network: ClassVar[str | None] = None
    padding: ClassVar[int] = 0
    _constants: ClassVar[Mapping[str, Array]] = {}  # untrained tensors in model files

    def __init__(self, seed: int | None = None, dtype: DTypeLike = np.float32, num_classes: int = 10):
        dtype = _checks.floating(dtype)
        self._mean: float | None = 0.0
        self._std: float | None = 1.0
        self.metadata: dict[str, str] = {}
        self._num_classes = _checks.size(num_classes, "num_classes", at_least=2)
        if seed is not None:
            _checks.whole(seed, "seed", at_least=0)
        self._stages = self._architecture(self._num_classes, dtype, np.random.default_rng(seed))
        initial = {f"{name}.{key}": value for name, layer in self._layers() for key, value in layer.parameters.items()}
        self._parameters = FlatDict({name: value.shape for name, value in initial.items()}, dtype)
        self._parameters.update(initial)
        for name, layer in self._layers():  # now the layers and the fused network share their parameters
            layer.parameters = {key: self._parameters[f"{name}.{key}"] for key in layer.parameters}
        self._layerwise = LayerwiseKernels([*self._layers()], self._parameters, self._loss, self.padding)
        # The results of the fused kernels do not depend on the batch size; NumPy rounds a matrix product differently.
        self._is_fused = self.network is None and dtype == np.float32
        self._kernels: Any = kernels_for(self._parameters) if self._is_fused else self._layerwise
        self._predictor = Predictor(self._parameters, self._kernels, self.num_classes, batch_independent=self._is_fused)
        self._learners: deque[Learner] = deque(maxlen=MAX_IDLE_LEARNERS)  # see loss_and_gradients
        self._training: object = None  # the token of the latest call to lenet.train, by which a call detects another

    _architecture = staticmethod(architecture)
    _loss = staticmethod(cross_entropy)

    @property
    def parameters(self) -> FlatDict:
        """The parameters themselves, by name.

        They are views into one flat vector: "c1.weight" (6, 1, 5, 5), "c1.bias" (6,), ..., "output.bias"
        (num_classes,). `state_dict` returns copies.
        """
        return self._parameters

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The name and layers of each stage: ("c1", (Conv2d, Sigmoid)), ("s2", (AvgPool2d,)), ..."""
        return self._stages

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the parameters, float32 or float64."""
        return self._parameters.flat.dtype

    @property
    def num_classes(self) -> int:
        """The number of outputs."""
        return self._num_classes

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes in the order of the outputs: distinct, printable strings of 1 to 100 characters.

        Raises
        ------
        InputError, InputTypeError
            If the assigned names are invalid, or those in the metadata are damaged.
        """
        return class_names.class_names(self.metadata, self.num_classes)

    @classes.setter
    def classes(self, names: Iterable[str]) -> None:
        self.metadata[class_names.KEY] = class_names.to_json(class_names.checked(names, self.num_classes))

    @property
    def mean(self) -> float | None:
        """The value subtracted from pixels in [0, 1]: finite in the model's dtype, or None to use each image's mean.

        Assigning None to `mean` or `std` sets both to None. If both are None, assigning a number to one of them sets
        the other, `mean` to 0 or `std` to 1.
        """
        return self._mean

    @mean.setter
    def mean(self, value: float | None) -> None:
        if value is not None:
            value = _checks.number(value, "mean")
            if not abs(value) <= float(np.finfo(self.dtype).max):
                raise InputError(f"mean is {value}; expected a finite {self.dtype}, or None to use each image's mean.")
        self._mean, self._std = value, None if value is None else self._std or 1.0

    @property
    def std(self) -> float | None:
        """The divisor of the pixels after `mean` is subtracted: above 0, or None to use each image's std.

        In the model's dtype, it is finite and not subnormal.
        """
        return self._std

    @std.setter
    def std(self, value: float | None) -> None:
        if value is not None:
            value = _checks.number(value, "std")
            low, high = float(np.finfo(self.dtype).tiny), float(np.finfo(self.dtype).max)
            if not low <= value <= high:  # so that 1 / std is finite, too
                raise InputError(f"std is {value}; expected {low:.2g} to {high:.2g}, or None to use each image's std.")
        self._mean, self._std = None if value is None else self._mean or 0.0, value

    def __repr__(self) -> str:
        return f"{type(self).__name__}(dtype={self.dtype.name}, num_classes={self.num_classes})"

    def __getstate__(self) -> dict[str, Any]:
        return {
            "lenet": __version__,
            "dtype": self.dtype.name,
            "num_classes": self.num_classes,
            "parameters": self.parameters.flat,
            "mean": self.mean,
            "std": self.std,
            "metadata": dict(self.metadata),
            "attributes": {name: value for name, value in vars(self).items() if name not in _own_attributes()},
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        _checks.not_newer(state["lenet"], "LeNet5")
        construct = LeNet5.__init__ if "attributes" in state else type(self).__init__  # as earlier versions expect
        construct(self, dtype=state["dtype"], num_classes=state["num_classes"])
        parameters, flat = state["parameters"], self.parameters.flat
        if not isinstance(parameters, np.ndarray) or (parameters.shape, parameters.dtype) != (flat.shape, flat.dtype):
            raise WeightsError(
                "This pickle of a LeNet5 is damaged: its parameters have the wrong shape or dtype. Save it again."
            )
        flat[...] = parameters
        self.mean, self.std, self.metadata = state["mean"], state["std"], dict(state["metadata"])
        vars(self).update(state.get("attributes", {}))

    def _layers(self) -> Iterable[tuple[str, Layer]]:
        return ((name, layer) for name, layers in self.stages for layer in layers)

    def _outputs(self) -> Iterator[tuple[str, tuple[int, ...], int]]:
        """Yield the name, output shape and number of parameters of the input, "input", and of each stage."""
        side = _checks.SIDE + 2 * self.padding
        shape: tuple[int, ...] = (1, side, side)
        for name, layers in (("input", ()), *self.stages):
            for layer in layers:
                shape = layer.output_shape(shape)
            yield name, shape, sum(value.size for layer in layers for value in layer.parameters.values())

    def _forward(self, images: Array) -> Iterator[tuple[str, Layer, Array, Array]]:
        """Yield the stage's name, the layer, its input and its output for each layer, given validated images."""
        y = standardised(images, self.mean, self.std, self.dtype, self.padding)
        for name, layer in self._layers():
            x, y = y, layer.forward(y)[0]
            yield name, layer, x, y

    # ---- predicting ------------------------------------------------------------------------------------

    def logits(self, x: ArrayLike, *, n_jobs: int | None = None, out: Array | None = None) -> Array:
        """Return the output of the network before the softmax.

        Parameters
        ----------
        x : array_like of shape (n, 1, 28, 28), (n, 28, 28), (n, 784), or (28, 28) for one image
            Pixels: uint8 from 0 (background) to 255 (ink), or floating in [0, 1], with any strides and byte order.
            C-contiguous uint8 is read in place; other arrays are copied in small blocks.
        n_jobs : int, optional
            Number of threads, at most one per 12 images (48 in float64, and for LeNet1998), and one for fewer than 36;
            -1 for all cores. By default, LENET_NUM_THREADS, OMP_NUM_THREADS, or all cores. The result does not depend
            on `n_jobs` and, for a LeNet5 in float32, not on the batch size.
        out : ndarray of shape (n, num_classes), optional
            C-contiguous array of the model's dtype to fill and return; it must not overlap x.

        Returns
        -------
        ndarray of shape (n, num_classes), of the model's dtype

        Raises
        ------
        InputError
            If x has another shape, or pixels that are NaN or outside [0, 1]; if out does not fit; if n_jobs is out of
            range.
        InputTypeError
            If x is neither uint8 nor floating, out is not an ndarray, or n_jobs is not an integer.
        ConfigurationError
            If LENET_NUM_THREADS is used and invalid.

        Examples
        --------
        >>> LeNet5(seed=0).logits(np.zeros((28, 28))).shape
        (1, 10)
        """
        x = _checks.images(x)
        out = _checks.output(out, (len(x), self.num_classes), self.dtype, x)
        return self._predictor.logits(x, self.mean, self.std, out, n_jobs)

    def predict_proba(self, x: ArrayLike, *, n_jobs: int | None = None, out: Array | None = None) -> Array:
        """Return class probabilities: the softmax of the logits.

        Parameters
        ----------
        x, n_jobs, out : array_like, int and ndarray
            As for `logits`, with the same errors.

        Returns
        -------
        ndarray of shape (n, num_classes), of the model's dtype
            Each row sums to 1.

        Examples
        --------
        >>> float(LeNet5(seed=0).predict_proba(np.zeros((28, 28))).sum().round(6))
        1.0
        """
        x = _checks.images(x)
        out = _checks.output(out, (len(x), self.num_classes), self.dtype, x)
        return self._predictor.probabilities(x, self.mean, self.std, out, n_jobs)

    def predict(
        self,
        x: ArrayLike,
        *,
        reject_at: float | None = None,
        n_jobs: int | None = None,
        out: NDArray[np.int64] | None = None,
    ) -> NDArray[np.int64]:
        """Return the most probable class of each image, or -1 for a rejected image.

        Parameters
        ----------
        x : array_like
            As for `logits`, with the same errors.
        reject_at : float, optional
            Error rate to allow among accepted answers, below 1; for example 0.002. The model rejects images that do
            not look like digits, and images whose `lenet.rejection.margin` is below the threshold that met this rate on
            the calibration set. On other data, the error rate may be higher. By default, no image is rejected.
        n_jobs : int, optional
            As for `logits`.
        out : ndarray of int64, shape (n,), optional
            C-contiguous array to fill and return; it must not overlap x.

        Returns
        -------
        ndarray of int64, shape (n,)
            From 0 to num_classes - 1, or -1.

        Raises
        ------
        InputError, InputTypeError
            If `reject_at` is not a number below 1, or is lower than every error rate for which
            `lenet.evaluation.calibrate` found a threshold; if the model was not calibrated.

        Examples
        --------
        >>> import lenet
        >>> digits = lenet.data.load_digits()
        >>> model = lenet.load_pretrained("mnist")
        >>> model.predict(digits.X_test[:3]), digits.y_test[:3]
        (array([1, 4, 7]), array([1, 4, 7]))
        >>> model.predict(np.full((28, 28), 99, np.uint8), reject_at=0.002)
        array([-1])
        """
        x = _checks.images(x)
        out = _checks.output(out, (len(x),), np.dtype(np.int64), x)
        if reject_at is None:
            return self._predictor.classes(x, self.mean, self.std, out, n_jobs)
        rule = RejectionRule.from_metadata(self.metadata, reject_at)
        out[...] = rule.answers(self.predict_proba(x, n_jobs=n_jobs)).labels
        return out

    def activations(self, x: ArrayLike) -> dict[str, Array]:
        """Return the output of every stage.

        Parameters
        ----------
        x : array_like
            As for `logits`, with the same errors.

        Returns
        -------
        dict of str to ndarray
            "input" (n, 1, 28, 28), standardised; "c1" (n, 6, 28, 28), after the activation function; "s2"
            (n, 6, 14, 14); "c3" (n, 16, 10, 10); "s4" (n, 16, 5, 5); "c5" (n, 120); "f6" (n, 84); "output"
            (n, num_classes), logits. The "input" of a `LeNet1998` is padded: (n, 1, 32, 32).

        Examples
        --------
        >>> LeNet5(seed=0).activations(np.zeros((28, 28)))["s4"].shape
        (1, 16, 5, 5)
        """
        outputs: dict[str, Array] = {}
        for name, _, given, y in self._forward(_checks.images(x)):
            outputs.setdefault("input", given)
            outputs[name] = y
        return outputs

    # ---- learning --------------------------------------------------------------------------------------

    def loss_and_gradients(
        self, x: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None, n_jobs: int | None = None
    ) -> tuple[float, dict[str, Array]]:
        """Return the mean loss of a batch and its gradients.

        The loss is the cross-entropy; for `LeNet1998`, it is equation 9 of the paper.

        Parameters
        ----------
        x : array_like
            As for `logits`.
        y : array_like of int, shape (n,), or floating, shape (n, num_classes)
            Labels from 0 to num_classes - 1; or the target probabilities of each image, which sum to 1 within 0.001
            and are scaled to sum to exactly 1.
        sample_weight : float or array_like of shape (n,), optional
            Weight of each image in the mean: finite, at least 0, and not all 0; equal by default.
        n_jobs : int, optional
            As for `logits`.

        Returns
        -------
        loss : float
            In nats.
        gradients : dict of str to ndarray
            With the names, shapes and dtype of `parameters`.

        Raises
        ------
        InputError, InputTypeError
            As for `logits`; also if the batch is empty, or if y or sample_weight does not fit it.

        Examples
        --------
        >>> model = LeNet5(seed=0)
        >>> loss, gradients = model.loss_and_gradients(np.zeros((2, 28, 28)), [3, 5])
        >>> gradients["c1.weight"].shape
        (6, 1, 5, 5)
        """
        x, targets = self._batch(x, y)
        weights = _checks.sample_weight(sample_weight, len(x))
        try:  # each concurrent call, including one from a signal handler, needs its own learner
            learner = self._learners.pop()
        except IndexError:
            learner = Learner(self.parameters, self._kernels, self.num_classes)
        losses, _, gradients = learner(x, targets, self.mean, self.std, sample_weight=weights, n_jobs=n_jobs)
        gradients = FlatDict(gradients.shapes, self.dtype, gradients.flat.copy())
        self._learners.append(learner)
        return float(np.average(losses, weights=weights)), gradients

    def layerwise_loss_and_gradients(self, x: ArrayLike, y: ArrayLike) -> tuple[float, dict[str, Array]]:
        """Compute the results of `loss_and_gradients` layer by layer, with the chain rule.

        The results agree with those of `loss_and_gradients` within rounding. For a LeNet5 in float32, computing
        them takes several times as long.

        Parameters
        ----------
        x, y : array_like
            As for `loss_and_gradients`, with the same errors.

        Returns
        -------
        loss : float
            In nats.
        gradients : dict of str to ndarray
            With the names, shapes and dtype of `parameters`.

        Examples
        --------
        >>> model, x = LeNet5(seed=0), np.zeros((2, 28, 28))
        >>> loss, gradients = model.layerwise_loss_and_gradients(x, [3, 5])
        >>> gradients["c1.weight"].shape
        (6, 1, 5, 5)
        """
        images, targets = self._batch(x, y)
        pixels = standardised(images, self.mean, self.std, self.dtype, self.padding)
        logits, gradients_of = self._layerwise.forward(pixels)
        losses, dlogits = self._loss(logits, targets)
        return float(losses.mean()), gradients_of(dlogits / len(images))  # the loss is a mean over the batch

    def _batch(self, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
        """Return validated images and targets, at least one of each."""
        images = _checks.images(x)
        targets = _checks.targets(y, len(images), self.num_classes, self.dtype)
        _checks.not_empty(images)
        return images, targets

    # ---- weights ---------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Array]:
        """Return a copy of the parameters.

        Returns
        -------
        dict of str to ndarray
            With the names, shapes, dtype and order of `parameters`.

        Examples
        --------
        >>> list(LeNet5(seed=0).state_dict())[:2]
        ['c1.weight', 'c1.bias']
        """
        return {name: value.copy() for name, value in self.parameters.items()}

    def load_state_dict(self, state: Mapping[str, ArrayLike]) -> None:
        """Replace the parameters; an error leaves them unchanged.

        Parameters
        ----------
        state : mapping of str to array_like
            Real arrays with the names and shapes of `parameters`, finite in the model's dtype.

        Raises
        ------
        WeightsError
            If names are missing or unknown, a shape or type does not fit, or a value is not finite.
        InputTypeError
            If state is not a mapping.

        Examples
        --------
        >>> a, b = LeNet5(seed=0), LeNet5(seed=1)
        >>> b.load_state_dict(a.state_dict())
        """
        if not isinstance(state, Mapping):
            raise InputTypeError(f"state is of type {type(state).__name__}; expected a mapping of names to arrays.")
        missing, unknown = self.parameters.keys() - state.keys(), state.keys() - self.parameters.keys()
        if missing or unknown:
            raise WeightsError(
                f"Missing weights: {_listed(missing)}; unknown weights: {_listed(unknown)}; expected "
                f"{', '.join(self.parameters)}."
            )
        new = FlatDict(self.parameters.shapes, np.float64)
        for name, parameter in self.parameters.items():
            value = _checks.array(state[name], name, f"expected shape {parameter.shape}", WeightsError)
            if value.shape != parameter.shape or value.dtype.kind not in "fiu":
                raise WeightsError(
                    f"{name} has dtype {value.dtype} and shape {value.shape}; expected {self.dtype} and "
                    f"{parameter.shape}."
                )
            with np.errstate(over="ignore"):
                new[name][...] = value
            if not (np.abs(new[name]) <= np.finfo(self.dtype).max).all():  # NaN fails too
                raise WeightsError(
                    f"{name} contains values that are not finite in {self.dtype}; expected finite weights."
                )
        self.parameters.flat[...] = new.flat  # one operation, which Ctrl-C cannot interrupt

    def save(self, path: str | os.PathLike[str], *, half: bool = False) -> None:
        """Write the model to a safetensors file, replacing an existing one atomically.

        Parameters
        ----------
        path : path-like
            A name that ends in ``.safetensors``.
        half : bool, default False
            Whether to round the weights to float16. A float32 model then takes half the space; `lenet.load` returns a
            float32 model. A layer of at least 1,000 weights takes a quarter if they are integers from -127 to 127 times
            one power of two.

        Raises
        ------
        InputTypeError
            If the metadata is not a mapping of str to str.
        InputError
            If the weights are not finite in the file's dtype (float16 reaches 65,504), or the file would exceed a limit
            of `lenet.load`, which also rejects weights so large that sums may overflow. If `path` has another suffix.
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
        tensors = FlatDict(self.parameters.shapes, np.float16 if _checks.boolean(half, "half") else self.dtype)
        with np.errstate(over="ignore"):  # write() rejects infinite weights
            tensors.flat[:] = self.parameters.flat
        constants = {name: value.astype(tensors.flat.dtype) for name, value in self._constants.items()}
        ModelFile({**tensors, **constants}, self.mean, self.std, self.metadata, self.network).write(path)

    def summary(self) -> None:
        """Print each stage with its layers, output shape and number of parameters.

        Examples
        --------
        >>> LeNet5().summary()  # doctest: +ELLIPSIS
        Stage   Layers ...
        """
        described = {name: ", ".join(map(repr, layers)) for name, layers in self.stages}
        row = f"{{:<7}} {{:<{max(map(len, described.values()))}}} {{:<12}} {{:>10}}".format
        print(row("Stage", "Layers", "Output", "Parameters"))
        for name, shape, count in self._outputs():
            print(row(name, described.get(name, ""), str(shape), f"{count:,}" if count else ""))
        print(row("total", "", "", f"{self.parameters.flat.size:,}"))


@cache
def _own_attributes() -> frozenset[str]:
    """Return the names of the attributes that are not the user's."""
    return frozenset(vars(LeNet5()))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(map(str, names))) or "none"
