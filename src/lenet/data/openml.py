"""Load MNIST and Fashion-MNIST from a folder, or download them once from OpenML with scikit-learn."""

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
_N_TRAIN = 60_000  # OpenML has one table, with the 10,000 test images at its end


def load_mnist(folder: str | os.PathLike[str] | None = None) -> Dataset:
    """Load MNIST: 60,000 handwritten digits for training and 10,000 for testing.

    Without `folder`, the data set is read from the first of these that exists: the folder ``mnist`` in the folder that
    the environment variable LENET_DATA names; that folder itself; an earlier download; OpenML. Downloads are kept in
    scikit-learn's data folder (SCIKIT_LEARN_DATA, or ``~/scikit_learn_data``).

    Parameters
    ----------
    folder : str or path-like, optional
        A folder of IDX files, as for `load_idx_folder`.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If the folder is invalid as described in `load_idx_folder`, or the table from OpenML is damaged.
    ConfigurationError
        If LENET_DATA does not name a folder.
    DownloadError
        If the download fails.
    MissingExtraError
        If the data set must be downloaded, and scikit-learn or pandas is not installed.

    Notes
    -----
    By Y. LeCun, C. Cortes and C. J. C. Burges; data set 554 on OpenML, `mnist_784`.

    Examples
    --------
    >>> X_train, y_train, X_test, y_test = load_mnist()  # doctest: +SKIP
    >>> load_mnist("no-such-folder")
    Traceback (most recent call last):
    lenet.errors.DataError: no-such-folder is not a folder; ...
    """
    return _load("mnist", folder)


def load_fashion_mnist(folder: str | os.PathLike[str] | None = None) -> Dataset:
    """Load Fashion-MNIST: 60,000 images of clothing for training and 10,000 for testing.

    Without `folder`, the data set is read from the folder ``fashion-mnist`` in the folder that the environment variable
    LENET_DATA names, from an earlier download, or from OpenML. Downloads are kept as by `load_mnist`.

    Parameters
    ----------
    folder : str or path-like, optional
        A folder of IDX files, as for `load_idx_folder`.

    Returns
    -------
    Dataset
        The labels are 0 T-shirt, 1 trouser, 2 pullover, 3 dress, 4 coat, 5 sandal, 6 shirt, 7 sneaker, 8 bag and 9
        ankle boot. `classes` is None.

    Raises
    ------
    DataError, ConfigurationError, DownloadError, MissingExtraError
        As for `load_mnist`.

    Notes
    -----
    By H. Xiao, K. Rasul and R. Vollgraf (2017); data set 40996 on OpenML, `Fashion-MNIST`.

    Examples
    --------
    >>> X_train, y_train, X_test, y_test = load_fashion_mnist()  # doctest: +SKIP
    >>> load_fashion_mnist("no-such-folder")
    Traceback (most recent call last):
    lenet.errors.DataError: no-such-folder is not a folder; ...
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
        raise ConfigurationError(f"LENET_DATA is {setting!r}; expected a folder of IDX files.")
    if (folder / name).is_dir():
        return folder / name
    # Both data sets use the same file names, so only MNIST may be in the folder itself.
    others = any((folder / other).is_dir() for other in _NAMES_AT_OPENML)
    return folder if name == "mnist" and (holds_idx_files(folder) or not others) else None


def _from_openml(name: str) -> Dataset:
    datasets = require("sklearn.datasets", "train")
    try:
        copy = Path(datasets.get_data_home(), "lenet", f"{name}.npz")
        with contextlib.suppress(DataError):  # not there yet, or damaged
            return load_npz(copy)
        table = _fetch(datasets, name)
    except (OSError, ValueError, LookupError, TypeError, EOFError, HTTPException, zlib.error) as error:
        # fetch_openml raises these if the network fails, a proxy answers, or a file is truncated.
        if isinstance(error, HTTPError):
            error.close()
        text = str(error.reason if type(error) is URLError else error)
        reason = text.partition("\n")[0].partition(". ")[0] or type(error).__name__
        raise DownloadError(
            f"{_NAMES_AT_OPENML[name]} could not be downloaded from OpenML ({reason}). Try again, pass a folder of its "
            "IDX files (as an argument, or in LENET_DATA), or use digits, which works offline."
        ) from error
    X, y = table.data, table.target.astype(np.int64)
    source = f"the table {_NAMES_AT_OPENML[name]} from OpenML"
    if X.min() < 0 or X.max() > 255:
        raise DataError(f"{source} has pixels from {X.min()} to {X.max()}; expected 0 to 255. Use IDX files instead.")
    if X.shape[1:] != (SIDE * SIDE,):
        raise DataError(f"{source} has {X.shape[1]} pixels per row; expected 784. Use IDX files instead.")
    X = X.astype(np.uint8, order="C").reshape(-1, SIDE, SIDE)
    dataset = checked(Dataset(X[:_N_TRAIN], y[:_N_TRAIN], X[_N_TRAIN:], y[_N_TRAIN:]), source)
    _keep(dataset, copy)
    return dataset


def _fetch(datasets: Any, name: str) -> Any:
    require("pandas", "train")  # fetch_openml parses with it
    # By default, fetch_openml takes a gigabyte for 64-bit pixels, and with pandas 3.1 it cannot read classes that are
    # digits (scikit-learn#34892). int16, not uint8, as older pandas wraps values that overflow. ARFF may quote classes.
    parsing = {"dtype": "int16", "quotechar": "'"}
    with warnings.catch_warnings():
        # The result or one error shows whether these matter.
        warnings.filterwarnings("ignore", "A network error occurred|Invalid cache")
        return datasets.fetch_openml(
            _NAMES_AT_OPENML[name], version=1, as_frame=False, n_retries=1, read_csv_kwargs=parsing
        )


def _keep(dataset: Dataset, path: Path) -> None:
    """Cache a copy that loads several times faster than the table; ignore a failure to write it."""
    content = io.BytesIO()
    np.savez_compressed(content, **dataset._asdict())
    with contextlib.suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        atomic_write(path, content.getvalue())
