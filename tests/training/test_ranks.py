"""How `lenet train --mpi` ends when a rank fails, without MPI; test_mpi.py has the tests with MPI."""

import contextlib
import sys
from types import SimpleNamespace

import pytest

import lenet
from lenet.cli import ranks
from lenet.errors import InputError, MissingExtraError

threadpoolctl = pytest.importorskip("threadpoolctl")


class AbortedError(BaseException):
    """The exception that replaces MPI's Abort."""


class Ranks:
    """The rank of so many, whose Abort is an exception."""

    def __init__(self, rank, size):
        self.rank, self.size, self.comm = rank, size, self

    def Abort(self, code):  # noqa: N802
        raise AbortedError(code)


@pytest.fixture(autouse=True)
def slept(monkeypatch):
    seconds = []
    monkeypatch.setattr(ranks.time, "sleep", seconds.append)
    return seconds


def end(error, rank=0):
    with pytest.raises(AbortedError) as aborted, ranks.all_or_none(Ranks(rank, 2)):
        raise error
    return aborted.value.args[0]


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (InputError("No images."), 1, "lenet: error: No images.\n"),
        (MemoryError(), 1, "lenet: error: out of memory\n"),
        (FileNotFoundError(2, "No such file or directory", "x.npz"), 1, "x.npz"),
        (KeyboardInterrupt(), 130, "lenet: interrupted\n"),
        (SystemExit(2), 2, ""),
        (AssertionError("a bug"), 1, "AssertionError: a bug\n"),
    ],
)
def test_a_rank_that_fails_reports_why_and_ends_all(capsys, slept, error, code, says):
    assert end(error) == code
    err = capsys.readouterr().err
    assert says in err if says else err == ""
    assert ("Traceback" in err) == isinstance(error, AssertionError)
    assert slept == [0.5]


def test_errors_of_other_ranks_name_them_and_follow_rank_0(capsys, slept):
    assert end(InputError("No images."), rank=1) == 1
    assert capsys.readouterr().err == "lenet: error: No images. (rank 1)\n"
    assert slept == [3, 0.5]


def test_a_single_rank_ends_no_others():
    with pytest.raises(InputError), ranks.all_or_none(Ranks(0, 1)):
        raise InputError("No images.")


def test_without_an_error_nothing_ends():
    with ranks.all_or_none(Ranks(1, 2)):
        pass


def test_a_rank_without_threadpoolctl_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    with pytest.raises(MissingExtraError, match=r"requires threadpoolctl.*lenet\[train\]"):
        ranks.follow(SimpleNamespace(broadcast=lambda value: None), 2)


@pytest.mark.parametrize(("step", "received", "code"), [(0, 0, 0), (3, 0, 130), (3, 15, 143)])
def test_a_rank_that_follows_ends_with_the_code_of_its_signal(monkeypatch, step, received, code):
    """128 and the number of the signal, or SIGINT if another rank received it; 0 if the training is complete."""
    job = (lenet.LeNet5(num_classes=4, dtype="float64"), None, None, None, 7)
    comm = SimpleNamespace(broadcast=lambda value: job)

    def train(model, X, y, recipe, *, seed, n_jobs, comm, on_step):
        assert (model, seed, n_jobs) == (job[0], 7, 2)
        assert on_step(None) is bool(received)
        blas = {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}
        assert blas <= {1}  # threadpoolctl does not know Apple's Accelerate
        return SimpleNamespace(step=step)

    signals = contextlib.nullcontext(SimpleNamespace(received=received))
    monkeypatch.setattr("lenet.training.loop.train", train)
    monkeypatch.setattr("lenet.cli.signals.StopSignals", lambda: signals)
    with threadpoolctl.threadpool_limits(2, "blas"):
        assert ranks.follow(comm, 2) == code
