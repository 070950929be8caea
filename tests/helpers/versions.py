"""Marks for tests of what older versions of other packages do differently."""

from importlib.metadata import PackageNotFoundError, version

import pytest


def _is_before(package, major):
    try:
        return int(version(package).split(".")[0]) < major
    except PackageNotFoundError:
        return True


FONTS_OF_OPENCV_5 = pytest.mark.skipif(_is_before("opencv-python-headless", 5), reason="OpenCV 4 draws other letters")
EMPTY_NO_COLOR = pytest.mark.skipif(_is_before("rich", 14), reason="to rich 13, an empty NO_COLOR is one that is set")
