"""`lenet train`: its output and the files of its runs."""

import csv
import io
import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cli_calls import COLUMNS, EPOCHS, POSIX, QUICK, environment, events
from commands import succeeds

import lenet
from lenet import cli
from lenet.cli.options import DATA_NAMES
from lenet.cli.progress import HEADER, JsonProgress, LineProgress, LiveProgress, Progress, progress_for
from lenet.cli.runs import require_extras
from lenet.data.sources import _BY_NAME
from lenet.errors import MissingExtraError
from lenet.training import RECIPES
from lenet.training.runs import Run
from lenet.training.state import Epoch, State

for needed in ("sklearn", "matplotlib"):
    pytest.importorskip(needed)

pytest_plugins = ["cli_fixture"]


def test_json_reports_the_start_every_epoch_and_the_test(work):
    _, told, _ = work
    start, *epochs, test = told
    assert [event["event"] for event in told] == ["start", *["epoch"] * EPOCHS, "test"]
    assert (start["recipe"], start["seed"], start["test"]) == ("small", 3, 359)
    assert start["train"] + start["validation"] == 1438
    assert start["validation"] == pytest.approx(143.8, abs=5)  # of each class a tenth, rounded
    assert Path(start["run"]) == Path("runs/train-1")
    assert [event["epoch"] for event in epochs] == list(range(1, EPOCHS + 1))
    assert all(event.keys() == {"event", "seconds_left", *COLUMNS} for event in epochs)
    assert test["images"] == 359
    assert test["best_epoch"] == min(epochs, key=lambda event: event["val_loss"])["epoch"]
    assert 0.6 < test["accuracy"] < 1  # it has learned, or the tests below would say little


def test_a_run_leaves_every_file_and_no_other(work):
    folder, _, _ = work
    assert sorted(path.name for path in (folder / "runs" / "train-1").iterdir()) == [
        "args.json", "best.safetensors", "checkpoint.safetensors", "confusion_matrix.png", "filters.png",
        "last.safetensors", "report.txt", "results.csv", "results.png", "worst.png",
    ]  # fmt: skip
    assert sorted(path.name for path in folder.iterdir()) == ["runs", "some.npz"]
    assert sorted(path.name for path in (folder / "runs").iterdir()) == ["train-1", "train-2"]


def test_args_contain_the_requested_options(work):
    folder, _, _ = work
    args = json.loads((folder / "runs/train-1/args.json").read_text())
    assert (args["data"], args["lenet"], args["seed"], args["num_classes"]) == ("digits", lenet.__version__, 3, 10)
    assert args["recipe"].items() >= {"name": "small", "epochs": EPOCHS, "batch_size": 32, "distort": False}.items()
    second = json.loads((folder / "runs/train-2/args.json").read_text())
    assert (second["data"], second["seed"]) == (str(folder / "some.npz"), 7)
    recipe = {"name": "small", "epochs": 3, "batch_size": 16, "lr": 0.1, "validation": 0.2, "momentum": 0.9}
    assert second["recipe"].items() >= recipe.items()


def test_results_csv_has_the_rows_that_json_reported(work):
    folder, told, _ = work
    with (folder / "runs/train-1/results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == COLUMNS
    told = [{name: event[name] for name in COLUMNS} for event in told if event["event"] == "epoch"]
    assert [{name: float(value) for name, value in row.items()} for row in rows] == told


@pytest.mark.parametrize("name", ["results", "confusion_matrix", "worst", "filters"])
def test_figures_are_whole_pngs(work, name):
    image_module = pytest.importorskip("PIL.Image")
    with image_module.open(work[0] / "runs" / "train-1" / f"{name}.png", formats=["PNG"]) as picture:
        picture.load()
        assert min(picture.size) > 250
        assert len(set(picture.convert("L").tobytes())) > 10


def test_the_report_agrees_with_the_json_output(work):
    folder, told, _ = work
    text = (folder / "runs/train-1/report.txt").read_text()
    errors = round((1 - told[-1]["accuracy"]) * 359)
    assert text.startswith(f"accuracy {told[-1]['accuracy']:.2%} ({errors} errors in 359 images)")
    matrix = np.array([line.split()[1:] for line in text.splitlines()[-10:]], int)
    assert matrix.tolist() == told[-1]["confusion_matrix"]
    data = lenet.data.load_digits()
    predicted = lenet.load(folder / "runs/train-1/best.safetensors").predict(data.X_test)
    for true in range(10):
        counted = np.bincount(predicted[data.y_test == true], minlength=10)
        np.testing.assert_array_equal(matrix[true], counted)


def test_evaluate_reproduces_the_report(work, capsys):
    folder, told, _ = work
    for model in ("runs/train-1", "runs/train-1/best.safetensors"):
        assert cli.main(["evaluate", "digits", "--model", str(folder / model)]) == 0
        assert capsys.readouterr().out == (folder / "runs/train-1/report.txt").read_text()
    found = json.loads(succeeds(capsys, "evaluate", "digits", "--model", folder / "runs/train-1", "--json"))
    assert found == {key: value for key, value in told[-1].items() if key not in {"event", "run", "best_epoch"}}


def test_the_last_weights_are_those_of_the_checkpoint_and_not_the_best_ones(work):
    folder = work[0] / "runs" / "train-1"
    state = Run(folder).load_checkpoint(lenet.LeNet5())
    best, last = (lenet.load(folder / f"{name}.safetensors") for name in ("best", "last"))
    np.testing.assert_array_equal(last.parameters.flat, state.parameters)
    temperature = float(best.metadata["temperature"])  # the output layer's divisor: it comes last
    kept, output = np.split(
        state.best_parameters, [-sum(best.parameters[f"output.{n}"].size for n in ("weight", "bias"))]
    )
    np.testing.assert_array_equal(best.parameters.flat[: len(kept)], kept)
    np.testing.assert_allclose(best.parameters.flat[len(kept) :], output / temperature, rtol=1e-5)
    assert last.metadata["epoch"] == str(EPOCHS)
    assert best.metadata["epoch"] == str(state.best_epoch)
    assert (best.mean, best.std) == (last.mean, last.std) != (0.0, 1.0)


def test_output_to_a_file_has_a_header_a_line_per_epoch_and_the_report(work):
    folder, _, text = work
    lines = text.splitlines()
    assert re.fullmatch(
        r"runs.train-2: .*some\.npz, 3\d\d images for training, \d\d for validation, 150 for testing; .*seed 7",
        lines[0],
    )
    assert lines[1].split() == [
        "epoch", "lr", "loss", "accuracy", "val_loss", "val_accuracy", "images/s", "time", "left",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[2:5]] == ["1/3", "2/3", "3/3"]
    with (folder / "runs/train-2/results.csv").open(newline="") as file:
        for line, row in zip(lines[2:5], csv.DictReader(file), strict=True):
            _, rate, loss, accuracy, val_loss, val_accuracy, speed, left = line.split()
            assert float(loss) == pytest.approx(float(row["loss"]), abs=5e-5)
            assert float(val_loss) == pytest.approx(float(row["val_loss"]), abs=5e-5)
            assert float(accuracy.strip("%")) == pytest.approx(100 * float(row["accuracy"]), abs=5e-3)
            assert float(val_accuracy.strip("%")) == pytest.approx(100 * float(row["val_accuracy"]), abs=5e-3)
            assert float(rate) == pytest.approx(float(row["learning_rate"]), rel=0.05)
            assert float(speed.replace(",", "")) == pytest.approx(float(row["images_per_second"]), abs=0.5)
            assert re.fullmatch(r"\d+:\d\d", left)
    assert lines[4].endswith(" 0:00")
    assert (folder / "runs/train-2/report.txt").read_text() in text
    assert lines[-1] == "lenet predict PICTURE --model " + str(Path("runs/train-2"))
    assert "\x1b" not in text


def test_the_table_lines_up_whatever_the_learning_rate():
    def row(epoch, epochs, left):
        seconds = left / (epochs - 1)  # of one epoch
        state = State(*3 * [np.zeros(1)], 0.0, 1.0, history=[epoch], seconds=seconds)
        return Progress(epochs, steps_per_epoch=1).row(state)

    for rate in (0.5, 0.00125, 0.0009386123, 4.819e-06, 1e-300, 0.0):
        line = row(Epoch(200, rate, 2.3026, 1.0, 12.5, 0.0975, 123456.7, 9.0), 200, left=12 * 60 + 34)
        assert len(line) == len(HEADER) < 80
        assert line.endswith(" 12:34")
    without = row(Epoch(1, 0.1, 2.0, 0.1, None, None, 1000.0, 9.0), 10, left=1)
    assert len(without) == len(HEADER)
    assert without.split()[4:6] == ["-", "-"]


def test_the_remaining_time_follows_from_the_speed_so_far():
    """15 of 40 steps took 30 s, so the other 25 take 50 s."""
    pytest.importorskip("rich")
    numbers, history = np.zeros(1), [Epoch(1, 0.1, 2.0, 0.1, None, None, 1000.0, 9.0)]
    state = State(numbers, numbers, numbers, mean=0.0, std=1.0, step=5, images=5, seconds=30.0, history=history)
    assert Progress(4, 10).seconds_left(state) == 50
    live = LiveProgress(4, 10)
    live.step(state)
    assert live.bar.tasks[0].percentage == 37.5
    assert live.bar.tasks[0].description.endswith("  0:50 left")


@pytest.mark.parametrize(
    ("is_terminal", "as_json", "kind"),
    [
        (False, False, LineProgress),
        (True, False, LiveProgress),
        (True, True, JsonProgress),
    ],
)
def test_the_kind_of_progress_follows_from_standard_output(monkeypatch, is_terminal, as_json, kind):
    pytest.importorskip("rich")
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: is_terminal))
    assert type(progress_for(1, 1, as_json)) is kind


@pytest.mark.parametrize("option", ["drawn_digits", "non_digits"])
def test_a_recipe_that_draws_requires_opencv_before_training(monkeypatch, option):
    monkeypatch.setitem(sys.modules, "cv2", None)
    require_extras(RECIPES["default"], tensorboard=False)
    with pytest.raises(MissingExtraError, match=r"requires OpenCV.*lenet\[vision\]"):
        require_extras(RECIPES["default"].with_changes(**{option: 0.1}), tensorboard=False)


def test_training_requires_threadpoolctl(monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    with pytest.raises(MissingExtraError, match=r"requires threadpoolctl.*lenet\[train\]"):
        require_extras(RECIPES["default"], tensorboard=False)


def test_a_file_gets_each_line_at_once(monkeypatch):
    numbers = np.zeros(1)
    history = [Epoch(1, 0.1, 2.0, 0.1, None, None, 1000.0, 9.0)]
    state = State(numbers, numbers, numbers, mean=0.0, std=1.0, step=1, seconds=1.0, history=history)
    metadata = {"run": "r", "data": "d", "train": 1, "validation": 1, "test": 1, "recipe": "default", "seed": 0}
    for kind, lines in ((LineProgress, 2), (JsonProgress, 1)):
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO()))  # writes when 8 KiB have come, or on request
        progress = kind(1, 1)
        progress.start(metadata)
        assert sys.stdout.buffer.getvalue().count(b"\n") == lines
        progress.epoch(state)
        assert sys.stdout.buffer.getvalue().count(b"\n") == lines + 1


def screen(text):
    """Return the lines that a terminal shows after this text, without colours."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[^\x1b]", text):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            column = 0
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part.startswith("\x1b[") and part.endswith("A"):
            row -= int(part[2:-1])
        elif len(part) == 1:
            lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]


@POSIX
def test_a_terminal_gets_the_live_table(work, tmp_path):
    pytest.importorskip("rich")
    import fcntl
    import pty
    import termios

    try:
        ours, theirs = pty.openpty()
    except OSError as error:  # an emulator may have no terminals
        pytest.skip(f"there is no pseudo-terminal: {error}")
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    whole = [
        sys.executable,
        "-m",
        "lenet",
        "train",
        work[0] / "some.npz",
        *QUICK,
        "--epochs",
        "3",
        "--runs",
        "a[bold]b",
    ]
    known = {**environment(), "TERM": "xterm-256color"}
    process = subprocess.Popen(whole, cwd=tmp_path, stdout=theirs, stderr=subprocess.PIPE, env=known)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    text = shown.decode()
    assert "━" in text
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l") >= 0  # the cursor is back
    assert re.search(r"[123]/3 loss \d\.\d{4}  accuracy \d+\.\d\d%  [\d,]+ images/s  \d+:\d\d left", text)
    lines = screen(text)
    assert lines[0].startswith("a[bold]b/train-1: ")
    assert lines[1].split() == [
        "epoch", "lr", "loss", "accuracy", "val_loss", "val_accuracy", "images/s", "time", "left",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[2:5]] == ["1/3", "2/3", "3/3"]
    assert {len(line.split()) for line in lines[2:5]} == {8}
    assert not [line for line in lines if "━" in line]  # the bar is gone
    report = (tmp_path / "a[bold]b/train-1/report.txt").read_text()
    assert "\n".join(lines[5:]).strip().startswith("Test set, with the weights of epoch ")
    assert report in "\n".join(lines)


@pytest.mark.usefixtures("no_figures")
def test_the_same_seed_trains_the_same_weights_and_another_others(work, tmp_path, monkeypatch):
    folder, _, _ = work
    monkeypatch.chdir(tmp_path)
    for seed in ("7", "8"):
        arguments = ["train", str(folder / "some.npz"), *QUICK, "--epochs", "3", "--seed", seed]
        assert cli.main([*arguments, "--runs", str(tmp_path / "elsewhere")]) == 0
    known = lenet.load(folder / "runs/train-2/last.safetensors").parameters.flat
    same, other = (lenet.load(tmp_path / f"elsewhere/train-{n}/last.safetensors").parameters.flat for n in (1, 2))
    np.testing.assert_array_equal(same, known)
    assert not np.array_equal(other, known)
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]


@pytest.mark.usefixtures("no_figures")
def test_without_a_validation_split_the_last_epoch_counts(work, cwd, capsys):
    told = events(succeeds(capsys, "train", work[0] / "some.npz", "--epochs", 2, "--validation", 0, "--json"))
    assert [event["val_loss"] for event in told[1:-1]] == [None, None]
    assert told[-1]["best_epoch"] == 2
    rows = (cwd / "runs/train-1/results.csv").read_text().splitlines()
    assert [row.split(",")[4:6] for row in rows[1:]] == [["", ""], ["", ""]]


@pytest.mark.usefixtures("no_figures")
def test_a_folder_named_like_a_data_set_is_not_mistaken_for_it(tmp_path, monkeypatch, capsys):
    """Beside a folder ./digits, `lenet train digits` trains on the embedded data set, and resumes with it."""
    assert set(DATA_NAMES) == set(_BY_NAME)
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "digits", "--epochs", "1", "--validation", "0"]) == 0
    assert json.loads((tmp_path / "runs/train-1/args.json").read_text())["data"] == "digits"
    assert cli.main(["train", "--resume", "runs/train-1"]) == 0
    run = Path("runs/train-1")  # which Windows writes with a backslash
    note = f"lenet: note: {run} is already complete. To train further, start a new run with --from {run}.\n"
    built_in = "lenet: note: digits is the built-in data set; write ./digits for the file or folder of that name\n"
    assert capsys.readouterr().err == built_in * 2 + note


# ---- memory --------------------------------------------------------------------------------------------

MEMORY = r"""
import re, sys
from lenet.cli import main
assert main(["train", "mnist", "--epochs", "1", "--runs", sys.argv[1]]) == 0
status = open("/proc/self/status").read()  # getrusage counts what the parent had when it forked, too
print("peak", int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) // 1024)
"""


@pytest.mark.landing
@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the peak in /proc")
@pytest.mark.usefixtures("mnist")
def test_training_on_mnist_takes_less_than_300_mb_in_total(tmp_path):
    known = {**environment(), "LENET_NUM_THREADS": "2"}
    whole = [sys.executable, "-c", MEMORY, str(tmp_path)]
    done = subprocess.run(whole, capture_output=True, text=True, check=True, env=known)
    assert int(done.stdout.split()[-1]) < 300
