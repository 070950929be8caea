"""The figures of a run: learning curves, confusion matrix, worst mistakes and C1's kernels; and the network itself.

Every function returns the bytes of a PNG, and whoever calls it decides where they go. Each has a private part that
builds the figure from the data, so that tests can look at what is drawn. They need matplotlib, from the extra
``train``, and raise `lenet.errors.MissingExtraError` without it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lenet._extras import require
from lenet._figures import BLUE, GREY, INK, PALE, PALE_BLUE, VERMILLION, color_bar, colormap, dress, new_figure, png
from lenet.errors import InputError
from lenet.plots_architecture import architecture
from lenet.plots_worst import worst

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["architecture", "confusion_matrix", "filters", "learning_curves", "worst"]

_COLUMNS = 6
_MARKED_EPOCHS = 40  # with more points than this, markers hide the line that they sit on


def learning_curves(history: Sequence[Mapping[str, float | None]], title: str = "") -> bytes:
    """Draw loss and accuracy against the epoch, with the best epoch marked.

    The best epoch is the one that training keeps: of the lowest validation loss, of those the earliest. Without a
    validation split none is marked, since training figures cannot tell. A loss that falls more than twentyfold is
    drawn on a logarithmic axis.

    Parameters
    ----------
    history : sequence of mappings, at least one
        One row an epoch, with the keys ``epoch``, ``loss`` (0 or more) and ``accuracy`` (0 to 1), and, where there is a
        validation split, ``val_loss`` and ``val_accuracy``. Values that are None, NaN or infinite leave a hole.
    title : str, optional
        Written above both panels.

    Returns
    -------
    bytes
        A PNG of 1500 x 690 pixels.

    Raises
    ------
    InputError
        If there is no row, or a row has no epoch.

    Examples
    --------
    >>> rows = [{"epoch": 1, "loss": 0.5, "accuracy": 0.9}, {"epoch": 2, "loss": 0.2, "accuracy": 0.95}]
    >>> learning_curves(rows)[1:4]
    b'PNG'
    """
    return png(_learning_curves_figure(history, title))


def confusion_matrix(matrix: npt.ArrayLike) -> bytes:
    """Draw a confusion matrix whose mistakes stand out.

    A cell off the diagonal is coloured by its share of the row, that is, of the images of that true class; the diagonal
    has one pale colour, or it would outshine every mistake of a good model. Cells that are zero stay empty.

    Parameters
    ----------
    matrix : array of int, shape (K, K), K >= 2
        Counts (0 or more): rows are the true classes, columns the predicted ones.

    Returns
    -------
    bytes
        A PNG that grows with K, about 1100 pixels wide for 10 classes.

    Raises
    ------
    InputError
        If the matrix is not square, has fewer than 2 rows, or holds negative or fractional counts.

    Examples
    --------
    >>> confusion_matrix([[9, 1], [0, 10]])[1:4]
    b'PNG'
    """
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or len(counts) < 2:
        raise InputError(f"A confusion matrix has shape (K, K) with K >= 2; this one has {counts.shape}.")
    if counts.dtype.kind not in "iu" or counts.min() < 0:
        given = counts.dtype if counts.dtype.kind not in "iu" else f"down to {counts.min()}"
        raise InputError(f"A confusion matrix holds counts, integers of 0 or more; this one is {given}.")
    return png(_confusion_matrix_figure(counts))


def filters(weight: npt.ArrayLike) -> bytes:
    """Draw the kernels of the first convolution, all on one scale that is symmetric about zero.

    Parameters
    ----------
    weight : array of float, shape (6, 1, 5, 5)
        ``c1.weight``; more or fewer kernels, of another size, are drawn too, six in a row.

    Returns
    -------
    bytes
        A PNG 1500 pixels wide.

    Raises
    ------
    InputError
        If the array is not of shape (O, 1, K, K), is empty, or holds NaN or infinite weights.

    Examples
    --------
    >>> import numpy as np
    >>> filters(np.linspace(-1, 1, 150).reshape(6, 1, 5, 5))[1:4]
    b'PNG'
    """
    kernels = np.asarray(weight)
    if kernels.ndim != 4 or kernels.shape[1] != 1 or not kernels.size:
        raise InputError(f"C1's weight has shape (6, 1, 5, 5); this one has {kernels.shape}.")
    if not np.isfinite(kernels).all():
        raise InputError("C1's weight holds NaN or infinite values, which no colour stands for.")
    return png(_filters_figure(kernels[:, 0]))


def _column(history: Sequence[Mapping[str, float | None]], key: str) -> npt.NDArray[np.float64]:
    """Return one column as floats, NaN where there is nothing that can be drawn."""
    values = np.array([row.get(key) for row in history], dtype=np.float64)  # None becomes NaN
    values[~np.isfinite(values)] = np.nan
    return values


def _learning_curves_figure(history: Sequence[Mapping[str, float | None]], title: str) -> "Figure":
    epochs = _column(history, "epoch")
    if not len(epochs) or np.isnan(epochs).any():
        raise InputError("A history has at least one row, and every row has its epoch.")
    figure = new_figure(10, 4.6)
    if title:
        figure.suptitle(title, color=INK, fontweight="bold", parse_math=False)  # a folder's name may have a $
    left, right = figure.subplots(1, 2)
    val_loss = _column(history, "val_loss")
    _draw_curves(left, epochs, _column(history, "loss"), val_loss)
    _logarithmic_if_wide(left)
    left.set_title("loss", color=INK)
    accuracy, val_accuracy = 100 * _column(history, "accuracy"), 100 * _column(history, "val_accuracy")
    _draw_curves(right, epochs, accuracy, val_accuracy)
    _mark_best(right, epochs, val_accuracy, val_loss)
    right.set_title("accuracy, %", color=INK)
    for ax in (left, right):
        # Below the panel, where no curve can run through it.
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False, labelcolor=INK, fontsize=9)
    return figure


def _draw_curves(
    ax: "Axes",
    epochs: npt.NDArray[np.float64],
    training: npt.NDArray[np.float64],
    validation: npt.NDArray[np.float64],
) -> None:
    dress(ax)
    marker = "o" if len(epochs) <= _MARKED_EPOCHS else ""
    # The training curve is dashed as well, so that the two differ in a print without colours.
    ax.plot(epochs, training, "--", marker=marker, markersize=4, linewidth=1.5, color=BLUE, label="training")
    if not np.isnan(validation).all():
        ax.plot(
            epochs, validation, "-", marker=marker, markersize=4, linewidth=1.5, color=VERMILLION, label="validation"
        )
    ax.grid(color=PALE, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.set_xlabel("epoch", color=INK)
    ax.xaxis.set_major_locator(
        require("matplotlib.ticker", "train").MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10])
    )
    if len(epochs) == 1:  # one point has no extent, and would sit on an axis of fractions of an epoch
        ax.set_xlim(epochs[0] - 1, epochs[0] + 1)
        ax.set_xticks([int(epochs[0])])
        ax.margins(y=1)


def _logarithmic_if_wide(ax: "Axes") -> None:
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=np.float64) for line in ax.get_lines()])
    values = values[np.isfinite(values)]
    if not len(values) or values.min() <= 0 or values.max() < 20 * values.min():
        return
    ticker = require("matplotlib.ticker", "train")
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if values.max() < 1000 * values.min() else (1,)))
    ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(ticker.NullFormatter())


def _mark_best(
    ax: "Axes",
    epochs: npt.NDArray[np.float64],
    accuracy: npt.NDArray[np.float64],
    loss: npt.NDArray[np.float64],
) -> None:
    if np.isnan(loss).all():
        return
    best = int(np.nanargmin(loss))
    ax.axvline(epochs[best], color=GREY, linewidth=0.8, linestyle=":")
    label = f"best: {accuracy[best]:.2f}% at epoch {epochs[best]:.0f}"
    # A ring, that the point itself stays visible.
    ring: dict[str, Any] = {"markersize": 10, "markerfacecolor": "none", "markeredgecolor": INK, "markeredgewidth": 1.5}
    ax.plot(epochs[best], accuracy[best], "o", linestyle="none", label=label, zorder=3, **ring)


def _confusion_matrix_figure(counts: npt.NDArray[np.integer]) -> "Figure":
    num_classes, total = len(counts), int(counts.sum())
    mistakes = np.ma.masked_array(
        100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), np.eye(num_classes, dtype=bool)
    )
    cell = min(max(0.5, 3.4 / num_classes), 28 / num_classes)  # inches: room for the title, and a bound on the whole
    figure = new_figure(cell * num_classes + 2, cell * num_classes + 1.2)
    ax = figure.subplots()
    dress(ax)
    colours = colormap("white", VERMILLION).with_extremes(bad=PALE_BLUE)  # the masked diagonal
    # Without a mistake the scale is arbitrary; it only must not be empty.
    image = ax.imshow(mistakes, cmap=colours, vmin=0, vmax=float(mistakes.max()) or 1.0)
    color_bar(image, [ax], "mistakes, % of the true class")
    right = f"{100 * np.trace(counts) / total:.2f}% of {total:,} right" if total else "no images"
    ax.set_title(f"Confusion matrix: {right}", color=INK)
    ax.set_xlabel("predicted", color=INK)
    ax.set_ylabel("true", color=INK)
    edges = np.arange(num_classes + 1) - 0.5
    ax.set_xticks(edges, minor=True)
    ax.set_yticks(edges, minor=True)
    ax.grid(which="minor", color=PALE, linewidth=0.5)
    ax.tick_params(which="minor", length=0)
    font = min(10.0, 72 * cell / (0.75 * max(2, len(str(counts.max())))))
    if font >= 4:  # else there are too many classes for text that could be read
        ax.set_xticks(range(num_classes))
        ax.set_yticks(range(num_classes))
        for i, j in np.argwhere(counts):
            ax.text(j, i, f"{counts[i, j]}", ha="center", va="center", color=INK, fontsize=font)
    return figure


def _filters_figure(kernels: npt.NDArray[np.floating]) -> "Figure":
    rows = math.ceil(len(kernels) / _COLUMNS)
    figure = new_figure(10, 1.75 * rows + 0.5)
    figure.suptitle(f"C1: the {len(kernels)} kernels of the first convolution", color=INK)
    limit = float(np.abs(kernels).max()) or 1.0
    colours = colormap(BLUE, "white", VERMILLION)
    for k, kernel in enumerate(kernels):
        ax = figure.add_subplot(rows, _COLUMNS, k + 1, xticks=[], yticks=[])
        dress(ax)
        image = ax.imshow(kernel, cmap=colours, vmin=-limit, vmax=limit)
        ax.set_title(f"{k}", color=INK, fontsize=10)
    color_bar(image, figure.axes, "weight")
    return figure
