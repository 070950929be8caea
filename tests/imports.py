"""The order of lenet's packages, and the imports of each file.

Imports inside functions count. Imports for type checkers do not, except that they show where a package gets a name that
it imports on first use.
"""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import lenet

PACKAGE = Path(lenet.__file__).parent

# The packages from bottom to top: a file imports only from its own package and from lower rows. A group of modules
# counts as one package, and a part of a package may have a place of its own.
ORDER = [
    ["errors", "_pyinstaller"],
    ["_bar, _checks, _extras, _files, _flat, _lazy, _mnist_form", "_compiled"],
    ["init, losses", "_fused", "reading.pictures, reading.pixels, reading.coarse, reading.strokes"],
    ["class_names", "layers", "rejection", "reading.sheet, reading.panels, reading.ink, reading.single_digit"],
    ["weights"],
    ["_layerwise, model, model_1998"],
    ["loading", "training.augment", "data", "evaluation"],
    ["training", "plots"],
    ["estimator", "reading"],
    ["interop"],
    ["serving", "scale"],
    ["cli, __main__"],
]


def name_of(path: Path) -> str:
    """Return a file's module, such as "lenet.layers" for layers/__init__.py."""
    return ".".join(["lenet", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")


FILES = {name_of(path): path for path in sorted([*PACKAGE.rglob("*.pyi"), *PACKAGE.rglob("*.py")])}


def imports_of(module: str) -> set[str]:
    """Return the modules of lenet that a module imports; "lenet" itself, which imports nothing, is left out."""
    ours = [each for each in _imports(_tree(module)) if f"{each[0]}.".startswith(("lenet.", "."))]
    return {_home(source, name) for source, name in ours} - {"lenet"}


def package_of(module: str) -> str:
    """Return the entry of ORDER that a module belongs to, the most specific one."""
    places = {f"lenet.{name}.": entry for row in ORDER for entry in row for name in entry.split(", ")}
    fitting = [start for start in places if f"{module}.".startswith(start)]
    if not fitting:
        raise LookupError(f"{module} has no place in ORDER")
    return places[max(fitting, key=len)]


def imports_of_packages() -> dict[str, set[str]]:
    """Return the entries of ORDER, and for each one the others that it imports."""
    found: dict[str, set[str]] = {entry: set() for row in ORDER for entry in row}
    for module in FILES.keys() - {"lenet"}:
        found[package_of(module)] |= {package_of(other) for other in imports_of(module)}
    return {entry: others - {entry} for entry, others in found.items()}


@functools.cache
def _tree(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text("utf-8"))


def _imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the source and the name of each import that runs."""
    for node in ast.iter_child_nodes(tree):
        if _is_for_type_checkers(node):
            yield from _imports(ast.Module(node.orelse, []))
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.level * "." + (node.module or ""), alias.name) for alias in node.names)
        else:
            yield from _imports(node)


def _home(source: str, name: str) -> str:
    """Return the module that `from source import name` imports, through packages that import names on first use."""
    if f"{source}.{name}" in FILES:
        return f"{source}.{name}"
    if source not in FILES:
        raise LookupError(f"{source} is not a module of lenet")
    blocks = [node for node in _tree(source).body if _is_for_type_checkers(node)]
    lazy = {known: origin for node in blocks for origin, known in _imports(ast.Module(node.body, []))}
    return _home(lazy[name], name) if name in lazy else source


def _is_for_type_checkers(node: ast.AST) -> TypeGuard[ast.If]:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
