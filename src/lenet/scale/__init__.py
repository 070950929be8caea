"""Score more images than one process should read, on a Dask cluster (`pip install 'lenet[dask]'`)."""

from lenet.scale.scoring import score

__all__ = ["score"]
