"""A figure of the confusion matrix of a test set."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lenet._checks import array
from lenet.class_names import checked
from lenet.errors import InputError
from lenet.plots.style import INK, PALE, PALE_BLUE, VERMILLION, color_bar, colormap, drawable, new_figure, png, restyle

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_NUMBERS = 5_000  # more would take minutes to draw, and nobody could read them


def confusion_matrix(matrix: npt.ArrayLike, classes: Sequence[str] | None = None) -> bytes:
    """Draw a confusion matrix that highlights mistakes.

    The colour of a mistake shows its percentage of the true class. The diagonal has one pale colour, because it would
    otherwise dominate the figure; it is white for classes without images.

    Parameters
    ----------
    matrix : array_like of int, shape (K, K), K at least 2
        Counts, at least 0; rows are true classes, columns are predicted ones.
    classes : sequence of K str, optional
        Names of the classes, for the axes; by default, their numbers. Names of more than 20 characters are shortened.

    Returns
    -------
    bytes
        A PNG whose size depends on K and on the names: 1050 x 930 pixels for 10 classes without names.

    Raises
    ------
    InputError, InputTypeError
        If the matrix is not square, has fewer than 2 rows, or contains negative or fractional counts; if `classes` are
        not K distinct, printable strings of 1 to 100 characters.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> confusion_matrix([[9, 1], [0, 10]])[1:4]
    b'PNG'
    """
    counts = array(matrix, "matrix", "expected counts of shape (K, K)")
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or len(counts) < 2:
        raise InputError(f"The confusion matrix has shape {counts.shape}; expected (K, K) with K >= 2.")
    if counts.dtype.kind not in "iu" or counts.min() < 0:
        found = f"values of dtype {counts.dtype}" if counts.dtype.kind not in "iu" else counts.min()
        raise InputError(f"The confusion matrix contains {found}; expected counts, integers of at least 0.")
    return png(_confusion_matrix_figure(counts, classes if classes is None else checked(classes, len(counts))))


def _confusion_matrix_figure(counts: npt.NDArray[np.integer], classes: Sequence[str] | None = None) -> "Figure":
    num_classes, total = len(counts), int(counts.sum())
    mistakes = np.ma.masked_array(
        100.0 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), np.diag(counts.any(axis=1))
    )
    cell = min(max(0.5, 3.4 / num_classes), 28 / num_classes)  # inches; leaves room for the title, and is bounded
    names = drawable(classes or [str(number) for number in range(num_classes)])
    longest = max(map(len, names))
    margin = 0.08 * max(0, longest - 2)  # inches
    figure = new_figure(cell * num_classes + 2 + margin, cell * num_classes + 1.2 + margin)
    ax = figure.subplots()
    restyle(ax)
    colours = colormap("white", VERMILLION).with_extremes(bad=PALE_BLUE)  # the masked diagonal
    most = float(mistakes.max())
    image = ax.imshow(mistakes, cmap=colours, vmin=0, vmax=most or 1.0)
    if most:
        color_bar(image, [ax], "mistakes, % of the true class")
    right = f"{100 * np.trace(counts) / total:.2f}% of {total:,} correct" if total else "no images"
    ax.set_title(f"Confusion matrix: {right}", color=INK)
    ax.set_xlabel("predicted", color=INK)
    ax.set_ylabel("true", color=INK)
    size = max(10.0, cell * num_classes)  # legible when a large figure is scaled to a screen
    ax.title.set_fontsize(1.2 * size)
    for label in (axis.label for each in figure.axes for axis in (each.xaxis, each.yaxis)):
        label.set_fontsize(size)
    edges = np.arange(num_classes + 1) - 0.5
    ax.set_xticks(edges, minor=True)
    ax.set_yticks(edges, minor=True)
    ax.grid(which="minor", color=PALE, linewidth=0.5)
    ax.tick_params(which="minor", length=0)
    font = min(10.0, 72 * cell / (0.75 * max(2, len(str(counts.max())))))
    if font >= 4:  # smaller text would be illegible
        ax.set_xticks(range(num_classes), names, rotation=90 if longest > 3 else 0, parse_math=False)
        ax.set_yticks(range(num_classes), names, parse_math=False)
        filled = np.argwhere(counts)
        for i, j in filled if len(filled) <= MAX_NUMBERS else ():
            ax.text(j, i, f"{counts[i, j]}", ha="center", va="center", color="black", fontsize=font)  # on VERMILLION
    return figure
