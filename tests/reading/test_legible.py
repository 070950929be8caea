"""Strokes that are legible digits are not cut; touching digits and other strokes are."""

import numpy as np
import pytest

import lenet
from lenet.reading.lines import find_lines
from lenet.reading.page import page_of
from lenet.reading.pieces import legible_strokes, pieces_of

cv2 = pytest.importorskip("cv2")


@pytest.fixture(scope="module")
def model():
    return lenet.load_pretrained("mnist")


def line_of(joined=False):
    """The line of the number 2758, whose last two digits may touch."""
    page = np.full((100, 300), 255, np.uint8)
    for place, digit in enumerate("2758"):
        cv2.putText(page, digit, (20 + 60 * place, 80), cv2.FONT_HERSHEY_SIMPLEX, 2, 0, 4, cv2.LINE_AA)
    if joined:
        cv2.line(page, (172, 60), (206, 60), 0, 4)
    [line] = find_lines(page_of(page))
    return line


def test_digits_apart_are_legible_and_not_cut(model):
    line = line_of()
    [whole] = legible_strokes(model, [line], n_jobs=1)
    assert whole.tolist() == [True] * 4
    pieces = pieces_of(line, whole)
    np.testing.assert_array_equal(pieces.boxes + np.tile(line.corner, 2), line.page.strokes.boxes[line.members])
    assert not pieces.cuts.any()
    assert len(pieces_of(line).boxes) > 4  # some would have been cut


def test_touching_digits_are_not_legible_and_cut(model):
    line = line_of(joined=True)
    [whole] = legible_strokes(model, [line], n_jobs=1)
    assert whole.tolist() == [True, True, False]
    pieces = pieces_of(line, whole)
    assert len(pieces.boxes) >= 4
    np.testing.assert_array_equal(pieces.cuts[:3], [0, 0, 0])
    assert (pieces.cuts[3:-1] > 0).all()


def test_no_lines_have_no_legible_strokes(model):
    assert legible_strokes(model, [], n_jobs=1) == []
