"""The angle by which the lines of a page run up or down."""

import numpy as np

from lenet.reading.grouping import grouped
from lenet.reading.page import Page
from lenet.reading.strokes import INK, Floats

_MAX_ANGLE = 15.0  # degrees
_ANGLES = np.arange(-_MAX_ANGLE, _MAX_ANGLE + 0.25, 0.5)
_MIN_STROKES = 4  # of a line whose angle counts; shorter lines have a common angle
_MIN_DISTANCE, _MIN_SCATTER = 0.5, 0.05  # heights of the writing: between the ends of a line; of strokes around it
_EXPONENT = 0.6  # heights of the writing
_SIGNIFICANT = 3.0  # standard errors of the slope
_MAX_PIXELS = 30_000  # of ink, sampled


def skew_of_lines(page: Page, height: float) -> float:
    """Return the angle by which lines of writing fall, in degrees, or 0 if it is not significant."""
    strokes = page.strokes
    members = strokes.writing(height)
    lines = grouped(strokes, members[strokes.heights[members] > 0.5 * height], height)
    is_low = strokes.heights <= _EXPONENT * height  # exponents would raise the ends of all short lines
    lines = [line if len(line) >= _MIN_STROKES else line[~is_low[line]] for line in lines]
    lines = [line for line in lines if len(line)]
    centres = [(strokes.boxes[line, :2] + strokes.boxes[line, 2:]) / 2 for line in lines]
    centres = [line for line in centres if np.ptp(line[:, 0]) > _MIN_DISTANCE * height]  # not the parts of one digit
    long = [[line] for line in centres if len(line) >= _MIN_STROKES]
    short = [line for line in centres if len(line) < _MIN_STROKES]
    fits = np.array([_fitted(parallel, height) for parallel in [*long, short]])
    total = sum(fits[:, 1])
    if not total:
        return 0.0
    slopes, precisions = fits[np.argsort(fits[:, 0])].T
    slope = slopes[np.searchsorted(np.cumsum(precisions), total / 2)]
    if abs(slope) < _SIGNIFICANT / np.sqrt(total):
        return 0.0
    return float(np.clip(np.degrees(np.arctan(slope)), -_MAX_ANGLE, _MAX_ANGLE))


def _fitted(lines: list[Floats], height: float) -> tuple[float, float]:
    """Return the slope of parallel lines through the centres of strokes, and the precision of the slope."""
    freedom = sum(map(len, lines)) - len(lines) - 1
    if freedom < _MIN_STROKES - 2:
        return 0.0, 0.0
    x, y = np.concatenate([line - line.mean(axis=0) for line in lines]).T
    spread = float(x @ x)
    slope = float(x @ y) / spread
    scatter = float(((y - slope * x) ** 2).sum()) / freedom + (_MIN_SCATTER * height) ** 2
    return slope, spread / scatter


def skew_of_rules(page: Page) -> float:
    """Return the angle by which rules fall, in degrees: that at which the projection of the ink is sharpest."""
    y, x = np.nonzero(page.ink >= INK)
    if len(x) > _MAX_PIXELS:
        chosen = np.random.default_rng(0).integers(0, len(x), _MAX_PIXELS)
        y, x = y[chosen], x[chosen]
    bin_height = max(1.0, np.ptp(x) / 160)
    sharpness = []
    for angle in _ANGLES:
        rows = (y - x * np.tan(np.radians(angle))) / bin_height
        counts = np.bincount((rows - rows.min()).astype(np.int64))
        sharpness.append(float((np.diff(counts.astype(np.float64)) ** 2).sum()))
    return float(_ANGLES[int(np.argmax(sharpness))])
