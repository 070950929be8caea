"""Check the links of the built pages: `python docs/check_links.py build/docs`.

Each link within the pages must lead to a file, and to an anchor in it. Each link of a Markdown source must still be a
link: MyST marks its text as `<span class="xref myst">`, and Sphinx drops the `<a>` around it, without a warning, if no
resolver recognises the target.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit


class Page(HTMLParser):
    """The anchors of a page, the targets of its links, and the texts of links that were dropped."""

    def __init__(self, file: Path):
        super().__init__()
        self.file, self.anchors, self.links = file, {"", "top"}, set()
        self.dropped: list[str] = []
        self._in_link = self._takes_text = False
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the anchors and targets of an element."""
        for name, value in attrs:
            if name in {"href", "src"} and value:
                self.links.add(value)
            elif name in {"id", "name"} and value:
                self.anchors.add(value)
        if tag == "a":
            self._in_link = True
        elif {"xref", "myst"} <= set((dict(attrs).get("class") or "").split()) and not self._in_link:
            self.dropped.append("")
            self._takes_text = True

    def handle_data(self, data: str) -> None:
        """Collect the text of a dropped link, up to the next tag."""
        if self._takes_text:
            self.dropped[-1] += data

    def handle_endtag(self, tag: str) -> None:
        """Note the end of a link."""
        self._takes_text = False
        self._in_link = self._in_link and tag != "a"


def broken(folder: Path) -> list[str]:
    """Return a line for each link that leads nowhere, and for each that was dropped."""
    folder = folder.resolve()
    files = [file for file in sorted(folder.rglob("*.html")) if file.parts[len(folder.parts)] != "_static"]
    pages = {file: Page(file) for file in files}
    found = []
    for file, page in pages.items():
        found.extend(f"{file.relative_to(folder)}: the link [{text}] was dropped" for text in page.dropped)
        for link in sorted(page.links):
            if urlsplit(link).scheme or link.startswith("//"):
                continue
            path, anchor = urldefrag(link)
            target = (file.parent / unquote(urlsplit(path).path)).resolve() if path else file
            # viewcode's links from a source back to its page attribute all names to the first module it met.
            any_anchor = "_modules" in file.parts or target not in pages
            if not target.exists() or not (any_anchor or unquote(anchor) in pages[target].anchors):
                found.append(f"{file.relative_to(folder)}: {link} leads nowhere")
    if not pages:
        found.append(f"{folder}: no pages")
    return found


if __name__ == "__main__":
    sys.exit("\n".join(broken(Path(sys.argv[1]))) or None)
