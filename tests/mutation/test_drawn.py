"""Each random fault changes one place in code that runs."""

import ast
import shutil

import pytest

from tests.mutation import covering, drawn

SOURCE = '''
"""A text of 3 words, or more."""

def f(a: int = 1, *, b: bool = True) -> "int | None":
    """Return 2 + 2."""
    if not a < 10 and b:
        raise ValueError(f"{a + 1} is wrong")
    é = [0.5, a // 2, 0.0]  # 7 - 3
    print(é)
    return a, b
'''


def test_every_kind_of_code_is_changed_and_no_text_or_annotation():
    found = {SOURCE[: site.start] + site.new + SOURCE[site.end :] for site in drawn.Sites(SOURCE).found}
    places = [("a: int = 1,", "a: int = 2,"), ("bool = True)", "bool = False)"), ("not a < 10", "a < 10"),
              ("not a < 10 and b", "(not (not a < 10 and b))"), ("a < 10", "a <= 10"), ("< 10", "< 20"),
              ("10 and b", "10 or b"), ("[0.5", "[0.75"), (" 0.0]", " 1.0]"), ("a // 2", "a / 2"), ("a // 2", "a // 3"),
              ("print(é)", "pass"), ("return a, b", "return b, a")]  # fmt: skip
    assert found == {SOURCE.replace(old, new, 1) for old, new in places}


@pytest.mark.release
def test_100_faults_are_the_same_ones_for_a_seed_and_change_the_code():
    faults = drawn.draw(21, 100)
    assert list(faults) == list(drawn.draw(21, 100))
    assert list(faults) != list(drawn.draw(22, 100))
    assert len(faults) == 100
    assert len({drawn.package_of(name) for name in faults}) > 10
    for fault in faults.values():
        text = (drawn.SOURCE / fault.change.file).read_text("utf-8")
        changed = fault.change.apply(text)
        assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(text))
        assert text.splitlines()[fault.line - 1] in fault.change.old


def test_the_statement_of_a_line_is_the_innermost_without_its_body():
    lines = {line: covering.statement(SOURCE, line) for line in (2, 4, 6, 7, 10)}
    assert lines == {
        2: (range(2, 3), True),
        4: (range(4, 5), True),  # defaults are computed on import
        6: (range(6, 7), False),
        7: (range(7, 8), False),
        10: (range(10, 11), False),
    }
    assert covering.statement("@cache\ndef f():\n    a = [\n        1,\n    ]\n", 4) == (range(3, 6), False)
    assert covering.statement("@cache\ndef f():\n    return 1\n", 1) == (range(1, 2), True)


@pytest.mark.release
def test_the_tests_that_run_a_line_are_known_also_those_of_a_child_process(tmp_path):
    package, tests = tmp_path / "src" / "lenet", tmp_path / "tests"
    package.mkdir(parents=True)
    shutil.copytree(drawn.ROOT / "tests" / "mutation", tests / "mutation")
    (package / "__init__.py").write_text("LIMIT = 3\n\ndef f():\n    return LIMIT\n\ndef g():\n    return f()\n")
    (tests / "test_some.py").write_text(
        "import subprocess, sys, lenet\n"
        "def test_f(): assert lenet.f() == 3\n"
        "def test_g(): subprocess.run([sys.executable, '-c', 'import lenet; lenet.g()'], check=True)\n"
        "def test_wrong(): assert lenet.f() == 4\n"
        "def test_limit(): lenet.g(); assert lenet.LIMIT == 3\n"
        "def test_nothing(): pass\n"
    )
    found = covering.Covering(tmp_path)
    f, g, limit, nothing = (f"tests/test_some.py::test_{name}" for name in ("f", "g", "limit", "nothing"))
    assert found.failing == {"tests/test_some.py::test_wrong"}
    # Of the functions, they run 1, 2 and, as the child process also runs the import, 5 lines.
    assert found.of("__init__.py", 4) == [f, limit, g, nothing]
    assert found.of("__init__.py", 7) == [limit, g, nothing, f]
    assert found.of("__init__.py", 1) == [f, limit, g, nothing]
