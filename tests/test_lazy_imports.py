"""Packages that import their public names on first use, optional packages, and the check of the interpreter."""

import sys
from types import SimpleNamespace

import pytest

import lenet
from lenet import _extras
from lenet._lazy import cached_property, lazy_attributes
from lenet.errors import MissingExtraError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with the modules `one`, which defines A and B, and `two`."""
    folder = tmp_path / "packed"
    folder.mkdir()
    for name, text in {"__init__": "here = 1", "one": "A, B = 'a', 'b'", "two": "C = 'c'"}.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    import packed

    yield packed
    for name in ("packed", "packed.one", "packed.two"):
        sys.modules.pop(name, None)


def test_names_are_imported_when_they_are_first_used(package):
    begun = []
    get, names = lazy_attributes("packed", {"A": "one"}, ["two"], lambda: begun.append(sorted(vars(package))))
    assert "packed.one" not in sys.modules
    assert get("A") == "a"
    assert "one" not in begun[0]  # it was called before the import
    assert package.A == "a"  # the next use does not come here
    assert get("two") is package.two is sys.modules["packed.two"]
    assert package.two.C == "c"
    assert len(begun) == 2
    assert {"A", "two", "here", "__name__"} <= set(names())
    assert names() == sorted(set(names()))


@pytest.mark.parametrize("name", ["B", "one", "C", "missing"])
def test_other_names_are_attribute_errors(package, name):
    get, names = lazy_attributes("packed", {"A": "one"}, ["two"])
    with pytest.raises(AttributeError, match=rf"^module 'packed' has no attribute '{name}'$"):
        get(name)
    assert name not in names()


def test_names_that_are_not_imported_yet_are_listed(package):
    _, names = lazy_attributes("packed", {"A": "one"}, ["two"])
    assert {"A", "two"} <= set(names())
    get, names = lazy_attributes("packed", {"A": "one"})
    assert "two" not in names()
    assert get("A") == "a"


def test_a_cached_property_is_computed_once_and_shows_its_docstring_in_the_class():
    class Sheet:
        @cached_property
        def strokes(self):
            """The strokes."""
            return []

    sheet = Sheet()
    assert sheet.strokes is sheet.strokes == []
    assert isinstance(Sheet.strokes, cached_property)
    assert Sheet.strokes.__doc__ == "The strokes."


# ---- extras --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "text", "says"),
    [
        ("absent", None, "This requires absent, which is not installed. Run"),
        ("packed.three", None, "This requires packed, which is too old or incomplete (it lacks packed.three). Run"),
        ("packed.bad", "import absent", "which is too old or incomplete (it lacks absent). Run"),
    ],
)
def test_a_missing_package_is_an_error_with_the_command_that_installs_it(package, tmp_path, module, text, says):
    if text:
        (tmp_path / "packed" / "bad.py").write_text(text)
    with pytest.raises(MissingExtraError) as error:
        _extras.require(module, "train")
    assert says in str(error.value)
    assert str(error.value).endswith(" Run python -m pip install 'lenet[train]'.")


@pytest.mark.parametrize(("text", "reason"), [("1 / 0", "division by zero"), ("raise ImportError('no')", "no")])
def test_a_package_that_cannot_be_imported_is_to_be_reinstalled(package, tmp_path, text, reason):
    (tmp_path / "packed" / "bad.py").write_text(text)
    with pytest.raises(MissingExtraError) as error:
        _extras.require("packed.bad", "train")
    assert str(error.value).endswith(
        f"packed, which is installed but cannot be imported ({reason}). Correct the cause, or reinstall it."
    )


@pytest.mark.parametrize(("module", "name"), [("sklearn", "scikit-learn"), ("PIL.Image", "Pillow"), ("cv2", "OpenCV")])
def test_packages_are_named_as_they_are_installed(monkeypatch, module, name):
    monkeypatch.setitem(sys.modules, module.partition(".")[0], None)
    monkeypatch.delitem(sys.modules, module if "." in module else "nothing", raising=False)
    with pytest.raises(MissingExtraError, match=f"^This requires {name}, which is "):
        _extras.require(module, "vision")


def test_an_optional_package_is_imported_by_the_first_use_of_its_names(package):
    lazy = _extras.Lazy("packed.one", "train")
    for name in ("__wrapped__", "__file__"):  # inspection asks for them
        assert not hasattr(lazy, name)
    assert "packed.one" not in sys.modules
    assert lazy.A == "a"
    assert vars(lazy)["A"] == "a"
    sys.modules["packed.one"].A = "another"
    assert lazy.A == "a"
    assert not hasattr(lazy, "C")


# ---- the interpreter -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "name"),
    [((3, 12, 9), "_xxsubinterpreters"), ((3, 13, 0), "_interpreters"), ((4, 0, 0), "_interpreters")],
)
def test_only_the_main_interpreter_may_import_lenet(monkeypatch, version, name):
    monkeypatch.setattr(sys, "version_info", version)
    for other in ("_xxsubinterpreters", "_interpreters"):
        monkeypatch.setitem(sys.modules, other, None)
    lenet._check_interpreter()  # a Python without sub-interpreters
    module = SimpleNamespace(get_main=lambda: 0, get_current=lambda: 0)
    monkeypatch.setitem(sys.modules, name, module)
    lenet._check_interpreter()
    module.get_current = lambda: 1
    with pytest.raises(ImportError, match=r"^lenet, like NumPy, does not support sub-interpreters"):
        lenet._check_interpreter()
