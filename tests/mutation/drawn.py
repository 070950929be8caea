"""Plant random faults in the Python code of src/lenet, one at a time, and report which test catches each.

    python -m tests.mutation.drawn                          # 100 faults drawn with the seed 22
    python -m tests.mutation.drawn --seed 5 --count 20
    python -m tests.mutation.drawn --list                   # print the faults, and run no test

To continue after an interruption, run it again: build/mutation holds the results until the sources change.

The faults are drawn from the syntax trees, without regard to the tests: each changes an operator, a number, a condition
or a statement. The tests that run the changed statement, as covering.py finds out, have to notice it. At most 500 of
them run, starting with those that run the fewest lines. A fault that changes no result, such as `<=` for `<` where
equality cannot occur, survives too; only a reader can tell. The exit code is 1 if fewer than 97% are caught.
"""

import argparse
import ast
import hashlib
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.mutation import running
from tests.mutation.building import LEFT_OUT, ROOT, Change, build, changed, copy_tree
from tests.mutation.covering import Covering
from tests.mutation.running import noticed_by

SOURCE = ROOT / "src" / "lenet"
WORK = ROOT / "build" / "mutation"
SEED, COUNT, TARGET = 22, 100, 0.97
MAX_SECONDS = 1800
MAX_TESTS = 500  # per fault, of the several thousand that run the busiest statements
FEW = 40  # of them run first, in one process: they notice most faults
OPERATORS = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"), ast.NotIn: ("not in", "in"), ast.And: ("and", "or"), ast.Or: ("or", "and"),
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"), ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "//"), ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&"),
}  # fmt: skip


class Site(NamedTuple):
    """A place in a text, what to write there, and the kind of the fault."""

    start: int
    end: int
    new: str
    kind: str


class Sites:
    """Collects the sites of one module: code that runs, so neither annotations nor texts."""

    def __init__(self, text: str):
        self.text = text
        self.lines = [0]
        for line in text.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))
        self.found: list[Site] = []
        for statement in ast.parse(text).body:
            self._visit(statement)

    def _at(self, line: int, column: int) -> int:
        start = self.lines[line - 1]  # columns count bytes of UTF-8
        return start + len(self.text[start : self.lines[line]].encode()[:column].decode())

    def _span(self, node: ast.AST) -> tuple[int, int]:
        place = (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]
        return self._at(*place[0]), self._at(*place[1])

    def _add(self, node: ast.AST, new: str, kind: str) -> None:
        self.found.append(Site(*self._span(node), new, kind))

    def _visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.Raise | ast.Import | ast.ImportFrom | ast.JoinedStr | ast.Assert):
            return  # texts of errors, and what fails at once
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return  # for type checkers
        self._operators(node)
        self._values(node)
        self._statements(node)
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_params", "bases", "keywords"):
                value = value if name == "keywords" and isinstance(node, ast.Call) else []
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    self._visit(child)

    def _operators(self, node: ast.AST) -> None:
        pairs: list[tuple[ast.AST, ast.AST, ast.AST]] = []
        if isinstance(node, ast.Compare):
            pairs = list(zip([node.left, *node.comparators], node.ops, node.comparators, strict=False))
        elif isinstance(node, ast.BinOp):
            pairs = [(node.left, node.op, node.right)]
        elif isinstance(node, ast.BoolOp):
            pairs = [(left, node.op, right) for left, right in zip(node.values, node.values[1:], strict=False)]
        for left, operator, right in pairs:
            old, new = OPERATORS.get(type(operator), ("", ""))
            start, end = self._span(left)[1], self._span(right)[0]
            between = self.text[start:end]
            if old and "#" not in between and between.replace("(", "").replace(")", "").strip() == old:
                place = start + between.index(old)
                self.found.append(Site(place, place + len(old), new, "operator"))

    def _values(self, node: ast.AST) -> None:
        if isinstance(node, ast.Constant):
            if isinstance(node.value, bool):
                self._add(node, str(not node.value), "constant")
            elif isinstance(node.value, int):
                self._add(node, str(node.value + 1 if node.value < 10 else 2 * node.value), "number")
            elif isinstance(node.value, float):
                self._add(node, repr(node.value * 1.5 or 1.0), "number")
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            start, end = self._span(node.operand)
            self._add(node, self.text[start:end], "condition")

    def _statements(self, node: ast.AST) -> None:
        if isinstance(node, ast.If | ast.While | ast.IfExp):
            start, end = self._span(node.test)
            self.found.append(Site(start, end, f"(not ({self.text[start:end]}))", "condition"))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            self._add(node, "pass", "statement")
        elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and len(node.value.elts) == 2:
            (a, b), (c, d) = map(self._span, node.value.elts)
            if self.text[a:b] != self.text[c:d]:
                self._add(node, f"return {self.text[c:d]}, {self.text[a:b]}", "statement")


def change_of(file: str, text: str, site: Site) -> Change:
    """Return a site as a change of a text that occurs once: as many whole lines as that takes."""
    start, end = text.rfind("\n", 0, site.start) + 1, (text + "\n").find("\n", site.end)
    while text.count(text[start:end]) > 1:
        start = text.rfind("\n", 0, max(0, start - 1)) + 1
        end = (text + "\n").find("\n", min(len(text), end + 1))
    return Change(file, text[start:end], text[start : site.start] + site.new + text[site.end : end])


def all_sites() -> Iterator[tuple[str, str, Site]]:
    """Yield the name of a module, its text, and each of its sites."""
    for path in sorted(SOURCE.rglob("*.py")):
        file = path.relative_to(SOURCE).as_posix()
        if not file.startswith("_pyinstaller"):
            text = path.read_text("utf-8")
            for site in Sites(text).found:
                yield file, text, site


class Drawn(NamedTuple):
    """A change, and its line in the file."""

    change: Change
    line: int


def draw(seed: int, count: int) -> dict[str, Drawn]:
    """Draw faults: the same ones for the same seed and sources."""
    sites = list(all_sites())
    faults = {}
    for file, text, site in random.Random(seed).sample(sites, count):  # noqa: S311
        line, column = text.count("\n", 0, site.start) + 1, site.start - text.rfind("\n", 0, site.start)
        old = " ".join(text[site.start : site.end].split())
        name = f"{file}:{line}:{column} {old[:40]} -> {' '.join(site.new.split())[:48]}"
        faults[name] = Drawn(change_of(file, text, site), line)
    return faults


def sources() -> str:
    """Return a digest of the sources and the tests."""
    tracked = subprocess.run(["git", "ls-files", "src", "tests", "*.toml"], cwd=ROOT, capture_output=True, check=True)
    digest = hashlib.sha256()
    for path in map(ROOT.joinpath, tracked.stdout.decode().splitlines()):
        digest.update(f"{path}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def prepared() -> Path:
    """Return the copy of the tree in WORK: a new one, with kernels, unless it was made from the same sources."""
    copy, stamp = WORK / "lenet", WORK / "sources"
    if stamp.exists() and stamp.read_text("utf-8") == sources():
        shutil.copytree(SOURCE, copy / "src" / "lenet", dirs_exist_ok=True, ignore=LEFT_OUT)  # removes a planted fault
        return copy
    shutil.rmtree(WORK, ignore_errors=True)
    build(copy_tree(copy))
    stamp.write_text(sources(), "utf-8")
    return copy


def verdicts_of(faults: Mapping[str, Drawn]) -> dict[str, str]:
    """Plant the faults one after the other in a copy, and return the test that notices each."""
    copy = prepared()
    covering = Covering(copy)
    for test in sorted(covering.failing):
        print(f"left out, as it fails without a fault: {test}")
    known = WORK / "verdicts.json"
    verdicts = json.loads(known.read_text("utf-8")) if known.exists() else {}
    for name, (change, line) in faults.items():
        if name not in verdicts:
            tests = covering.of(change.file, line)[:MAX_TESTS]
            with changed(copy, change):
                verdicts[name] = first_noticed(copy, tests[:FEW]) or first_noticed(copy, tests[FEW:], "-n", "2")
            part = known.with_suffix(".part")
            part.write_text(json.dumps(verdicts, indent=1), "utf-8")
            part.replace(known)
        running.report(name, verdicts[name])
    return {name: verdicts[name] for name in faults}


def first_noticed(copy: Path, tests: list[str], *options: str) -> str:
    """Run tests in the copy; return the first that fails, or ""."""
    names = WORK / "tests"
    names.write_text("\n".join(tests), "utf-8")
    return noticed_by(copy, [*options, f"@{names}"], MAX_SECONDS) if tests else ""


def main(arguments: list[str]) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(description="Plant random faults, and report the share that the tests catch.")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--list", action="store_true", help="print the faults, and run no test")
    options = parser.parse_args(arguments)
    faults = draw(options.seed, options.count)
    if options.list:
        print("\n".join(faults))
        return 0
    verdicts = verdicts_of(faults)
    caught = sum(map(bool, verdicts.values()))
    print(running.table(("package", "planted", "caught"), {name: package_of(name) for name in faults}, verdicts))
    print(f"{caught / len(verdicts):.1%} of the faults of seed {options.seed} were caught.")
    return 0 if caught >= TARGET * len(verdicts) else 1


def package_of(name: str) -> str:
    """Return the package or module of a fault, by its name."""
    return Path(name.partition(":")[0]).parts[0].removesuffix(".py")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
