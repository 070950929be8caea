"""Look whether each link of the built pages that stays within them leads somewhere: to a file, and to its anchor.

Run as `python docs/check_links.py build/docs`.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit


class Page(HTMLParser):
    """The anchors of a page, and what it links to."""

    def __init__(self, file: Path):
        super().__init__()
        self.file, self.anchors, self.links = file, {"", "top"}, set()
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take what counts from an element."""
        for name, value in attrs:
            if name in {"href", "src"} and value:
                self.links.add(value)
            elif name in {"id", "name"} and value:
                self.anchors.add(value)


def broken(folder: Path) -> list[str]:
    """Return "page: link" for each link that leads nowhere."""
    folder = folder.resolve()
    files = [file for file in sorted(folder.rglob("*.html")) if file.parts[len(folder.parts)] != "_static"]
    pages = {file: Page(file) for file in files}
    found = []
    for file, page in pages.items():
        for link in sorted(page.links):
            if urlsplit(link).scheme or link.startswith("//"):
                continue
            path, anchor = urldefrag(link)
            target = (file.parent / unquote(urlsplit(path).path)).resolve() if path else file
            # viewcode's links back from a source take all its names for those of the module that it met first.
            any_anchor = "_modules" in file.parts or target not in pages
            if not target.exists() or not (any_anchor or unquote(anchor) in pages[target].anchors):
                found.append(f"{file.relative_to(folder)}: {link}")
    if not pages:
        found.append(f"{folder}: no pages")
    return found


if __name__ == "__main__":
    sys.exit("\n".join(broken(Path(sys.argv[1]))) or None)
