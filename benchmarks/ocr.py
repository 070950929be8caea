"""Compare reading with those OCR packages that are installed, side by side: `python -m benchmarks.ocr`.

    pip install easyocr rapidocr onnxruntime pytesseract

pytesseract needs the program tesseract, and easyocr downloads its networks.
Strings and pages are those of benchmarks.reading, composed of MNIST's test digits. Each package is
restricted to digits where it supports that, and otherwise runs with its defaults, on one thread.
"""

import argparse
import contextlib
import os
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import lenet
from benchmarks.reading import PENS, edits, page
from benchmarks.rows import plain
from lenet.reading import read

Picture = NDArray[np.uint8]
Engine = Callable[[Picture, bool], str]  # the second argument tells whether the picture is one line
DIGITS = "0123456789"
SCALE = 3  # strings, since OCR packages expect larger writing than 20 pixels


def with_lenet() -> Engine:
    """Return lenet's reader."""
    return lambda picture, line: read(picture, only_digits=True, n_jobs=1).text


def with_easyocr() -> Engine:
    """Return easyocr's reader."""
    import easyocr

    reader = easyocr.Reader(["en"], gpu=False, verbose=False)
    return lambda picture, line: "".join(reader.readtext(picture, allowlist=DIGITS, detail=0))


def with_rapidocr() -> Engine:
    """Return rapidocr's reader, which has no option to read only digits."""
    from rapidocr import RapidOCR

    threads = {"EngineConfig.onnxruntime.intra_op_num_threads": 1, "EngineConfig.onnxruntime.inter_op_num_threads": 1}
    reader = RapidOCR(params={**threads, "Global.log_level": "error"})
    return lambda picture, line: "".join(reader(picture).txts or ())


def with_tesseract() -> Engine:
    """Return tesseract's reader."""
    import pytesseract

    pytesseract.get_tesseract_version()

    def text_of(picture: Picture, line: bool) -> str:
        options = f"--psm {7 if line else 6} -c tessedit_char_whitelist={DIGITS}"
        return str(pytesseract.image_to_string(picture, config=options))

    return text_of


ENGINES = {"lenet": with_lenet, "easyocr": with_easyocr, "rapidocr": with_rapidocr, "tesseract": with_tesseract}


def strings(data: Any, count: int) -> Iterable[tuple[Picture, str]]:
    """Yield pictures of 3 to 8 digits, with the digits."""
    rng = np.random.default_rng(1)
    for _ in range(count):
        row = plain(data.X_test, data.y_test, rng)
        enlarged = cv2.resize(255 - row.ink, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC)
        yield np.asarray(enlarged, np.uint8), row.text


def pages(data: Any, count: int) -> Iterable[tuple[Picture, str]]:
    """Yield photographs of pages of numbers, with the digits."""
    for number in range(count):
        rng = np.random.default_rng(number)
        picture, texts = page(data.X_test, data.y_test, rng, PENS[number % len(PENS)])
        yield picture, "".join(texts)


def measure(engine: Engine, pictures: Iterable[tuple[Picture, str]], line: bool) -> tuple[float, float, float]:
    """Return the fractions of pictures and of digits read correctly, and the median of the seconds per picture."""
    exact, wrong, digits, seconds = [], 0, 0, []
    for picture, truth in pictures:
        began = time.perf_counter()
        found = re.sub("[^0-9]", "", engine(picture, line))
        seconds.append(time.perf_counter() - began)
        mistakes = edits(truth, found)
        exact.append(mistakes == 0)
        wrong, digits = wrong + mistakes, digits + len(truth)
    return float(np.mean(exact)), 1 - wrong / digits, float(np.median(seconds))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ocr", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--strings", type=int, default=100, metavar="N", help="default: 100")
    parser.add_argument("--pages", type=int, default=2, metavar="N", help="default: 2")
    options = parser.parse_args()
    os.environ["OMP_THREAD_LIMIT"] = "1"  # of tesseract
    cv2.setNumThreads(1)
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(1)
    data = lenet.data.load("mnist")
    print("| | strings right | digits of the strings | seconds a string | digits of the pages | seconds a page |")
    print("|---|---|---|---|---|---|")
    for name, prepare in ENGINES.items():
        try:
            engine = prepare()
        except Exception as error:  # not installed, or without its program or its networks
            print(f"{name} is left out: {error}", flush=True)
            continue
        whole, digits, string_seconds = measure(engine, strings(data, options.strings), line=True)
        _, page_digits, page_seconds = measure(engine, pages(data, options.pages), line=False)
        print(
            f"| {name} | {whole:.1%} | {digits:.1%} | {string_seconds:.4f} | {page_digits:.1%} | {page_seconds:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
