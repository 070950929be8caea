"""The data set that every loader returns, its validation, and a stratified split."""

import hashlib
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenet import class_names
from lenet._checks import SIDE
from lenet.errors import DataError, InputError

MAX_IMAGES = 1_000_000
MAX_BYTES = MAX_IMAGES * SIDE * SIDE  # of one array from an untrusted file
SAMPLE = 200  # images, enough to decide whether the ink is dark
ONE_PICTURE_IN, ONE_ROW_IN = 5, 7  # of each class, held out for testing
_MAX_LIGHT_BORDER = 2 / 3  # fraction of the border; if more is light, it is paper

logger = logging.getLogger(__name__)


class _Arrays(NamedTuple):
    X_train: NDArray[np.uint8]
    y_train: NDArray[np.int64]
    X_test: NDArray[np.uint8]
    y_test: NDArray[np.int64]


class Dataset(_Arrays):
    """A training set and a test set: a named tuple of four arrays.

    Parameters
    ----------
    X_train, y_train : ndarray of uint8, shape (n_train, 28, 28), and of int64, shape (n_train,)
        Images, from 0 (background) to 255 (ink), and their labels, from 0.
    X_test, y_test : ndarray of uint8, shape (n_test, 28, 28), and of int64, shape (n_test,)
        The same for the test set.

    Attributes
    ----------
    classes : tuple of str, or None
        The names of the classes in the order of the labels; None if the source has only numbers.

    Examples
    --------
    >>> from lenet.data import load_digits
    >>> X_train, y_train, X_test, y_test = load_digits()
    >>> X_train.dtype, y_train.dtype
    (dtype('uint8'), dtype('int64'))
    """

    classes: tuple[str, ...] | None = None

    def _replace(self, **changes: Any) -> "Dataset":
        """Return the data set with other arrays and the same class names."""
        replaced = super()._replace(**changes)
        replaced.classes = self.classes
        return replaced

    def with_classes(self, classes: Sequence[str]) -> "Dataset":
        """Return the same arrays with other class names.

        Parameters
        ----------
        classes : sequence of str
            The names in the order of the labels.

        Returns
        -------
        Dataset

        Raises
        ------
        InputError, InputTypeError
            If the names are not distinct, printable strings of 1 to 100 characters, or a label has none.
        """
        named = Dataset(*self)
        named.classes = class_names.checked(classes)
        last = max(self.y_train.max(initial=-1), self.y_test.max(initial=-1))
        if last >= len(named.classes):
            raise InputError(f"classes has {len(named.classes)} names; expected {last + 1}, one for each label.")
        if min(self.y_train.min(initial=0), self.y_test.min(initial=0)) < 0:
            raise InputError("A label is negative; expected labels from 0. Renumber them.")
        return named

    def sha256(self, *, test_only: bool = False) -> str:
        """Return the SHA-256 of the arrays, which identifies the data of a run.

        Parameters
        ----------
        test_only : bool, default False
            Whether to include only the test set.

        Returns
        -------
        str
            64 hexadecimal digits.
        """
        digest = hashlib.sha256()
        for array in (self.X_test, self.y_test) if test_only else self:
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def numbered_as(self, classes: Sequence[str], source: str = "The data set") -> "Dataset":
        """Return the data set with its labels numbered as in `classes`.

        A data set of your own may have the classes of a model in another order, or lack some, such as a folder of
        digits without ``3``. Its labels must then be renumbered before they are compared with the model's.

        Parameters
        ----------
        classes : sequence of str
            For example, `LeNet5.classes`.
        source : str, default "The data set"
            The name of the data set, for the error message.

        Returns
        -------
        Dataset
            If the data set has no class names, its labels are indices of `classes`. However, if one of `classes` is a
            number other than its own index, as in "1" to "9", the labels are taken as names.

        Raises
        ------
        DataError
            If the data set has a class that is not in `classes`, or a label that is not an index of `classes`.

        Examples
        --------
        >>> X = np.zeros((2, 28, 28), np.uint8)
        >>> own = Dataset(X[:0], np.arange(0), X, np.array([0, 1])).with_classes(["2", "4"])
        >>> own.numbered_as(["0", "1", "2", "3", "4"]).y_test
        array([2, 4])
        """
        classes = class_names.checked(classes)
        if self.classes is None:
            labels = np.concatenate([self.y_train, self.y_test])
            if any(name.isdecimal() and int(name) != n for n, name in enumerate(classes)):
                found, places = np.unique(labels, return_inverse=True)
                y_train, y_test = np.split(places, [len(self.y_train)])
                named = self._replace(y_train=y_train, y_test=y_test).with_classes([*map(str, found)])
                return named.numbered_as(classes, source)
            ends = labels.min(initial=0), labels.max(initial=0)
            unknown = [str(end) for end in ends if not 0 <= end < len(classes)]
        else:
            unknown = [name for name in self.classes if name not in classes]
        if unknown:
            raise DataError(
                f"{source} has the class {unknown[0]!r}; expected only classes of the model: {', '.join(classes[:20])}"
                f"{', ...' if len(classes) > 20 else ''}. Use the model that was trained on these classes."
            )
        if self.classes is None or self.classes == classes:
            return self
        numbers: NDArray[Any] = np.array([classes.index(name) for name in self.classes])
        return self._replace(y_train=numbers[self.y_train], y_test=numbers[self.y_test]).with_classes(classes)


def checked(dataset: Dataset, source: str) -> Dataset:
    """Return `dataset` after validating it; errors name the source.

    Examples
    --------
    >>> images, labels = np.zeros((2, 28, 28), np.uint8), np.array([0, 1])
    >>> checked(Dataset(images, labels, images, labels[:1]), "my set")
    Traceback (most recent call last):
    lenet.errors.DataError: my set ...
    """
    X_train, y_train, X_test, y_test = dataset
    for part, X, y in (("training", X_train, y_train), ("test", X_test, y_test)):
        if X.ndim != 3 or X.shape[1:] != (SIDE, SIDE):
            raise DataError(f"{source} has {part} images of shape {X.shape[1:]}; expected {SIDE}x{SIDE} pixels.")
        if len(X) != len(y):
            raise DataError(
                f"{source} has {len(X)} {part} images and {len(y)} {part} labels; expected one label per image."
            )
        if len(X) == 0:
            raise DataError(f"{source} has no {part} images; expected at least one.")
        check_levels(X, source)
    _check_labels(y_train, y_test, source)
    return dataset


def named(dataset: Dataset, names: Sequence[str] | None, source: str) -> Dataset:
    """Return `dataset` with names of its classes, if there are any; raise DataError, which names the source."""
    try:
        return dataset if names is None else dataset.with_classes(names)
    except InputError as error:
        raise DataError(f"{source}: {error}") from None


def check_levels(X: NDArray[np.uint8], source: str) -> None:
    """Raise DataError if all pixels are 0 or 1, which would be black or nearly black."""
    if X.max(initial=0) == 1:
        raise DataError(f"{source} has integer pixels of 0 and 1 only; expected 0 to 255. Multiply them by 255.")


def are_dark_on_light(X: NDArray[np.uint8]) -> bool:
    """Return whether the border of most images, shape (n, height, width), is light, like paper."""
    sample = X[:: max(1, -(-len(X) // SAMPLE))]
    border = np.concatenate([sample[:, 0], sample[:, -1], sample[:, :, 0], sample[:, :, -1]], axis=1)
    is_light = np.count_nonzero(border > 127, axis=1) > _MAX_LIGHT_BORDER * border.shape[1]
    return bool(2 * np.count_nonzero(is_light) > len(sample))


def check_polarity(X: NDArray[np.uint8], source: str) -> None:
    """Log a warning if most images are dark on light."""
    if are_dark_on_light(X):
        logger.warning(
            "%s: most images look dark on light; expected light ink on a dark background. Invert them: 255 - X.", source
        )


def _check_labels(y_train: NDArray[np.int64], y_test: NDArray[np.int64], source: str) -> None:
    found = np.unique(y_train)
    low, high = int(found[0]), int(found[-1])
    # An excerpt of MNIST may lack a digit. Above ten classes, a gap most likely comes from a stray label of a damaged
    # file, and would give the network useless outputs.
    if low < 0 or (high > 9 and len(found) != high + 1):
        raise DataError(
            f"{source} has {len(found)} different training labels, from {low} to {high}; expected 0 to "
            f"{len(found) - 1} without gaps. Renumber them (in NumPy: np.unique(y, return_inverse=True)[1]), or use "
            f"names, such as c{high}."
        )
    unknown = y_test[(y_test < 0) | (y_test > max(high, 9))]
    if len(unknown):
        raise DataError(
            f"{source} has the test label {unknown[0]}, but its training labels end at {high}. Number the classes of "
            "both parts from 0."
        )


def stratified_split(
    X: NDArray[np.uint8], y: NDArray[np.int64], one_in: int, source: str, hold_out: bool = True
) -> Dataset:
    """Hold out one in `one_in` images of each class for testing, always the same ones, in the original order.

    X has shape (n, 28, 28), and y (n,). Without `hold_out`, all images are for testing, and none for training.

    Examples
    --------
    >>> y = np.repeat([0, 1], 10)
    >>> stratified_split(np.zeros((20, 28, 28), np.uint8), y, 5, "my set").y_test
    array([0, 0, 1, 1])
    """
    if len(X) != len(y):
        raise DataError(f"{source} has {len(X)} images and {len(y)} labels; expected one label per image.")
    if not hold_out:
        check_levels(X, source)
        if y.min(initial=0) < 0:
            raise DataError(f"{source} has the label {y.min()}; expected labels from 0. Renumber them.")
        return Dataset(X[:0], y[:0], X, y)
    # NumPy guarantees that the raw output of a bit generator never changes; Generator.permutation may.
    order = np.argsort(np.random.PCG64(1998).random_raw(len(y)), kind="stable")
    by_class = order[np.argsort(y[order], kind="stable")]
    _, starts, counts = np.unique(y[by_class], return_index=True, return_counts=True)
    places = np.arange(len(y)) - np.repeat(starts, counts)  # in the class
    is_test = np.zeros(len(y), dtype=bool)
    is_test[by_class[places < np.repeat(np.rint(counts / one_in), counts)]] = True
    if len(y) and not is_test.any():
        raise DataError(
            f"{source} has at most {counts.max()} images per class; expected at least {one_in // 2 + 1}, of which 1 in "
            f"{one_in} is held out for testing. Add images, or a test set."
        )
    return checked(Dataset(X[~is_test], y[~is_test], X[is_test], y[is_test]), source)
