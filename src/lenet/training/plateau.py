"""The plateau on which training starts: the network guesses, and the loss is the entropy of the labels."""

import warnings

import numpy as np
from numpy.typing import NDArray


class Plateau:
    """The loss of a network that always predicts the (weighted) frequencies of the labels."""

    def __init__(self, labels: NDArray[np.int64], sample_weight: NDArray[np.float64] | None):
        frequencies = np.bincount(labels, sample_weight)
        frequencies = frequencies[frequencies > 0] / frequencies.sum()
        self.entropy = -float(frequencies @ np.log(frequencies))

    def includes(self, loss: float) -> bool:
        """Return whether a loss is at least 90% of that of guessing; with one class, there is no plateau."""
        return self.entropy > 0 and loss >= 0.9 * self.entropy

    def warn(self, loss: float, steps: int, advice: str, category: type[Warning] = UserWarning) -> None:
        """Warn if the final loss is on the plateau.

        The warning points at the caller of the public function, which is two frames above this method.
        """
        if self.includes(loss):
            warnings.warn(
                f"The network has hardly begun to learn: after {steps:,} steps, its loss is {loss:.3g} (guessing: "
                f"{self.entropy:.3g}). Sigmoid networks start on a plateau of thousands of steps. {advice}",
                category,
                stacklevel=4,
            )
