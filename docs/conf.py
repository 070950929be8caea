"""Configure Sphinx for these pages: `nox -s docs` builds them into build/docs."""

import os
from pathlib import Path
from typing import Any

from docutils.utils import get_source_line
from sphinx import addnodes

import lenet

project = "lenet"
author = "the lenet developers"
copyright = "2026 the lenet developers"  # noqa: A001
release = version = lenet.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # the pages request nothing from other servers
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["tutorial/*", "generated/tutorial/*.ipynb"]  # the sources of the gallery, and its unused notebooks
default_role = "py:obj"  # text in backticks in docstrings becomes a link if it names an object
templates_path = ["_templates"]

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings give types, with shapes and ranges
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True  # np.float32 as in the source, not <class 'numpy.float32'>

numpydoc_show_class_members = False  # the template lists them
numpydoc_validation_checks = {
    "all",
    "ES01",  # not every summary needs an extended one
    "SA01",  # the reference lists related objects side by side
    "EX01",  # one example may cover the methods of a class; tests/docs/test_documentation.py checks the rest
    "PR07",  # "model : LeNet5" needs no description
    "RT03",  # likewise
    "GL08",  # ruff requires docstrings; a method that only overrides another inherits its docstring
}
numpydoc_validation_exclude = {r"\.(Dataset\.[Xy]_\w+|Split\.\w+)$"}  # fields of named tuples

sphinx_gallery_conf = {
    "examples_dirs": "tutorial",
    "gallery_dirs": "generated/tutorial",
    "filename_pattern": "plot_",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "write_computation_times": False,
    "capture_repr": (),  # figures are shown without the objects that drew them
    "reset_modules": ("matplotlib",),
    "copyfile_regex": "",
}

html_theme = "pydata_sphinx_theme"
html_title = f"lenet {release}"
html_theme_options = {
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": []}
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_show_sourcelink = False

# The pages that show or describe files of the repository; other files that pages link to can be downloaded.
_SHOWN_BY = {
    "examples/README.md": "examples",
    "examples/serving": "hosting",
    "SECURITY.md": "reporting",
    "docs/tutorial/plot_lenet.py": "generated/tutorial/plot_lenet",
    "src/lenet/weights/pretrained/mnist.md": "model_card",
}


def link_to_files(app: Any, doctree: Any) -> None:
    """Resolve links that leave docs/, and links of included files, which are relative to the included file."""
    docs, root = Path(app.srcdir), Path(app.srcdir).parent
    for link in [*doctree.findall(addnodes.pending_xref), *doctree.findall(addnodes.download_reference)]:
        source = Path(get_source_line(link)[0] or docs)
        target, _, anchor = link["reftarget"].partition("#")
        named = [(source.parent / (target + suffix)).resolve() for suffix in ("", ".md")]
        file = next((each for each in named if each.is_file() or os.path.relpath(each, root) in _SHOWN_BY), None)
        if link.get("reftype") != "myst" or file is None:
            continue
        page = _SHOWN_BY.get(os.path.relpath(file, root))
        if not page and source.is_relative_to(docs) and file.is_relative_to(docs):
            continue  # MyST resolves these itself
        if not page and file.is_relative_to(docs) and file.suffix == ".md":
            page = os.path.relpath(file, docs).removesuffix(".md")
        here = app.env.docname
        if page:
            shared = {"refdoc": here, "refdomain": "doc", "reftype": "myst", "refexplicit": True}  # as MyST marks links
            new = addnodes.pending_xref("", *link.children, reftarget=page, reftargetid=anchor or None, **shared)
        else:
            target = os.path.relpath(file, (docs / here).parent)
            new = addnodes.download_reference("", "", *link.children, reftarget=target, refdoc=here)
        link.replace_self(new)


def setup(app: Any) -> None:
    """Connect the function above, before Sphinx collects the files to download."""
    app.connect("doctree-read", link_to_files, priority=100)
