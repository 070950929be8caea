from typing import Any

import numpy as np
from numpy.typing import NDArray

def affine(images: NDArray[Any], maps: NDArray[np.float64], out: NDArray[Any]) -> None: ...
