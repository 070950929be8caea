"""Draw the sample photograph of the README: `python docs/draw_sample.py` writes it and its reading to docs/images.

The photograph is synthetic. An unsteady hand follows the strokes of docs/draw_reading.py on a ruled card. The card lies
on a wooden table and is seen at an angle, in uneven light and partly out of focus. The seed is fixed.
"""

import io
import re

import cv2
import numpy as np
from draw_reading import FINE, GLYPHS, OUT, Floats, Pixels, Shape, curve, inked, result_of
from PIL import Image

from lenet.reading import read, read_picture

SEED = 3
LINES = "80331", "020 7946 0153", "12 750"  # a postcode, a telephone number reserved for fiction, an amount
CARD, PHOTO = (600, 920), (750, 1000)  # height and width
CORNERS = (140, 168), (846, 112), (908, 590), (118, 632)  # of the card in the photograph, clockwise from the top left
INK, RULE, PAPER, WOOD = (36, 48, 118), (150, 176, 204), (244, 240, 228), (104, 72, 50)
HEIGHT, PEN = 62, 4.8  # of the digits, and of their strokes, in pixels of the card

# This hand writes a 1 in a single stroke, crosses the 7, and leaves the 4 open.
HAND = GLYPHS | {
    "1": "24,0 22,30 17,66 12,101",
    "4": "20,2 13,28 3,58 24,61 44,57 66,55 | 50,22 46,60 42,104",
    "7": "0,9 20,5 40,8 59,3 | 59,3 46,34 31,66 22,102 | 16,52 36,48 56,47",
}


def noise(shape: Shape, size: float, rng: np.random.Generator) -> Floats:
    """Return smooth noise with mean 0, variance 1 and spots of `size` pixels."""
    cells = max(2, round(shape[0] / size)), max(2, round(shape[1] / size))
    field = cv2.resize(rng.normal(0, 1, cells), shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray((field - field.mean()) / field.std())


def tremor(length: int, size: float, rng: np.random.Generator) -> Floats:
    """Return two columns of smooth noise along a path, shape (length, 2)."""
    return np.stack([noise((2, length), size, rng)[0] for _ in range(2)], axis=1)


def draw_stroke(card: Pixels, path: Floats, place: Floats, size: float, rng: np.random.Generator) -> None:
    """Draw a stroke on an enlarged card: thinner and lighter where the pen is fast, and where it starts and ends."""
    speed = np.hypot(*np.gradient(path, axis=0).T)
    ends = np.minimum(np.arange(len(path)), np.arange(len(path))[::-1]) / 8
    pressure = 1.06 - 0.22 * speed / speed.max() + 0.05 * tremor(len(path), 30, rng)[:, 0]
    radius = PEN / 2 * pressure * np.clip(0.55 + ends, 0, 1)
    shade = (205 + 30 * pressure + 14 * tremor(len(path), 12, rng)[:, 1]).clip(0, 255)
    circles = np.round(np.c_[place + size * path, radius] * FINE * 16).astype(int)
    for (x, y, r), value in zip(circles.tolist(), shade.tolist(), strict=True):
        cv2.circle(card, (x, y), r, int(value), -1, cv2.LINE_AA, 4)


def draw_line(text: str, left: float, base: float, rng: np.random.Generator) -> Floats:
    """Return the ink of a line of digits on the card, 0 to 1; `left` and `base` are where its base line starts."""
    card = np.zeros((CARD[0] * FINE, CARD[1] * FINE), np.uint8)
    drift, slant, start = rng.normal(0, 0.012), rng.normal(0.17, 0.03), left
    for character in text:
        if character == " ":
            left += rng.uniform(0.85, 1.0) * HEIGHT
            continue
        size, wide = HEIGHT * rng.normal(1, 0.07), rng.normal(1.02, 0.09)
        lean, turn = slant + rng.normal(0, 0.035), rng.normal(0, 0.04)
        place = np.array([left, base + drift * (left - start) + rng.normal(0, 0.04) * HEIGHT])
        # Strokes that share a point move together there, but for a slip of the pen.
        moved = {point: rng.normal(0, 0.03, 2) for point in re.findall(r"[\d,]+", HAND[character])}
        right = 0.0
        for stroke in HAND[character].split("|"):
            points = [np.array(point.split(","), float) / 100 + moved[point] for point in stroke.split()]
            path = curve(np.array(points) + rng.normal(0, 0.012, (len(points), 2)))
            x, y = (path + 0.008 * tremor(len(path), 25, rng)).T
            x, y = wide * x - lean * (y - 1), y - 1
            path = np.stack([x, y + turn * x], axis=1)
            draw_stroke(card, path, place, size, rng)
            right = max(right, float(x.max()))
        left += size * right + rng.uniform(0.1, 0.2) * HEIGHT
    return np.asarray(cv2.resize(card, CARD[::-1], interpolation=cv2.INTER_AREA) / 255.0)


def draw_card(rng: np.random.Generator) -> Floats:
    """Return the card with its fibres, rules, crease and writing, (H, W, 3)."""
    fibres = 2.2 * noise(CARD, 1, rng) + 1.6 * noise(CARD, 5, rng) + 2.0 * noise(CARD, 90, rng)
    card = np.array(PAPER, float) + fibres[..., np.newaxis]
    rules = np.zeros(CARD)
    rules[104::80] = 0.75
    card = inked(card, rules * (0.85 + 0.1 * noise(CARD, 3, rng)), RULE)
    beside = np.arange(CARD[1]) - 596 + 3 * noise(CARD, 120, rng)
    crease = 0.05 * np.exp(-((beside / 5) ** 2)) - 0.035 * np.exp(-(((beside - 8) / 16) ** 2))
    card *= 1 + crease[..., np.newaxis]
    for n, (text, left) in enumerate(zip(LINES, (96, 84, 108), strict=True)):
        ink = draw_line(text, left + rng.normal(0, 6), 180 + 160 * n, rng)
        card = inked(card, ink * (0.95 + 0.06 * noise(CARD, 2, rng)).clip(0, 1), INK)
    return card


def draw_table(rng: np.random.Generator) -> Floats:
    """Return the wooden table with its grain, (H, W, 3)."""
    rings = cv2.resize(rng.normal(0, 1, (160, 4)), (PHOTO[1], 2 * PHOTO[0]), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[: PHOTO[0], : PHOTO[1]].astype(np.float32)
    bent = (y + 0.05 * x + 9 * noise(PHOTO, 260, rng)) % (len(rings) - 1)
    pores = cv2.GaussianBlur(rng.normal(0, 1, PHOTO), (0, 0), 9, sigmaY=0.7)
    grain = 5 * cv2.remap(rings, x, bent.astype(np.float32), cv2.INTER_LINEAR) + 28 * pores + 4 * noise(PHOTO, 300, rng)
    return np.asarray(np.array(WOOD, float) + grain[..., np.newaxis] * np.array([1, 0.82, 0.66]))


def photograph(rng: np.random.Generator) -> bytes:
    """Return the photograph of the card on the table, a JPEG."""
    card, scene = draw_card(rng), draw_table(rng)
    height, width = CARD
    flat = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    lens, view = cv2.getPerspectiveTransform(flat, np.array(CORNERS, np.float32)), PHOTO[::-1]
    covered = cv2.warpPerspective(np.ones(CARD), lens, view, flags=cv2.INTER_AREA)[..., np.newaxis]
    seen = cv2.warpPerspective(card, lens, view, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    under = cv2.GaussianBlur(np.roll(covered, (8, 7), (0, 1)), (0, 0), 7)[..., np.newaxis]
    scene = scene * (1 - 0.55 * under) * (1 - covered) + seen * covered

    y, x = np.mgrid[-1 : 1 : PHOTO[0] * 1j, -1 : 1 : PHOTO[1] * 1j]
    lamp = 1.06 - 0.08 * ((x + 0.5) ** 2 + (y + 0.6) ** 2)
    scene *= np.stack([lamp, lamp**1.1, lamp**1.35], axis=2)  # redder where it is darker
    beyond = 0.9 * x + 0.7 * y - 0.34 + 0.09 * np.sin(4 * (x - y)) + 0.05 * noise(PHOTO, 160, rng)
    scene *= 1 - np.array([0.3, 0.27, 0.23]) / (1 + np.exp(-beyond / 0.07))[..., np.newaxis]  # a shadow at the right
    blurred = np.clip(0.25 + 0.5 * ((x - 0.1) ** 2 + (y - 0.1) ** 2), 0, 1)[..., np.newaxis]
    sharp, soft = (cv2.GaussianBlur(scene, (0, 0), sigma) for sigma in (0.7, 2.0))
    scene = sharp * (1 - blurred) + soft * blurred
    scene += rng.normal(0, 1.6, scene.shape) + 1.2 * noise(PHOTO, 2, rng)[..., np.newaxis]
    return jpeg(scene.clip(0, 255).round().astype(np.uint8))


def jpeg(picture: Pixels) -> bytes:
    """Return a picture as a JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=78, optimize=True)
    return buffer.getvalue()


def main() -> None:
    """Write the photograph, and the drawing of `lenet read --show` without its margin."""
    sample, result = OUT.parent / "sample.jpg", OUT.parent / "sample_read.jpg"
    sample.write_bytes(photograph(np.random.default_rng(SEED)))
    result.write_bytes(jpeg(result_of(read_picture(sample, colour=True))))
    for line in read(sample).lines:
        print(f"{line.text} ({line.confidence:.3f})")
    for file in (sample, result):
        print(f"{file}: {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
