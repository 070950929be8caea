"""Figures: learning curves, confusion matrix, worst mistakes, C1's kernels, and the network itself.

Every function returns the bytes of a PNG. They need matplotlib, from the extra ``train``, and raise
`lenet.errors.MissingExtraError` without it. Each has a private part that builds the figure, for the tests.
"""

from lenet.plots.confusion import confusion_matrix
from lenet.plots.curves import learning_curves
from lenet.plots.diagram import architecture
from lenet.plots.kernels import filters
from lenet.plots.mistakes import worst

__all__ = ["architecture", "confusion_matrix", "filters", "learning_curves", "worst"]
