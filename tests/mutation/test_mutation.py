"""Each planted fault fits the sources; and the table of the mutation runs."""

import pytest

from tests.mutation import kernels
from tests.mutation.building import ROOT, Change
from tests.mutation.kernel_mutants import MUTANTS
from tests.sanitizers.planted import OUT_OF_BOUNDS, OVERFLOW, RACES

pytestmark = pytest.mark.landing
SOURCES = ROOT / "src" / "lenet"
CHANGES = {name: mutant.change for name, mutant in MUTANTS.items()} | RACES
CHANGES |= {"out of bounds": OUT_OF_BOUNDS, "overflow": OVERFLOW}


@pytest.mark.parametrize("name", CHANGES)
def test_the_text_that_a_fault_changes_is_there_once(name):
    change = CHANGES[name]
    text = (SOURCES / change.file).read_text("utf-8")
    before, after = text.split(change.old)
    assert change.apply(text) == before + change.new + after


def test_every_source_of_the_kernels_has_mutants_and_every_kind_its_tests():
    paths = (path for suffix in ("pyx", "pxi", "h") for path in SOURCES.rglob(f"*.{suffix}"))
    files = {path.relative_to(SOURCES).as_posix() for path in paths}
    without_loops = {"_compiled.pyx", "_fused/lenet5.pyx", "_fused/kernels.pyx", "_fused/cpu.h", "interop/lenet.h"}
    assert {mutant.change.file for mutant in MUTANTS.values()} == files - without_loops
    assert {mutant.tested for mutant in MUTANTS.values()} == set(kernels.TESTS)


@pytest.mark.parametrize("text", ["no such thing", "once and once again"])
def test_a_change_of_a_text_that_is_not_there_once_is_an_error(text):
    with pytest.raises(ValueError, match=r"file\.pyx has \d times, and not once: once"):
        Change("file.pyx", "once", "twice").apply(text)


def test_the_table_of_kernels_counts_each_file():
    verdicts = {"pool-dx-assigned": "test_avg_pool2d_backward", "tile-assigned": "", "row-left-out": "signal 11"}
    rows = [line.split() for line in kernels.table(verdicts).splitlines()[1:]]
    assert rows == [["_conv.pyx", "1", "1"], ["_fused/products.pxi", "2", "1"], ["total", "3", "2"]]
