"""Search for the pictures of at most 1 MB that `read` and `prepare` take longest for.

    python -m tests.fuzz.slowest --seconds 3600 --out slowest

A picture is drawn from a few layers, such as rings, grids, noise and digits, with random settings. The search keeps the
slowest pictures and changes their settings. It saves the slowest one as a PNG file, with its settings, whenever it
finds a slower one; started again, it measures those settings again and continues from there. All times, with the
limit of the search, are CPU times, which other programs change little. The exit code is 1 if a picture takes over 5 s.
"""

import argparse
import contextlib
import json
import random
import sys
import time
from pathlib import Path

import cv2
import numpy as np

import lenet
from lenet.data import load_digits
from lenet.errors import DataError, InputError
from lenet.reading import prepare, read

MAX_BYTES, MAX_SECONDS = 1_000_000, 5.0
KEPT = 12  # slowest pictures, whose settings are changed
NEW = 0.3  # fraction of the pictures with new settings
SIDES = (60, 150, 400, 1000, 1700, 2500, 4000)


def rings(page, count, size, pen):
    for n in range(count):
        cv2.circle(page, (page.shape[1] // 2, page.shape[0] // 2), 3 + n * max(pen + 1, size // 4), 0, pen)


def boxes(page, count, size, pen):
    for n in range(count):
        corner = (n * (pen + 1) + size, n * (pen + 1) + size // 2)
        cv2.rectangle(page, corner, (page.shape[1] - corner[0], page.shape[0] - corner[1]), 0, pen)


def grid(page, count, size, pen):
    step = max(pen + 2, size)
    page[:, : step * count : step] = 0
    page[: step * count : step] = 0


def comb(page, count, size, pen):
    page[page.shape[0] // 3 : page.shape[0] // 3 + pen] = 0
    for n in range(count):
        page[page.shape[0] // 3 : page.shape[0] // 3 + size, n * (pen + 2) : n * (pen + 2) + pen] = 0


def zigzag(page, count, size, pen):
    points = np.array([(n * max(2, pen), 10 + size * (n % 2)) for n in range(count)], np.int32)
    for shift in range(0, page.shape[0], max(size + 20, page.shape[0] // 8)):
        cv2.polylines(page, [points + np.array([0, shift], np.int32)], isClosed=False, color=0, thickness=pen)


def spiral(page, count, size, pen):
    angles = np.linspace(0, count, 40 * count)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * (angles * max(1, size // 6))[:, np.newaxis]
    centre = np.array(page.shape[::-1]) / 2
    cv2.polylines(page, [(points + centre).astype(np.int32)], isClosed=False, color=0, thickness=pen)


def specks(page, count, size, pen):
    rng = np.random.default_rng(count)
    rows, columns = (rng.integers(0, side, 40 * count) for side in page.shape)
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        page[row : row + pen, column : column + max(1, size // 8)] = 0


def noise(page, count, size, pen):
    block = max(1, size // 10)
    small = np.random.default_rng(count).integers(0, 256, [1 + side // block for side in page.shape]).astype(np.uint8)
    large = np.repeat(np.repeat(small, block, axis=0), block, axis=1)[: page.shape[0], : page.shape[1]]
    page[large < 20 * pen] = 0


def digits(page, count, size, pen):
    images = load_digits().X_train
    for n in range(count):
        digit = cv2.resize(255 - images[n % len(images)], (max(6, size), max(6, size)))
        row, column = divmod(n * max(3, size - pen), max(1, page.shape[1] - size))
        place = page[row * size : (row + 1) * size, column : column + max(6, size)]
        np.minimum(place, digit[: place.shape[0], : place.shape[1]], out=place)


def marks(page, count, size, pen):
    for top in range(2, page.shape[0] - size, 2 + size):
        for left in range(2, page.shape[1] - size, 2 + size + 10 * pen):
            page[top : top + size, left : left + 2] = 0
            page[top + size - 2 : top + size, left : left + 1 + count * size // 1000] = 0


LAYERS = {each.__name__: each for each in (rings, boxes, grid, comb, zigzag, spiral, specks, noise, digits, marks)}


def new_layer(draw):
    count = draw.choice((3, 10, 30, 100, 300, 1000))
    return [draw.choice(list(LAYERS)), count, draw.randrange(2, 80), draw.randrange(1, 8)]


def new_settings(draw):
    layers = [new_layer(draw) for _ in range(draw.randrange(1, 4))]
    return {"height": draw.choice(SIDES), "width": draw.choice(SIDES), "ink": draw.randrange(200), "layers": layers}


def changed(settings, draw):
    """Return settings with one change."""
    settings = json.loads(json.dumps(settings))
    layers = settings["layers"]
    kind = draw.choice(("side", "layer", "number", "number", "number"))
    if kind == "side":
        settings[draw.choice(("height", "width"))] = draw.choice(SIDES)
    elif kind == "layer" and len(layers) > 1 and draw.random() < 0.5:
        layers.pop(draw.randrange(len(layers)))
    elif kind == "layer":
        layers.append(new_layer(draw))
    else:
        layer, place = draw.choice(layers), draw.randrange(1, 4)
        number = round(layer[place] * draw.choice((0.5, 0.8, 0.9, 1.1, 1.25, 2))) + draw.randrange(-1, 2)
        layer[place] = max(1, min(3000, number))
    return settings


def picture_of(settings):
    """Return the PNG file of a picture."""
    page = np.full((settings["height"], settings["width"]), 255, np.uint8)
    for name, *numbers in settings["layers"]:
        LAYERS[name](page, *numbers)
    page = np.maximum(page, settings["ink"]).astype(np.uint8)
    return cv2.imencode(".png", page)[1].tobytes()


def seconds_of(file, model):
    """Return the CPU time that `read` and `prepare` take for a picture, whether or not they refuse it."""
    longest = 0.0
    for function in (lambda: read(file, model, n_jobs=1), lambda: prepare(file)):
        began = time.process_time()
        with contextlib.suppress(DataError, InputError):
            function()
        longest = max(longest, time.process_time() - began)
    return longest


def search(seconds, out, seed):
    """Search for slow pictures; return the longest time."""
    cv2.setNumThreads(1)
    model, draw, end = lenet.load_pretrained(), random.Random(seed), time.process_time() + seconds  # noqa: S311
    stored = out / "slowest.json"
    again = [settings for _, settings in json.loads(stored.read_text("utf-8"))] if stored.exists() else []
    kept: list[list] = []
    count = 0
    while time.process_time() < end:
        if again:
            settings = again.pop()
        else:
            settings = new_settings(draw) if not kept or draw.random() < NEW else changed(draw.choice(kept)[1], draw)
        file = picture_of(settings)
        if len(file) > MAX_BYTES:
            continue
        (out / "latest.png").write_bytes(file)  # which remains if it fails with another error
        taken, count = seconds_of(file, model), count + 1
        slowest = max((each[0] for each in kept), default=0.0)
        kept = sorted([*kept, [taken, settings]], key=lambda each: -each[0])[:KEPT]
        stored.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
        if taken > slowest:
            (out / "slowest.png").write_bytes(file)
            print(f"{taken:.2f} s after {count:,} pictures: {json.dumps(settings)}", flush=True)
    print(f"{count:,} pictures; the slowest takes {kept[0][0]:.2f} s of CPU time")
    return kept[0][0]


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.slowest", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3600, help="CPU time of the search (default: 3600)")
    parser.add_argument("--out", type=Path, default=Path("slowest"), help="folder of the slowest picture")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    return int(search(options.seconds, options.out, options.seed) > MAX_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
