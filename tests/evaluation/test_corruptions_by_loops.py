"""Each corruption is that of loops over images and pixels, at the published strengths, from the same random numbers."""

import cmath
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest

import lenet
from lenet.evaluation import corruptions
from lenet.evaluation.corruptions import CORRUPTIONS, corrupt

ndimage = pytest.importorskip("scipy.ndimage")
cv2 = pytest.importorskip("cv2")

# From MNIST-C's source, except for stripe, dotted_line, zigzag and canny_edges, which have one strength there.
LEVELS = {
    "shot_noise": (60, 25, 12, 5, 3),
    "impulse_noise": (0.03, 0.06, 0.09, 0.17, 0.27),
    "glass_blur": ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    "motion_blur": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    "shear": (0.2, 0.4, 0.6, 0.8, 1),
    "scale": (0.9, 0.8, 0.7, 0.6, 0.5),
    "rotate": (0.2, 0.4, 0.6, 0.8, 1),
    "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
    "translate": (1, 2, 3, 4, 5),
    "stripe": (3, 4, 5, 6, 7),
    "fog": ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    "spatter": (
        (0.65, 0.3, 4, 0.69, 0.6),
        (0.65, 0.3, 3, 0.68, 0.6),
        (0.65, 0.3, 2, 0.68, 0.5),
        (0.65, 0.3, 1, 0.65, 1.5),
        (0.67, 0.4, 1, 0.65, 1.5),
    ),
    "dotted_line": (1, 2, 3, 4, 5),
    "zigzag": (1, 2, 3, 4, 5),
    "canny_edges": (0.5, 0.75, 1, 1.25, 1.5),
}
PUBLISHED = (5, 4, 1, 1, 2, 3, 2, 5, 3, 5, 5, 4, 1, 1, 3)
IMAGES = lenet.data.load_digits().X_test[:3]


def blurred(images, sigma):
    return np.stack([ndimage.gaussian_filter(image, sigma, truncate=4, mode="nearest") for image in images])


def shot_noise(x, rng, photons):
    return rng.poisson(x * photons) / photons


def impulse_noise(x, rng, share):
    """The lower half of the chosen numbers make white pixels, the upper half black ones."""
    chosen = rng.random(x.shape)
    x = x.copy()
    x[chosen < share] = 0
    x[chosen < share / 2] = 1
    return x


def glass_blur(x, rng, level):
    sigma, reach, rounds = level
    x = blurred(x, sigma)
    for _ in range(rounds):
        for row in range(28 - reach, reach, -1):
            for column in range(28 - reach, reach, -1):
                chosen = np.flatnonzero(rng.random(len(x)) < 0.5)
                steps = rng.integers(-reach, reach, (2, len(chosen)))
                for image, down, right in zip(chosen, *steps, strict=True):
                    here, there = (image, row, column), (image, row + down, column + right)
                    x[here], x[there] = x[there], x[here]
    return blurred(x, sigma)


def motion_blur(x, rng, level):
    radius, sigma = level
    weights = [math.exp(-(n**2) / (2 * sigma**2)) for n in range(2 * radius + 1)]
    out = np.zeros(x.shape)
    for image, angle in enumerate(rng.uniform(-45, 45, len(x))):
        rise, run = math.sin(math.radians(angle)), math.cos(math.radians(angle))
        for n, weight in enumerate(weights):
            shifted = [np.arange(28) + math.ceil(n * part - 0.5) for part in (rise, run)]
            out[image] += weight / sum(weights) * x[image][np.ix_(*(np.clip(each, 0, 27) for each in shifted))]
    return out


def mapped(image, matrix):
    """The image under a map of (x, y) about its centre, from output to input."""
    swapped = np.array(matrix)[::-1, ::-1]
    return ndimage.affine_transform(
        image.astype(float), swapped, 13.5 - swapped @ [13.5, 13.5], order=1, mode="grid-constant"
    )


def shear(x, rng, angle):
    angles = angle * rng.choice([-1, 1], len(x))
    pairs = zip(x, angles, strict=True)
    return np.stack([mapped(image, [[1, -math.sin(a)], [0, math.cos(a)]]) for image, a in pairs])


def rotate(x, rng, angle):
    angles = angle * rng.choice([-1, 1], len(x))
    pairs = zip(x, angles, strict=True)
    return np.stack([mapped(image, [[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]]) for image, a in pairs])


def scale(x, rng, factor):
    return np.stack([mapped(image, [[1 / factor, 0], [0, 1 / factor]]) for image in x])


def brightness(x, rng, added):
    return np.minimum(x + added, 1)


def translate(x, rng, pixels):
    down, right = (-pixels * rng.choice([-1, 1], len(x)) for _ in range(2))
    return np.stack([ndimage.shift(image, shift, order=0) for image, *shift in zip(x, down, right, strict=True)])


def stripe(x, rng, width):
    x = x.copy()
    for part in (x[:, :, :width], x[:, :, 28 - width :]):
        part[:] = 1 - part
    return x


def plasma(n, rng, decay):
    """The diamond-square algorithm, point by point; the grid continues at the opposite side."""
    clouds, wobble, step = np.zeros((n, 256, 256)), 100.0, 256
    while step >= 2:
        half, starts = step // 2, range(0, 256, step)
        for rows, columns, corners in (
            ([s + half for s in starts], [s + half for s in starts], [(-1, -1), (-1, 1), (1, -1), (1, 1)]),
            (list(starts), [s + half for s in starts], [(-1, 0), (1, 0), (0, -1), (0, 1)]),
            ([s + half for s in starts], list(starts), [(-1, 0), (1, 0), (0, -1), (0, 1)]),
        ):
            noise = 2 * rng.random((n, len(rows), len(columns)), np.float32) - 1
            around = [
                clouds[:, np.add(rows, down * half)[:, np.newaxis] % 256, np.add(columns, right * half) % 256]
                for down, right in corners
            ]
            clouds[:, np.array(rows)[:, np.newaxis], columns] = sum(around) / 4 + wobble**2 * noise
        wobble, step = wobble / decay, half
    lowest, highest = clouds.min(axis=(1, 2), keepdims=True), clouds.max(axis=(1, 2), keepdims=True)
    return ((clouds - lowest) / (highest - lowest))[:, :28, :28]


def fog(x, rng, level):
    strength, decay = level
    return np.stack([
        (image + strength * cloud) * image.max() / (image.max() + strength)
        for image, cloud in zip(x, plasma(len(x), rng, decay), strict=True)
    ])  # fmt: skip


def spatter(x, rng, level):
    mean, deviation, sigma, threshold, edge = level
    drops = blurred(rng.normal(mean, deviation, x.shape), sigma) > threshold
    mud = blurred(drops.astype(float), edge)
    mud = np.where(mud < 0.8, 0, mud)
    return x * (1 - mud) + mud * 63 / 255


def drawn_line(image, left, top, right, bottom, weight=lambda column: 1.0):
    """Add 1 + log(1 - d / 2.3) at a vertical distance d, where that is not negative."""
    for column in range(max(0, math.floor(left)), min(28, math.ceil(right))):
        for row in range(28):
            distance = abs(row - (top + (bottom - top) * (column - left) / (right - left)))
            if distance < 2.3:
                image[row, column] += weight(column) * max(0, 1 + math.log(1 - distance / 2.3))


def dotted_line(x, rng, count):
    x = x.copy()
    for _ in range(count):
        for image, begin, end in zip(x, *rng.integers(0, 27, (2, len(x))), strict=True):
            drawn_line(image, 0, begin, 27, end, lambda column: column % 4 >= 2)
    return x


def zigzag(x, rng, count):
    x = x.astype(float)
    for _ in range(count):
        begins, rises = rng.integers(0, 27, len(x)), rng.integers(-5, 5, len(x))
        for image, begin, rise in zip(x, begins, rises, strict=True):
            turn = cmath.rect(1, math.atan2(rise, 23))
            corners = [0, *(turn * complex(4 * leg + 2, 2 * (-1) ** leg) for leg in range(6))]
            for start, stop in itertools.pairwise(corners):
                drawn_line(image, 2 + start.real, begin + start.imag, 2 + stop.real, begin + stop.imag)
                np.minimum(image, 1, out=image)
    return x


def canny_edges(x, rng, sigma):
    smooth = np.round(255 * blurred(x, sigma)).astype(np.uint8)
    return np.stack([cv2.Canny(image, 25.5, 51, L2gradient=True) for image in smooth]) / 255


BY_LOOPS = (
    shot_noise, impulse_noise, glass_blur, motion_blur, shear, scale, rotate, brightness, translate, stripe, fog,
    spatter, dotted_line, zigzag, canny_edges,
)  # fmt: skip


def test_all_corruptions_and_their_published_severities_are_here():
    assert [each.__name__ for each in BY_LOOPS] == list(LEVELS) == list(CORRUPTIONS)
    assert [corruption.published for corruption in CORRUPTIONS.values()] == list(PUBLISHED)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("function", BY_LOOPS, ids=lambda function: function.__name__)
def test_corruption_is_that_of_loops(function, severity):
    name, level = function.__name__, LEVELS[function.__name__][severity - 1]
    images, seeds = IMAGES / np.float32(255), [7, list(LEVELS).index(name), severity]
    ours, other = (np.random.default_rng(seeds) for _ in range(2))
    found, expected = CORRUPTIONS[name].function(images, ours, level), function(images, other, level)
    difference = np.abs(found.clip(0, 1) - expected.clip(0, 1))
    tolerance = 0.04 if name in ("shear", "scale", "rotate") else 1e-5  # OpenCV interpolates at 1/32 of a pixel
    assert (difference > tolerance).mean() < 0.002, difference.max()
    assert difference.mean() < 0.004
    assert ours.bit_generator.state == other.bit_generator.state
    assert np.abs(corrupt(IMAGES, name, severity, seed=7) - 255 * found.clip(0, 1)).max() <= 0.501


def test_a_blur_is_a_gaussian_that_ends_at_four_deviations():
    images = np.random.default_rng(0).random((2, 28, 28)).astype(np.float32)
    for sigma in (0.3, 0.5, 0.6, 0.7, 0.9, 1.1, 1.5, 4):
        np.testing.assert_allclose(corruptions._blurred(images, sigma), blurred(images, sigma), atol=1e-6)


def test_impulses_are_white_below_half_of_the_share_and_black_below_the_share():
    drawn = np.array([0, 0.0999, 0.1, 0.1999, 0.2, 0.9])
    rng = SimpleNamespace(random=lambda shape: drawn.reshape(shape))
    found = CORRUPTIONS["impulse_noise"].function(np.full((1, 2, 3), 0.25), rng, 0.2)
    assert found.ravel().tolist() == [1, 1, 0, 0, 0.25, 0.25]


class Halves(np.random.Generator):
    """A generator whose random numbers are 0.49 or 0.5."""

    def random(self, size):
        return self.choice([0.49, 0.5], size)


def test_a_pixel_of_glass_is_swapped_if_its_random_number_is_below_a_half():
    images = np.random.default_rng(0).random((3, 28, 28)).astype(np.float32)
    ours, other = (Halves(np.random.PCG64(0)) for _ in range(2))
    found = CORRUPTIONS["glass_blur"].function(images, ours, (0.7, 1, 1))
    np.testing.assert_allclose(found, glass_blur(images, other, (0.7, 1, 1)), atol=1e-5)


@pytest.mark.parametrize(("step", "found"), [(12, False), (13, True), (24, True)])
def test_an_edge_has_a_slope_above_a_fifth_of_white(step, found):
    """By Sobel's filter, the slope of a step is four times its height: 48, 52 and 96 of 255."""
    image = np.zeros((1, 28, 28))
    image[:, :, 14:] = step / 255
    assert corruptions._canny_edges(image, None, 0.1).any() == found


@pytest.mark.parametrize(("step", "found"), [(6, False), (7, True)])
def test_an_edge_goes_on_where_its_slope_is_above_a_tenth_of_white(step, found):
    """24 and 28 of 255, below a slope of 80."""
    image = np.zeros((1, 28, 28))
    image[:, :14, 14:], image[:, 14:, 14:] = 20 / 255, step / 255
    assert corruptions._canny_edges(image, None, 0.1)[0, 20:].any() == found
