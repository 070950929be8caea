"""LeNetClassifier, a scikit-learn estimator."""

import contextlib
import copy
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted

from lenet import __version__, _checks
from lenet.errors import InputError, InputTypeError, WeightsError
from lenet.estimator.callbacks import CallbackSupportMixin, with_callbacks
from lenet.estimator.files import FINE_TUNING, KEY, Record, names_of, pop_record
from lenet.estimator.fit_monitor import FitMonitor
from lenet.estimator.framing import Framing, framing_of, shape_of
from lenet.estimator.inputs import Samples, as_labels, as_table, encode, validated
from lenet.loading import load, load_named
from lenet.losses import log_softmax
from lenet.model import LeNet5
from lenet.training.loop import train
from lenet.training.recipes import CHECKS, Recipe
from lenet.training.splits import num_trained
from lenet.training.state import State

# scikit-learn's names for the fields of a recipe.
_RECIPE_FIELDS = {
    "learning_rate_init": "lr", "batch_size": "batch_size", "max_iter": "epochs", "momentum": "momentum",
    "alpha": "weight_decay", "learning_rate": "schedule", "validation_fraction": "validation",
    "n_iter_no_change": "patience",
}  # fmt: skip
_READ_AT_ONCE = 4096  # rows converted to images at a time
_MIN_EPOCHS, _MIN_STEPS = 20, 6000  # for max_iter="auto"


class LeNetClassifier(CallbackSupportMixin, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """LeNet-5 as a scikit-learn classifier, with parameters named as in `sklearn.neural_network.MLPClassifier`.

    Parameters
    ----------
    learning_rate_init : float, default 0.1
        Learning rate, or its peak if the schedule changes it; above 0.
    batch_size : int or "auto", default "auto"
        Images per step of SGD. "auto" is the larger of 64 and 4 per class, but at most a quarter of the images. It is
        reduced by up to a quarter if the last batch of an epoch is then fuller, because a small last batch prolongs the
        plateau.
    max_iter : int or "auto", default "auto"
        Number of epochs. "auto" is the larger of 20 and the number that gives 6,000 steps, because sigmoid networks
        start on a long plateau; a ConvergenceWarning reports data for which this does not suffice.
    momentum : float, default 0.9
        Momentum of SGD, in [0, 1).
    alpha : float, default 0
        Weight decay, at least 0.
    learning_rate : {"one_cycle", "constant", "paper_steps"}, default "one_cycle"
        Learning rate schedule. `partial_fit` always uses "constant".
    warm_start : bool, default False
        Whether `fit` continues from the current weights, for example those of `from_pretrained`.
    early_stopping : bool, default False
        Whether to hold out a validation split, stop when its accuracy no longer improves, and keep the weights of the
        epoch with the lowest validation loss.
    validation_fraction : float, default 0.1
        Fraction of each class to hold out for early stopping, in (0, 1).
    n_iter_no_change : int, default 10
        With early stopping, training stops after this many consecutive epochs without an improvement, or after 600
        steps if that is longer. Epochs on the initial plateau do not count.
    tol : float, default 1e-4
        The validation accuracy must improve by more than this; at least 0.
    random_state : int, RandomState or None, default None
        Determines the initial weights, the validation split, the order of the images and the distortions.
    verbose : bool, default False
        Whether to print a line per epoch.
    n_jobs : int or None, default None
        Number of threads, which does not change the results. None means 1 unless in a `joblib.parallel_config`
        context; -1 means all cores.
    distortions : bool, default False
        Whether to apply a new random affine map to each image in each epoch, which suits handwriting.
    image_shape : "auto" or (int, int), default "auto"
        Height and width of the images, at most 28 x 28; `fit` rejects images of other shapes. With "auto", images keep
        their shape, and rows of a table become the smallest square images that fit them, with a warning if the
        number of columns is not a square. Images smaller than 20x20 are enlarged until their longer side has about 20
        pixels. All are centred in 28x28.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    n_features_in_ : int
        Pixels per image.
    feature_names_in_ : ndarray of str
        Column names, if X was a data frame whose column names are all strings.
    framing_ : Framing
        Shape of the images (`height`, `width`) and values of background (`low`) and ink (`high`): 0 and 255 for uint8,
        0 and 1 for numbers in [0, 1], otherwise the minimum and maximum of X at the first fit. If X has negative
        values, for example from a StandardScaler, the range is limited to 3 standard deviations around the mean.
    model_ : LeNet5
        The network.
    n_iter_ : int
        Number of epochs trained; each `partial_fit` adds one.
    loss_curve_ : list of float
        Mean cross-entropy of each epoch, in nats.
    validation_scores_ : list of float, or None without early stopping
        Validation accuracy after each epoch.
    best_validation_score_ : float, or None without early stopping
        Validation accuracy of the epoch whose weights were kept; after Ctrl-C, of the last epoch.

    Notes
    -----
    X is an array or a data frame of shape (n, pixels), or an array of shape (n, height, width) or (n, 1, height,
    width), with any real dtype. High values are ink.

    Threads may share a fitted classifier to predict. While `fit` or `partial_fit` runs, nothing else may use it. To
    replace a classifier in use, fit a clone of it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)  # 8x8, from 0 to 16
    >>> classifier = LeNetClassifier(random_state=0).fit(X[:1000], y[:1000])
    >>> classifier.score(X[1000:], y[1000:]) > 0.9
    True
    """

    model_: LeNet5
    classes_: NDArray[Any]
    framing_: Framing
    n_features_in_: int
    n_iter_: int
    loss_curve_: list[float]
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    _seed: int
    _velocity: NDArray[Any]  # of partial_fit

    def __init__(
        self,
        learning_rate_init: float = 0.1,
        *,
        batch_size: int | str = "auto",
        max_iter: int | str = "auto",
        momentum: float = 0.9,
        alpha: float = 0.0,
        learning_rate: str = "one_cycle",
        warm_start: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        random_state: Any = None,
        verbose: bool = False,
        n_jobs: int | None = None,
        distortions: bool = False,
        image_shape: str | Sequence[int] = "auto",
    ):
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.momentum = momentum
        self.alpha = alpha
        self.learning_rate = learning_rate
        self.warm_start = warm_start
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose
        self.n_jobs = n_jobs
        self.distortions = distortions
        self.image_shape = image_shape

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str] = "mnist", **parameters: Any) -> "LeNetClassifier":
        """Return a fitted classifier with pre-trained weights.

        Parameters
        ----------
        name : str or path-like, default "mnist"
            The name of a pre-trained model, or the path of a file that `save` or `lenet.LeNet5.save` wrote.
        **parameters
            As for the class, except that `warm_start` defaults to True, so `fit` continues from these weights, and
            `learning_rate_init` to 0.002, as higher rates undo their training. A clone, for example in
            `cross_val_score`, is not fitted and trains from scratch; it needs the usual rate of 0.1.

        Returns
        -------
        LeNetClassifier
            With the labels and pixel range in a file from `save`. Otherwise, it expects pixels from 0 to 255, and the
            labels are the names of the model's classes, or 0, 1, ... if these have none.

        Raises
        ------
        InputError
            If `name` is neither a pre-trained model nor a file.
        InputTypeError
            If `name` is neither a str nor path-like.
        WeightsError, OSError
            As for `lenet.load`.
        TypeError
            If a parameter is unknown.

        Examples
        --------
        >>> import lenet
        >>> digits = lenet.data.load_digits()
        >>> classifier = LeNetClassifier.from_pretrained("mnist")
        >>> classifier.score(digits.X_test, digits.y_test) > 0.9
        True
        """
        if not isinstance(name, str | os.PathLike):
            raise InputTypeError(f"name is of type {type(name).__name__}; expected a name, such as 'mnist', or a path.")
        model = load_named(name)
        classifier = cls(**FINE_TUNING | parameters)
        return classifier._with_model(model, pop_record(model, str(name)))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "LeNetClassifier":
        """Load a classifier that `save` wrote.

        Parameters
        ----------
        path : path-like
            A file from `save`. A file from `LeNet5.save` is loaded as by `from_pretrained`.

        Returns
        -------
        LeNetClassifier
            With the predictions, labels and parameters of the saved one.

        Raises
        ------
        WeightsError
            If the file is damaged or in another format.
        OSError
            If the file cannot be read.
        """
        model = load(path)
        record = pop_record(model, str(path))
        try:
            classifier = cls(**record.parameters)._with_model(model, record)
            classifier._check_parameters()
        except (ValueError, TypeError) as error:
            raise WeightsError(f"{path} has invalid classifier parameters ({error}). Save it again.") from None
        return classifier

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the classifier to a safetensors file, replacing an existing one atomically.

        The file is also a model file with the labels as class names: `lenet.load` returns its network. It contains
        neither the training history nor the momentum of `partial_fit`.

        Parameters
        ----------
        path : path-like
            A name that ends in ``.safetensors``.

        Raises
        ------
        NotFittedError
            If the classifier is not fitted.
        InputError
            If the labels are neither booleans, numbers nor strings, a parameter is an object, such as a RandomState,
            the weights are not finite, or `path` has another suffix.
        SaveError
            If the file cannot be written.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "classifier.safetensors")
        >>> LeNetClassifier.from_pretrained("mnist").save(path)
        >>> LeNetClassifier.load(path).classes_
        array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
        """
        check_is_fitted(self, "model_")
        names = self.feature_names_in_.tolist() if hasattr(self, "feature_names_in_") else None
        record = Record(self.classes_, self.framing_, self.n_features_in_, names, self.get_params())
        model = copy.deepcopy(self.model_)
        model.metadata[KEY] = record.to_text()
        model.save(path)

    def _with_model(self, model: LeNet5, record: Record) -> "LeNetClassifier":
        """Turn this classifier into a fitted one with a model from a file."""
        self.model_, self.classes_, self.framing_ = model, record.labels, record.framing
        self.n_features_in_ = record.n_features
        if record.feature_names is not None:
            self.feature_names_in_ = np.array(record.feature_names, object)
        self._seed = int(check_random_state(self.random_state).randint(_checks.MAX_INT32))
        self._reset_history()
        return self

    # ---- learning --------------------------------------------------------------------------------------

    @with_callbacks
    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> "LeNetClassifier":
        """Train on images and labels.

        Parameters
        ----------
        X : array_like of shape (n, pixels), (n, height, width) or (n, 1, height, width)
            Images of real numbers; high values are ink.
        y : array_like of shape (n,)
            Labels that scikit-learn supports, such as integers or strings, with at least two classes.
        sample_weight : float or array_like of shape (n,), optional
            Weight of each image: finite, at least 0, and not all 0; equal by default. Images of weight 0 are left out.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If X, y, sample_weight or a parameter is invalid.
        DivergedError
            If the loss is no longer finite.

        Warns
        -----
        ConvergenceWarning
            If the loss is still near the entropy of the labels.
        UserWarning
            If Ctrl-C interrupts the training. The classifier keeps its current weights.
        """
        self._check_parameters()
        with self._all_or_nothing():
            resume = bool(self.warm_start) and hasattr(self, "model_")
            samples = self._training_set(X, y, sample_weight, None, resume)
            recipe = self._recipe(samples.labels)
            self._begin(resume)
            self._reset_history()
            monitor = FitMonitor(self, recipe, samples, (X, y, sample_weight))
            state = None
            with contextlib.suppress(KeyboardInterrupt):
                state = self._train(samples, recipe, resume, monitor.record_epoch)
            if state and self.early_stopping:
                self.best_validation_score_ = state.history[state.best_epoch - 1].val_accuracy
            monitor.close()
        if state:  # outside the block, which undoes the training if a warning is an error
            advice = (
                "Increase max_iter, and keep batch_size 'auto', alpha near 0 and learning_rate_init near 0.1. With few "
                'images per class, start from the shipped weights ("For classes of your own" in docs/interop.md).'
            )
            if self.warm_start and not resume:
                advice += " warm_start had no weights to continue from: a clone, as in cross_val_score, copies none."
            monitor.plateau.warn(self.loss_curve_[-1], self.n_iter_ * monitor.steps, advice, ConvergenceWarning)
        else:
            warnings.warn("Training was interrupted; the estimator keeps its current weights.", stacklevel=3)
        return self

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> "LeNetClassifier":
        """Train for one epoch on part of the data.

        Use it for data that does not fit into memory or arrives over time. Like `fit`, it needs thousands of steps, but
        it issues no ConvergenceWarning: check that `loss_curve_` falls below the entropy of the labels, which is the
        logarithm of the number of classes if these are equally frequent.

        Parameters
        ----------
        X, y : array_like
            As for `fit`. The first call determines the shape of the images and the range of the pixels.
        classes : array_like of shape (n_classes,), optional
            All labels of all calls; required in the first call.
        sample_weight : float or array_like of shape (n,), optional
            As for `fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            As for `fit`; also if classes is missing in the first call or changes later.
        DivergedError
            If the loss is no longer finite.
        """
        self._check_parameters()
        with self._all_or_nothing():
            resume = hasattr(self, "model_")
            classes = self._all_classes(classes, resume)
            samples = self._training_set(X, y, sample_weight, classes, resume)
            recipe = self._recipe(samples.labels).with_changes(epochs=1, schedule="constant", validation=0.0)
            self._begin(resume)
            if not resume:
                self._reset_history()
            state = self._train(samples, recipe, resume, lambda _: False)
            self._velocity = state.velocity
            self.n_iter_ += 1
            self.loss_curve_.append(state.history[0].loss)
        return self

    @contextlib.contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Restore the classifier if the block raises."""
        before = self.__dict__.copy()
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _check_parameters(self) -> None:
        for name, field in _RECIPE_FIELDS.items():
            value = getattr(self, name)
            if name not in ("max_iter", "batch_size") or not isinstance(value, str):
                CHECKS[field](value, name)
            elif value != "auto":
                raise InputError(f"{name} is {_checks.short_repr(value)}; expected 'auto' or an integer of at least 1.")
        for name in ("warm_start", "early_stopping", "distortions"):
            _checks.boolean(getattr(self, name), name)
        if not self.validation_fraction:
            raise InputError(
                f"validation_fraction is {_checks.short_repr(self.validation_fraction)}; expected a number above 0. "
                "To hold out no images, set early_stopping to False."
            )
        _checks.non_negative(self.tol, "tol")
        if self.n_jobs is not None:
            _checks.whole(self.n_jobs, "n_jobs", at_least=-_checks.MAX_INT32)
        effective_n_jobs(self.n_jobs)

    def _recipe(self, labels: NDArray[np.int64]) -> Recipe:
        validation = self.validation_fraction if self.early_stopping else 0.0
        images = max(1, num_trained(labels, validation))
        if isinstance(self.batch_size, str):
            largest = max(1, min(max(64, 4 * len(self.classes_)), images // 4))
            # The size whose last batch of an epoch lacks the fewest images.
            batch_size = min(range(largest, largest - largest // 4 - 1, -1), key=lambda size: -images % size)
        else:
            batch_size = int(self.batch_size)
        enough = max(_MIN_EPOCHS, math.ceil(_MIN_STEPS / math.ceil(images / batch_size)))
        epochs = enough if isinstance(self.max_iter, str) else int(self.max_iter)
        return Recipe(
            "LeNetClassifier", epochs=epochs, batch_size=batch_size, lr=self.learning_rate_init,
            momentum=self.momentum, weight_decay=self.alpha, schedule=self.learning_rate,
            distort=bool(self.distortions), validation=validation,
        )  # fmt: skip

    def _all_classes(self, classes: ArrayLike | None, resume: bool) -> NDArray[Any]:
        if classes is None:
            if not resume:
                raise InputError("classes is missing; expected all labels in the first call of partial_fit.")
            return self.classes_
        classes = np.asarray(unique_labels(as_labels(classes, "classes")))
        if len(classes) < 2:
            raise InputError(f"classes is {classes.tolist()}; expected at least two.")
        if resume and not np.array_equal(classes, self.classes_):
            raise InputError(
                f"classes is {classes}; expected {self.classes_}, as in the first call. Omit it, or call fit."
            )
        return classes

    def _training_set(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, classes: NDArray[Any] | None, resume: bool
    ) -> Samples:
        """Return the samples with a weight above 0; set `classes_` and `framing_`."""
        table, shape = as_table(X)
        if resume:
            self.framing_.check(shape)
        table, targets = validated(self, table, as_labels(y, "y"), reset=not resume)
        check_classification_targets(targets)
        if resume:
            classes, framing = self.classes_, self.framing_
            framing.check_scale(table)
            if not isinstance(self.image_shape, str):
                framing.check(shape_of(table.shape[1], self.image_shape, shape))
        else:
            stacklevel = 5 if classes is None else 4  # the decorator of `fit` adds a frame
            framing = framing_of(table, shape_of(table.shape[1], self.image_shape, shape, stacklevel))
        classes, labels = encode(targets, classes)
        weights = _checks.sample_weight(sample_weight, len(table))
        images = framing.images(table)
        if weights is not None and not weights.all():
            images, labels, weights = images[weights > 0], labels[weights > 0], weights[weights > 0]
        self.classes_, self.framing_ = classes, framing
        return Samples(images, labels, weights)

    def _begin(self, resume: bool) -> None:
        """Create the network to train: a copy of the current one, which an error leaves unchanged, or a new one."""
        if resume:
            self.model_ = copy.deepcopy(self.model_)
            return
        random = check_random_state(self.random_state)
        first, self._seed = (int(random.randint(_checks.MAX_INT32)) for _ in range(2))
        self.model_ = LeNet5(first, num_classes=len(self.classes_))
        names = names_of(self.classes_)
        if names != self.model_.classes:
            self.model_.classes = names

    def _reset_history(self) -> None:
        self.n_iter_, self.loss_curve_ = 0, []
        self.validation_scores_ = [] if self.early_stopping else None
        self.best_validation_score_ = None
        self._velocity = np.zeros_like(self.model_.parameters.flat)

    def _train(self, samples: Samples, recipe: Recipe, resume: bool, on_epoch: Callable[[State], bool]) -> State:
        model, state = self.model_, None
        if resume:  # keep the mean and standard deviation that the weights were trained with
            flat = model.parameters.flat
            state = State(flat, self._velocity, flat.copy(), model.mean, model.std)
        return train(
            model, samples.images, samples.labels, recipe, seed=self._seed + self.n_iter_,
            sample_weight=samples.sample_weight, n_jobs=effective_n_jobs(self.n_jobs), state=state, on_epoch=on_epoch,
        )  # fmt: skip

    # ---- predicting ------------------------------------------------------------------------------------

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the most probable label of each image.

        Parameters
        ----------
        X : array_like of shape (n, pixels), (n, height, width) or (n, 1, height, width)
            Images with the shape and range of those in `fit`. Values slightly outside this range are clipped.

        Returns
        -------
        ndarray of shape (n,), with the dtype of `classes_`

        Raises
        ------
        NotFittedError
            If the classifier is not fitted.
        ValueError, TypeError
            If X is invalid, or its shape or scale differs from that in `fit`.
        """
        numbers = self._of_images(X, LeNet5.logits).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[numbers]
        return labels

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return class probabilities, in the order of `classes_`.

        Parameters
        ----------
        X : array_like
            As for `predict`, with the same errors.

        Returns
        -------
        ndarray of shape (n, n_classes)
            With the dtype of `model_`, usually float32. Each row sums to 1.
        """
        return self._of_images(X, LeNet5.predict_proba)

    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the logarithms of class probabilities, in the order of `classes_`.

        Parameters
        ----------
        X : array_like
            As for `predict`, with the same errors.

        Returns
        -------
        ndarray of shape (n, n_classes)
            With the dtype of `model_`, usually float32. Finite even where `predict_proba` underflows to 0.
        """
        return log_softmax(self._of_images(X, LeNet5.logits))

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy on a test set.

        Parameters
        ----------
        X : array_like
            As for `predict`, with the same errors.
        y : array_like of shape (n,)
            True labels.
        sample_weight : float or array_like of shape (n,), optional
            Weight of each image, as for `fit`; equal by default.

        Returns
        -------
        float
            In [0, 1].
        """
        targets = as_labels(y, "y")
        weights = None if sample_weight is None or y is None else _checks.sample_weight(sample_weight, len(targets))
        return float(super().score(X, targets, weights))

    def _of_images(self, X: ArrayLike, method: Callable[..., NDArray[Any]]) -> NDArray[Any]:
        """Apply a method of the network to images in blocks."""
        check_is_fitted(self, "model_")
        table, shape = as_table(X)
        self.framing_.check(shape)
        size = self.framing_.height, self.framing_.width
        if getattr(table, "shape", None) == size and size[0] > 1:  # a single row is a table
            raise InputError(f"X has shape {size}, that of an image; expected a batch. Pass X[np.newaxis].")
        table = validated(self, table, reset=False)
        self.framing_.check_scale(table)
        n_jobs = effective_n_jobs(self.n_jobs)
        out = np.empty((len(table), len(self.classes_)), self.model_.dtype)
        for start in range(0, len(table), _READ_AT_ONCE):
            part = slice(start, start + _READ_AT_ONCE)
            method(self.model_, self.framing_.images(table[part]), n_jobs=n_jobs, out=out[part])
        return out

    # ---- protocols -------------------------------------------------------------------------------------

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_lenet": __version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        _checks.not_newer(state.pop("_lenet", "0"), "LeNetClassifier")
        super().__setstate__(state)
