"""Measure how accurately digits, numbers and pages are read: `python -m benchmarks.reading`.

Strings and pages are synthetic: composed of MNIST's test digits, with a fixed seed. No network was trained on them.
"""

import argparse
import calendar
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import lenet
from benchmarks.rows import plain
from lenet._mnist_form import cropped
from lenet.reading import prepare, read
from lenet.rejection import RejectionRule, digit_score

Image = NDArray[np.uint8]
PAGE = (3000, 2250)
LINES = 30
PENS = (-1, 0, 2)  # pixels that strokes of two to three millimetres are thinned or thickened by


def page(digits: Image, labels: NDArray[np.int64], rng: np.random.Generator, pen: int) -> tuple[Image, list[str]]:
    """Return a photograph of a page of numbers, and its lines."""
    rows, columns = PAGE
    paper, ink, texts = np.full(PAGE, 255, np.float32), np.zeros(PAGE, np.float32), []
    step, ruled = (rows - 300) / LINES, rng.random() < 0.6
    for line in range(LINES):
        base, left, text = round(150 + line * step + 0.85 * step), 150 + int(rng.integers(0, 60)), ""
        if ruled:
            at, grey = round(150 + (line + 0.9) * step), float(rng.uniform(150, 190))
            cv2.line(paper, (60, at), (columns - 60, at), grey, int(rng.integers(2, 4)))
        for member in rng.integers(0, len(digits), rng.integers(8, 24)):
            digit = _drawn(digits[member], pen)
            height, width = digit.shape
            if left + width > columns - 150:
                break
            bottom = base + int(rng.integers(-4, 5))
            place = ink[bottom - height : bottom, left : left + width]
            np.maximum(place, digit, out=place)
            left += width + int(rng.integers(4, 18)) + (90 if rng.random() < 0.12 else 0)
            text += str(labels[member])
        texts.append(text)
    grey = paper * (1 - ink / 255) + rng.uniform(20, 90) * ink / 255
    return _photographed(grey, rng), texts


def _drawn(digit: Image, pen: int) -> Image:
    large = cv2.resize(cropped(digit), None, fx=2.6, fy=2.6, interpolation=cv2.INTER_CUBIC)
    brush = np.ones((abs(pen) + 1,) * 2, np.uint8)
    return np.asarray(cv2.dilate(large, brush) if pen > 0 else cv2.erode(large, brush), np.uint8)


def _photographed(grey: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """Return a page tilted by up to 10 degrees, with a shadow, noise and JPEG artefacts."""
    rows, columns = grey.shape
    a, b, c = np.radians(rng.uniform(-10, 10, 3)) * [1, 1, 0.6]
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    middle, distance = np.array([columns / 2, rows / 2]), 1.6 * columns
    corners = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], float) - middle
    seen = np.c_[corners, np.zeros(4)] @ (about_x @ about_y @ about_z).T
    seen = seen[:, :2] * (distance / (distance + seen[:, 2:])) * 0.9 + middle
    lens = cv2.getPerspectiveTransform((corners + middle).astype(np.float32), seen.astype(np.float32))
    grey = cv2.warpPerspective(grey, lens, (columns, rows), borderMode=cv2.BORDER_CONSTANT, borderValue=255)
    x, y = np.meshgrid(np.linspace(-1, 1, columns), np.linspace(-1, 1, rows))
    angle = rng.uniform(0, 2 * np.pi)
    edge = 1 + np.exp(-6 * (x * np.cos(angle) + y * np.sin(angle) - rng.uniform(-0.4, 0.4)))
    grey = grey * (1 - rng.uniform(0.2, 0.5) / edge) * rng.uniform(0.8, 1) + rng.normal(0, 4, grey.shape)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(50, 85))]
    _, content = cv2.imencode(".jpg", grey.clip(0, 255).astype(np.uint8), quality)
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_GRAYSCALE), np.uint8)


def edits(a: str, b: str) -> int:
    """Return the edit distance: how many digits must be inserted, deleted or changed to turn a into b.

    Examples
    --------
    >>> edits("12345", "1345"), edits("12", "13")
    (1, 1)
    """
    costs = list(range(len(b) + 1))
    for row, one in enumerate(a, 1):
        before, costs[0] = costs[0], row
        for column, other in enumerate(b, 1):
            changed = before + (one != other)
            before, costs[column] = costs[column], min(costs[column] + 1, costs[column - 1] + 1, changed)
    return costs[-1]


def read_strings(data: Any, count: int) -> None:
    """Print how many strings are read correctly, and how many at an error rate of 1%."""
    rng, outcome, right_with_any = np.random.default_rng(1), [], 0
    for _ in range(count):
        row = plain(data.X_test, data.y_test, rng)
        found = read(255 - row.ink, only_digits=True, n_jobs=1)
        right = found.text.replace(" ", "") == row.text
        outcome.append((min((line.confidence for line in found.lines), default=0.0), right))
        right_with_any += read(255 - row.ink, n_jobs=1).text.replace(" ", "") == row.text
    outcome.sort(reverse=True)
    right = np.array([each for _, each in outcome])
    allowed = np.flatnonzero((~right).cumsum() <= 0.01 * count)[-1] + 1
    print(f"{count:,} strings: {right.mean():.1%} right; with at most 1% wrong, {right[:allowed].sum() / count:.1%}")
    print(f"without only_digits: {right_with_any / count:.1%} right", flush=True)


def read_pages(data: Any, count: int) -> None:
    """Print how many digits of pages are read correctly."""
    wrong = total = 0
    for number in range(count):
        picture, texts = page(data.X_test, data.y_test, np.random.default_rng(number), PENS[number % len(PENS)])
        found = [line.text.replace(" ", "") for line in read(picture, n_jobs=1).lines]
        pairs = zip(texts, found, strict=True) if len(found) == len(texts) else [("".join(texts), "".join(found))]
        wrong += sum(edits(*pair) for pair in pairs)
        total += sum(map(len, texts))
    print(f"{count} pages of {LINES} lines: {1 - wrong / total:.1%} of {total:,} digits right", flush=True)


def read_words() -> None:
    """Print how many digits are seen in the names of months and days, in OpenCV's eight fonts."""
    names = [*calendar.month_name[1:], *calendar.day_name]
    count = digits = with_digits = turned = 0
    for word, face in product([*map(str.lower, names), *map(str.upper, names)], range(8)):
        picture = np.full((120, 60 + 45 * len(word)), 235, np.uint8)
        cv2.putText(picture, word, (30, 80), face, 1.6, 30, 3, cv2.LINE_AA)
        reading = read(picture, n_jobs=1)
        probable = [each for line in reading.lines for each in line.digits if each.label is not None]
        seen = sum(each.probability > 0.5 for each in probable)
        count, digits, with_digits = count + 1, digits + seen, with_digits + (seen > 0)
        turned += reading.rotation > 0
    print(
        f"{count} words: {with_digits / count:.1%} have digits with a probability above 0.5, {digits} in all; "
        f"{turned / count:.1%} are turned",
        flush=True,
    )


PHOTOGRAPH = """
import re, sys, time
import cv2
from lenet.reading import read
cv2.setNumThreads(1)
seconds = []
for _ in range(3):
    began = time.process_time()
    lines = read(sys.argv[1], n_jobs=1).lines
    seconds.append(time.process_time() - began)
peak = int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1]) / 1000
print(min(seconds), peak, len(lines))
"""


def read_photograph(data: Any) -> tuple[float, float, int]:
    """Print the CPU time and the memory that a photographed page of 12 megapixels takes; return them and its lines."""
    picture, _ = page(data.X_test, data.y_test, np.random.default_rng(0), 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "page.jpg")
        large = cv2.resize(picture, (3000, 4000), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(path), large, [cv2.IMWRITE_JPEG_QUALITY, 90])
        command = [sys.executable, "-c", PHOTOGRAPH, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, peak, lines = map(float, done.stdout.split())
    print(f"a page of 12 megapixels, one thread: {seconds:.2f} s, {peak:.0f} MB", flush=True)
    return seconds, peak, int(lines)


def enlarged(digits: Image) -> Image:
    """Return digits after a round trip: enlarged four times, dark on a larger page, and prepared again."""
    pages = (np.pad(cv2.resize(digit, (112, 112), interpolation=cv2.INTER_CUBIC), 40) for digit in digits)
    return np.stack([prepare(255 - page) for page in pages])


def read_digits(data: Any) -> None:
    """Print how many enlarged digits are read correctly, and the error rates among the accepted answers."""
    model = lenet.load_pretrained("mnist")
    for name, images in (("as they are", data.X_test), ("as pictures", enlarged(data.X_test))):
        print(f"MNIST's test digits {name}: {(model.predict(images) == data.y_test).mean():.2%} right", flush=True)
    other = lenet.data.load_digits()
    for name, images, labels, rate in (
        ("MNIST's test digits", data.X_test, data.y_test, 0.001),
        ("MNIST's test digits", data.X_test, data.y_test, 0.002),
        ("scikit-learn's test digits", other.X_test, other.y_test, 0.002),
    ):
        answers = model.predict(images, reject_at=rate)
        accepted = answers >= 0
        wrong = (answers != labels)[accepted].mean()
        print(f"{name}, reject_at={rate}: {1 - accepted.mean():.2%} are rejected, {wrong:.2%} of the others are wrong")


def print_accepted(data: Any, fashion: bool) -> None:
    """Print how many non-digits reach the digit score of 98% of the test digits, and the minimum of `lenet predict`."""
    model, rng = lenet.load_pretrained("mnist"), np.random.default_rng(2)
    kinds = {
        "random walks": walks(4000, rng),
        "straight strokes": walks(4000, rng, turning=0.0),
        "uniform noise": rng.integers(0, 256, (4000, 28, 28)).astype(np.uint8),
        "normal noise": rng.normal(rng.uniform(0, 200, (4000, 1, 1)), 50, (4000, 28, 28)).clip(0, 255).astype(np.uint8),
        "blanks": np.tile(np.arange(256, dtype=np.uint8)[:, np.newaxis, np.newaxis], (1, 28, 28)),
    }
    if fashion:
        kinds = {"Fashion-MNIST": lenet.data.load("fashion-mnist").X_test}
    strict = np.quantile(digit_score(model.predict_proba(data.X_test)), 0.02)
    usual = RejectionRule.from_metadata(model.metadata).min_digit_score
    for name, images in kinds.items():
        taken, more = ((digit_score(model.predict_proba(images)) >= least).mean() for least in (strict, usual))
        print(f"{name}: {taken:.2%} of {len(images):,} are accepted as digits, by lenet predict {more:.2%}", flush=True)


def walks(count: int, rng: np.random.Generator, turning: float = 0.6) -> Image:
    """Return images of one to four strokes that turn by some radians at each step."""
    images = np.zeros((count, 28, 28), np.uint8)
    for image in images:
        canvas = np.zeros((112, 112), np.uint8)
        for _ in range(rng.integers(1, 5)):
            steps = int(rng.integers(3, 20))
            angles = rng.uniform(0, 2 * np.pi) + rng.normal(0, turning, steps).cumsum()
            points = rng.uniform(16, 96, 2) + 8 * np.stack([np.cos(angles), np.sin(angles)], axis=1).cumsum(axis=0)
            cv2.polylines(
                canvas, [points.clip(8, 104).astype(np.int32)], False, 255, int(rng.integers(6, 13)), cv2.LINE_AA
            )
        image[...] = cv2.resize(canvas, (28, 28), interpolation=cv2.INTER_AREA)
    return images


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading", description=__doc__)
    parser.add_argument("--strings", type=int, default=1000, metavar="N")
    parser.add_argument("--pages", type=int, default=12, metavar="N")
    parser.add_argument("--fashion", action="store_true", help="only Fashion-MNIST, which is downloaded, as non-digits")
    arguments = parser.parse_args()
    data = lenet.data.load("mnist")
    print_accepted(data, arguments.fashion)
    if arguments.fashion:
        return
    read_digits(data)
    read_strings(data, arguments.strings)
    read_pages(data, arguments.pages)
    read_words()
    read_photograph(data)


if __name__ == "__main__":
    main()
