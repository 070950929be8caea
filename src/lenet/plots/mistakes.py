"""A figure of the mistakes that a model was surest of."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lenet.errors import InputError
from lenet.plots.style import INK, VERMILLION, dress, new_figure, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["worst"]

_MOST_MISTAKES = 36
_COLUMNS = 6


def worst(
    images: npt.ArrayLike, labels: npt.ArrayLike, predictions: npt.ArrayLike, probabilities: npt.ArrayLike
) -> bytes:
    """Draw the mistakes that the model was surest of, at most 36, the surest first.

    These are where to look for wrong labels and for digits that the training data lacks. Without any mistake the figure
    says so.

    Parameters
    ----------
    images : array of uint8, shape (n, 28, 28)
        Pixels, 0 for paper and 255 for ink.
    labels, predictions : array of int, shape (n,)
        True and predicted classes, 0 to K - 1.
    probabilities : array of float, shape (n, K)
        The model's probabilities, in [0, 1]; those of the predicted classes order the mistakes.

    Returns
    -------
    bytes
        A PNG 1350 pixels wide, as high as its rows of six mistakes.

    Raises
    ------
    InputError
        If the shapes do not fit together or a prediction is not among the K classes.

    Examples
    --------
    >>> import numpy as np
    >>> worst(np.zeros((1, 28, 28), np.uint8), labels=[1], predictions=[0], probabilities=[[0.75, 0.25]])[1:4]
    b'PNG'
    """
    x, true, guess, p = (np.asarray(a) for a in (images, labels, predictions, probabilities))
    n = len(x) if x.ndim else 0
    if x.shape != (n, 28, 28) or true.shape != (n,) or guess.shape != (n,) or p.ndim != 2 or len(p) != n:
        raise InputError(
            "Expected images (n, 28, 28), labels (n,), predictions (n,) and probabilities (n, K), and got "
            f"{x.shape}, {true.shape}, {guess.shape} and {p.shape}."
        )
    if n and not 0 <= guess.min() <= guess.max() < p.shape[1]:
        raise InputError(
            f"Predictions are classes 0 to {p.shape[1] - 1} here, and reach from {guess.min()} to {guess.max()}."
        )
    return png(_worst_figure(x, true, guess, p))


def _worst_figure(
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.integer],
    predictions: npt.NDArray[np.integer],
    probabilities: npt.NDArray[np.floating],
) -> "Figure":
    mistakes = np.flatnonzero(labels != predictions)
    confidence = probabilities[mistakes, predictions[mistakes]]
    order = np.argsort(-confidence, kind="stable")[:_MOST_MISTAKES]
    if not len(order):
        figure = new_figure(9, 1.2)
        figure.suptitle(f"No mistakes among {len(labels):,} images", color=INK, fontsize=14, y=0.6)
        return figure
    rows = math.ceil(len(order) / _COLUMNS)
    figure = new_figure(9, 1.65 * rows + 0.7)
    few = f"{len(mistakes)} mistake{'s' * (len(mistakes) > 1)} among {len(labels):,} images, the most confident first"
    many = f"The {len(order)} most confident of {len(mistakes):,} mistakes among {len(labels):,} images"
    meaning = "predicted, not the true class · probability of the prediction"
    figure.suptitle(f"{few if len(mistakes) == len(order) else many}\n{meaning}", color=INK)
    for place, k in enumerate(order, start=1):
        i = mistakes[k]
        ax = figure.add_subplot(rows, _COLUMNS, place, xticks=[], yticks=[])
        dress(ax)
        ax.imshow(images[i], cmap="gray_r", vmin=0, vmax=255)  # ink on paper
        _name_mistake(ax, int(predictions[i]), int(labels[i]), float(confidence[k]))
    return figure


def _name_mistake(ax: "Axes", predicted: int, true: int, confidence: float) -> None:
    """Write "7, not 2 · 99.8%" above an image, the mistaken 7 in the colour of mistakes."""
    # Two texts, for a text has one colour: the second begins where the first ends.
    style: dict[str, Any] = {
        "xycoords": "axes fraction",
        "fontsize": 10 if max(predicted, true) < 10 else 8,
        "va": "bottom",
    }
    mistaken = ax.annotate(f"{predicted}", (0, 1.04), color=VERMILLION, fontweight="bold", **style)
    # Rounding may not make a certainty of what is none.
    share = ">99.9%" if 0.9995 <= confidence < 1 else f"{confidence:.1%}"
    ax.annotate(f", not {true} · {share}", (1, 0), color=INK, **style | {"xycoords": mistaken})
