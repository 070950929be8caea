"""Training with the ranks of mpiexec equals that of one process except for rounding; an error ends all ranks."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from programs import finish

import lenet
from lenet._fused.dispatch import available
from lenet.training.loop import train

pytestmark = pytest.mark.landing
pytest.importorskip("mpi4py")
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
if MPIEXEC is None:
    pytest.skip("needs mpiexec, as pip install mpich brings it", allow_module_level=True)

DATA = lenet.data.load_digits()
OPTIONS = ["--batch-size", "50", "--lr", "0.1", "--epochs", "3", "--distort", "--validation", "0.2", "--json"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.endswith("NUM_THREADS")}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """420 images to train on, of which 84 validate: the last batch has 36."""
    monkeypatch.chdir(tmp_path)
    np.savez("some.npz", X_train=DATA.X_train[:420], y_train=DATA.y_train[:420], X_test=DATA.X_test[:50],
             y_test=DATA.y_test[:50])  # fmt: skip


def start(ranks, *arguments):
    launcher = [MPIEXEC, "-n", str(ranks)] if ranks else []
    mpi = ["--mpi"] if ranks else []
    return subprocess.Popen(
        [*launcher, sys.executable, "-m", "lenet", "train", *arguments, *mpi],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
    )  # fmt: skip


def weights(run, name="last"):
    return lenet.load(f"runs/train-{run}/{name}.safetensors").parameters.flat


@pytest.mark.parametrize("ranks", [3, pytest.param(2, marks=pytest.mark.release)])
def test_ranks_and_one_process_agree_within_rounding(ranks):
    alone, together = finish(start(0, "some.npz", *OPTIONS)), finish(start(ranks, "some.npz", *OPTIONS))
    assert [event["event"] for event in together] == ["start", "epoch", "epoch", "epoch", "test"]
    for one, other in zip(alone[1:4], together[1:4], strict=True):
        for name in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
            assert other[name] == pytest.approx(one[name], rel=1e-5), name
    for name in ("last", "best"):
        np.testing.assert_allclose(weights(2, name), weights(1, name), rtol=0, atol=1e-5)
    assert np.abs(weights(1) - lenet.LeNet5(seed=0).parameters.flat).max() > 0.01
    assert sorted(path.name for path in Path("runs/train-2").iterdir()) == sorted(
        path.name for path in Path("runs/train-1").iterdir()
    )


def test_more_ranks_than_images_of_a_batch():
    options = [*OPTIONS, "--batch-size", "2", "--epochs", "1"]
    few = {"X_train": DATA.X_train[:100], "y_train": DATA.y_train[:100]}
    np.savez("few.npz", **few, X_test=DATA.X_test[:50], y_test=DATA.y_test[:50])
    finish(start(0, "few.npz", *options))
    finish(start(3, "few.npz", *options))
    np.testing.assert_allclose(weights(2), weights(1), rtol=0, atol=1e-5)


def test_ctrl_c_saves_and_the_run_is_resumed_to_the_same_bits():
    options = [*OPTIONS, "--epochs", "30"]
    finish(start(2, "some.npz", *options))
    process = start(2, "some.npz", *options)
    while json.loads(process.stdout.readline())["event"] != "epoch":
        pass
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(out.splitlines()[-1])["event"] == "stopped"
    events = finish(start(2, "--resume", "runs/train-2", "--json"))
    assert len(events) < 32
    np.testing.assert_array_equal(weights(2), weights(1))
    np.testing.assert_array_equal(weights(2, "best"), weights(1, "best"))


def ranks_of(process):
    """The descendants of mpiexec, the deepest first."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command, environment = path.read_bytes(), path.with_name("environ").read_bytes()
        except OSError:
            continue
        if b"lenet\0train" in command and b"PMI_RANK=1" in environment and str(Path.cwd()).encode() in environment:
            found.append(int(path.parent.name))
    return found


@pytest.mark.timing
@pytest.mark.skipif(not Path("/proc").exists(), reason="needs Linux")
def test_a_rank_that_is_killed_ends_all(monkeypatch):
    monkeypatch.setitem(ENVIRONMENT, "TEST_FOLDER", str(Path.cwd()))
    process = start(2, "some.npz", *OPTIONS, "--epochs", "100000")
    while json.loads(process.stdout.readline())["event"] != "epoch":
        pass
    (one,) = ranks_of(process)
    began = time.monotonic()
    os.kill(one, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert time.monotonic() - began < 20
    assert ranks_of(process) == []
    assert lenet.load("runs/train-1/last.safetensors").num_classes == 10  # the saved file is complete


def run_program(text):
    Path("program.py").write_text(text)
    command = [MPIEXEC, "-n", "2", sys.executable, "-m", "mpi4py", "program.py"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=ENVIRONMENT)


PROGRAM = """
import numpy as np, lenet
from lenet.training.mpi import Ranks
ranks = Ranks()
X, y, _, _ = lenet.data.load_digits()
recipe = lenet.training.recipes.RECIPES["small"].with_changes(epochs=2)
"""


def test_ranks_end_with_the_weights_of_rank_0s_start():
    done = run_program(
        PROGRAM
        + """
model = lenet.LeNet5(seed=ranks.rank)
lenet.train(model, X[:200], y[:200], recipe, n_jobs=1, comm=ranks)
np.save(f"{ranks.rank}.npy", model.parameters.flat)
"""
    )
    assert done.returncode == 0, done.stderr
    model = lenet.LeNet5(seed=0)
    train(model, DATA.X_train[:200], DATA.y_train[:200], lenet.training.recipes.RECIPES["small"].with_changes(epochs=2))
    np.testing.assert_array_equal(np.load("0.npy"), np.load("1.npy"))
    np.testing.assert_allclose(np.load("0.npy"), model.parameters.flat, rtol=0, atol=1e-5)


def test_an_error_of_one_rank_ends_all():
    n = "n = 200 - ranks.rank\nlenet.train(lenet.LeNet5(seed=0), X[:n], y[:n], recipe, n_jobs=1, comm=ranks)\n"
    done = run_program(PROGRAM + n)
    assert done.returncode != 0
    assert "InputError: This process and the first one differ in the images" in done.stderr


def test_ranks_with_other_kernels_are_refused():
    small = "x86-64-v2" if "x86-64-v2" in available() else None
    if small is None or len(available()) < 2:
        pytest.skip("this CPU has one build of the kernels")
    done = run_program(
        "import os\nif os.environ['PMI_RANK'] == '1': os.environ['LENET_CPU'] = 'x86-64-v2'\n"
        + PROGRAM
        + "lenet.train(lenet.LeNet5(seed=0), X[:200], y[:200], recipe, n_jobs=1, comm=ranks)\n"
    )
    assert done.returncode != 0
    assert "the seed, the build of the kernels or" in done.stderr


@pytest.mark.parametrize("variable", ["PMI_SIZE", "OMPI_COMM_WORLD_SIZE"])
def test_the_mpiexec_of_another_mpi_is_refused(variable):
    program = "from lenet.training.mpi import Ranks\nprint(Ranks().size)\n"
    for size, refused in (("1", False), ("", False), ("2", True)):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                              env=ENVIRONMENT | {variable: size})  # fmt: skip
        assert (done.returncode != 0) == refused, done.stderr
        assert ("mpi4py uses another MPI library" in done.stderr) == refused


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["missing.npz"], 1, "missing.npz"),
        (["some.npz", "--lr", "1e38", "--schedule", "constant"], 1, "The loss is not finite"),
        (["some.npz", "--recipe", "none"], 2, "recipe is 'none'"),
    ],
)
def test_an_error_common_to_all_is_reported_once(arguments, code, why):
    process = start(2, *arguments)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert err.count(why) == 1
    assert "Traceback" not in err
