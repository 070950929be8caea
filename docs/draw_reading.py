"""Draw the pictures of reading.md and recognition.md: `python docs/draw_reading.py` writes docs/images/reading.

All pictures are synthetic. Each digit is a few smooth strokes through control points, drawn with jitter, slant and
pressure; paper, shadows, rules and a table make a small photograph of them. The output of the package is drawn beside
it. All random numbers are seeded, so each run draws the same pictures.
"""

import io
import json
import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from lenet import load_pretrained
from lenet.reading import Field, prepare, read, read_form
from lenet.reading.drawing import drawn, drawn_fields
from lenet.reading.forms import straightened
from lenet.reading.ink import find_darkness, normalised
from lenet.reading.lines import find_lines
from lenet.reading.page import page_of
from lenet.reading.pieces import legible_strokes, pieces_of

Pixels = NDArray[np.uint8]  # (H, W) or (H, W, 3)
Floats = NDArray[np.float64]
Shape = tuple[int, int]

OUT = Path(__file__).parent / "images" / "reading"
VIEW = (540, 460)  # width and height of the photographs of pages
MARGIN, CAPTION = 16, 24  # pixels: around each image, and the height of the line below it
LARGEST = 60_000  # bytes of a PNG
FINE = 4  # strokes are drawn on a grid finer by this factor and averaged, which makes their edges smooth
PEN, SLANT = 0.095, 0.13  # in heights of the writing
BLUE, BLACK, GREEN = (38, 58, 140), (44, 42, 46), (30, 92, 74)  # pens
# Okabe and Ito's palette, which colour-blind readers can distinguish.
COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167))

# Left, top, width and height of the fields of a form of 900x760 pixels, and of the first of five cells in a table.
FORM = {
    "card": (200, 120, 620, 64),
    "book": (200, 240, 520, 64),
    "staff": (200, 360, 220, 64),
    "total": (560, 360, 260, 64),
}
POINTS = (200, 520, 90, 80)
PRINT = (70, 84, 96)
FORM_VIEW, FORM_CORNERS = (1160, 980), ((110, 100), (1050, 80), (1070, 880), (90, 900))

# The strokes of each digit: x from the left and y from the top, in hundredths of its height. A stroke ends at a corner.
GLYPHS = {
    "0": "36,2 14,13 2,48 10,84 30,99 52,84 60,46 50,12 32,1 22,6",
    "1": "12,19 20,11 27,0 | 27,0 25,50 22,100",
    "2": "5,24 15,6 36,0 53,14 48,40 28,70 3,97 | 3,97 22,92 42,97 64,93",
    "3": "6,12 26,0 48,10 44,34 20,46 | 20,46 48,54 56,76 40,96 18,99 1,87",
    "4": "17,2 10,34 3,60 | 3,60 30,60 62,56 | 47,12 43,50 38,100",
    "5": "15,4 12,24 8,46 | 8,46 30,39 52,52 54,76 36,96 14,99 0,90 | 15,4 36,5 58,0",
    "6": "46,0 22,20 6,56 8,86 28,100 50,86 49,63 30,54 13,66 8,80",
    "7": "2,7 30,7 58,3 | 58,3 40,40 25,100",
    "8": "48,12 30,0 12,10 15,31 34,48 50,71 43,93 23,100 6,87 12,67 32,48 48,30 48,10",
    "9": "53,12 32,1 10,13 6,36 23,49 43,36 53,12 | 53,12 50,50 42,100",
}


def curve(points: Floats) -> Floats:
    """Return a Catmull-Rom curve through points, shape (n, 2), as closely spaced points."""
    ends = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    t = np.linspace(0, 1, 40, endpoint=False)[:, np.newaxis]
    parts = []
    for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:], strict=False):
        parts.append(b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * b - 3 * c + d - a))))
    return np.vstack([*parts, points[-1:]])


def write(
    shape: Shape, text: str, place: tuple[float, float], height: float, rng: np.random.Generator, touching: str = ""
) -> Floats:
    """Return the ink, 0 to 1, of digits on a page of this shape; their base line starts at `place`.

    The pairs of digits in `touching` touch each other.
    """
    page = np.zeros((shape[0] * FINE, shape[1] * FINE), np.uint8)
    left, base = place
    for n, character in enumerate(text):
        if character == " ":
            left += 1.1 * height
            continue
        size, wide = height * rng.normal(1, 0.04), rng.normal(1, 0.06)
        lean, lift = SLANT + rng.normal(0, 0.03), rng.normal(0, 0.025) * height
        moved: dict[str, Floats] = {}  # by point, so that strokes that meet in a corner still meet
        for point in re.findall(r"[\d,]+", GLYPHS[character]):
            moved[point] = np.array(point.split(","), float) / 100 + rng.normal(0, 0.022, 2)
        strokes = [np.array([moved[point] for point in each.split()]) for each in GLYPHS[character].split("|")]
        right = max(stroke[:, 0].max() for stroke in strokes)
        for stroke in strokes:
            path = curve(stroke)
            speed = np.hypot(*np.gradient(path, axis=0).T)
            width = PEN * height * (1.1 - 0.3 * speed / speed.max()) * (1 + 0.06 * np.sin(np.linspace(0, 7, len(path))))
            x = left + size * (path[:, 0] * wide + lean * (1 - path[:, 1]))
            y = base + lift + size * (path[:, 1] - 1)
            for circle in np.c_[x, y, width / 2] * FINE * 16:
                x16, y16, r16 = np.round(circle).astype(int).tolist()
                cv2.circle(page, (x16, y16), r16, 255, -1, cv2.LINE_AA, 4)
        gap = 0.02 if text[n : n + 2] in touching.split() else rng.uniform(0.15, 0.28)
        left += size * wide * right + gap * height
    return np.asarray(cv2.resize(page, shape[::-1], interpolation=cv2.INTER_AREA) / 255.0)


def blank(shape: Shape, colour: tuple[int, int, int] = (243, 240, 232)) -> Floats:
    """Return blank paper, (H, W, 3)."""
    return np.full((*shape, 3), colour, np.float64)


def inked(page: Floats, ink: Floats, colour: tuple[int, int, int]) -> Floats:
    """Return a page with ink on it."""
    there = 0.92 * ink[..., np.newaxis]
    return np.asarray(page * (1 - there) + np.array(colour, float) * there)


def photographed(page: Floats, depth: float, angle: float) -> Pixels:
    """Photograph a page: the light falls off, a shadow covers one side, and the lens blurs slightly."""
    y, x = np.mgrid[-1 : 1 : page.shape[0] * 1j, -1 : 1 : page.shape[1] * 1j]
    across = x * np.cos(np.radians(angle)) + y * np.sin(np.radians(angle))
    shadow = depth / (1 + np.exp(3.5 - 10 * across - 1.5 * np.sin(2.5 * (x - y))))
    seen = cv2.GaussianBlur(page * ((1 - 0.08 * across) * (1 - shadow))[..., np.newaxis], (0, 0), 0.7)
    return np.asarray(seen.clip(0, 255).round(), np.uint8)


def grey_of(picture: Pixels) -> Pixels:
    """Return the grey levels of a picture."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def photograph_of_a_digit() -> Pixels:
    """Return a blue digit off centre, with a shadow over it and a speck beside it."""
    rng = np.random.default_rng(5)
    page = inked(blank((392, 392)), write((392, 392), "5", (92, 300), 170, rng), BLUE)
    cv2.circle(page, (322, 118), 5, (96, 84, 70), -1, cv2.LINE_AA)
    return photographed(page, 0.42, 20)


def photograph_of_a_number() -> Pixels:
    """Return a telephone number in one line; some digits touch."""
    rng = np.random.default_rng(11)
    ink = write((120, 720), "020 7946 0153", (38, 88), 58, rng, touching="46 53")
    return photographed(inked(blank(ink.shape), ink, BLUE), 0.3, -30)


def photograph_of_a_page() -> Pixels:
    """Return a ruled page, rotated by five degrees."""
    rng = np.random.default_rng(1)
    shape, step, texts = (680, 760), 84, ("20481 7", "31596", "7702 845", "46 1938", "905263")
    page = blank(shape, (246, 243, 230))
    for line in range(9):
        cv2.line(page, (0, 60 + step * line), (shape[1], 60 + step * line), (150, 178, 205), 2, cv2.LINE_AA)
    cv2.line(page, (176, 0), (176, shape[0]), (226, 150, 150), 2, cv2.LINE_AA)
    for line, text in enumerate(texts):
        place = 208 + rng.normal(0, 6), 60 + step * (line + 2) - rng.uniform(0, 5)
        page = inked(page, write(shape, text, place, 38, rng), BLACK)
    turn = cv2.getRotationMatrix2D((380, 340), -5, 1.0)
    turn[:, 2] -= 116, 116
    return photographed(np.asarray(cv2.warpAffine(page, turn, VIEW, flags=cv2.INTER_CUBIC)), 0.3, 140)


def on_a_table(
    sheet: Floats, corners: tuple[tuple[int, int], ...], rng: np.random.Generator, view: tuple[int, int] = VIEW
) -> Pixels:
    """Photograph a sheet on a dark table; `corners` are its corners in the view, clockwise from the upper left."""
    height, width = sheet.shape[:2]
    grain = cv2.resize(rng.normal(0, 1, (60, 3)), view, interpolation=cv2.INTER_CUBIC)
    table = np.array([74, 52, 38.0]) + 7 * grain[..., np.newaxis] * np.array([1, 0.8, 0.6])
    flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    lens = cv2.getPerspectiveTransform(flat, np.array(corners, np.float32))
    covered = cv2.warpPerspective(np.ones((height, width)), lens, view)[..., np.newaxis]
    below = cv2.GaussianBlur(np.roll(covered, (7, 6), (0, 1)), (0, 0), 6)[..., np.newaxis]
    seen = cv2.warpPerspective(sheet, lens, view, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return photographed(table * (1 - 0.6 * below) * (1 - covered) + seen * covered, 0.2, 60)


def photograph_of_a_sheet() -> Pixels:
    """Return a sheet on a dark table, seen at an angle."""
    rng = np.random.default_rng(0)
    shape = (340, 400)
    sheet = blank(shape, (240, 238, 232))
    for line, text in enumerate(("3014 92", "58670", "2195 38")):
        place = 60 + rng.normal(0, 5), 98 + 92 * line
        sheet = inked(sheet, write(shape, text, place, 42, rng), GREEN)
    return on_a_table(sheet, ((74, 74), (470, 42), (486, 388), (50, 404)), rng)


def photograph_of_boxes() -> Pixels:
    """Return a form: numbers in printed frames."""
    rng = np.random.default_rng(4)
    page = blank(VIEW[::-1], (238, 241, 240))
    for n, (text, width) in enumerate((("48 2703", 350), ("6159", 230), ("380 9274", 400))):
        top = 44 + 132 * n
        cv2.rectangle(page, (60, top), (60 + width, top + 94), (70, 84, 96), 2, cv2.LINE_AA)
        page = inked(page, write(VIEW[::-1], text, (86 + rng.normal(0, 4), top + 69), 44, rng), BLUE)
    return photographed(page, 0.25, 200)


def filled_form(values: dict[str, str], rng: np.random.Generator) -> Floats:
    """Return a form whose fields are filled with these values; `FORM` has their boxes, `POINTS` that of a table."""
    page = blank((760, 900), (240, 241, 238)).astype(np.uint8)  # for `putText`
    for name, (left, top, width, height) in FORM.items():
        cv2.putText(page, name, (left - 100, top + 40), cv2.FONT_HERSHEY_SIMPLEX, 0.9, PRINT, 2, cv2.LINE_AA)
        cv2.rectangle(page, (left, top), (left + width, top + height), PRINT, 2, cv2.LINE_AA)
    left, top, width, height = POINTS
    for n in range(5):
        cv2.rectangle(page, (left + n * width, top), (left + (n + 1) * width, top + height), PRINT, 2, cv2.LINE_AA)
    ink = np.zeros(page.shape[:2])
    for n, (name, text) in enumerate(values.items()):
        left, top, width, height = FORM.get(name, (POINTS[0] + (n - len(FORM)) * POINTS[2], *POINTS[1:]))
        start = (18 if name in FORM else 0.3 * width) + rng.normal(0, 3)
        inside = write((height, width), text, (start, 0.75 * height), 0.5 * height, rng)
        ink[top : top + height, left : left + width] = inside
    return inked(page.astype(np.float64), ink, BLUE)


def photograph_of_a_form(values: dict[str, str], rng: np.random.Generator) -> Pixels:
    """Return a filled form on a dark table."""
    corners = [(x + int(rng.integers(-40, 40)), y + int(rng.integers(-30, 30))) for x, y in FORM_CORNERS]
    return on_a_table(filled_form(values, rng), tuple(corners), rng, FORM_VIEW)


def fitted(image: Pixels, size: tuple[int, int]) -> Pixels:
    """Return an image scaled to fit into a width and height, centred on black."""
    scale = min(size[0] / image.shape[1], size[1] / image.shape[0])
    scale = scale if scale < 1 else int(scale)  # enlarge pixels to squares of whole pixels
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    scaled = Image.fromarray(np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=method), np.uint8))
    whole = Image.new(scaled.mode, size)
    whole.paste(scaled, ((size[0] - scaled.width) // 2, (size[1] - scaled.height) // 2))
    return np.asarray(whole)


def result_of(picture: Pixels) -> Pixels:
    """Return the drawing of `lenet read --show`, without its margin."""
    return without_margin(drawn(picture, read(picture)))


def without_margin(drawing: bytes) -> Pixels:
    """Return a drawing without its margin."""
    image = Image.open(io.BytesIO(drawing))
    return np.asarray(image.crop(ImageOps.invert(image).getbbox()))


def save(name: str, placed: list[tuple[Pixels, tuple[int, int], str]]) -> None:
    """Write a figure of images, each with its left, top and caption, in as many colours as fit into the file."""
    width = max(left + image.shape[1] for image, (left, _), _ in placed) + MARGIN
    height = max(top + image.shape[0] for image, (_, top), _ in placed) + CAPTION + MARGIN // 2
    page = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(17)
    for image, (left, top), caption in placed:
        page.paste(Image.fromarray(image), (left, top))
        right, bottom = left + image.shape[1], top + image.shape[0]
        draw.rectangle((left - 1, top - 1, right, bottom), outline=(200, 200, 200))
        draw.text((left, bottom + 18), caption, (40, 40, 40), font, "ls")
    shades, counts = np.unique(np.asarray(page).reshape(-1, 3), axis=0, return_counts=True)
    # Rare colours count for more than their share. Nearly white ones become white, which is added below.
    counts = np.where(shades.min(axis=1) > 247, 0, np.ceil(counts**0.9)).astype(int)
    common = Image.fromarray(np.repeat(shades, counts, axis=0)[np.newaxis])
    for colours in (256, 192, 128, 96, 64, 48, 32):
        buffer, palette = io.BytesIO(), common.quantize(colours - 1, kmeans=2)
        palette.putpalette([*(palette.getpalette() or [])[: 3 * colours - 3], 255, 255, 255])
        page.quantize(palette=palette, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
        if buffer.tell() <= LARGEST:
            break
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / name).write_bytes(buffer.getvalue())
    print(f"{OUT / name}: {width} x {height}, {colours} colours, {buffer.tell():,} bytes")


def draw_preparing(picture: Pixels) -> None:
    """Draw the steps of `prepare`, side by side."""
    ink, side = normalised(find_darkness(grey_of(picture), cropped=True)), 196
    _, _, facts, _ = cv2.connectedComponentsWithStats((ink > 96).astype(np.uint8))
    left, top, width, height, _ = facts[1 + facts[1:, cv2.CC_STAT_AREA].argmax()]
    seen = np.stack([np.kron(prepare(picture), np.ones((7, 7), np.uint8))] * 3, axis=2)
    seen[::7], seen[:, ::7] = np.maximum(seen[::7], 30), np.maximum(seen[:, ::7], 30)
    cv2.drawMarker(seen, (98, 98), COLOURS[0], cv2.MARKER_CROSS, 15, 2)
    images = picture, ink, ink[top : top + height, left : left + width], seen
    captions = "1. the picture", "2. its ink", "3. the digit alone", "4. as the network sees it"
    places = [(MARGIN + n * (side + MARGIN), MARGIN) for n in range(4)]
    save("prepare.png", list(zip([fitted(image, (side, side)) for image in images], places, captions, strict=True)))


def draw_a_line(picture: Pixels) -> None:
    """Draw the steps of reading a line, one below the other."""
    line = find_lines(page_of(grey_of(picture)))[0]
    [whole] = legible_strokes(load_pretrained("mnist"), [line], n_jobs=None)
    page, ink, pieces, (left, top) = line.page, line.ink, pieces_of(line, whole), line.corner
    colours = np.array([(0, 0, 0), *(COLOURS[n % len(COLOURS)] for n in range(len(pieces.boxes)))])
    coloured = np.zeros((*page.ink.shape, 3), np.uint8)
    there = slice(top, top + ink.shape[0]), slice(left, left + ink.shape[1])
    coloured[there] = colours[pieces.labels] * (ink / 255)[..., np.newaxis]
    captions = "1. the picture", "2. its ink", f"3. {len(pieces.boxes)} pieces", "4. the reading"
    placed, place = [], MARGIN
    for image, caption in zip((picture, page.ink, coloured, result_of(picture)), captions, strict=True):
        placed.append((image, (MARGIN, place), caption))
        place += image.shape[0] + CAPTION + MARGIN // 2
    save("line.png", placed)


def draw_a_page(name: str, picture: Pixels) -> None:
    """Draw a picture, its ink below, and what was read beside both."""
    ink, result = find_lines(page_of(grey_of(picture)))[0].page.ink, result_of(picture)
    tall = (result.shape[0] - CAPTION - MARGIN) // 2
    small = round(tall * picture.shape[1] / picture.shape[0]), tall
    low, right = MARGIN + result.shape[0] - tall, 2 * MARGIN + small[0]
    above = fitted(picture, small), (MARGIN, MARGIN), "1. the picture"
    below = fitted(ink, small), (MARGIN, low), "2. its ink, level"
    save(name, [above, below, (result, (right, MARGIN), "3. the reading")])


def draw_a_form() -> None:
    """Draw a form on a table, and its sheet, straightened, with the fields of the guide and their values."""
    values = {"card": "5457316390772033", "book": "9780306406157", "staff": "731645", "total": "9817"}
    picture = photograph_of_a_form(values | dict(zip("abcde", "38257", strict=True)), np.random.default_rng(0))
    fields = [Field(**each) for each in json.loads(fields_of_the_guide())]
    result = without_margin(drawn_fields(straightened(grey_of(picture)), read_form(picture, fields)))
    small = fitted(picture, (500, 440)), fitted(result, (500, 440))
    save(
        "form.png",
        [(small[0], (MARGIN, MARGIN), "1. the picture"), (small[1], (532, MARGIN), "2. its sheet and fields")],
    )


def fields_of_the_guide() -> str:
    """Return the fields in docs/reading.md."""
    return re.findall(r"```json\n(.*?)```", (Path(__file__).parent / "reading.md").read_text("utf-8"), re.DOTALL)[0]


def draw_what_is_wrong() -> None:
    """Draw pictures of one digit that are hard to read, each above its 28x28 pixels."""
    rng, shape, side = np.random.default_rng(6), (252, 252), 126
    plain = {text: inked(blank(shape), write(shape, text, (80, 196), 140, rng), BLUE) for text in "24679"}
    struck = plain["6"].copy()
    for top in (86, 118, 150, 182):
        cv2.line(struck, (50, top + 14), (200, top - 22), BLUE, 9, cv2.LINE_AA)
    pages: dict[str, Floats] = {
        "too few pixels": np.asarray(cv2.resize(plain["4"], (14, 14), interpolation=cv2.INTER_AREA), np.float64),
        "out of focus": np.asarray(cv2.GaussianBlur(plain["2"], (0, 0), 19), np.float64),
        "cut off": inked(blank(shape), write(shape, "8", (-48, 196), 140, rng), BLUE),
        "turned": np.rot90(plain["7"]),
        "more beside it": inked(plain["9"], write(shape, "2", (170, 228), 80, rng), BLUE),
        "struck out": struck,
    }
    placed = []
    for n, (cause, page) in enumerate(pages.items()):
        left, picture = MARGIN + n * (side + MARGIN), photographed(page, 0.1, 20)
        placed.append((fitted(picture, (side, side)), (left, MARGIN), ""))
        placed.append((fitted(prepare(picture), (side, side)), (left, MARGIN // 2 + MARGIN + side), cause))
    save("wrong.png", placed)


def main() -> None:
    """Draw all figures."""
    draw_preparing(photograph_of_a_digit())
    draw_a_line(photograph_of_a_number())
    draw_a_page("page.png", photograph_of_a_page())
    draw_a_page("sheet.png", photograph_of_a_sheet())
    draw_a_page("boxes.png", photograph_of_boxes())
    draw_a_form()
    draw_what_is_wrong()


if __name__ == "__main__":
    main()
