"""Score large numbers of images on a Dask cluster (`pip install 'lenet[dask]'`)."""

from lenet.scale.scoring import score

__all__ = ["score"]
