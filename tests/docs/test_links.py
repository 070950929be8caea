"""The links of the Markdown pages, on a repository host and in the built documentation."""

import re
import runpy
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
broken = runpy.run_path(str(ROOT / "docs" / "check_links.py"))["broken"]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md"), *ROOT.glob("src/**/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_repository_host_has_the_target_of_each_link(page):
    text = re.sub(r"^(`{3,}).*?^\1|`[^`\n]+`", "code", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    links = [urldefrag(link)[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if not urlsplit(link).scheme]
    missing = [link for link in links if link and not (page.parent / unquote(link)).exists()]
    assert missing == []


def test_the_check_finds_links_that_lead_nowhere_or_were_dropped(tmp_path):
    links = (
        '<a href="b.html#here"><span class="xref myst">kept</span></a>',
        '<a href="b.html#x">no anchor</a>',
        '<a href="c.html">no page</a>',
    )
    (tmp_path / "a.html").write_text("\n".join(links))
    (tmp_path / "b.html").write_text(
        '<p id="here"><span class="xref myst">a &amp; b</span> <span class="xref">c</span></p>'
    )
    assert broken(tmp_path) == [
        "a.html: b.html#x leads nowhere",
        "a.html: c.html leads nowhere",
        "b.html: the link [a & b] was dropped",
    ]


CONFIGURATION = """
import runpy

from sphinx import addnodes

link_to_files = runpy.run_path({conf!r})["link_to_files"]
extensions, suppress_warnings, myst_heading_anchors = ["myst_parser"], ["toc"], 2


def connected(app, doctree):
    link_to_files(app, doctree)
    for link in doctree.findall(addnodes.pending_xref):
        if link["reftarget"] == {unrecognised!r}:
            link["reftype"] = None


def setup(app):
    app.connect("doctree-read", connected, priority=100)
"""


@pytest.fixture
def build(tmp_path):
    """Return a function that builds pages with the links of ours; links to one of them may be made unrecognisable."""
    pytest.importorskip("myst_parser")
    docs, out = tmp_path / "docs", tmp_path / "built"
    docs.mkdir()
    (tmp_path / "SECURITY.md").write_text("# Security\n\n[model](docs/other.md#part) and [program](program.py)\n")
    (tmp_path / "program.py").write_text("pass\n")
    (docs / "reporting.md").write_text("```{include} ../SECURITY.md\n```\n")
    (docs / "other.md").write_text("# Other\n\n## Part\n")
    (docs / "index.md").write_text("# Index\n\n[policy](../SECURITY.md) [other](other.md)\n")

    def run(unrecognised=""):
        conf = str(ROOT / "docs" / "conf.py")
        (docs / "conf.py").write_text(CONFIGURATION.format(conf=conf, unrecognised=unrecognised))
        subprocess.run([sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", docs, out], check=True)
        return out

    return run


def test_links_out_of_the_documentation_lead_to_the_pages_that_show_the_files(build):
    out = build()
    assert 'href="reporting.html"' in (out / "index.html").read_text("utf-8")
    included = (out / "reporting.html").read_text("utf-8")
    assert 'href="other.html#part"' in included
    assert re.search(r'href="_downloads/\w+/program.py"', included)
    assert broken(out) == []


def test_a_link_that_no_resolver_recognises_is_found_in_the_built_page(build):
    assert broken(build(unrecognised="reporting")) == ["index.html: the link [policy] was dropped"]
