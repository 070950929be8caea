"""Load pictures from a folder with one subfolder per class, as torchvision's ImageFolder does."""

import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from pathlib import Path
from unicodedata import normalize

import numpy as np

from lenet.data.dataset import MAX_IMAGES, ONE_PICTURE_IN, Dataset, checked, named, stratified_split
from lenet.data.pictures import Options, Picture, Progress, checked_options, images_of
from lenet.errors import DataError

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm",
)  # fmt: skip
MAX_CLASSES = 1_000
_SPLIT = re.compile(r"(train|test)(ing)?([-_ ]?(set|data|images))?", re.IGNORECASE)
_SYSTEM = ("@eadir", "$recycle.bin", "system volume information", "desktop.ini", "thumbs.db")  # of a NAS; of Windows
_MAX_DEPTH = 16  # folders within a class

logger = logging.getLogger(__name__)


def load_image_folder(
    folder: str | os.PathLike[str],
    *,
    raw: bool = False,
    strict: bool = False,
    progress: Progress | None = None,
    hold_out: bool = True,
) -> Dataset:
    """Load a data set from a folder with one subfolder of pictures per class.

    The subfolders are named after the classes. They may be in two folders, such as ``train`` and ``test`` or
    ``training_set`` and ``testSet``. Otherwise, a fifth of each class, always the same pictures, is held out for
    testing. Pictures may have any size and colour: `lenet.reading.prepare` converts each to an image like MNIST's.
    Whether the ink is dark on light or light on dark is decided once for all pictures, and logged. If at least 3
    pictures and more than 5% differ from the others, it is decided for each picture.

    Parameters
    ----------
    folder : str or path-like
        Classes may have subfolders. Hidden files are ignored. Other files, and pictures of no class, are skipped, and a
        warning is logged.
    raw : bool, default False
        Whether the pictures already have 28x28 pixels, so that only their colours are converted.
    strict : bool, default False
        Whether to raise an error for a picture that is damaged or blank. By default, such pictures are skipped, and a
        warning is logged.
    progress : callable, optional
        Called as ``progress(done, total)`` with the numbers of pictures.
    hold_out : bool, default True
        If False, the pictures of a folder without ``test`` are all for testing, and none for training. A folder may
        also have ``test`` alone.

    Returns
    -------
    Dataset
        Its `classes` are the names of the subfolders: first the numbers in ascending order, then the others in
        alphabetical order.

    Raises
    ------
    DataError
        If there are fewer than 2 or more than 1,000 classes, or more than 1,000,000 pictures; if a class has no
        pictures to train on; if the name of a class is not printable, or differs from another only in case; if a folder
        contains itself; with `strict`, also if a picture is damaged or blank.
    InputTypeError
        If `raw`, `strict`, `progress` or `hold_out` has another type.
    OSError
        If a folder cannot be read.
    MissingExtraError
        If Pillow or OpenCV is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image as Picture, ImageDraw
    >>> root = Path(tempfile.mkdtemp())
    >>> for name, line in [("slash", (30, 8, 10, 32)), ("backslash", (10, 8, 30, 32))]:
    ...     (root / name).mkdir()
    ...     for number in range(5):
    ...         picture = Picture.new("L", (40, 40), 255)
    ...         ImageDraw.Draw(picture).line(line, fill=0, width=3 + number)
    ...         picture.save(root / name / f"{number}.png")
    >>> data = load_image_folder(root)
    >>> data.classes, data.X_train.shape, data.y_test
    (('backslash', 'slash'), (8, 28, 28), array([0, 1]))
    """
    options = checked_options(raw, strict, progress, hold_out)
    folder = Path(folder)
    splits = _splits(folder, hold_out)
    by_class = {split: _pictures_by_class(path) for split, path in splits.items()}
    names = _class_names(folder, by_class)
    numbers = {name: number for number, name in enumerate(names)}
    found = [
        Picture(path, numbers[name], split)
        for split, classes in by_class.items()
        for name in sorted(classes)
        for path in classes[name]
    ]
    if len(found) > MAX_IMAGES:
        raise DataError(f"{folder} has more than {MAX_IMAGES:,} pictures. Use a subset of them.")
    return labelled_pictures(found, names, str(folder), options)


def labelled_pictures(pictures: list[Picture], names: tuple[str, ...], source: str, options: Options) -> Dataset:
    """Return pictures as a data set with class names; hold out a fifth for testing unless they are already split."""
    images, kept = images_of(pictures, source, options)
    if options.raw and not kept:
        raise DataError(f"{source} has no usable pictures of 28x28 pixels. Omit --raw or raw=True to prepare others.")
    y = np.array([each.label for each in kept], np.int64)
    is_test = np.array([each.split == "test" for each in kept], bool)
    is_split = {"train", "test"} <= {each.split for each in pictures}  # before damaged pictures are skipped
    if (is_split or is_test.any()) and (options.hold_out or not is_test.all()):
        dataset = checked(Dataset(images[~is_test], y[~is_test], images[is_test], y[is_test]), source)
    else:
        dataset = stratified_split(images, y, ONE_PICTURE_IN, source, options.hold_out)
    missing = sorted(set(range(len(names))) - set(dataset.y_train.tolist()))
    if missing and len(dataset.y_train):
        raise DataError(
            f"{source} has no training pictures of class {names[missing[0]]!r}; expected at least one. Add some."
        )
    return named(dataset, names, source)


def holds_classes(folder: Path) -> bool:
    """Return whether a folder has subfolders, which may be classes."""
    return any(_subfolders(folder))


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Sort the paths of a folder by name, in the same order on all systems; Windows compares paths without case."""
    return sorted(paths, key=attrgetter("name"))


def _splits(folder: Path, needs_train: bool) -> dict[str, Path]:
    """Return the folders of "train" and "test", or that of "all" if the pictures are not split."""
    parts = list(filter(_split_of, _subfolders(folder)))
    found = {_split_of(path): path for path in parts}
    if len(found) < len(parts):
        names = ", ".join(path.name for path in parts)
        raise DataError(
            f"{folder} has {names}; expected one folder for training and one for testing. Merge those for the same "
            "purpose."
        )
    if not found:
        return {"all": folder}
    others = [path.name for path in _subfolders(folder) if path not in parts]
    if others or (needs_train and "train" not in found):
        problem = f"also {others[0]!r}" if "train" in found else "no folder 'train'"
        raise DataError(
            f"{folder} has {' and '.join(repr(path.name) for path in parts)} and {problem}; expected one folder per "
            "class, or 'train' and 'test' with one folder per class in each."
        )
    return found


def _split_of(folder: Path) -> str:
    """Return "train" or "test" if a folder has such a name; otherwise, an empty string."""
    match = _SPLIT.fullmatch(folder.name)
    return match[1].lower() if match else ""


def _subfolders(folder: Path) -> Iterator[Path]:
    return (
        path
        for path in in_order(folder.iterdir())
        if path.is_dir() and not (_is_hidden(path) or path.name.startswith("__"))
    )


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in _SYSTEM


def _pictures_by_class(folder: Path) -> dict[str, list[str]]:
    """Return the paths of the pictures of each class, in alphabetical order."""
    classes = list(islice(_subfolders(folder), MAX_CLASSES + 1))
    if len(classes) > MAX_CLASSES:
        raise DataError(f"{folder} has more than {MAX_CLASSES:,} subfolders; expected one per class.")
    if part := next((path.name for path in classes if _split_of(path) and holds_classes(path)), None):
        raise DataError(
            f"{folder} has a folder {part!r}; expected one folder per class. Pass the one with the classes."
        )
    found: dict[str, list[str]] = {}
    others = [
        path.name for path in in_order(folder.glob("[!.]*")) if path.suffix.lower() in SUFFIXES and path.is_file()
    ]
    for path in classes:
        pictures, more = pictures_in(path)
        found.setdefault(normalize("NFC", path.name), []).extend(pictures)
        others += more
        if wrong := [each for each in pictures if isinstance(each, Unreadable)]:
            raise DataError(wrong[0].message)
    if empty := next((name for name, paths in found.items() if not paths), None):
        raise DataError(
            f"{folder / empty} has no pictures; expected PNG, JPEG, BMP, GIF, TIFF, WebP or PNM files. Add some "
            "(convert HEIC to JPEG), or remove the folder. If it has IDX, .npy or Parquet files, pass it instead."
        )
    if others:
        logger.warning("%s", skipped(folder, others, " of a class"))
    return found


class Unreadable(str):
    """The path of a folder or a pattern without readable pictures, with the message of the error."""

    def __init__(self, folder: Path, reason: str):
        self.message = f"{folder} {reason}"

    def __new__(cls, folder: Path, reason: str = "") -> "Unreadable":  # noqa: D102 - pickle passes no reason
        return super().__new__(cls, folder)


def pictures_in(folder: Path) -> tuple[list[str], list[str]]:
    """Return the pictures, broken links and unreadable folders in a folder and its subfolders, and the other files."""
    found: list[str] = []
    others: list[str] = []
    for path in _files_in(folder):
        is_file = os.path.isfile(path) or not os.path.exists(path)  # noqa: PTH110, PTH113 (or a broken link)
        is_picture = isinstance(path, Unreadable) or (is_file and path.lower().endswith(SUFFIXES))
        (found if is_picture else others).append(path)
    return found, others


def skipped(folder: str | Path, others: Sequence[str], kind: str = "") -> str:
    """Return a warning about the files of a folder that are not pictures of a kind."""
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    names = ", ".join(Path(path).name for path in others[:3])
    advice = " (convert HEIC to JPEG)" if any(path.lower().endswith((".heic", ".heif")) for path in others) else ""
    return f"Skipped files of {folder} that are not pictures{kind}: {names}{more}{advice}"


def _files_in(folder: Path, parents: tuple[Path, ...] = ()) -> Iterator[str]:
    """Yield the paths of all files that are not hidden, and an `Unreadable` for each folder that cannot be read."""
    resolved = folder.resolve()
    if len(parents) > _MAX_DEPTH or any(parent.is_relative_to(resolved) for parent in parents):
        yield Unreadable(folder, "links back to a folder that contains it, or is nested too deeply. Remove it.")
        return
    try:
        paths = in_order(folder.iterdir())
    except OSError as error:
        yield Unreadable(folder, f"cannot be read ({error.strerror or error}). Change its permissions.")
        return
    for path in paths:
        if _is_hidden(path):
            continue
        if os.path.isdir(path):  # noqa: PTH112 (Path.is_dir may raise an error)
            yield from _files_in(path, (*parents, resolved))
        else:
            yield str(path)


def _class_names(folder: Path, by_class: dict[str, dict[str, list[str]]]) -> tuple[str, ...]:
    names = {name for classes in by_class.values() for name in classes}
    if len(names) < 2:
        found = f"one class, {min(names)!r}" if names else "no subfolders"
        raise DataError(f"{folder} has {found}; expected at least two subfolders of pictures, one per class.")
    seen: dict[str, str] = {}
    for name in sorted(names):
        if (other := seen.setdefault(name.casefold(), name)) != name:
            raise DataError(f"{folder} has the classes {other!r} and {name!r}, which differ only in case. Rename one.")
        if not name.isprintable():
            raise DataError(f"{folder} has a class named {name!r}; expected printable characters. Rename it.")
    return tuple(sorted(names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)))
