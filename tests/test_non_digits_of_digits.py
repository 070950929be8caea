"""Non-digits cut or composed from digits: which parts of the digits they show."""

import numpy as np
import pytest
from non_digits_fixture import DIGITS, about, draw, share

from lenet.training.augment import non_digits


def block(height, width):
    """A digit in one image: a block of distinct numbers."""
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 3 : 3 + height, 2 : 2 + width] = np.random.default_rng(height).integers(1, 256, (height, width))
    return image, image[0, 3 : 3 + height, 2 : 2 + width]


def test_halves_are_cut_off_at_any_side():
    digits, whole = block(10, 20)
    parts, _ = draw(non_digits._half, 1000, digits)
    across = [part.shape[0] == 10 for part in parts]
    assert share(across) == about(0.7)
    for is_across, lengths in ((True, range(5, 13)), (False, range(3, 7))):
        some = [part for part, each in zip(parts, across, strict=True) if each == is_across]
        assert {part.shape[1 if is_across else 0] for part in some} == set(lengths)
        first = [np.array_equal(part, whole[: part.shape[0], : part.shape[1]]) for part in some]
        last = [np.array_equal(part, whole[-part.shape[0] :, -part.shape[1] :]) for part in some]
        assert share(first) == pytest.approx(0.5, abs=0.1)
        assert np.all(np.not_equal(first, last))


def test_a_half_is_never_so_narrow_that_it_may_be_a_1():
    digits, _ = block(20, 12)  # at most 7 of 12 columns are kept, which are less than 0.4 times 20
    parts, _ = draw(non_digits._half, 100, digits)
    assert {part.shape[1] for part in parts} == {12}
    assert 5 <= min(len(part) for part in parts) <= max(len(part) for part in parts) <= 12


def test_a_half_of_two_rows_is_one():
    digits, whole = block(2, 20)
    parts, _ = draw(non_digits._half, 100, digits)
    rows = {part.tobytes() for part in parts if part.shape[1] == 20}
    assert rows == {whole[:1].tobytes(), whole[1:].tobytes()}


EXTENTS = np.array([[0, 10], [11, 23], [22, 30], [32, 46]])
narrowed = []  # the arguments of numbered_row


def numbered_row(digits, rng, narrow=None):
    """Four digits whose columns are numbered from 1, so that a part shows where it was cut."""
    row = np.tile(np.arange(1, 47, dtype=np.uint8), (20, 1))
    row[:, [10, 30, 31]] = 0
    narrowed.append(narrow)
    return row, EXTENTS


def test_windows_show_no_single_digit(monkeypatch):
    monkeypatch.setattr(non_digits, "_row", numbered_row)
    parts, _ = draw(non_digits._window, 2000)
    cuts = np.array([(part[0, 0] - 1, part[0, -1]) for part in parts])
    for left, right in np.unique(cuts, axis=0):
        shared = [max(0, min(right, end) - max(left, start)) for start, end in EXTENTS]
        union = [max(right, end) - min(left, start) for start, end in EXTENTS]
        complete = [part > 0.8 * (end - start) for part, (start, end) in zip(shared, EXTENTS, strict=True)]
        assert max(part / both for part, both in zip(shared, union, strict=True)) < 0.7 or sum(complete) > 1
        assert right - left > 8  # 0.4 times 20
    assert share(right - left > 30 for left, right in cuts) > 0.1
    assert cuts.min() == 0
    assert cuts.max() == 46
    assert (cuts[:, 1] - cuts[:, 0]).max() == 43


def test_pairs_are_two_digits_or_three(monkeypatch):
    monkeypatch.setattr(non_digits, "_row", numbered_row)
    narrowed.clear()
    parts, _ = draw(non_digits._pair, 2000)
    widths = [part.shape[1] for part in parts]
    assert set(widths) == {23, 30}
    assert share(width == 23 for width in widths) == about(0.8)
    assert [share(narrow is None for narrow in narrowed), narrowed.count(0) / 2000] == [about(0.4), about(0.3)]
    assert set(narrowed) == {None, 0, 1}


def test_a_row_has_four_digits_slightly_apart_or_touching():
    digits = np.concatenate([np.minimum(block(height, 10)[0], 1) * value for height, value in ((8, 50), (20, 250))])
    rng = np.random.default_rng(0)
    gaps, tops = [], []
    for _ in range(500):
        row, extents = non_digits._row(digits, rng)
        assert row.dtype == np.uint8
        assert [end - start for start, end in extents] == [10] * 4
        assert extents[0, 0] == 0
        assert row.shape == (24 if row.max() == 250 else 12, extents[3, 1])
        gaps.extend(extents[1:, 0] - extents[:-1, 1])
        for start, end in extents:
            own = row[:, (start + end) // 2]  # no other digit reaches its middle
            assert own.max() in (50, 250)
            assert (own > 0).sum() == (20 if own.max() == 250 else 8)
            if own.max() == 250:
                tops.append(int(np.flatnonzero(own)[0]))
    assert set(gaps) == set(range(-3, 5))
    assert set(tops) == set(range(5))


def test_a_row_keeps_overlapping_ink():
    digits, whole = block(10, 20)
    rng = np.random.default_rng(0)
    for _ in range(50):
        row, extents = non_digits._row(digits, rng)
        assert row.any(axis=0).all() or (extents[1:, 0] > extents[:-1, 1]).any()
        assert all((row[:, start:end].max(axis=0) >= whole.max(axis=0)).all() for start, end in extents)


@pytest.mark.parametrize("place", [0, 1])
def test_a_narrow_digit_of_a_row_is_the_narrowest_of_eight(place):
    digits = np.concatenate([block(20, width)[0] for width in (4, 8, 12, 16)])
    rng = np.random.default_rng(0)
    widths = np.array([np.diff(non_digits._row(digits, rng, place)[1])[:, 0] for _ in range(1000)])
    narrowest = (widths == 4).mean(axis=0)
    for other in range(4):
        assert narrowest[other] == about(1 - (3 / 4) ** 8 if other == place else 1 / 4)


def test_shuffled_quarters_are_those_of_one_digit_two_of_them_mirrored():
    digit = np.arange(784).reshape(28, 28).astype(np.uint8)
    digit[14:] += 7  # so that no two quarters are alike
    quarters = [digit[:14, :14], digit[:14, 14:], digit[14:, :14], digit[14:, 14:]]
    images, _ = draw(non_digits._shuffled, 500, digit[np.newaxis])
    orders = set()
    for image in images:
        shown = [image[:14, :14][::-1], image[:14, 14:], image[14:, :14], image[14:, 14:][:, ::-1]]
        orders.add(tuple(next(k for k in range(4) if np.array_equal(part, quarters[k])) for part in shown))
    assert len(orders) == 24


def test_negatives_are_those_of_digits():
    images, _ = draw(non_digits._negative, 300)
    assert {image.tobytes() for image in images} <= {(255 - digit).tobytes() for digit in DIGITS}
    assert len({image.tobytes() for image in images}) > 80
