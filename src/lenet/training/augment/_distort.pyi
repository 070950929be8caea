from typing import Any

import numpy as np
from numpy.typing import NDArray

def affine(images: NDArray[Any], maps: NDArray[np.float64], out: NDArray[Any], /) -> None: ...
def vary(
    images: NDArray[np.uint8],
    maps: NDArray[np.float64],
    bends: NDArray[np.float32],
    pens: NDArray[np.float32],
    seeds: NDArray[np.uint64],
    out: NDArray[np.uint8],
    /,
) -> None: ...
