"""The page put together from its parts: markup, style and script modules. setup.py runs this file, too."""

import re
from pathlib import Path

_IMPORT = re.compile(r'^import .* from "\./(.*)";\n', re.MULTILINE)
# Comments and indentation, about a seventh of the page, are left out. `//` before a quote may be part of a string.
_BLOCK = r"/\*(?:(?!\*/).)*\*/"
_STYLE_COMMENT = re.compile(rf"^ *{_BLOCK}\n| +{_BLOCK}$", re.MULTILINE)
_SCRIPT_COMMENT = re.compile(rf'^ *(?://.*|{_BLOCK})\n| +(?://[^"`\n]*|{_BLOCK})$', re.MULTILINE)


def assembled(parts: Path) -> str:
    """Return the page with its style and its script, without indentation and most comments."""
    style = _STYLE_COMMENT.sub("", text_of(parts / "style.css"))
    script = _SCRIPT_COMMENT.sub("", _script(parts / "main.mjs", set()))
    page = text_of(parts / "page.html").replace("/* style */\n", style).replace("// script\n", script)
    return re.sub("^ +", "", page, flags=re.MULTILINE)


def text_of(file: Path) -> str:
    """Return the text of a file of the package."""
    return file.read_text("utf-8")  # nosemgrep: no-reading-without-end


def _script(module: Path, done: set[Path]) -> str:
    """Return a module after the modules that it imports, as one script. No two modules may define the same name."""
    if module in done:
        return ""
    done.add(module)
    text = text_of(module)
    imported = "".join(_script(module.with_name(name), done) for name in _IMPORT.findall(text))
    return imported + re.sub(r"^export ", "", _IMPORT.sub("", text), flags=re.MULTILINE)
