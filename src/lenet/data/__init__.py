"""Load labelled 28x28 images from files, scikit-learn or OpenML.

Only `load_mnist` and `load_fashion_mnist` access the network, and only if no folder or earlier download has the data.

Examples
--------
>>> from lenet.data import load
>>> X_train, y_train, X_test, y_test = load("digits")
>>> X_train.shape, y_test.shape
((1438, 28, 28), (359,))
"""

from lenet.data.csv import load_csv, read_csv
from lenet.data.dataset import Dataset
from lenet.data.digits import load_digits
from lenet.data.idx import load_idx_folder, read_idx
from lenet.data.image_folder import load_image_folder
from lenet.data.npz import load_npy_folder, load_npz
from lenet.data.openml import load_fashion_mnist, load_mnist
from lenet.data.parquet import load_parquet
from lenet.data.sources import load

__all__ = [
    "Dataset",
    "load",
    "load_csv",
    "load_digits",
    "load_fashion_mnist",
    "load_idx_folder",
    "load_image_folder",
    "load_mnist",
    "load_npy_folder",
    "load_npz",
    "load_parquet",
    "read_csv",
    "read_idx",
]
