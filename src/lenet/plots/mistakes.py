"""A figure of the most confident mistakes of a model."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lenet._checks import SIDE, array
from lenet._checks import probabilities as checked_probabilities
from lenet._extras import require
from lenet.class_names import checked
from lenet.errors import InputError, InputTypeError
from lenet.plots.style import INK, PALE, VERMILLION, drawable, new_figure, png, text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_MISTAKES = 36
_COLUMNS = 6
_WIDTH, _SIDE, _TITLE = 9.0, 1.2, 0.65  # inches: of the figure and of an image; the height of the title
_MAX_TEXT = 85  # points: narrower than an image


def worst(
    images: npt.ArrayLike,
    labels: npt.ArrayLike,
    predictions: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    classes: Sequence[str] | None = None,
) -> bytes:
    """Draw up to 36 mistakes, the most confident first.

    Confident mistakes often reveal wrong labels, and kinds of digits that the training set lacks.

    Parameters
    ----------
    images : array_like of uint8, shape (n, 28, 28)
        From 0 (background) to 255 (ink).
    labels, predictions : array_like of int, shape (n,)
        True and predicted classes, from 0 to K - 1.
    probabilities : array_like of float, shape (n, K)
        Class probabilities, in [0, 1].
    classes : sequence of K str, optional
        Names of the classes; by default, their numbers. Names of more than 20 characters are shortened.

    Returns
    -------
    bytes
        A PNG 1350 pixels wide, with six mistakes per row, or a text if there are no mistakes.

    Raises
    ------
    InputError, InputTypeError
        If the shapes do not match, a label or prediction is not among the K classes, or a probability is not in [0, 1];
        if `classes` are not K distinct, printable strings of 1 to 100 characters.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.zeros((1, 28, 28), np.uint8)
    >>> worst(images, labels=[1], predictions=[0], probabilities=[[0.75, 0.25]])[1:4]
    b'PNG'
    """
    x = array(images, "images", "expected an array")
    true = array(labels, "labels", "expected an array")
    guess = array(predictions, "predictions", "expected an array")
    p = checked_probabilities(probabilities)
    n = x.shape[:1]
    if x.shape[1:] != (SIDE, SIDE) or true.shape != n or guess.shape != n or p.shape[:1] != n:
        raise InputError(
            f"images, labels, predictions and probabilities have shapes {x.shape}, {true.shape}, {guess.shape} and "
            f"{p.shape}; expected (n, {SIDE}, {SIDE}), (n,), (n,) and (n, K)."
        )
    if x.dtype.kind not in "biuf":
        raise InputTypeError(f"images has dtype {x.dtype}; expected numbers.")
    for name, values in (("labels", true), ("predictions", guess)):
        if values.dtype.kind not in "iu":
            raise InputTypeError(f"{name} has dtype {values.dtype}; expected integers.")
        if ((values < 0) | (values >= p.shape[1])).any():
            raise InputError(f"{name} range from {values.min()} to {values.max()}; expected 0 to {p.shape[1] - 1}.")
    return png(_worst_figure(x, true, guess, p, classes if classes is None else checked(classes, p.shape[1])))


def _worst_figure(
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.integer],
    predictions: npt.NDArray[np.integer],
    probabilities: npt.NDArray[np.floating],
    classes: Sequence[str] | None = None,
) -> "Figure":
    mistakes = np.flatnonzero(labels != predictions)
    confidence = probabilities[mistakes, predictions[mistakes]]
    order = np.argsort(-confidence, kind="stable")[:_MAX_MISTAKES]
    if not len(order):
        figure = new_figure(9, 1.2)
        figure.suptitle(f"No mistakes among {len(labels):,} images", color=INK, fontsize=14, y=0.6)
        return figure
    names = drawable(classes or [str(number) for number in range(probabilities.shape[1])])
    in_two_lines = max(map(len, names)) > 2
    rows = math.ceil(len(order) / _COLUMNS)
    pitch = _WIDTH / _COLUMNS + (0.2 if in_two_lines else 0.05)
    height = _TITLE + pitch * rows + 0.1
    figure = new_figure(_WIDTH, height)
    figure.set_layout_engine("none")
    # One pair of axes in inches, from the upper left: a pair for each image would take five times as long to draw.
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, _WIDTH), ylim=(height, 0))
    ax.set_axis_off()
    total = f"{len(mistakes):,} mistake{'s' * (len(mistakes) > 1)} among {len(labels):,} images"
    all_shown = len(mistakes) == len(order)
    title = f"{total}, the most confident first" if all_shown else f"The {len(order)} most confident of {total}"
    explained = f"{title}\npredicted class, not true class · probability of the prediction"
    figure.suptitle(explained, color=INK, y=1 - 0.1 / height, va="top")
    write = _in_two_lines if in_two_lines else _in_one_line
    for place, k in enumerate(order):
        i, (row, column) = mistakes[k], divmod(place, _COLUMNS)
        corner = (0.15 + column * _WIDTH / _COLUMNS, _TITLE + (row + 1) * pitch - _SIDE)
        _draw_image(ax, corner, images[i])
        write(ax, corner, names[predictions[i]], names[labels[i]], _rounded(float(confidence[k])))
    return figure


def _draw_image(ax: "Axes", corner: tuple[float, float], image: npt.NDArray[np.uint8]) -> None:
    """Draw an image as ink on paper, in a frame, below and to the right of a corner."""
    left, top = corner
    extent = (left, left + _SIDE, top + _SIDE, top)
    ax.imshow(image, cmap="gray_r", vmin=0, vmax=255, extent=extent, aspect="auto")
    frame = require("matplotlib.patches", "train").Rectangle
    ax.add_patch(frame(corner, _SIDE, _SIDE, fill=False, edgecolor=PALE, linewidth=0.8))


def _in_one_line(ax: "Axes", corner: tuple[float, float], predicted: str, true: str, confidence: str) -> None:
    """Write "7, not 2 · 99.8%" above an image, with the prediction in the colour of mistakes."""
    # Each text has one colour, so the second begins where the first ends.
    size = 10 if max(len(predicted), len(true)) == 1 else 8
    style: dict[str, Any] = {"fontsize": size, "va": "bottom", "parse_math": False}
    left, top = corner
    mistaken = ax.annotate(predicted, (left, top - 0.05), color=VERMILLION, fontweight="bold", **style)
    ax.annotate(f", not {true} · {confidence}", (1, 0), color=INK, xycoords=mistaken, **style)


def _in_two_lines(ax: "Axes", corner: tuple[float, float], predicted: str, true: str, confidence: str) -> None:
    """Write "rectangle" and below it "not triangle · 99.8%" above an image."""
    left, top = corner
    for text, space, colour, weight in (
        (predicted, 0.2, VERMILLION, "bold"),
        (f"not {true} · {confidence}", 0.05, INK, "normal"),
    ):
        size = min(8.0, 8.0 * _MAX_TEXT / text_width(text, 8.0, weight))
        ax.text(left, top - space, text, color=colour, weight=weight, size=size, va="bottom", parse_math=False)


def _rounded(confidence: float) -> str:
    return ">99.9%" if 0.9995 <= confidence < 1 else f"{confidence:.1%}"
