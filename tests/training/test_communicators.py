"""Communicators, without MPI: its calls are recorded. test_mpi.py has the tests with MPI."""

import itertools
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from lenet.errors import ConfigurationError, MissingExtraError
from lenet.training import mpi
from lenet.training.communication import SingleProcess
from lenet.training.mpi import Ranks


class World:
    """A communicator of MPI whose all-reduce adds the values of one other rank."""

    def __init__(self, rank=0, size=2, other=0.0):
        self.rank, self.size, self.other, self.calls = rank, size, other, []

    def Get_rank(self):  # noqa: N802
        return np.int32(self.rank)

    def Get_size(self):  # noqa: N802
        return np.int32(self.size)

    def Allreduce(self, place, values):  # noqa: N802
        self.calls.append((place, values.copy(), values))
        values += np.asarray(self.other, values.dtype)

    def bcast(self, value):
        self.calls.append(value)
        return "of rank 0"


@pytest.fixture
def world(monkeypatch):
    """The communicator of all ranks."""
    world = World()
    modules = {("mpi4py.MPI", "mpi"): SimpleNamespace(COMM_WORLD=world, IN_PLACE="in place")}
    monkeypatch.setattr(mpi, "require", lambda *names: modules[names])
    for variable in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.delenv(variable, raising=False)
    return world


def test_a_single_process_has_the_whole_batch_and_its_own_values():
    comm, gradient = SingleProcess(), np.array([1.0, 2.0])
    assert (comm.rank, comm.size, comm.share(7), comm.broadcast("x")) == (0, 1, slice(0, 7), "x")
    assert comm.all_reduce(gradient, 3.5, 2) == (3.5, 2)
    assert gradient.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("n", "size", "shares"),
    [
        (10, 3, [(0, 3), (3, 6), (6, 10)]),
        (2, 3, [(0, 0), (0, 1), (1, 2)]),
        (8, 2, [(0, 4), (4, 8)]),
        (0, 2, [(0, 0), (0, 0)]),
    ],
)
def test_the_shares_of_a_batch_follow_each_other(world, n, size, shares):
    assert [Ranks(World(rank, size)).share(n) for rank in range(size)] == [slice(*share) for share in shares]


def test_the_ranks_are_those_of_mpiexec_by_default(world):
    world.rank, world.size = 1, 3
    ranks = Ranks()
    assert (ranks.comm, ranks.rank, ranks.size) == (world, 1, 3)
    assert (type(ranks.rank), type(ranks.size)) == (int, int)
    other = World(0, 2)
    assert Ranks(other).comm is other


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_all_reduce_sums_the_gradient_and_the_numbers(world, dtype):
    world.other = [10, 20, 30, 100, 200]
    ranks, gradient = Ranks(), np.array([1, 2, 3], dtype)
    assert ranks.all_reduce(gradient, 0.5, 7) == (100.5, 207.0)
    assert gradient.tolist() == [11, 22, 33]
    ((place, sent, _),) = world.calls
    assert (place, sent.dtype, sent.tolist()) == ("in place", dtype, [1, 2, 3, 0.5, 7])


def test_the_buffer_is_reused_for_the_same_shape_and_type(world):
    ranks = Ranks()
    for length, dtype, numbers in (
        (3, np.float32, 2), (3, np.float32, 2), (3, np.float64, 2), (4, np.float64, 2), (4, np.float64, 1),
        (4, np.float64, 1),
    ):  # fmt: skip
        assert ranks.all_reduce(np.ones(length, dtype), *[1.5] * numbers) == (1.5,) * numbers
    buffers = [buffer for *_, buffer in world.calls]
    assert [(len(each), each.dtype) for each in buffers] == [
        (5, np.float32), (5, np.float32), (5, np.float64), (6, np.float64), (5, np.float64), (5, np.float64),
    ]  # fmt: skip
    assert [a is b for a, b in itertools.pairwise(buffers)] == [True, False, False, False, True]


def test_a_number_that_overflows_becomes_infinite(world):
    assert Ranks().all_reduce(np.ones(2, np.float32), 1e300) == (np.inf,)


def test_rank_0_sends_its_value_and_the_others_receive_it(world):
    assert Ranks().broadcast("mine") == "of rank 0"
    other = World(rank=1)
    assert Ranks(other).broadcast("mine") == "of rank 0"
    assert (world.calls, other.calls) == (["mine"], [None])


@pytest.mark.parametrize("variable", ["PMI_SIZE", "OMPI_COMM_WORLD_SIZE"])
@pytest.mark.parametrize(
    ("value", "size", "refused"), [("2", 1, True), ("1", 1, False), ("x", 1, False), ("-2", 1, False), ("2", 2, False)]
)
def test_a_process_that_mpiexec_did_not_connect_is_an_error(world, monkeypatch, variable, value, size, refused):
    monkeypatch.setenv(variable, value)
    world.size = size
    assert Ranks(World(0, 1)).size == 1
    if refused:
        with pytest.raises(ConfigurationError, match="mpi4py uses another MPI library, so each process runs alone"):
            Ranks()
    else:
        assert Ranks().size == size


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("RuntimeError('cannot load MPI library')", r"^mpi4py cannot find an MPI library"),
        ("ImportError('another')", r"^This requires mpi4py, which is installed but cannot be imported \(another\)"),
    ],
)
def test_an_mpi4py_that_cannot_be_imported_is_an_error(tmp_path, monkeypatch, error, message):
    (tmp_path / "mpi4py").mkdir()
    (tmp_path / "mpi4py/__init__.py").touch()
    (tmp_path / "mpi4py/MPI.py").write_text(f"raise {error}")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("mpi4py", "mpi4py.MPI"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(MissingExtraError, match=message):
        Ranks()
