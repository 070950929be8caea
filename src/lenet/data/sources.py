"""Load a data set by name or path, as on the command line."""

import logging
import os
from pathlib import Path

from lenet.data.csv import SUFFIXES as CSV_SUFFIXES
from lenet.data.csv import load_csv
from lenet.data.dataset import Dataset
from lenet.data.digits import load_digits
from lenet.data.idx import holds_idx_files, load_idx_folder
from lenet.data.image_folder import holds_classes, load_image_folder
from lenet.data.npz import holds_npy_files, load_npy_folder, load_npz
from lenet.data.openml import load_fashion_mnist, load_mnist
from lenet.data.parquet import SUFFIXES, holds_parquet_files, load_parquet
from lenet.data.pictures import Progress, checked_options
from lenet.errors import DataError

_BY_NAME = {"digits": load_digits, "mnist": load_mnist, "fashion-mnist": load_fashion_mnist}

logger = logging.getLogger(__name__)


def load(
    source: str | os.PathLike[str],
    *,
    raw: bool = False,
    strict: bool = False,
    progress: Progress | None = None,
    hold_out: bool = True,
) -> Dataset:
    """Load a data set by name or path.

    If most images of a file or folder of arrays or pixels look dark on light, a warning is logged.

    Parameters
    ----------
    source : str or path-like
        The name "digits", "mnist" or "fashion-mnist"; or a folder of IDX, ``.npy`` or Parquet files, or with one
        subfolder of pictures per class; or a file: ``.npz``, ``.parquet``, ``.pq``, ``.csv``, ``.tsv``, ``.csv.gz`` or
        ``.tsv.gz``. Names take precedence, which is logged: write "./mnist" for a folder with that name.
    raw, strict, progress : bool, bool and callable
        For pictures, as for `load_image_folder`.
    hold_out : bool, default True
        Whether to hold out a part for testing if a file or folder has no test set. If False, all its images are for
        testing, and none for training.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If `source` is none of these, or its files are invalid.
    DownloadError, ConfigurationError
        As for `load_mnist`.
    MissingExtraError
        If a package that the source requires is not installed.
    TypeError
        If `source` is neither a str nor path-like, or another argument has another type.

    Examples
    --------
    >>> load("digits").X_test.shape
    (359, 28, 28)
    >>> load("digitz")
    Traceback (most recent call last):
    lenet.errors.DataError: 'digitz' does not exist and is not the name of a data set; ...
    """
    options = checked_options(raw, strict, progress, hold_out)
    name = os.fspath(source)
    if name in _BY_NAME:
        if Path(name).exists():
            logger.info("%s is the built-in data set; write ./%s for the file or folder of that name", name, name)
        return _BY_NAME[name]()
    path = Path(name)
    if name and path.is_dir():  # Path("") would be the current folder
        if holds_npy_files(path):
            return load_npy_folder(path, hold_out=hold_out)
        if holds_parquet_files(path):
            return load_parquet(path, **options._asdict())
        if holds_idx_files(path):
            return load_idx_folder(path)
        if holds_classes(path):
            return load_image_folder(path, **options._asdict())
        raise DataError(
            f"{path} has no data set; expected a subfolder of pictures per class, or IDX, .npy or Parquet files. "
            "If it contains the pictures of one class, pass the folder above it."
        )
    if path.is_file() and not path.stat().st_size:
        raise DataError(f"{path} is empty; expected a data set. Save or download it again.")
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return load_npz(path, hold_out=hold_out)
    if suffix in SUFFIXES:
        return load_parquet(path, **options._asdict())
    if path.name.lower().endswith(CSV_SUFFIXES):
        return load_csv(path, hold_out=hold_out)
    if suffix == ".zip" and path.is_file():
        raise DataError(
            f"{path} is a ZIP file; expected a folder or a file of data. Unpack it, and pass the folder or file in it."
        )
    what = "is not a data set" if path.exists() else "does not exist and is not the name of a data set"
    raise DataError(
        f"{name!r} {what}; expected {', '.join(_BY_NAME)}, a folder (one subfolder of pictures per class, or IDX, .npy "
        "or Parquet files), or a .csv, .npz or .parquet file."
    )
