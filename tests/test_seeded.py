"""The list of seeded faults fits the sources that it changes."""

import pytest

from tests.mutation import running, seeded
from tests.mutation.building import ROOT
from tests.mutation.python_faults import FAULTS

pytestmark = pytest.mark.landing


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_changes_one_text_of_a_module_that_still_compiles(name):
    change = FAULTS[name].change
    path = ROOT / "src" / "lenet" / change.file
    text = change.apply(path.read_text("utf-8"))
    if path.suffix == ".py":
        compile(text, path, "exec")
    assert all((ROOT / file).is_file() for file in FAULTS[name].tests)


def test_half_of_60_faults_are_in_the_kernels():
    assert list(seeded.KINDS.values()) == ["Python"] * 30 + ["kernels"] * 30


def test_the_table_counts_each_kind():
    verdicts = {"file-not-synced": "test_fsync", "same-order-every-epoch": "", seeded.KERNEL_FAULTS[0]: "signal 11"}
    rows = [line.split() for line in running.table(("kind", "planted", "caught"), seeded.KINDS, verdicts).splitlines()]
    assert rows[1:] == [["Python", "2", "1"], ["kernels", "1", "1"], ["total", "3", "2"]]
