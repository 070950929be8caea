"""Pictures that several processes share."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import programs
import pytest
from served import wait_for

import lenet
from lenet import cli
from lenet.cli import inputs, processes

NAMES = [str(number) for number in range(9)]


@pytest.fixture
def shared(monkeypatch):
    """Let processes share the work after two pictures, however short it is, one by one, on four cores."""
    for limit in ("_WARM_UP", "_MIN_LEFT", "_TASK"):
        monkeypatch.setattr(processes, limit, 1e-9)
    monkeypatch.setattr("lenet._fused.threads._cores", lambda: 4)


def names_and_processes(call, n_jobs=2):
    found = list(processes.results_of(call, NAMES, n_jobs))
    return [name for name, _ in found], [number for _, number in found]


def test_processes_share_long_work(shared, monkeypatch):
    """Python's environment variables do not apply to them: the paths of modules are those of this process."""
    monkeypatch.setenv("PYTHONHOME", os.devnull)
    names, numbers = names_and_processes(programs.with_process)
    assert names == NAMES
    assert numbers[:2] == [os.getpid()] * 2
    assert os.getpid() not in numbers[2:]
    assert len(set(numbers)) in (2, 3)


def test_threads_may_share_work(shared):
    found = []
    thread = threading.Thread(target=lambda: found.extend(names_and_processes(programs.with_process)))
    thread.start()
    thread.join()
    assert found[0] == NAMES
    assert os.getpid() not in found[1][2:]


@pytest.mark.parametrize(
    ("n_jobs", "changes"),
    [
        (1, {}), (2, {"frozen": True}), (2, {"executable": "/usr/bin/application"}), (2, {"executable": None}),
        (2, {"executable": "/no/such/python"}),
    ],
)  # fmt: skip
def test_one_process_does_the_work_if_others_cannot(shared, monkeypatch, n_jobs, changes):
    for name, value in changes.items():
        monkeypatch.setattr(sys, name, value, raising=False)
    assert names_and_processes(programs.with_process, n_jobs) == (NAMES, [os.getpid()] * 9)


def test_one_process_does_the_work_if_no_thread_can_be_started(shared, monkeypatch):
    def no_thread(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    assert names_and_processes(programs.with_process) == (NAMES, [os.getpid()] * 9)


def test_this_process_does_the_rest_if_another_dies(shared, capsys):
    names, numbers = names_and_processes(partial(programs.fail_elsewhere, os.getpid()))
    assert names == NAMES
    assert numbers[4:] == [os.getpid()] * 5
    assert "lenet: warning: A worker process died" in capsys.readouterr().err


DIES_IN_ANSWER = """
import pickle, sys
sys.path[:] = {path!r}
for _ in range(2):
    pickle.load(sys.stdin.buffer)
sys.stdout.buffer.write(pickle.dumps(bytes(10**6))[:-9])
"""


@pytest.mark.parametrize("program", ["raise ValueError", DIES_IN_ANSWER], ids=["at the start", "in an answer"])
def test_a_process_that_dies_prints_nothing(shared, monkeypatch, capfd, program):
    """It may die before it has received the function, since a model is larger than the buffer of a pipe."""
    monkeypatch.setattr(processes, "_PROGRAM", program)
    call = partial(programs.with_process, padding=bytes(2**20))
    assert [number for _, number in processes.results_of(call, NAMES, 2)] == [os.getpid()] * 9
    out, err = capfd.readouterr()
    assert out == "".join(f"{name}\n" for name in NAMES)
    assert re.fullmatch("lenet: warning: A worker process died, .*\n", err)


@pytest.fixture
def started(monkeypatch):
    """The names left, the processes and the size of a task whenever processes would be started, instead of them."""
    calls = []

    def results(call, names, count, size):
        calls.append((len(names), count, size))
        return map(call, names)

    monkeypatch.setattr(processes, "_results_of_workers", results)
    return calls


@pytest.fixture
def clock(monkeypatch):
    """The time in seconds, which only the test changes."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("seconds", "count", "expected"),
    [
        (0.25, 10, [(8, 2, 1)]), (0.25, 9, []),  # at least 2 s are left
        (0.25, 30, [(28, 2, 1)]), (0.24, 30, [(27, 2, 1)]),  # the pictures after the first took 0.25 s
        (1 / 128, 288, []), (1 / 128, 289, [(256, 2, 13)]),  # a task takes 0.1 s
        (3, 3, []), (3, 4, [(2, 2, 1)]),  # a single picture is not shared
    ],
)  # fmt: skip
def test_processes_start_when_they_pay(started, clock, monkeypatch, seconds, count, expected):
    monkeypatch.setattr("lenet._fused.threads._cores", lambda: 4)

    def call(name):
        clock[0] += 9 if name == "0" else 0 if started else seconds  # the first one imports OpenCV
        return name

    names = [str(number) for number in range(count)]
    found = []
    for name in processes.results_of(call, names, 2):
        found.append(name)
        clock[0] += 5  # what is done with the results does not count
    assert (found, started) == (names, expected)


@pytest.mark.parametrize(
    ("n_jobs", "setting", "cores", "expected"),
    [(None, "3", 64, 3), (None, "64", 64, 8), (16, "3", 64, 16), (16, "3", 4, 4), (-1, "3", 64, 64)],
)
def test_the_number_of_processes(shared, started, monkeypatch, n_jobs, setting, cores, expected):
    monkeypatch.setenv("LENET_NUM_THREADS", setting)
    monkeypatch.setattr("lenet._fused.threads._cores", lambda: cores)
    list(processes.results_of(programs.with_process, NAMES, n_jobs))
    assert [count for _, count, _ in started] == [expected]


@pytest.mark.parametrize(("name", "expected"), [("-", []), ("/dev/fd/7", []), ("/proc/self/fd/7", []), ("x", [4])])
def test_files_that_only_this_process_has_opened(shared, started, name, expected):
    arguments = SimpleNamespace(csv=None, quiet=True, n_jobs=4)
    found = inputs.read_each(arguments, [*NAMES, name], str.upper, inputs.Table(["image"]))
    assert len(list(found)) == 10
    assert [count for _, count, _ in started] == expected


@pytest.fixture
def pictures(cwd):
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("cv2")
    digits = lenet.data.load_digits()
    for number in range(6):
        picture = np.pad(255 - digits.X_test[7 + number], 14, constant_values=255)
        image.fromarray(picture).resize((112, 112)).save(cwd / f"{number}.png")
    (cwd / "3.png").write_bytes(b"damaged")
    (cwd / "empty").mkdir()
    return digits.y_test[7:]


@pytest.mark.parametrize("command", [["predict"], ["predict", "--json"], ["read"], ["read", "--fields", "fields.json"]])
def test_answers_are_the_same_with_more_processes(shared, pictures, cwd, capsys, command):
    (cwd / "fields.json").write_text('[{"name": "a", "box": [0, 0, 1, 1], "digits": 1}]')
    outputs = []
    for n_jobs in "12":
        assert cli.main([*command, "0.png", "empty", ".", "*.tif", "--n-jobs", n_jobs, "-q"]) == 1
        outputs.append(capsys.readouterr())
    assert outputs[0] == outputs[1]
    assert [line.split()[2] for line in outputs[0].err.splitlines() if "error" in line] == ["empty", "3.png", "*.tif"]
    answers = [line.split()[:2] for line in outputs[0].out.splitlines()]
    if command in (["predict"], ["read"]):
        assert answers == [[f"{n}.png:", str(pictures[n])] for n in (0, 0, 1, 2, 4, 5)]


def test_workers_leave_threads_and_warnings_to_lenet(shared):
    pytest.importorskip("cv2")
    found = list(processes.results_of(programs.threads_and_filters, NAMES, 2))
    assert found[2:] == [(1, True)] * 7


def test_what_workers_print_is_no_answer(shared, monkeypatch):
    """Neither what Python's site files print, nor what other libraries write to standard output."""
    monkeypatch.setattr(processes, "_PROGRAM", "print('config loaded', end='', flush=True); " + processes._PROGRAM)
    assert list(processes.results_of(programs.printing, NAMES, 2)) == NAMES


def test_results_that_are_not_taken_are_few(shared, cwd):
    found = processes.results_of(programs.counted, [str(cwd / "count")] * 100, 2)
    taken = [next(found) for _ in range(3)]
    time.sleep(1.5)  # enough for all
    assert len(taken) + 1 < (cwd / "count").stat().st_size <= len(taken) + 2 * processes._MAX_AHEAD
    assert len(list(found)) == 97
    assert (cwd / "count").stat().st_size == 100


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_workers_end_if_another_cannot_be_started(shared, monkeypatch, error):
    started, start = [], subprocess.Popen

    def second_fails(*arguments, **options):
        if started:
            raise error
        started.append(start(*arguments, **options))
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", second_fails)
    with pytest.raises(error) if error is KeyboardInterrupt else contextlib.nullcontext():
        assert names_and_processes(programs.with_process) == (NAMES, [os.getpid()] * 9)
    assert [process.poll() is None for process in started] == [False]
    assert started[0].stdin.closed
    assert started[0].stdout.closed


PROGRAM = """
import sys, programs
from lenet.cli import processes
processes._WARM_UP = processes._MIN_LEFT = processes._TASK = 1e-9
sys.exit(programs.interrupted(processes.results_of(programs.sleep_with_lock, {names}, 2)))
"""


@pytest.mark.timing
@programs.SENDS_SIGNALS
@pytest.mark.parametrize(("signals", "workers"), [(1, 0), (1, 2), (2, 2), (0, 2)])
def test_workers_end_with_this_process(tmp_path, signals, workers):
    """Ctrl-C once or twice, or a SIGKILL, while the workers start, or while they work on long pictures."""
    names = ["0", "0", *["60" if signals else "1"] * 6]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(names=names)], cwd=tmp_path, text=True, start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    for _ in range(2):
        assert process.stdout.readline() == "0\n"
    locks = [tmp_path / f"{process.pid}.lock"]
    if workers:
        wait_for(lambda: locks.extend(set(tmp_path.glob("*.lock")) - {*locks}) or len(locks) == 1 + workers)
    for _ in range(signals):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.05)
    if not signals:
        process.kill()
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (130 if signals else -signal.SIGKILL, "", "")
    wait_for(lambda: not any(programs.is_locked(path) for path in tmp_path.glob("*.lock")), 10)
