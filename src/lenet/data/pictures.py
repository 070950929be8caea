"""Decode pictures and convert them to MNIST's format; one vote decides whether the ink of all is dark."""

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenet import _checks
from lenet._checks import SIDE
from lenet.data.dataset import SAMPLE
from lenet.errors import DataError

_LARGE = 2**14  # pixels: threads that prepare smaller pictures spend more time waiting for the GIL than they save
_LISTED = 5  # unreadable pictures named in a message
_AT_ONCE = 256  # pictures between two calls of `progress`
_TASK = 16  # pictures per task of a thread

logger = logging.getLogger(__name__)
Image = NDArray[np.uint8]
Progress = Callable[[int, int], None]


class Picture(NamedTuple):
    """A picture with its class."""

    name: str  # in messages
    label: int
    split: str  # "train", "test" or "all"
    encoded: bytes | None = None  # the content of the file; by default, that of the file `name`


def check_options(raw: bool, strict: bool, progress: Progress | None, hold_out: bool) -> None:
    """Raise InputTypeError for options of another type."""
    _checks.boolean(hold_out, "hold_out")
    _checks.boolean(raw, "raw")
    _checks.boolean(strict, "strict")
    _checks.callback(progress, "progress")


def images_of(
    pictures: Sequence[Picture], source: str, *, raw: bool, strict: bool, progress: Progress | None
) -> tuple[Image, list[Picture]]:
    """Return images like MNIST's, shape (n, 28, 28), and the n pictures that they were made from.

    Pictures that are damaged or blank are left out, and listed in a warning; with `strict`, they raise DataError. The
    options are those of `load_image_folder`; the log names the source.
    """
    dark, workers = _survey(pictures)
    logger.info("%s: the ink is %s", source, "dark on light" if dark else "light on dark")
    images = np.empty((len(pictures), SIDE, SIDE), np.uint8)
    kept: list[Picture] = []
    refused: list[str] = []
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(pictures), _AT_ONCE):
            chunk = pictures[start : start + _AT_ONCE]
            tasks = (chunk[first : first + _TASK] for first in range(0, len(chunk), _TASK))
            results = pool.map(lambda task: _images(task, dark, raw), tasks)
            for each, image in zip(chunk, chain.from_iterable(results), strict=True):
                if not isinstance(image, DataError):
                    images[len(kept)] = image
                    kept.append(each)
                elif strict:
                    raise image
                else:
                    refused.append(str(image))
            if progress is not None:
                progress(start + len(chunk), len(pictures))
    if refused:
        rest = f" And {len(refused) - _LISTED} more." if len(refused) > _LISTED else ""
        found = " ".join(refused[:_LISTED]) + rest
        logger.warning("skipped %d of %d pictures. %s", len(refused), len(pictures), found)
    return images[: len(kept)], kept


def _survey(pictures: Sequence[Picture]) -> tuple[bool, int]:
    """Return whether the ink is dark in most pictures of a sample, and the number of threads that suits their sizes."""
    from lenet.reading.ink import coarsened, is_dark_on_light

    votes, sizes = [], []
    for grey in map(grey_of, pictures[:: max(1, len(pictures) // SAMPLE)]):  # one after the other: they may be large
        if not isinstance(grey, DataError):
            votes.append(is_dark_on_light(coarsened(grey)))
            sizes.append(grey.size)
    large = bool(sizes) and float(np.mean(sizes)) >= _LARGE
    return 2 * sum(votes) >= len(votes), (os.cpu_count() or 1) if large else 1


def _images(task: Sequence[Picture], dark: bool, raw: bool) -> list[Image | DataError]:
    """Return the input of the network, or an error, for each picture.

    All are decoded before the first is prepared: the code of both does not fit in a CPU's cache, so alternating takes a
    sixth longer.
    """
    decoded = [_decoded(each, raw) for each in task]
    return [_image(each, grey, dark, raw) for each, grey in zip(task, decoded, strict=True)]


def _decoded(picture: Picture, raw: bool) -> Image | DataError:
    """Return the grey levels of a picture, shrunk to the size that one digit requires, or an error."""
    from lenet.reading.single_digit import shrunk

    grey = grey_of(picture)
    if isinstance(grey, DataError):
        return grey
    if not raw:
        return shrunk(grey)
    if grey.shape != (SIDE, SIDE):
        size = f"{grey.shape[1]}x{grey.shape[0]}"
        return DataError(f"{picture.name} has {size} pixels; expected {SIDE}x{SIDE} for a raw picture.")
    return grey


def _image(picture: Picture, grey: Image | DataError, dark: bool, raw: bool) -> Image | DataError:
    from lenet.reading.single_digit import prepare

    if isinstance(grey, DataError):
        return grey
    if raw:
        return 255 - grey if dark else grey
    image = prepare(grey, dark_on_light=dark)
    if not image.any():
        return DataError(f"{picture.name} shows no ink; expected a digit, dark on light or light on dark.")
    return image


def grey_of(picture: Picture) -> Image | DataError:
    """Return the grey levels of a picture, or the error if it cannot be read."""
    from lenet.reading.pictures import read_picture

    try:
        return read_picture(picture.name if picture.encoded is None else picture.encoded)
    except DataError as error:
        return error if picture.encoded is None else DataError(str(error).replace("The file", picture.name, 1))
    except OSError as error:
        return DataError(f"{picture.name} cannot be read ({error.strerror or error}).")
