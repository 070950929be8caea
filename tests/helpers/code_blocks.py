"""The code blocks of Markdown pages."""

import re


def blocks(page):
    """The language and the text of each block, but for what Sphinx fills in."""
    return [(language, text.replace("\\\n", "")) for language, text in fenced(page) if not language.startswith("{")]


def fenced(page):
    """The language and the text of each fenced block."""
    return re.findall(r"^```([^\n]*)\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
