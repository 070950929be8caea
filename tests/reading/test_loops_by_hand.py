"""Loops that linked digits share walls between, against values computed by hand."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from lenet._mnist_form import mnist_form
from lenet.reading import loops
from lenet.reading.loops import loops_of
from lenet.reading.pieces import Pieces, Spans
from lenet.reading.segments import segments_of

pytest.importorskip("cv2")

WIDTH, STEP, PEN = 14, 12, 2  # of a ring; from one ring to the next; of its walls


@pytest.fixture(autouse=True)
def pen(monkeypatch):
    """The mean stroke width counts corners."""
    monkeypatch.setattr(loops, "pen_width", lambda ink: 2.2)


def chain(rings, gap=0):
    """The ink of rings that share a wall, or have a gap between them: 12 rows, from row 2 and column 2 on."""
    ink = np.zeros((16, 8 + rings * (STEP + gap) + PEN), np.uint8)
    for n in range(rings):
        left = 2 + n * (STEP + gap)
        ink[2:14, left : left + WIDTH] = 255
        ink[4:12, left + PEN : left + WIDTH - PEN] = 0
    return ink


def pieces_between(ink, seams, height=20.0):
    """The ink in pieces, which are cut before the given columns."""
    labels = np.where(ink > 0, 1 + (np.arange(ink.shape[1]) >= np.array(seams)[:, np.newaxis]).sum(axis=0), 0)
    ends = [2, *seams, ink.shape[1] - 6]
    boxes = np.array([(left, 2, right, 14) for left, right in pairwise(ends)])
    cuts = np.array([0.0, *(1.0 for _ in seams), 0.0])
    line = SimpleNamespace(height=height, ink=ink)
    return Pieces(line, labels.astype(np.uint16), boxes, boxes, cuts)


def test_a_shared_wall_belongs_to_both_loops():
    """The edge of a loop has 10 pixels in each of its 4 walls; the middle seam is left of the shared wall."""
    first, second = loops_of(pieces_between(chain(2), [8, 14, 20]))
    assert first.box == (2, 2, 16, 14)
    assert second.box == (14, 2, 28, 14)
    np.testing.assert_allclose(first.shares, [18 / 40, 12 / 40, 10 / 40, 0])
    np.testing.assert_allclose(second.shares, [0, 0, 18 / 40, 22 / 40])
    for loop in (first, second):
        np.testing.assert_array_equal(loop.wall[2:-2], chain(1)[4:12, 2:16])


def test_a_span_with_more_than_0_55_of_the_edge_has_the_loop_inside():
    pieces = pieces_between(chain(2), [8, 14, 20])
    starts, stops = np.array([0, 0, 1, 2, 3]), np.array([1, 2, 3, 4, 4])
    first, second = loops_of(pieces)
    spans = Spans(pieces, starts, stops, pieces.boxes[starts])
    assert first.is_inside(spans).tolist() == [False, True, False, False, False]
    assert second.is_inside(spans).tolist() == [False, False, False, True, False]  # 22 of 40 are 0.55


@pytest.mark.parametrize(
    ("ink", "seams", "count"),
    [
        (chain(3), [8, 20], 2),  # the third is in one piece
        (chain(1), [8], 0),  # alone
        (chain(2), [8], 0),
        (chain(2, gap=3), [8, 23], 2),
        (chain(2, gap=4), [8, 24], 0),  # two pixels apart
        (chain(2), [], 0),
    ],
)
def test_loops_share_walls_if_they_are_cut_and_near_each_other(ink, seams, count):
    assert len(loops_of(pieces_between(ink, seams))) == count


@pytest.mark.parametrize(("height", "count"), [(89.4, 2), (89.5, 0)])
def test_the_loops_of_blots_do_not_count(height, count):
    """Each has 80 pixels."""
    assert len(loops_of(pieces_between(chain(2), [8, 20], height))) == count


def test_the_image_of_a_segment_has_the_whole_wall_of_its_loop():
    class Model:
        classes = tuple("0123456789")

        def predict_proba(self, images, *, n_jobs=None):
            self.images = images
            return np.full((len(images), 10), 0.1, np.float32)

    model, pieces = Model(), pieces_between(chain(2), [8, 14, 20])
    [segments] = segments_of(model, [pieces])
    spans = list(zip(segments.starts.tolist(), segments.stops.tolist(), strict=True))
    ring = chain(1)[2:14, 2:16]
    ring[[0, -1], -2:] = 0  # further than the stroke width from the loop
    np.testing.assert_array_equal(model.images[spans.index((0, 2))], mnist_form(ring))
    np.testing.assert_array_equal(model.images[spans.index((1, 2))], mnist_form(chain(1)[2:14, 8:14]))
