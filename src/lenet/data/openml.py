"""MNIST and Fashion-MNIST: from a folder when there is one, else downloaded once from OpenML by scikit-learn."""

import contextlib
import io
import os
import warnings
import zlib
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import numpy as np

from lenet._checks import SIDE
from lenet._extras import require
from lenet._files import atomic_write
from lenet.data.dataset import Dataset, checked
from lenet.data.idx import holds_idx_files, load_idx_folder
from lenet.data.npz import load_npz
from lenet.errors import ConfigurationError, DataError, DownloadError

_NAMES_AT_OPENML = {"mnist": "mnist_784", "fashion-mnist": "Fashion-MNIST"}
_N_TRAIN = 60_000  # OpenML has both parts in one table, the 10,000 test images at its end


def load_mnist(folder: str | os.PathLike[str] | None = None) -> Dataset:
    """Return MNIST, 60,000 handwritten digits to train on and 10,000 to test on.

    The first of these that exists is read: `folder`; the folder that the environment variable LENET_DATA names, or
    `mnist` in it; what an earlier call has downloaded; OpenML. A download is kept in scikit-learn's data folder
    (SCIKIT_LEARN_DATA, or `scikit_learn_data` at home).

    Parameters
    ----------
    folder : str or path-like, optional
        A folder of IDX files, see `load_idx_folder`.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        When the files of the folder, or the table from OpenML, are damaged.
    ConfigurationError
        When LENET_DATA does not name a folder.
    DownloadError
        When the download fails.
    MissingExtraError
        When there is no folder and scikit-learn or pandas is not installed.

    Notes
    -----
    By Y. LeCun, C. Cortes and C. J. C. Burges; at OpenML it is set 554, `mnist_784`.

    Examples
    --------
    >>> X_train, y_train, X_test, y_test = load_mnist()  # doctest: +SKIP
    >>> load_mnist("no-such-folder")
    Traceback (most recent call last):
    lenet.errors.DataError: no-such-folder is not a folder: give one that holds the four IDX files of a set.
    """
    return _load("mnist", folder)


def load_fashion_mnist(folder: str | os.PathLike[str] | None = None) -> Dataset:
    """Return Fashion-MNIST, 60,000 pictures of clothes to train on and 10,000 to test on.

    It is found as `load_mnist` finds MNIST, but LENET_DATA must have it in a folder `fashion-mnist` of its own.

    Parameters
    ----------
    folder : str or path-like, optional
        A folder of IDX files, see `load_idx_folder`.

    Returns
    -------
    Dataset
        Classes: 0 T-shirt, 1 trouser, 2 pullover, 3 dress, 4 coat, 5 sandal, 6 shirt, 7 sneaker, 8 bag, 9 ankle boot.

    Raises
    ------
    DataError, ConfigurationError, DownloadError, MissingExtraError
        As `load_mnist`.

    Notes
    -----
    By H. Xiao, K. Rasul and R. Vollgraf (2017); at OpenML it is set 40996, `Fashion-MNIST`.

    Examples
    --------
    >>> X_train, y_train, X_test, y_test = load_fashion_mnist()  # doctest: +SKIP
    >>> load_fashion_mnist("no-such-folder")
    Traceback (most recent call last):
    lenet.errors.DataError: no-such-folder is not a folder: give one that holds the four IDX files of a set.
    """
    return _load("fashion-mnist", folder)


def _load(name: str, folder: str | os.PathLike[str] | None) -> Dataset:
    folder = _folder_from_environment(name) if folder is None else folder
    return _from_openml(name) if folder is None else load_idx_folder(folder)


def _folder_from_environment(name: str) -> Path | None:
    setting = os.environ.get("LENET_DATA")
    if not setting:
        return None
    folder = Path(setting)
    if not folder.is_dir():
        raise ConfigurationError(f"LENET_DATA is {setting!r}, which is not a folder: set it to a folder of IDX files.")
    if (folder / name).is_dir():
        return folder / name
    # Both sets have the same file names, so only MNIST may lie in the folder itself.
    others = any((folder / other).is_dir() for other in _NAMES_AT_OPENML)
    return folder if name == "mnist" and (holds_idx_files(folder) or not others) else None


def _from_openml(name: str, n_train: int = _N_TRAIN) -> Dataset:
    datasets = require("sklearn.datasets", "train")
    try:
        copy = Path(datasets.get_data_home(), "lenet", f"{name}.npz")
        with contextlib.suppress(DataError):  # not there yet, or damaged
            return load_npz(copy)
        table = _fetch(datasets, name)
    except (OSError, ValueError, LookupError, TypeError, EOFError, HTTPException, zlib.error) as error:
        # What fetch_openml raises when the network, a proxy's page or a cut file is in its way.
        if isinstance(error, HTTPError):
            error.close()
        reason = _first_sentence(str(error.reason if type(error) is URLError else error)) or type(error).__name__
        raise DownloadError(
            f"{_NAMES_AT_OPENML[name]} could not be downloaded from OpenML ({reason}): try again, give a folder of its "
            "IDX files (as argument, or in LENET_DATA), or use digits, which needs no network."
        ) from error
    X, y = table.data, table.target.astype(np.int64)
    source = f"the table {_NAMES_AT_OPENML[name]} from OpenML"
    if X.min() < 0 or X.max() > 255:
        raise DataError(f"{source} has pixels from {X.min()} to {X.max()}, not 0 to 255: give a folder of IDX files.")
    if X.shape[1:] != (SIDE * SIDE,):
        raise DataError(f"{source} has {X.shape[1]} pixels in a row, not 784: give a folder of the set's IDX files.")
    X = X.astype(np.uint8, order="C").reshape(-1, SIDE, SIDE)
    dataset = checked(Dataset(X[:n_train], y[:n_train], X[n_train:], y[n_train:]), source)
    _keep(dataset, copy)
    return dataset


def _fetch(datasets: Any, name: str) -> Any:
    require("pandas", "train")  # fetch_openml parses with it
    # Every column is a byte, the class too. Left to itself, fetch_openml would take a gigabyte for 64-bit pixels, and
    # with pandas 3.1 it cannot read classes that are digits (scikit-learn#34892). Two bytes, since older pandas wrap
    # what does not fit. ARFF may put a class in quotes.
    parsing = {"dtype": "int16", "quotechar": "'"}
    with warnings.catch_warnings():
        # What comes of them is said by the result, or by one error.
        warnings.filterwarnings("ignore", "A network error occurred|Invalid cache")
        return datasets.fetch_openml(
            _NAMES_AT_OPENML[name], version=1, as_frame=False, n_retries=1, read_csv_kwargs=parsing
        )


def _first_sentence(text: str) -> str:
    return text.partition("\n")[0].partition(". ")[0]


def _keep(dataset: Dataset, path: Path) -> None:
    """Keep a copy that is read several times faster than OpenML's table; where it cannot be written, do without."""
    content = io.BytesIO()
    np.savez_compressed(content, **dataset._asdict())
    with contextlib.suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        atomic_write(path, content.getvalue())
