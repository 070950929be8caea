"""The progress bar, on a terminal and elsewhere."""

import io
import re
import sys

import pytest
from versions import EMPTY_NO_COLOR

from lenet._bar import Bar

DRAWN = "\x1b[91m-" if sys.platform == "win32" else "━"  # rich draws for old consoles of Windows, too


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, stream, total=2000, shown=True):
    monkeypatch.setattr(sys, "stderr", stream)
    with Bar(shown) as bar:
        bar.update(500, total)
        bar.update(1500, total)
    return stream and stream.getvalue()


@pytest.fixture(autouse=True)
def _terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("total", [2000, None])
def test_a_terminal_gets_a_temporary_progress_bar(monkeypatch, total):
    pytest.importorskip("rich")
    text = shown(monkeypatch, Terminal(), total)
    assert "1,500 images" in text
    assert DRAWN in text
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l") >= 0  # the cursor is back
    assert text.endswith("\x1b[2K")  # the line is empty


@pytest.mark.parametrize(
    ("stream", "wanted"), [(io.StringIO(), True), (Terminal(), False), (None, True)], ids=["file", "unwanted", "closed"]
)
def test_nothing_else_gets_one(monkeypatch, stream, wanted):
    assert not shown(monkeypatch, stream, shown=wanted)


@pytest.mark.parametrize(("value", "coloured"), [pytest.param("", True, marks=EMPTY_NO_COLOR), ("1", False)])
def test_it_has_colours_unless_no_color_is_set(monkeypatch, value, coloured):
    pytest.importorskip("rich")
    monkeypatch.setenv("NO_COLOR", value)
    assert bool(re.search(r"\x1b\[(\d+;)*[349]\d[;m]", shown(monkeypatch, Terminal()))) is coloured


def test_without_rich_there_is_no_bar(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert shown(monkeypatch, Terminal()) == ""
