"""LeNetClassifier: LeNet-5 as scikit-learn's users know a classifier.

It imports scikit-learn (extra `train`).
"""

import contextlib
import copy
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data

from lenet import __version__, _checks
from lenet.errors import InputError, InputTypeError
from lenet.estimator.epochs import Epochs
from lenet.estimator.framing import Framing, frame, shape_of
from lenet.estimator.inputs import as_labels, as_table, check_numbers, encode
from lenet.loading import load, load_pretrained
from lenet.losses import log_softmax
from lenet.model import LeNet5
from lenet.training.loop import train
from lenet.training.recipes import Recipe, check_field
from lenet.training.state import State
from lenet.weights import PRETRAINED

_Method = TypeVar("_Method", bound=Callable[..., Any])
if TYPE_CHECKING:  # scikit-learn has no types, and what it decorates would have none either
    with_callbacks: Callable[[_Method], _Method]
else:
    from sklearn.callback import with_callbacks

# The fields of a recipe under the names of scikit-learn.
_RECIPE_FIELDS = {
    "learning_rate_init": "lr", "batch_size": "batch_size", "max_iter": "epochs", "momentum": "momentum",
    "alpha": "weight_decay", "learning_rate": "schedule", "validation_fraction": "validation",
    "n_iter_no_change": "patience",
}  # fmt: skip
_READ_AT_ONCE = 4096  # rows, of which floating images are made
_EPOCHS, _STEPS = 20, 6000  # of max_iter="auto": at least both


class LeNetClassifier(CallbackSupportMixin, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """LeNet-5 as a scikit-learn classifier, with the names of `sklearn.neural_network.MLPClassifier`.

    Parameters
    ----------
    learning_rate_init : float, default 0.1
        The learning rate, or its peak where the schedule changes it.
    batch_size : int or "auto", default "auto"
        Images a step of SGD. "auto" is 32, or a tenth of the training images where they are fewer than 320.
    max_iter : int or "auto", default "auto"
        Epochs: passes over the training images. "auto" is 20, or as many as make 6,000 steps where the images are few:
        a network of sigmoids stands still for the first thousands.
    momentum : float, default 0.9
        Of SGD, in [0, 1).
    alpha : float, default 0
        Weight decay, at least 0.
    learning_rate : {"one_cycle", "constant", "paper_steps"}, default "one_cycle"
        The schedule. `partial_fit` stays at `learning_rate_init`, as it does not know how much is to come.
    warm_start : bool, default False
        Whether `fit` goes on from the weights of the last one, or from those of `from_pretrained`.
    early_stopping : bool, default False
        Whether a part of the images is held out of each class, the weights of the epoch with the least loss on
        it are kept, and training ends when its accuracy no longer rises. Without it, all `max_iter` epochs are run.
    validation_fraction : float, default 0.1
        The part that is held out, in (0, 1).
    n_iter_no_change : int, default 10
        Epochs in a row, after the network has begun to learn, whose validation accuracy does not exceed the best
        one by more than `tol`, after which training stops.
    tol : float, default 1e-4
        See `n_iter_no_change`; at least 0.
    random_state : int, RandomState or None, default None
        Of the initial weights, the validation split, the order of the images and the distortions.
    verbose : bool, default False
        Whether to print a line an epoch.
    n_jobs : int or None, default None
        Threads to train and to predict with. As usual in scikit-learn, None means 1 unless a `joblib.parallel_config`
        says otherwise, and -1 all cores. It does not change the results.
    distortions : bool, default False
        Whether each image goes through a new random affine map in each epoch; right for handwriting.
    image_shape : "auto" or (int, int), default "auto"
        The height and width of the images, at most 28 x 28. With "auto", images are taken as they come, and a table
        with n columns is read as the least square images that hold them, row by row. Either way, up
        to 20x20 is enlarged to 20x20, and all is centred in 28x28. With a shape, X of any other is refused.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, in order.
    n_features_in_ : int
        Pixels an image.
    feature_names_in_ : ndarray of str
        The columns' names, where X was a data frame whose names are all text.
    framing_ : Framing
        The shape of the images, and the values that count as background and as ink: uint8 counts from 0 to
        255, floats in [0, 1] as they are, all else from the least to the greatest value of the first fit's X, but
        where some are negative, as a StandardScaler makes them, at most 3 standard deviations about their mean.
    model_ : LeNet5
        The network.
    n_iter_ : int
        Epochs that were run; `partial_fit` adds one each time.
    loss_curve_ : list of float
        The mean cross-entropy of each epoch, in nats.
    validation_scores_ : list of float, or None without early stopping
        The accuracy on the validation part after each epoch.
    best_validation_score_ : float, or None without early stopping
        The accuracy of the epoch whose weights were kept.

    Notes
    -----
    X is an array or a data frame of shape (n, pixels), or images of shape (n, height, width) or
    (n, 1, height, width); numbers of any type, ink high.

    Threads may share a fitted classifier to predict. While `fit` or `partial_fit` runs, nothing else may use it, and no
    second one may run: fit a clone, and let it take the classifier's place.

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
        """Return a fitted classifier with weights that were trained before.

        Parameters
        ----------
        name : str or path-like, default "mnist"
            The name of weights that lenet ships, or a .safetensors file that lenet wrote. Its pixels are
            from 0 to 255, its classes 0, 1, and so on.
        **parameters
            As of the class, but `warm_start` is True here unless it is given: `fit` goes on from these weights, if the
            labels are among its classes. A clone, as `cross_val_score` makes, is not fitted and trains from the start.

        Returns
        -------
        LeNetClassifier

        Raises
        ------
        InputError, InputTypeError, WeightsError
            If there are no such weights, or the file is damaged.

        Examples
        --------
        >>> import lenet
        >>> digits = lenet.data.load_digits()
        >>> LeNetClassifier.from_pretrained("mnist").score(digits.X_test, digits.y_test) > 0.9
        True
        """
        if not isinstance(name, str | os.PathLike):
            raise InputTypeError(f"name is a {type(name).__name__}; wanted: a name, such as 'mnist', or a path.")
        if name not in PRETRAINED and not Path(name).exists():
            raise InputError(
                f"There are no pre-trained weights and no file {str(name)!r}: choose from {', '.join(PRETRAINED)}, or "
                "give a .safetensors file."
            )
        classifier = cls(**{"warm_start": True, **parameters})
        classifier.model_ = load_pretrained(str(name)) if name in PRETRAINED else load(name)
        classifier.classes_ = np.arange(classifier.model_.num_classes)
        classifier.n_features_in_ = _checks.SIDE**2
        classifier.framing_ = Framing(_checks.SIDE, _checks.SIDE, 0, 255, whole=True)
        classifier._seed = int(check_random_state(classifier.random_state).randint(2**31 - 1))
        classifier._forget_history()
        return classifier

    # ---- learning --------------------------------------------------------------------------------------

    @with_callbacks
    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> "LeNetClassifier":
        """Train on images and labels.

        Parameters
        ----------
        X : array_like of shape (n, pixels), (n, height, width) or (n, 1, height, width)
        y : array_like of shape (n,)
            Labels of any type, at least two different ones.
        sample_weight : array_like of shape (n,), optional
            What each image counts for, at least 0; alike by default. Images of no weight are left out.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If X, y, sample_weight or a parameter cannot be used; the message says what is wanted.

        Warns
        -----
        ConvergenceWarning
            When the network has not learnt more than how often each label comes.
        UserWarning
            When Ctrl-C ends the training; the weights so far are kept.
        """
        self._check_parameters()
        with self._all_or_nothing():
            resume = bool(self.warm_start) and hasattr(self, "model_")
            images, labels, weights = self._training_set(X, y, sample_weight, None, resume)
            recipe = self._recipe(len(images))
            self._begin(resume)
            self._forget_history()
            watch = Epochs(self, recipe, labels, weights, X, y, sample_weight)
            try:
                state = self._train(images, labels, weights, recipe, resume, watch.epoch)
            except KeyboardInterrupt:
                warnings.warn("Training was interrupted: the weights so far are kept.", stacklevel=3)
            else:
                if self.early_stopping:
                    self.best_validation_score_ = state.history[state.best_epoch - 1].val_accuracy
                watch.warn_of_plateau()
            watch.close()
        return self

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> "LeNetClassifier":
        """Train for one epoch on some of the images, where not all fit into memory or they come in time.

        Parameters
        ----------
        X, y : array_like
            As for `fit`. The first call settles how pixels are scaled.
        classes : array_like, optional
            All labels that will ever come; wanted at the first call.
        sample_weight : array_like of shape (n,), optional
            As for `fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            As `fit` does; if classes are missing at the first call, or others than at the first.
        """
        self._check_parameters()
        with self._all_or_nothing():
            resume = hasattr(self, "model_")
            classes = self._all_classes(classes, resume)
            images, labels, weights = self._training_set(X, y, sample_weight, classes, resume)
            recipe = self._recipe(len(images)).with_changes(epochs=1, schedule="constant", validation=0.0)
            self._begin(resume)
            if not resume:
                self._forget_history()
            state = self._train(images, labels, weights, recipe, resume, None)
            self._velocity = state.velocity
            self.n_iter_ += 1
            self.loss_curve_.append(state.history[0].loss)
        return self

    @contextlib.contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Within it, an error leaves the classifier as it was before."""
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
                check_field(field, value, name)
            elif value != "auto":
                raise InputError(f"{name} is {value!r}; expected 'auto' or a whole number of at least 1.")
        for name in ("warm_start", "early_stopping", "distortions"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise InputTypeError(f"{name} is {getattr(self, name)!r}; expected True or False.")
        if not self.validation_fraction:
            raise InputError(f"validation_fraction is {self.validation_fraction!r}; expected a number above 0.")
        if not 0 <= _checks.number(self.tol, "tol") < math.inf:
            raise InputError(f"tol is {self.tol!r}; expected a number of at least 0.")
        if self.n_jobs is not None:
            _checks.whole(self.n_jobs, "n_jobs", least=-(2**31))
        effective_n_jobs(self.n_jobs)

    def _recipe(self, images: int) -> Recipe:
        validation = self.validation_fraction if self.early_stopping else 0.0
        batch_size, epochs = self.batch_size, self.max_iter
        if isinstance(batch_size, str):
            batch_size = max(1, min(32, images // 10))
        if isinstance(epochs, str):
            epochs = max(_EPOCHS, math.ceil(_STEPS * batch_size / images))
        return Recipe(
            "LeNetClassifier",
            epochs=epochs,
            batch_size=batch_size,
            lr=self.learning_rate_init,
            momentum=self.momentum,
            weight_decay=self.alpha,
            schedule=self.learning_rate,
            distort=bool(self.distortions),
            validation=validation,
        )

    def _all_classes(self, classes: ArrayLike | None, resume: bool) -> NDArray[Any]:
        if classes is None:
            if not resume:
                raise InputError("classes are wanted at the first call of partial_fit: all labels that will ever come.")
            return self.classes_
        classes = np.asarray(unique_labels(as_labels(classes, "classes")))
        if len(classes) < 2:
            raise InputError(f"classes are {classes.tolist()}, and at least two are wanted: all that will ever come.")
        if resume and not np.array_equal(classes, self.classes_):
            raise InputError(
                f"classes are {classes}, and at first they were {self.classes_}: leave them out, or fit anew."
            )
        return classes

    def _training_set(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, classes: NDArray[Any] | None, resume: bool
    ) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.float64] | None]:
        """Return images of shape (n, 28, 28), labels from 0 on, and weights, and settle what a first fit settles."""
        table, shape = as_table(X)
        if resume:
            self.framing_.check(shape)
        table, targets = validate_data(self, table, as_labels(y, "y"), reset=not resume)
        check_numbers(table)
        check_classification_targets(targets)
        if resume:
            classes, framing = self.classes_, self.framing_
            framing.check_scale(table)
            if not isinstance(self.image_shape, str):
                framing.check(shape_of(table.shape[1], self.image_shape, shape))
        else:
            framing = frame(table, shape_of(table.shape[1], self.image_shape, shape))
        classes, labels = encode(targets, classes)
        weights = _checks.weights(sample_weight, len(table))
        images = framing.images(table)
        if weights is not None and not weights.all():
            images, labels, weights = images[weights > 0], labels[weights > 0], weights[weights > 0]
        self.classes_, self.framing_ = classes, framing
        return images, labels, weights

    def _begin(self, resume: bool) -> None:
        """Make the network that is trained: a copy of the one before, which an error leaves as it is, or a new one."""
        if resume:
            self.model_ = copy.deepcopy(self.model_)
            return
        random = check_random_state(self.random_state)
        first, self._seed = (int(random.randint(2**31 - 1)) for _ in range(2))  # nosec B311 # of weights, no secrets
        self.model_ = LeNet5(first, num_classes=len(self.classes_))

    def _forget_history(self) -> None:
        self.n_iter_, self.loss_curve_ = 0, []
        self.validation_scores_ = [] if self.early_stopping else None
        self.best_validation_score_ = None
        self._velocity = np.zeros_like(self.model_.parameters.flat)

    def _train(
        self,
        images: NDArray[Any],
        labels: NDArray[np.int64],
        weights: NDArray[np.float64] | None,
        recipe: Recipe,
        resume: bool,
        on_epoch: Callable[[State], bool] | None,
    ) -> State:
        model, before = self.model_, None
        if resume:  # with the scale of the pixels that the weights are used to
            flat = model.parameters.flat
            before = State(flat, self._velocity, flat.copy(), model.mean, model.std)
        return train(
            model, images, labels, recipe, seed=self._seed + self.n_iter_, sample_weight=weights,
            n_jobs=effective_n_jobs(self.n_jobs), state=before, on_epoch=on_epoch,
        )  # fmt: skip

    # ---- predicting ------------------------------------------------------------------------------------

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the likeliest label of each image.

        Parameters
        ----------
        X : array_like of shape (n, pixels), (n, height, width) or (n, 1, height, width)
            As at `fit`, with pixels in the same range; values beyond it count as its ends.

        Returns
        -------
        ndarray of shape (n,), of the type of `classes_`

        Raises
        ------
        NotFittedError
        ValueError, TypeError
            If X is not what `fit` was given; the message says what is wanted.
        """
        numbers = self._of_images(X, LeNet5.logits).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[numbers]
        return labels

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return each label's probability, in the order of `classes_`.

        Parameters
        ----------
        X : array_like
            As for `predict`, with the same errors.

        Returns
        -------
        ndarray of float32, shape (n, n_classes), each row adding up to 1
        """
        return self._of_images(X, LeNet5.predict_proba)

    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return the natural logarithm of each label's probability, finite where `predict_proba` is 0.

        Parameters
        ----------
        X : array_like
            As for `predict`, with the same errors.

        Returns
        -------
        ndarray of float32, shape (n, n_classes)
        """
        logits = self._of_images(X, LeNet5.logits)
        return log_softmax(logits).astype(logits.dtype)

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the part of the images whose likeliest label is the right one.

        Parameters
        ----------
        X : array_like
            As for `predict`, with the same errors.
        y : array_like of shape (n,)
            The right labels.
        sample_weight : array_like of shape (n,), optional
            What each image counts for; alike by default.

        Returns
        -------
        float
            In [0, 1].
        """
        targets = as_labels(y, "y")
        weights = None if sample_weight is None else _checks.weights(sample_weight, len(targets))
        return float(super().score(X, targets, weights))

    def _of_images(self, X: ArrayLike, method: Callable[..., NDArray[Any]]) -> NDArray[Any]:
        """Return what a method of the network makes of each image."""
        check_is_fitted(self, "model_")
        table, shape = as_table(X)
        self.framing_.check(shape)
        table = validate_data(self, table, reset=False)
        check_numbers(table)
        self.framing_.check_scale(table)
        n_jobs = effective_n_jobs(self.n_jobs)
        out = np.empty((len(table), len(self.classes_)), self.model_.dtype)
        for start in range(0, len(table), _READ_AT_ONCE):
            part = slice(start, start + _READ_AT_ONCE)
            method(self.model_, self.framing_.images(table[part]), n_jobs=n_jobs, out=out[part])
        return out

    # ---- what scikit-learn asks ------------------------------------------------------------------------

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_lenet": __version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        _checks.not_newer(state.pop("_lenet", "0"), "LeNetClassifier")
        super().__setstate__(state)
