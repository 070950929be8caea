"""Digits set side by side: rows whose every pixel's owner is known, for learning and testing how lines are read."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lenet.training.augment.non_digits import non_digits

Image = NDArray[np.uint8]
OTHER = -1  # the label of non-digits


@dataclass
class Row:
    """Images side by side: `ink`, light on dark; `owner` of each pixel, -1 for paper; `labels` of the images."""

    ink: Image
    owner: NDArray[np.int64]
    labels: list[int]

    @property
    def text(self) -> str:
        """The digits."""
        return "".join(str(label) for label in self.labels if label != OTHER)


def row(images: list[Image], labels: list[int], gaps: NDArray[np.int64], drops: NDArray[np.int64]) -> Row:
    """Put images side by side, each with a gap before it and an offset from the top, in pixels."""
    parts = [
        image[:, image.any(axis=0).argmax() : image.shape[1] - image[:, ::-1].any(axis=0).argmax()] for image in images
    ]
    width = 32 + sum(part.shape[1] for part in parts) + int(gaps.clip(0).sum())
    height = 12 + max(len(part) + int(drop) for part, drop in zip(parts, drops, strict=True))
    ink, owner, left = np.zeros((height, width), np.uint8), np.full((height, width), -1), 16
    for n, (part, gap, drop) in enumerate(zip(parts, gaps, drops, strict=True)):
        left = max(0, left + int(gap) * (n > 0))
        place = slice(6 + int(drop), 6 + int(drop) + len(part)), slice(left, left + part.shape[1])
        owner[place][part > ink[place]] = n
        np.maximum(ink[place], part, out=ink[place])
        left += part.shape[1]
    return Row(ink[:, : left + 16], owner[:, : left + 16], labels)


def plain(digits: Image, labels: NDArray[np.int64], rng: np.random.Generator) -> Row:
    """Set 3 to 8 digits side by side, with gaps of -1 to 4 pixels."""
    members = rng.integers(0, len(digits), rng.integers(3, 9))
    gaps = rng.integers(-1, 5, len(members))
    return row([digits[n] for n in members], [int(labels[n]) for n in members], gaps, np.zeros(len(members), np.int64))


def varied(digits: Image, labels: NDArray[np.int64], rng: np.random.Generator) -> Row:
    """Set 3 to 8 digits side by side: of sizes and heights that differ a little, with some letters, dots and dashes."""
    count, scale = int(rng.integers(3, 9)), float(rng.uniform(1, 2.2))
    images, names = [], []
    for n in rng.integers(0, len(digits), count):
        image, name = digits[n], int(labels[n])
        if rng.random() < 0.06:
            image, name = _other(digits, rng), OTHER
        factors = scale * rng.uniform(0.85, 1.15, 2)
        images.append(np.asarray(cv2.resize(image, None, fx=factors[0], fy=factors[1]), np.uint8))
        names.append(name)
    low, high = ((-1, 4), (3, 10))[int(rng.integers(2))]
    gaps = np.round(scale * rng.uniform(low, high, count)).astype(np.int64)
    return row(images, names, gaps, rng.integers(0, round(4 * scale), count))


def _other(digits: Image, rng: np.random.Generator) -> Image:
    """Draw a dot, a dash, or a non-digit."""
    kind = rng.integers(3)
    while kind == 0:
        image = non_digits(1, digits, rng)[0]
        if (image >= 96).any() and (image < 32).mean() > 0.5:
            return image
    image = np.zeros((28, 28), np.uint8)
    thick = int(rng.integers(2, 5))
    if kind == 1:
        cv2.circle(image, (14, int(rng.choice([13, 23]))), thick // 2 + 1, 255, -1, cv2.LINE_AA)
    else:
        cv2.line(image, (8, 14), (8 + int(rng.integers(6, 13)), 14), 255, thick, cv2.LINE_AA)
    return image
