"""Figures: learning curves, comparisons of runs, confusion matrix, worst mistakes, kernels of C1, and the architecture.

Every function returns the bytes of a PNG. It requires matplotlib (extra ``train``), and raises
`lenet.errors.MissingExtraError` without it.
"""

from lenet.plots.confusion import confusion_matrix
from lenet.plots.curves import comparison, learning_curves
from lenet.plots.diagram import architecture
from lenet.plots.kernels import filters
from lenet.plots.mistakes import worst

__all__ = ["architecture", "comparison", "confusion_matrix", "filters", "learning_curves", "worst"]
