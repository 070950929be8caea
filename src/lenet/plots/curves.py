"""Learning curves: loss and accuracy by epoch."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lenet._extras import require
from lenet.errors import InputError
from lenet.plots.style import BLUE, GREY, INK, PALE, VERMILLION, dress, new_figure, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_MARKED_EPOCHS = 40  # more markers would hide their line


def learning_curves(history: Sequence[Mapping[str, float | None]], title: str = "") -> bytes:
    """Draw loss and accuracy by epoch, and mark the best epoch.

    The best epoch is the earliest with the lowest validation loss; training keeps its weights. Losses that span a
    factor of 20 or more are drawn on a logarithmic axis.

    Parameters
    ----------
    history : sequence of mapping, at least one
        One mapping per epoch with the keys "epoch", "loss" (at least 0, in nats) and "accuracy" (in [0, 1]). With a
        validation split, also "val_loss" and "val_accuracy". Values that are missing, None, NaN or infinite leave a
        gap.
    title : str, default ""
        The title of the figure.

    Returns
    -------
    bytes
        A PNG of 1500 x 690 pixels.

    Raises
    ------
    InputError
        If the history is empty, or a mapping has no "epoch".
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> first = {"epoch": 1, "loss": 0.5, "accuracy": 0.9}
    >>> second = {"epoch": 2, "loss": 0.2, "accuracy": 0.95}
    >>> learning_curves([first, second])[1:4]
    b'PNG'
    """
    return png(_learning_curves_figure(history, title))


def _column(history: Sequence[Mapping[str, float | None]], key: str) -> npt.NDArray[np.float64]:
    """Return one column as floats, with NaN for values that cannot be drawn."""
    values = np.array([row.get(key) for row in history], dtype=np.float64)  # None becomes NaN
    values[~np.isfinite(values)] = np.nan
    return values


def _learning_curves_figure(history: Sequence[Mapping[str, float | None]], title: str) -> "Figure":
    epochs = _column(history, "epoch")
    if not len(epochs) or np.isnan(epochs).any():
        raise InputError("The history is empty or lacks epochs; expected at least one row, each with its epoch.")
    figure = new_figure(10, 4.6)
    if title:
        figure.suptitle(title, color=INK, fontweight="bold", parse_math=False)  # the title may contain a $
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
        # Below the panel, where it cannot hide a curve.
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False, labelcolor=INK, fontsize=9)
    return figure


def _draw_curves(
    ax: "Axes",
    epochs: npt.NDArray[np.float64],
    training: npt.NDArray[np.float64],
    validation: npt.NDArray[np.float64],
) -> None:
    dress(ax)
    marker = "o" if len(epochs) <= _MAX_MARKED_EPOCHS else ""
    # Dashed, so that the curves differ in black and white.
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
    if len(epochs) == 1:  # otherwise the axis would show fractions of an epoch
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
    # A ring, so that the point stays visible.
    ring: dict[str, Any] = {"markersize": 10, "markerfacecolor": "none", "markeredgecolor": INK, "markeredgewidth": 1.5}
    ax.plot(epochs[best], accuracy[best], "o", linestyle="none", label=label, zorder=3, **ring)
