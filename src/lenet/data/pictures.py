"""Decode pictures and convert them to MNIST's format; a vote decides whether their ink is dark."""

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

_MIN_PIXELS_FOR_THREADS = 2**14  # with smaller pictures, threads spend more time waiting for the GIL than they save
_MAX_LISTED = 5
_PROGRESS_EVERY = 256  # pictures
_PICTURES_PER_TASK = 16
_MAX_OVERRULED = 0.05  # fraction of pictures whose polarity the vote may overrule

logger = logging.getLogger(__name__)
Image = NDArray[np.uint8]
Progress = Callable[[int, int], None]


class Picture(NamedTuple):
    """A picture with its class."""

    name: str  # in messages
    label: int
    split: str  # "train", "test" or "all"
    encoded: bytes | None = None  # the content of the file; by default, that of the file `name`


class Options(NamedTuple):
    """The options of `load_image_folder`."""

    raw: bool
    strict: bool
    progress: Progress | None
    hold_out: bool


def checked_options(raw: bool, strict: bool, progress: Progress | None, hold_out: bool) -> Options:
    """Return the options; raise InputTypeError if one has another type."""
    _checks.boolean(hold_out, "hold_out")
    _checks.boolean(raw, "raw")
    _checks.boolean(strict, "strict")
    _checks.callback(progress, "progress")
    return Options(raw, strict, progress, hold_out)


def images_of(pictures: Sequence[Picture], source: str, options: Options) -> tuple[Image, list[Picture]]:
    """Return images like MNIST's, shape (n, 28, 28), and the n pictures that they were made from.

    Pictures that are damaged or blank are left out, and listed in a warning; with the option `strict`, they raise
    DataError. The log names the source.
    """
    votes, workers = _survey(pictures)
    dark = _is_dark(votes, source)
    images = np.empty((len(pictures), SIDE, SIDE), np.uint8)
    kept: list[Picture] = []
    refused: list[str] = []
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(pictures), _PROGRESS_EVERY):
            chunk = pictures[start : start + _PROGRESS_EVERY]
            tasks = (chunk[first : first + _PICTURES_PER_TASK] for first in range(0, len(chunk), _PICTURES_PER_TASK))
            results = pool.map(lambda task: _images(task, dark, options.raw), tasks)
            for each, image in zip(chunk, chain.from_iterable(results), strict=True):
                if not isinstance(image, DataError):
                    images[len(kept)] = image
                    kept.append(each)
                elif options.strict:
                    raise image
                else:
                    refused.append(str(image))
            if options.progress is not None:
                options.progress(start + len(chunk), len(pictures))
    if refused:
        rest = f" And {len(refused) - _MAX_LISTED} more." if len(refused) > _MAX_LISTED else ""
        found = " ".join(refused[:_MAX_LISTED]) + rest
        logger.warning("Skipped %d of %d pictures. %s", len(refused), len(pictures), found)
    return images[: len(kept)], kept


def _survey(pictures: Sequence[Picture]) -> tuple[list[bool], int]:
    """Return whether the ink of each picture of a sample is dark, and the number of threads that suits their sizes."""
    from lenet.reading.coarse import coarsened
    from lenet.reading.ink import is_dark_on_light

    votes, sizes = [], []
    for grey in map(grey_of, pictures[:: max(1, len(pictures) // SAMPLE)]):  # one after the other: they may be large
        if not isinstance(grey, DataError):
            votes.append(is_dark_on_light(coarsened(grey), cropped=True))
            sizes.append(grey.size)
    large = bool(sizes) and float(np.mean(sizes)) >= _MIN_PIXELS_FOR_THREADS
    return votes, (os.cpu_count() or 1) if large else 1


def _is_dark(votes: list[bool], source: str) -> bool | None:
    """Return whether the ink of most pictures is dark, or None if too many differ; log it."""
    count, light = len(votes), votes.count(False)
    if min(light, count - light) > max(2, _MAX_OVERRULED * count):
        text = "%s: %d of %d sampled pictures are light on dark, the others dark on light. "
        logger.warning(text + "Each picture is prepared by its own contrast.", source, light, count)
        return None
    dark = 2 * light <= count
    logger.info("%s: the ink is %s", source, "dark on light" if dark else "light on dark")
    return dark


def _images(task: Sequence[Picture], dark: bool | None, raw: bool) -> list[Image | DataError]:
    """Return the input of the network, or an error, for each picture.

    All are decoded before the first is prepared: the code of both does not fit into the CPU's cache, so alternating
    takes a sixth longer.
    """
    decoded = [_decoded(each, dark, raw) for each in task]
    return [_image(grey, each.name, raw, dark) for each, grey in zip(task, decoded, strict=True)]


def image_of(grey: Image, name: str, raw: bool) -> Image:
    """Return the input of the network for the grey levels of one picture; raise DataError if they have none."""
    image = _image(raw_image(grey, name) if raw else grey, name, raw)
    if isinstance(image, DataError):
        raise image
    return image


def _decoded(picture: Picture, dark: bool | None, raw: bool) -> Image | DataError:
    """Return a raw image, or the grey levels of a picture, shrunk to the size that one digit requires, or an error."""
    from lenet.reading.single_digit import shrunk

    grey = grey_of(picture)
    if isinstance(grey, DataError):
        return grey
    return raw_image(grey, picture.name, dark) if raw else shrunk(grey)


def raw_image(grey: Image, name: str, dark: bool | None = None) -> Image | DataError:
    """Return a picture of 28x28 pixels as light ink on a dark background, or an error if it has another size."""
    from lenet.reading.ink import is_dark_on_light

    if grey.shape != (SIDE, SIDE):
        size = f"{grey.shape[1]}x{grey.shape[0]}"
        return DataError(f"{name} has {size} pixels; expected {SIDE}x{SIDE} for a raw picture.")
    return 255 - grey if (is_dark_on_light(grey, cropped=True) if dark is None else dark) else grey


def _image(grey: Image | DataError, name: str, raw: bool, dark: bool | None = None) -> Image | DataError:
    from lenet.reading.single_digit import prepare

    if isinstance(grey, DataError):
        return grey
    image = grey if raw else prepare(grey, dark_on_light=dark)
    if not image.any():
        return DataError(f"{name} shows no ink; expected a digit or symbol, dark on light or light on dark.")
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
