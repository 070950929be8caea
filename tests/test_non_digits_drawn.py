"""Drawn non-digits: the arguments of OpenCV and the results stay in their ranges and fill them."""

from types import SimpleNamespace

import numpy as np
import pytest
from non_digits_fixture import DIGITS, Recorder, about, cv2, draw, share

from lenet.training.augment import non_digits


def check_canvas(calls):
    for canvas, *_ in calls:
        assert canvas.shape == (112, 112)
        assert canvas.dtype == np.uint8


@pytest.mark.parametrize("kind", ["strokes", "letter", "half", "window", "pair", "shuffled", "negative", "blot",
                                  "garment", "noise", "blank"])  # fmt: skip
def test_every_kind_makes_images_of_bytes(kind):
    images, _ = draw(getattr(non_digits, f"_{kind}"), 30, form=True)
    assert {image.shape for image in images} == {(28, 28)}
    assert {image.dtype for image in images} == {np.dtype(np.uint8)}
    assert max(image.max() for image in images) > 200
    assert len({image.tobytes() for image in images}) > 20


def test_strokes_are_curves_and_polylines_of_any_pen():
    _, recorded = draw(non_digits._strokes, 600)
    assert {len(calls["polylines"]) for calls in recorded} == {2, 3, 4, 5, 6}
    lines = [call for calls in recorded for call in calls["polylines"]]
    check_canvas(lines)
    _, points, closed, ink, width, kind = zip(*lines, strict=True)
    assert share(closed) == about(0.1)
    assert set(ink) == {255}
    assert set(width) == set(range(6, 16))
    assert set(kind) == {cv2.LINE_AA}
    points = [each for (each,) in points]
    curves = [each for each in points if len(each) == 24]
    assert share(len(each) == 24 for each in points) == about(0.6)
    assert {len(each) for each in points} == {2, 3, 4, 24}
    assert {each.dtype for each in points} == {np.dtype(np.int32)}
    corners = np.concatenate([each for each in points if len(each) < 24])
    assert (corners.min(), corners.max()) == (8, 104)
    # Bezier curves stay within the hull of their knots, and their points are polynomials of at most the third degree.
    assert np.concatenate(curves).min() >= 8
    assert np.concatenate(curves).max() <= 104
    assert share(np.ptp(curve, axis=0).max() > 10 for curve in curves) > 0.95
    t, degrees = np.linspace(0, 1, 24), []
    for curve in curves:
        errors = [np.abs(np.polyval(np.polyfit(t, curve[:, 0], degree), t) - curve[:, 0]).max() for degree in (1, 2, 3)]
        assert errors[2] <= 1
        degrees.append(int(np.argmax(np.array(errors) <= 1)) + 1)
    assert min(np.bincount(degrees)[1:]) > 0.2 * len(degrees)


def test_letters_exclude_those_that_look_like_digits():
    _, recorded = draw(non_digits._letter, 2000)
    assert {len(calls["putText"]) for calls in recorded} == {1}
    written = [call for calls in recorded for call in calls["putText"]]
    check_canvas(written)
    _, texts, places, faces, scales, inks, widths, kinds = zip(*written, strict=True)
    assert share(len(text) == 2 for text in texts) == about(0.1)
    assert {len(text) for text in texts} == {1, 2}
    assert len(set("".join(texts))) == 52
    assert not set("".join(texts)) & set("0123456789bgIlOoqSsZzCcUuPphn?")
    assert set(places) == {(20, 90)}
    assert set(faces) == {*range(8), *range(16, 24)}
    assert share(face & 16 for face in faces) == about(0.3)
    assert (min(scales), max(scales)) == pytest.approx((1.5, 3), abs=0.01)
    assert (set(inks), set(kinds)) == ({255}, {cv2.LINE_AA})
    assert set(widths) == set(range(3, 12))


@pytest.mark.parametrize(("number", "face"), [(0.29, 3 + cv2.FONT_ITALIC), (0.3, 3)])
def test_letters_are_italic_if_the_random_number_is_below_30_percent(monkeypatch, number, face):
    opencv = Recorder(cv2)
    monkeypatch.setattr(non_digits, "cv2", opencv)
    rng = SimpleNamespace(
        choice=lambda letters: "A", random=lambda: number, integers=lambda *_: 3, uniform=lambda low, high: high
    )
    non_digits._letter(DIGITS, rng)
    assert [call[3] for call in opencv.calls["putText"]] == [face]


def test_blots_are_filled_shapes():
    _, recorded = draw(non_digits._blot, 1000)
    polygons = [call for calls in recorded for call in calls["fillPoly"]]
    ellipses = [call for calls in recorded for call in calls["ellipse"]]
    assert {len(calls["fillPoly"]) + len(calls["ellipse"]) for calls in recorded} == {1, 2, 3}
    assert len(polygons) / (len(polygons) + len(ellipses)) == about(0.5)
    check_canvas([*polygons, *ellipses])
    corners = [points for _, (points,), *_ in polygons]
    assert {len(points) for points in corners} == set(range(3, 8))
    assert (np.concatenate(corners).min(), np.concatenate(corners).max()) == (4, 107)
    _, centres, axes, angles, starts, ends, inks, fills, kinds = zip(*ellipses, strict=True)
    assert (np.min(centres), np.max(centres)) == (20, 91)
    assert (np.min(axes), np.max(axes)) == (5, 49)
    assert (min(angles), max(angles)) == pytest.approx((0, 180), abs=0.7)
    assert (set(starts), set(ends), set(fills)) == ({0}, {360}, {-1})
    assert set(kinds) == {call[3] for call in polygons} == {cv2.LINE_AA}
    both = [*inks, *(call[2] for call in polygons)]
    assert (min(both), max(both)) == (90, 255)
    reduced = [calls["resize"] for calls in recorded if calls["resize"]]
    assert len(reduced) / 1000 == about(0.5)
    assert {(size, method) for ((_, size, method),) in reduced} == {((28, 28), cv2.INTER_AREA)}


def test_a_blot_keeps_its_width(monkeypatch):
    pens = []
    monkeypatch.setattr(non_digits, "mnist_form", lambda ink, *, pen=True: pens.append(pen))
    for seed in range(20):
        non_digits._blot(DIGITS, np.random.default_rng(seed))
    assert set(pens) == {False}


def test_garments_are_symmetric_and_large():
    _, recorded = draw(non_digits._garment, 600)
    outlines = [calls["fillPoly"][0] for calls in recorded]
    check_canvas(outlines)
    for _, (outline,), ink, kind in outlines:
        right, left = outline[:7], outline[7:][::-1]
        assert np.abs(right[:, 0] + left[:, 0] - 112).max() <= 1  # of rounding
        np.testing.assert_array_equal(right[:, 1], left[:, 1])
        assert np.abs(np.diff(right[:, 1], 2)).max() <= 1
        assert (ink, kind) == (255, cv2.LINE_AA)
    points = np.stack([outline for _, (outline,), *_ in outlines]) - 56
    heights, widths = points[:, :, 1].max(axis=1), points[:, :7, 0]
    assert (heights.min(), heights.max(), points[:, :, 1].min()) == (30, 54, -54)
    assert (widths.min(), widths.max()) == (pytest.approx(9, abs=1), pytest.approx(54, abs=1))
    assert np.median(widths.max(axis=1) / widths.min(axis=1)) > 1.5
    gaps = [calls["ellipse"] for calls in recorded if calls["ellipse"]]
    assert len(gaps) / 600 == about(0.4)
    _, middles, axes, angles, starts, ends, inks, fills, kinds = zip(*(gap[0] for gap in gaps), strict=True)
    check_canvas([gap[0] for gap in gaps])
    assert (np.min(middles, axis=0).tolist(), np.max(middles, axis=0).tolist()) == ([46, 46], [66, 105])
    assert (np.min(axes), np.max(axes)) == (3, 24)
    assert [set(each) for each in (angles, starts, ends, inks, fills, kinds)] == [
        {0},
        {0},
        {360},
        {0},
        {-1},
        {cv2.LINE_AA},
    ]


def test_garments_have_a_texture_or_one_brightness():
    images, recorded = draw(non_digits._garment, 1500)
    textured = [len(calls["resize"]) == 2 for calls in recorded]
    assert share(textured) == about(0.7)
    plain = [image.max() for image, each in zip(images, textured, strict=True) if not each]
    assert (min(plain) / 255, max(plain) / 255) == (pytest.approx(0.3, abs=0.03), pytest.approx(1, abs=0.03))
    coarse = [calls["resize"][1] for calls in recorded if len(calls["resize"]) == 2]
    assert {size for _, size, _ in coarse} == {(28, 28)}
    assert {method for *_, method in coarse} == {cv2.INTER_LINEAR}
    assert {length for texture, *_ in coarse for length in texture.shape} == set(range(2, 15))
    values = np.concatenate([texture.ravel() for texture, *_ in coarse])
    assert (values.min(), values.max()) == pytest.approx((0.2, 1), abs=0.01)


def test_noise_has_any_grain():
    images, recorded = draw(non_digits._noise, 1000)
    grains, sizes, methods = zip(*(calls["resize"][0] for calls in recorded), strict=True)
    assert {grain.shape for grain in grains} == {(side, side) for side in range(4, 29)}
    assert set(sizes) == {(28, 28)}
    assert share(method == cv2.INTER_NEAREST for method in methods) == about(0.3)
    assert set(methods) == {cv2.INTER_NEAREST, cv2.INTER_LINEAR}
    assert (min(grain.min() for grain in grains), max(grain.max() for grain in grains)) == (0, 1)
    black_and_white = [set(np.unique(grain)) <= {0, 1} for grain in grains]
    assert share(black_and_white) == about(0.3)
    for (grain, image), method in zip(zip(grains, images, strict=True), methods, strict=True):
        if method == cv2.INTER_NEAREST:
            assert (image.max(), image.min()) == (np.round(255 * grain.max()), np.round(255 * grain.min()))
    assert {grain.dtype for grain in grains} == {np.dtype(np.float32)}
    means, deviations, _ = zip(*(calls["normal"][0] for calls in recorded), strict=True)
    assert (min(means), max(means)) == pytest.approx((-0.5, 0.7), abs=0.01)
    assert (min(deviations), max(deviations)) == pytest.approx((0.1, 0.7), abs=0.01)
    # Of a threshold between 0.2 and 0.95, on the average.
    rng = np.random.default_rng(1)
    mean, deviation, threshold = (rng.uniform(*bounds, 100_000) for bounds in ((-0.5, 0.7), (0.1, 0.7), (0.2, 0.95)))
    expected = (rng.normal(mean, deviation) > threshold).mean()
    whites = [grain.mean() for grain, each in zip(grains, black_and_white, strict=True) if each]
    assert np.mean(whites) == about(expected)


def test_blanks_are_empty_grey_gradients_or_dots():
    images, _ = draw(non_digits._blank, 2000)
    black = [image for image in images if not image.any()]
    grey = [image for image in images if image.any() and len(np.unique(image)) == 1]
    slopes = [image for image in images if (image[0] == image[0, 0]).all() and is_slope(image[:, 0])]
    across = [image for image in images if (image[:, 0] == image[0, 0]).all() and is_slope(image[0])]
    others = 2000 - len(black) - len(grey) - len(slopes) - len(across)
    parts = np.array([len(black), len(grey), len(slopes) + len(across), others]) / 2000
    np.testing.assert_allclose(parts, 0.25, atol=0.04)
    assert len(slopes) / (len(slopes) + len(across)) == pytest.approx(0.5, abs=0.1)
    assert max(image.max() for image in grey) > 245
    ends = np.array([(image[0, 0], image[-1, -1]) for image in slopes + across])
    assert (ends.min(axis=1) == 0).all()
    assert share(first > last for first, last in ends) == pytest.approx(0.5, abs=0.1)
    assert ends.max() > 245


def is_slope(values):
    return values[0] != values[-1] and np.abs(np.diff(values.astype(int), 2)).max() <= 1


def test_dots_are_few_small_and_bright():
    images, _ = draw(non_digits._blank, 2000)
    dots = [image for image in images if 0 < (image > 0).sum() <= 45 and np.ptp(image) and image[0, 0] == 0]
    dots = [image for image in dots if image[:2].max() == 0 == image[:, :2].max()]
    assert len(dots) / 2000 == about(0.25)
    rows, columns = (np.array([np.flatnonzero(image.any(axis=axis))[[0, -1]] for image in dots]) for axis in (1, 0))
    assert (rows.min(), rows.max()) == (columns.min(), columns.max()) == (2, 26)
    inks = np.concatenate([image[image > 0] for image in dots])
    assert 80 <= inks.min() < 85
    assert inks.max() > 250
    counts = [cv2.connectedComponents(image)[0] - 1 for image in dots]
    assert set(counts) == {1, 2, 3, 4, 5}
    alone = [(image > 0).sum() for image, count in zip(dots, counts, strict=True) if count == 1]
    assert min(alone) == 1


class Ends:
    """A generator that draws a given kind, and otherwise the lowest (0) or the highest (1) possible value."""

    def __init__(self, kind, end):
        self.kinds, self.end = [kind], end

    def integers(self, low, high=None, size=()):
        if self.kinds:
            return self.kinds.pop()
        low, high = (0, low) if high is None else (low, high)
        return np.full(size, (low, high - 1)[self.end])

    def uniform(self, low, high):
        return (low, high)[self.end]

    def random(self):
        return self.end

    def choice(self, values):
        return values[self.end]


def test_blanks_at_the_ends_of_their_ranges():
    lowest, highest = ([non_digits._blank(DIGITS, Ends(kind, end)) for kind in range(4)] for end in (0, 1))
    nothing, dot, dots = np.zeros((3, 28, 28), int)
    dot[2, 2] = 80
    dots[24:27, 24:27] = 255
    slope = np.tile(np.linspace(0, 255, 28).round(), (28, 1))
    np.testing.assert_array_equal(lowest, [nothing, nothing, nothing, dot])
    np.testing.assert_array_equal(highest, [nothing, nothing + 255, slope, dots])
