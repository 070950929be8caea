"""Load a data set by name or path, as on the command line."""

import os
from pathlib import Path

from lenet.data.dataset import Dataset
from lenet.data.digits import load_digits
from lenet.data.idx import load_idx_folder
from lenet.data.npz import load_npz
from lenet.data.openml import load_fashion_mnist, load_mnist
from lenet.errors import DataError

_BY_NAME = {"digits": load_digits, "mnist": load_mnist, "fashion-mnist": load_fashion_mnist}


def load(source: str | os.PathLike[str]) -> Dataset:
    """Load a data set by name or path.

    Parameters
    ----------
    source : str or path-like
        `digits`, `mnist`, `fashion-mnist`, a folder of IDX files, or an ``.npz`` file. Names take precedence: write
        ``./mnist`` for a folder with that name.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If `source` is none of these, or its files are damaged.
    DownloadError, ConfigurationError, MissingExtraError
        As for `load_mnist`.

    Examples
    --------
    >>> load("digits").X_test.shape
    (359, 28, 28)
    >>> load("digitz")
    Traceback (most recent call last):
    lenet.errors.DataError: 'digitz' is not a data set; ...
    """
    name = os.fspath(source)
    if name in _BY_NAME:
        return _BY_NAME[name]()
    path = Path(name)
    if name and path.is_dir():  # Path("") would be the current folder
        return load_idx_folder(path)
    if path.suffix.lower() == ".npz":
        return load_npz(path)
    raise DataError(f"{name!r} is not a data set; expected {', '.join(_BY_NAME)}, a folder of IDX files or a FILE.npz.")
