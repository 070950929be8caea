"""Pages of ink that tests draw as rectangles."""

import numpy as np

from lenet.reading.lines import InkLine
from lenet.reading.page import Page


def bars(shape, *places):
    """Return a mask of bars, each at top, left, height and width."""
    mask = np.zeros(shape, np.uint8)
    for top, left, height, width in places:
        mask[top : top + height, left : left + width] = 1
    return mask


def line_of(*boxes):
    """Return a line of filled boxes (left, top, right, bottom), each a little fainter than the one before."""
    ink = np.zeros((60, 200), np.uint8)
    for n, (left, top, right, bottom) in enumerate(boxes):
        ink[top:bottom, left:right] = 255 - 10 * n
    page = Page(ink, ink.shape)
    return InkLine(page, np.argsort(page.strokes.boxes[:, 0]))
