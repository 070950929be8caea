"""Configuration of Sphinx for these pages: `nox -s docs` builds them into build/docs."""

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
    "sphinx-mathjax-offline",  # the pages ask nobody for anything
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["tutorial/*", "generated/tutorial/*.ipynb"]  # what the gallery reads, and what nobody links to
default_role = "py:obj"  # what docstrings put between backticks: a link where there is such a thing
templates_path = ["_templates"]

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings tell types, with shapes and ranges
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True  # np.float32, as it is written, and not <class 'numpy.float32'>

numpydoc_show_class_members = False  # the template lists those that are ours
numpydoc_validation_checks = {
    "all",
    "ES01",  # a summary that says all is not drawn out
    "SA01",  # what is near stands on the same page of the reference
    "EX01",  # a class has one example for its methods; tests/test_documentation.py sees to all else
    "PR07",  # "model : LeNet5" needs no more words
    "RT03",  # likewise
    "GL08",  # ruff requires docstrings; a method that only overrides another inherits its docstring
}
numpydoc_validation_exclude = {r"\.(Dataset|Split)\.\w+$"}  # a named tuple's fields, which the class tells of

sphinx_gallery_conf = {
    "examples_dirs": "tutorial",
    "gallery_dirs": "generated/tutorial",
    "filename_pattern": "plot_",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "write_computation_times": False,
    "capture_repr": (),  # a figure shows itself
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

# Pages that show a file of the repository; other files that pages link to can be downloaded.
_SHOWN_BY = {
    "examples/README.md": "examples",
    "SECURITY.md": "reporting",
    "src/lenet/weights/pretrained/mnist.md": "model_card",
}


def _link_to_files(app: Any, doctree: Any) -> None:
    """Lead links that leave docs/, or that an included file has from its own folder, to where they are shown."""
    root = Path(app.srcdir).parent
    for link in list(doctree.findall(addnodes.pending_xref)):
        source = Path(get_source_line(link)[0] or app.srcdir)
        named = [(source.parent / (link["reftarget"] + end)).resolve() for end in ("", ".md")]
        file = next((each for each in named if each.is_file()), None)
        if file is None or (source.is_relative_to(app.srcdir) and file.is_relative_to(app.srcdir)):
            continue
        page = _SHOWN_BY.get(os.path.relpath(file, root))
        if file.is_relative_to(app.srcdir) and file.suffix == ".md":
            page = os.path.relpath(file, app.srcdir).removesuffix(".md")
        if page:
            link["reftarget"], link["refdomain"], link["reftype"] = page, "doc", None
        else:
            page = app.env.docname
            where = os.path.relpath(file, (Path(app.srcdir) / page).parent)
            link.replace_self(addnodes.download_reference("", "", *link.children, reftarget=where, refdoc=page))


def setup(app: Any) -> None:
    """Register the above, before what is downloaded is collected."""
    app.connect("doctree-read", _link_to_files, priority=100)
