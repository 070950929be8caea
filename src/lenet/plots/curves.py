"""Learning curves: loss and accuracy by epoch, of one run or of several."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lenet._checks import number, short_repr
from lenet._extras import Lazy
from lenet.errors import InputError, InputTypeError
from lenet.plots.style import BLUE, DISTINCT, GREY, INK, PALE, VERMILLION, drawable, new_figure, png, restyle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

ticker = Lazy("matplotlib.ticker", "train")

History = Sequence[Mapping[str, float | None]]
Floats = npt.NDArray[np.float64]
_MAX_MARKED_EPOCHS = 40  # more markers would hide their line


def learning_curves(history: History, title: str = "") -> bytes:
    """Draw loss and accuracy by epoch, and mark the epoch whose weights training keeps.

    It is the earliest with the lowest validation loss; others may have a higher accuracy. Losses that span a
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
    InputError, InputTypeError
        If the history is empty, a mapping has no "epoch", or a value is not a number.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> first = {"epoch": 1, "loss": 0.5, "accuracy": 0.9}
    >>> second = {"epoch": 2, "loss": 0.2, "accuracy": 0.95}
    >>> learning_curves([first, second])[1:4]
    b'PNG'
    """
    if not isinstance(title, str):
        raise InputTypeError(f"title is {short_repr(title)}; expected a string.")
    return png(_learning_curves_figure(history, title))


def comparison(runs: Mapping[str, History]) -> bytes:
    """Draw loss and error rate of several runs by epoch, in one colour per run.

    The legend gives the validation error of each run in its best epoch, that with the lowest validation loss. Axes are
    logarithmic for values that span a factor of 20 or more; the axis of the error rate is linear below 1%.

    Parameters
    ----------
    runs : mapping of str to sequence of mapping, 1 to 7
        The history of each run, as for `learning_curves`, by the name of the run. Names of more than 20 characters are
        shortened.

    Returns
    -------
    bytes
        A PNG of 1500 x 690 pixels.

    Raises
    ------
    InputError, InputTypeError
        If `runs` is not a mapping of names, their number is not 1 to 7, or a history is invalid as for
        `learning_curves`.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> epoch = {"epoch": 1, "loss": 0.5, "accuracy": 0.9}
    >>> comparison({"small": [epoch], "adapt": [epoch | {"loss": 0.2}]})[1:4]
    b'PNG'
    """
    return png(_comparison_figure(runs))


def _column(history: History, key: str) -> Floats:
    """Return one column as floats, with NaN for values that cannot be drawn."""
    numbers = [row.get(key) for row in history]
    values = np.array([math.nan if each is None else number(each, key) for each in numbers], dtype=np.float64)
    values[~np.isfinite(values)] = np.nan
    return values


def _learning_curves_figure(history: History, title: str) -> "Figure":
    epochs = _epochs(history)
    figure = new_figure(10, 4.6)
    if title:
        figure.suptitle(title, color=INK, fontweight="bold", parse_math=False)  # the title may contain a $
    left, right = figure.subplots(1, 2)
    val_loss, val_accuracy = _column(history, "val_loss"), 100 * _column(history, "val_accuracy")
    _draw_curves(left, epochs, _column(history, "loss"), val_loss, len(epochs))
    _draw_curves(right, epochs, 100 * _column(history, "accuracy"), val_accuracy, len(epochs))
    _finish(left, epochs, "loss")
    _finish(right, epochs, "accuracy, %")
    _logarithmic_if_wide(left)
    _mark_kept(left, right, epochs, val_accuracy, val_loss)
    for ax in (left, right):
        # Below the panel, where it cannot hide a curve.
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False, labelcolor=INK, fontsize=9)
    return figure


def _comparison_figure(runs: Mapping[str, History]) -> "Figure":
    if not isinstance(runs, Mapping) or not all(isinstance(name, str) for name in runs):
        raise InputTypeError(f"runs is {short_repr(runs)}; expected a mapping of names to histories.")
    if not 1 <= len(runs) <= len(DISTINCT):
        raise InputError(f"{len(runs)} runs were given; expected 1 to {len(DISTINCT)}, one for each colour.")
    figure = new_figure(10, 4.6)
    left, right = figure.subplots(1, 2)
    histories = list(map(_epochs, runs.values()))
    lines, labels, most_epochs = [], [], max(map(len, histories))
    for name, colour, history, epochs in zip(drawable(list(runs)), DISTINCT, runs.values(), histories, strict=False):
        val_loss = _column(history, "val_loss")
        error, val_error = (100 - 100 * _column(history, key) for key in ("accuracy", "val_accuracy"))
        _draw_curves(left, epochs, _column(history, "loss"), val_loss, most_epochs, (colour, colour))
        lines.append(_draw_curves(right, epochs, error, val_error, most_epochs, (colour, colour)))
        best = _best(val_loss)
        labels.append(name if best is None else f"{name}: {_in_words(best, epochs, val_error)}")
    for ax, title, linear_below in ((left, "loss", 0), (right, "error, %", 1)):  # an error may be 0
        _finish(ax, np.concatenate(histories), title)
        _logarithmic_if_wide(ax, linear_below)
    legend = figure.legend(
        lines, labels, loc="outside lower center", ncols=2, frameon=False, labelcolor=INK, fontsize=9
    )
    legend.set_title("Solid lines: validation, with the error of the best epoch. Dashed lines: training.")
    legend.get_title().set(color=INK, fontsize=9)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _epochs(history: History) -> Floats:
    """Return the numbers of the epochs."""
    if not isinstance(history, Sequence) or not all(isinstance(row, Mapping) for row in history):
        raise InputTypeError(f"history is {short_repr(history)}; expected a sequence of mappings, one per epoch.")
    epochs = _column(history, "epoch")
    if not len(epochs) or np.isnan(epochs).any():
        raise InputError("The history is empty or lacks epochs; expected at least one row, each with its epoch.")
    return epochs


def _draw_curves(
    ax: "Axes",
    epochs: Floats,
    training: Floats,
    validation: Floats,
    most_epochs: int,
    colours: tuple[str, str] = (BLUE, VERMILLION),
) -> "Line2D":
    """Draw both curves; return the line of the validation or, without one, of the training."""
    style: dict[str, Any] = {"marker": "o" if most_epochs <= _MAX_MARKED_EPOCHS else "", "markersize": 4}
    # Dashed, so that the curves differ in black and white.
    [line] = ax.plot(epochs, training, "--", linewidth=1.5, color=colours[0], label="training", **style)
    if not np.isnan(validation).all():
        [line] = ax.plot(epochs, validation, "-", linewidth=1.5, color=colours[1], label="validation", **style)
    return line


def _finish(ax: "Axes", epochs: Floats, title: str) -> None:
    """Style the axes, after the curves are drawn."""
    restyle(ax)
    ax.grid(color=PALE, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.set_title(title, color=INK)
    ax.set_xlabel("epoch", color=INK)
    ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    if np.ptp(epochs) == 0:  # otherwise the axis would show fractions of an epoch
        ax.set_xlim(epochs[0] - 1, epochs[0] + 1)
        ax.set_xticks([int(epochs[0])])
        ax.margins(y=1)


def _logarithmic_if_wide(ax: "Axes", linear_below: float = 0) -> None:
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=np.float64) for line in ax.get_lines()])
    values = values[np.isfinite(values)]
    lowest = max(values.min(initial=np.inf), linear_below)
    if not len(values) or lowest <= 0 or values.max() < 20 * lowest:
        return
    subs = (1, 2, 5) if values.max() < 1000 * lowest else (1,)
    if linear_below:
        ax.set_yscale("symlog", linthresh=linear_below)
        ax.yaxis.set_major_locator(ticker.SymmetricalLogLocator(base=10, linthresh=linear_below, subs=subs))
    else:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(ticker.LogLocator(subs=subs))
    ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(ticker.NullFormatter())


def _best(loss: Floats) -> int | None:
    """Return the index of the lowest loss, or None if there is none."""
    return None if np.isnan(loss).all() else int(np.nanargmin(loss))


def _in_words(place: int, epochs: Floats, percentages: Floats) -> str:
    percentage = "" if np.isnan(percentages[place]) else f"{percentages[place]:.2f}% at "
    return f"{percentage}epoch {epochs[place]:.0f}"


def _mark_kept(left: "Axes", right: "Axes", epochs: Floats, accuracy: Floats, loss: Floats) -> None:
    best = _best(loss)
    if best is None:
        return
    for ax in (left, right):
        ax.axvline(epochs[best], color=GREY, linewidth=0.8, linestyle=":")
    label = f"kept: {_in_words(best, epochs, accuracy)}"
    # A ring, so that the point stays visible.
    ring: dict[str, Any] = {"markersize": 10, "markerfacecolor": "none", "markeredgecolor": INK, "markeredgewidth": 1.5}
    right.plot(epochs[best], accuracy[best], "o", linestyle="none", label=label, zorder=3, **ring)
