"""Faults that are drawn at random change one place each of code that runs."""

import ast

import pytest

from tests.mutation import drawn

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
        assert all((drawn.ROOT / file).is_file() for file in fault.tests)


def test_a_fault_runs_the_tests_of_its_module_first():
    assert drawn.tests_of("reading/rules.py")[0] == "tests/test_reading.py"
    assert "tests/test_lines.py" in drawn.tests_of("reading/rules.py")
    assert drawn.tests_of("training/optim.py")[0] == "tests/test_optim.py"
