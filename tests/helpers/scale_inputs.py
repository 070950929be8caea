"""The images from which the tests of parts read, as files, and a comparison of the parts with them."""

import io

import numpy as np
import pytest

from lenet.scale.sources import parts_of

for needed in ("dask.array", "dask.bag", "dask.dataframe", "fsspec", "zarr"):
    pytest.importorskip(needed)
pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")
pq = pytest.importorskip("pyarrow.parquet")

N = 23
X = np.random.default_rng(0).integers(0, 256, (N, 28, 28), np.uint8)
IN_BYTES = [image.tobytes() for image in X]
NAMES = [f"pixel{k}" for k in range(784)]


def loaded(part):
    block = () if part.block is None else (part.block.compute(),)
    return np.concatenate([np.asarray(each).reshape(-1, 28, 28) for each in part.load(*block)])


def check(images, expected, column=None, pixels=X):
    """Check the names, starts and numbers of rows of the parts, and their images."""
    parts = parts_of(images, column)
    assert [(part.name, part.start, part.rows) for part in parts] == expected
    np.testing.assert_array_equal(np.concatenate([loaded(part) for part in parts]), pixels)


def npy_of(array, version=None):
    np.lib.format.write_array(file := io.BytesIO(), np.asanyarray(array), version)
    return file.getvalue()


def save_parquet(path, group=8, **arrays):
    pq.write_table(pa.table(arrays or {"image": IN_BYTES}), path, row_group_size=group)


def csv_of():
    return pd.DataFrame(X.reshape(N, 784), columns=NAMES).to_csv(index=False).encode()


def thirds(name):
    return [(name, 0, 10), (name, 10, 10), (name, 20, 3)]
