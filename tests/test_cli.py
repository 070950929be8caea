"""The command `lenet` as users see it: output, files and errors."""

import contextlib
import csv
import io
import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commands import without_figures

import lenet
from lenet import cli, plots
from lenet._fused.dispatch import chosen
from lenet.cli.data import DATA_NAMES
from lenet.data.sources import _BY_NAME
from lenet.training.runs import Run
from lenet.weights import to_bytes

for needed in ("sklearn", "matplotlib"):
    pytest.importorskip(needed)

EPOCHS = 40
QUICK = ["--batch-size", "16", "--lr", "0.1", "--validation", "0.2", "--no-distort"]
COLUMNS = ["epoch", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy", "images_per_second", "seconds"]
POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


def environment():
    known = {**os.environ, "LENET_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
    return {name: value for name, value in known.items() if name not in {"PYTHONUNBUFFERED", "COLUMNS", "NO_COLOR"}}


def command(*arguments, cwd=None, **options):
    """Run the command in a process of its own."""
    whole = [sys.executable, "-m", "lenet", *map(str, arguments)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment(), **options}
    return subprocess.run(whole, cwd=cwd, text=True, timeout=120, check=False, **options)


def succeeds(*arguments, **options):
    done = command(*arguments, **options)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def one_error(done, code=1):
    """The message of a command that failed as it should: in one line."""
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("lenet: error: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def fails(capsys, *arguments):
    """Run the command in this process, and return its one line."""
    code = cli.main([str(each) for each in arguments])
    captured = capsys.readouterr()
    assert captured.out == ""
    return one_error(subprocess.CompletedProcess(arguments, code, captured.out, captured.err))


def misused(capsys, *arguments):
    """Run the command in this process, and return the last line of a usage error."""
    with pytest.raises(SystemExit) as ended:
        cli.main([str(each) for each in arguments])
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("usage: lenet")
    return captured.err.splitlines()[-1]


def tree(folder):
    """Every path below a folder, with the content of the files."""
    return {str(path.relative_to(folder)): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def succeeds_here(capsys, *arguments):
    """Run the command in this process, and return its output."""
    capsys.readouterr()
    assert cli.main([str(each) for each in arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def events(text):
    return [json.loads(line) for line in text.splitlines()]


def write_some(path):
    data = lenet.data.load_digits()
    np.savez(path, X_train=data.X_train[:400], y_train=data.y_train[:400], X_test=data.X_test[:150],
             y_test=data.y_test[:150])  # fmt: skip


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with a small data set and two runs: one that learns, told in JSON, and a short one told in lines."""
    folder = tmp_path_factory.mktemp("work")
    write_some(folder / "some.npz")
    as_json, as_lines = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("LENET_NUM_THREADS", "1")
        with contextlib.redirect_stdout(as_json):
            options = ["--no-distort", "--seed", "3", "--epochs", str(EPOCHS), "--lr", "0.07", "--json"]
            assert cli.main(["train", "digits", *options]) == 0
        with contextlib.redirect_stdout(as_lines), without_figures():
            assert cli.main(["train", "some.npz", *QUICK, "--epochs", "3", "--seed", "7"]) == 0
    return folder, events(as_json.getvalue()), as_lines.getvalue()


@pytest.fixture(scope="module")
def reader(work):
    """The arguments that choose a model which reads digits: the shipped one, or one trained here."""
    if (Path(lenet.__file__).parent / "weights" / "pretrained" / "mnist.safetensors").exists():
        return []
    return ["--model", str(work[0] / "runs" / "train-1")]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Photographs of digits, as a person would take them: large, dark on white paper, off the middle."""
    image_module = pytest.importorskip("PIL.Image")
    folder, data = tmp_path_factory.mktemp("pictures"), lenet.data.load_digits()
    found = []
    for number in range(30):
        page = np.full((200, 300), 235, np.uint8)
        large = np.asarray(image_module.fromarray(data.X_test[5 * number]).resize((140, 140)))
        top, left = 5 + number, 150 - 4 * number
        page[top : top + 140, left : left + 140] -= (large * 0.85).astype(np.uint8)
        path = folder / f"{number}.png"
        image_module.fromarray(page).save(path)
        found.append((path, int(data.y_test[5 * number])))
    return found


# Training


def test_json_tells_the_start_every_epoch_and_the_test(work):
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


def test_args_hold_what_was_asked_for(work):
    folder, _, _ = work
    args = json.loads((folder / "runs/train-1/args.json").read_text())
    assert (args["data"], args["lenet"], args["seed"], args["num_classes"]) == ("digits", lenet.__version__, 3, 10)
    assert args["recipe"].items() >= {"name": "small", "epochs": EPOCHS, "batch_size": 32, "distort": False}.items()
    second = json.loads((folder / "runs/train-2/args.json").read_text())
    assert (second["data"], second["seed"]) == (str(folder / "some.npz"), 7)
    recipe = {"name": "small", "epochs": 3, "batch_size": 16, "lr": 0.1, "validation": 0.2, "momentum": 0.9}
    assert second["recipe"].items() >= recipe.items()


def test_results_csv_has_the_rows_that_json_told(work):
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


def test_the_report_is_the_one_that_json_told(work):
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
    found = json.loads(succeeds_here(capsys, "evaluate", "digits", "--model", folder / "runs/train-1", "--json"))
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


def test_in_a_file_there_is_a_head_a_line_an_epoch_and_the_report(work):
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
    from lenet.cli.progress import HEADER, row
    from lenet.training.loop import Epoch

    for rate in (0.5, 0.00125, 0.0009386123, 4.819e-06, 1e-300, 0.0):
        line = row(Epoch(200, rate, 2.3026, 1.0, 12.5, 0.0975, 123456.7, 9.0), 200, "12:34")
        assert len(line) == len(HEADER) < 80
    without = row(Epoch(1, 0.1, 2.0, 0.1, None, None, 1000.0, 9.0), 10, "0:01")
    assert len(without) == len(HEADER)
    assert without.split()[4:6] == ["-", "-"]


def screen(text):
    """What is left on a terminal that got this text: its lines, without colours."""
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

    ours, theirs = pty.openpty()
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
def test_without_a_validation_split_the_last_epoch_counts(work, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    told = events(succeeds_here(capsys, "train", work[0] / "some.npz", "--epochs", 2, "--validation", 0, "--json"))
    assert [event["val_loss"] for event in told[1:-1]] == [None, None]
    assert told[-1]["best_epoch"] == 2
    rows = (tmp_path / "runs/train-1/results.csv").read_text().splitlines()
    assert [row.split(",")[4:6] for row in rows[1:]] == [["", ""], ["", ""]]


@pytest.mark.usefixtures("no_figures")
def test_a_folder_called_like_a_set_is_not_taken_for_it(tmp_path, monkeypatch, capsys):
    """`lenet train digits` beside a folder ./digits trains on the embedded ones, and goes on with them."""
    assert set(DATA_NAMES) == set(_BY_NAME)
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "digits", "--epochs", "1"]) == 0
    assert json.loads((tmp_path / "runs/train-1/args.json").read_text())["data"] == "digits"
    assert cli.main(["train", "--resume", "runs/train-1"]) == 0
    run = Path("runs/train-1")  # which Windows writes with a backslash
    note = f"lenet: note: {run} was complete. To train further, start a new run with --from {run}.\n"
    assert capsys.readouterr().err == note


# Predicting, evaluating, telling


def test_predict_reads_photographs_of_digits(pictures, reader, capsys):
    lines = succeeds_here(capsys, "predict", *reader, *[path for path, _ in pictures]).splitlines()
    right = 0
    for line, (path, label) in zip(lines, pictures, strict=True):
        match = re.fullmatch(re.escape(str(path)) + r": (\d|not a digit) \((\d\.\d{2,3})\)", line)
        assert match, line
        assert 0 <= float(match[2]) <= 1
        right += match[1] == str(label)
    assert right >= 0.85 * len(pictures)


def test_predict_tells_programs_every_probability(pictures, reader, capsys):
    paths = [str(path) for path, _ in pictures]
    found = events(succeeds_here(capsys, "predict", "--json", *reader, *paths))
    assert [each["image"] for each in found] == paths
    for each in found:
        assert len(each["probabilities"]) == 10
        assert sum(each["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert each["likeliest"] == int(np.argmax(each["probabilities"]))
        assert each["label"] == (each["likeliest"] if each["is_digit"] else None)


def test_predict_goes_on_after_a_file_that_is_no_picture(pictures, reader, tmp_path, capsys):
    (tmp_path / "note.png").write_text("seven")
    (tmp_path / "cut.png").write_bytes(pictures[0][0].read_bytes()[:-400])
    missing = tmp_path / "missing.png"
    given = [tmp_path / "note.png", pictures[0][0], tmp_path / "cut.png", missing, pictures[1][0]]
    assert cli.main(["predict", *reader, *map(str, given)]) == 1
    out, err = capsys.readouterr()
    assert [line.partition(": ")[0] for line in out.splitlines()] == [str(pictures[0][0]), str(pictures[1][0])]
    said = err.splitlines()
    assert len(said) == 3
    for line, path in zip(said, [tmp_path / "note.png", tmp_path / "cut.png", missing], strict=True):
        assert line.startswith(f"lenet: error: {path}")
    assert "not a picture" in said[0]
    assert "damaged" in said[1]
    assert said[2] == f"lenet: error: {missing}: No such file or directory"


@pytest.mark.uninstrumented
def test_info_measures_the_speed_of_the_build(capsys, monkeypatch):
    from lenet.cli import bench

    monkeypatch.setattr(bench, "SECONDS", 0.0)
    assert cli.main(["info", "--bench", "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)["bench"]
    assert measured["build"] == chosen()
    assert measured["share"] == pytest.approx(2 * 416_520e-3 / measured["microseconds"] / measured["peak_gflops"])
    assert 0.01 < measured["share"] < 1.1  # a core cannot do more than its peak
    assert cli.main(["info", "--bench"]) == 0
    *_, speed, share = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"bench    {chosen()}: [\d.]+ microseconds per image, 64 at a time on one thread", speed)
    assert re.fullmatch(r" {9}\d+% of this core's peak of \d+ GFLOP/s", share)


@pytest.mark.parametrize("also", [["mnist"], ["--network"], ["--figure", "network.png"]])
def test_info_measures_this_installation_only(capsys, also):
    assert "--bench was given with" in misused(capsys, "info", "--bench", *also)


def test_info_tells_about_the_installation_and_the_network(capsys):
    text = succeeds_here(capsys, "info")
    assert lenet.__version__ in text
    assert "kernels" in text
    assert "61,706" in text
    network = succeeds_here(capsys, "info", "--network")
    assert network in text
    assert [line.split()[0] for line in network.splitlines()] == [
        "Stage", "input", "c1", "s2", "c3", "s4", "c5", "f6", "output", "total",
    ]  # fmt: skip


def test_info_shows_the_network_of_1998(capsys, tmp_path):
    assert "60,000" in succeeds_here(capsys, "info", "--network", "1998")
    assert cli.main(["info", "--network", "1998", "--figure", str(tmp_path / "old.png")]) == 0
    assert (tmp_path / "old.png").read_bytes() == plots.architecture(10, "1998") != plots.architecture()
    capsys.readouterr()
    assert "invalid choice: 'mnist'" in misused(capsys, "info", "--network", "mnist")
    assert "FILE and --network 1998 were both given" in misused(capsys, "info", "mnist", "--network", "1998")


@pytest.mark.landing
@pytest.mark.usefixtures("no_figures")
def test_train_evaluate_and_predict_with_the_network_of_1998(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = succeeds_here(capsys, "train", "digits", "--network", "1998", "--epochs", "2", "--validation", "0.1")
    assert "accuracy" in text
    model = lenet.load("runs/train-1")
    assert type(model) is lenet.LeNet1998
    assert model.metadata["recipe"] == "paper"
    evaluated = json.loads(succeeds_here(capsys, "evaluate", "digits", "--model", "runs/train-1", "--json"))
    assert evaluated["accuracy"] == float(model.metadata["test_accuracy"]) > 0.8
    described = json.loads(succeeds_here(capsys, "info", "runs/train-1", "--json"))
    assert (described["network"], described["parameters"]) == ("1998", 60_000)
    said = misused(capsys, "train", "digits", "--network", "1998", "--from", "mnist")
    assert "--network and --from were both given" in said
    assert "expected 0 with the optimizer" in misused(
        capsys, "train", "digits", "--network", "1998", "--momentum", "0.9"
    )


def test_info_tells_where_a_model_comes_from(work, capsys):
    folder, told, _ = work
    text = succeeds_here(capsys, "info", folder / "runs/train-1")
    facts = dict(line.split(maxsplit=1) for line in text.rpartition("\n\n")[2].splitlines())
    assert facts["recipe"] == "small"
    assert facts["data"] == "digits"
    assert facts["parameters"] == "61706"
    assert facts["epoch"] == str(told[-1]["best_epoch"])
    assert float(facts["test_accuracy"]) == told[-1]["accuracy"]
    as_json = json.loads(succeeds_here(capsys, "info", folder / "runs/train-1/best.safetensors", "--json"))
    assert facts.pop("classes") == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert as_json.pop("classes") == list("0123456789")
    assert {name: str(value) for name, value in as_json.items()} == facts


def test_info_lists_the_names_of_the_classes(capsys, tmp_path):
    model = lenet.LeNet5(seed=0, num_classes=3)
    model.classes = names = ("circle", "square", "a, b")
    model.save(tmp_path / "model.safetensors")
    assert cli.main(["info", str(tmp_path / "model.safetensors")]) == 0
    assert re.search(r"^classes +circle, square, a, b$", capsys.readouterr().out, re.MULTILINE)
    assert cli.main(["info", str(tmp_path / "model.safetensors"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == list(names)


def test_info_draws_the_network(tmp_path, capsys):
    assert cli.main(["info", "--figure", str(tmp_path / "network.png")]) == 0
    assert (tmp_path / "network.png").read_bytes().startswith(b"\x89PNG")
    said = fails(capsys, "info", "--figure", tmp_path / "none" / "network.png")
    assert "is not a folder. Create it first." in said


def test_version_by_every_entrance():
    wanted = f"lenet {lenet.__version__}\n"
    assert succeeds("--version") == wanted
    script = Path(sys.executable).parent / "lenet"
    if script.exists():
        done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout == wanted


def test_help_names_every_command_and_option(capsys):
    for arguments, words in (
        ([], cli.COMMANDS),
        (["train"], ["--resume", "--recipe", "--epochs", "--runs", "--seed", "--json", "digits", ".npz"]),
        (["evaluate"], ["--model", "--corruptions", "--images", "--json"]),
        (["predict"], ["IMAGE", "--model", "--json"]),
        (["info"], ["--network", "--figure", "--bench", "--json"]),
    ):
        with pytest.raises(SystemExit) as ended:
            cli.main([*arguments, "--help"])
        assert ended.value.code == 0
        text = capsys.readouterr().out
        assert [word for word in words if word not in text] == []


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["train"], ["--version"], ["nothing"]])
def test_help_and_usage_errors_import_nothing_heavy(arguments):
    program = (
        "import sys\nfrom lenet.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'safetensors', 'sklearn', 'scipy', 'pandas', 'matplotlib', 'rich', 'PIL'}\n"
        "print(sorted(heavy & sys.modules.keys()), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_predicting_imports_neither_scikit_learn_nor_matplotlib(pictures, reader):
    program = (
        "import sys\nfrom lenet.cli import main\nassert main(sys.argv[1:]) == 0\n"
        "print(sorted({'sklearn', 'scipy', 'pandas', 'matplotlib', 'rich'} & sys.modules.keys()), file=sys.stderr)"
    )
    whole = [sys.executable, "-c", program, "predict", *reader, pictures[0][0]]
    done = subprocess.run(whole, capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


# Mistakes: exit 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "COMMAND"),
        (["trian"], "invalid choice: 'trian'"),
        (["train"], "DATA is missing; expected a data set, or --resume RUN"),
        (["train", "digits", "--resume", "runs/train-1"], "DATA and --resume were both given; expected one of them"),
        (["train", "digits", "--recipe", "fast"], "recipe is 'fast'; expected one of seed, default"),
        (["train", "digits", "--epochs", "0"], "epochs is 0"),
        (["train", "digits", "--epochs", "two"], "--epochs"),
        (["train", "digits", "--batch-size", "0"], "batch_size is 0"),
        (["train", "digits", "--lr", "0"], "lr is 0"),
        (["train", "digits", "--lr", "-1"], "lr is -1"),
        (["train", "digits", "--lr", "nan"], "lr is nan"),
        (["train", "digits", "--lr", "inf"], "lr is inf"),
        (["train", "digits", "--momentum", "1"], "momentum is 1"),
        (["train", "digits", "--weight-decay", "-0.1"], "weight_decay is -0.1"),
        (["train", "digits", "--schedule", "cosine"], "schedule is 'cosine'"),
        (["train", "digits", "--validation", "1"], "validation is 1"),
        (["train", "digits", "--patience", "0"], "patience is 0"),
        (["train", "digits", "--patience", "3", "--validation", "0"], "patience requires a validation split"),
        (["train", "digits", "--seed", "-1"], "seed is -1"),
        (["train", "digits", "--n-jobs", "0"], "--n-jobs: 0 is out of range; expected at least 1"),
        (["train", "digits", "--n-jobs", "-2"], "--n-jobs"),
        (["train", "digits", "--n-jobs", "all"], "invalid int value: 'all'"),
        (["train", "--resume", "runs/train-1", "--lr", "0.1"], "Omit --lr"),
        (["train", "--resume", "runs/train-1", "--batch-size", "8"], "Omit --batch-size"),
        (["train", "--resume", "runs/train-1", "--seed", "0"], "Omit --seed"),
        (["train", "--resume", "runs/train-1", "--recipe", "small"], "Omit --recipe"),
        (["train", "--resume", "runs/train-1", "--no-distort"], "Omit --distort"),
        (["evaluate"], "DATA"),
        (["evaluate", "digits", "--n-jobs", "0"], "--n-jobs"),
        (["evaluate", "digits", "--images", "0"], "--images is 0; expected at least 1"),
        (["predict"], "IMAGE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_usage_error_says_which_option_and_writes_nothing(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    last = misused(capsys, *arguments)
    assert re.match(r"lenet( \w+)?: error: ", last)
    assert said in last
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["train", "--frob"], ["serve", "--port", "-1"], ["predict"], ["info", "a", "b"]])
def test_a_usage_error_prints_the_usage_of_its_subcommand(capsys, arguments):
    if arguments[0] == "serve":
        pytest.importorskip("uvicorn")
    with pytest.raises(SystemExit):
        cli.main(arguments)
    said = capsys.readouterr().err
    assert said.startswith(f"usage: lenet {arguments[0]} [-h]")
    assert f"\nlenet {arguments[0]}: error: " in said


# Mistakes: exit 1


def damaged_npz(kind, path):
    X, y = np.zeros((30, 28, 28), np.uint8), np.arange(30) % 10
    arrays = {
        "missing": {},
        "text": {},
        "cut": {"X": X, "y": y},
        "other names": {"images": X, "labels": y},
        "wrong shape": {"X": X[:, 1:], "y": y},
        "fewer labels": {"X": X, "y": y[1:]},
        "one class": {"X": X, "y": y * 0},
        "no image": {"X": X[:0], "y": y[:0]},
        "pixels": {"X": X.astype(float) + 2, "y": y},
        "objects": {"X": X, "y": np.array([None] * 30)},
        "too few to split": {"X_train": X[:2], "y_train": y[:2], "X_test": X[:2], "y_test": y[:2]},
    }[kind]
    if kind == "text":
        path.write_text("no zip file")
    elif arrays:
        np.savez(path, **arrays)
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-50])


@pytest.mark.parametrize(
    "kind",
    ["missing", "text", "cut", "other names", "wrong shape", "fewer labels", "one class", "no image", "pixels",
     "objects"],
)  # fmt: skip
def test_damaged_data_are_one_line_and_no_run_is_begun(capsys, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    damaged_npz(kind, tmp_path / "mine.npz")
    before = tree(tmp_path)
    said = fails(capsys, "train", "mine.npz")
    assert "mine.npz" in said
    assert tree(tmp_path) == before


@pytest.mark.usefixtures("no_figures")
def test_too_few_images_are_trained_on_without_validation_unless_asked_for(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    damaged_npz("too few to split", tmp_path / "mine.npz")
    before = tree(tmp_path)
    assert "2 labels are too few to hold out 0.1" in fails(capsys, "train", "mine.npz", "--validation", "0.1")
    assert tree(tmp_path) == before
    assert cli.main(["train", "mine.npz", "--epochs", "1"]) == 0
    captured = capsys.readouterr()
    assert "2 images for training, 0 for validation" in captured.out
    assert "The smallest class has fewer than 10 images, too few to hold out 10% for validation." in captured.err


@pytest.mark.usefixtures("no_figures")
def test_a_digit_that_the_data_lack_does_not_switch_validation_off(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digits = lenet.data.load_digits()
    some = np.flatnonzero(digits.y_train != 4)[:300]
    np.savez("mine.npz", X=digits.X_train[some], y=digits.y_train[some])
    said = succeeds_here(capsys, "train", "mine.npz", "--epochs", 1)
    assert re.search(r"[1-9]\d* for validation", said)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("digitz", "expected digits, mnist"),
        ("", "expected digits, mnist"),
        ("none/some.npz", "No such file"),
        (".", "has no data set"),
    ],
)
@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_unknown_data_are_one_line(capsys, tmp_path, monkeypatch, verb, data, said, work):
    monkeypatch.chdir(tmp_path)
    model = ["--model", work[0] / "runs/train-1"] if verb == "evaluate" else []
    assert said in fails(capsys, verb, data, *model)
    assert list(tmp_path.iterdir()) == []


def test_a_bad_setting_of_the_environment_begins_no_run(capsys, tmp_path, monkeypatch, work):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LENET_NUM_THREADS", "many")
    assert "LENET_NUM_THREADS is 'many'" in fails(capsys, "train", work[0] / "some.npz")
    assert list(tmp_path.iterdir()) == []


def wrong_weights(kind, path):
    model = lenet.LeNet5(seed=0)
    model.save(path)
    whole = path.read_bytes()
    facts = {"format": "lenet-1", "num_classes": "10", "mean": "0.0", "std": "1.0"}
    tensors = model.state_dict()
    if kind == "not finite":
        tensors["c3.weight"][0, 0, 0, 0] = np.nan
    if kind == "other shapes":
        tensors["f6.weight"] = np.zeros((84, 119), np.float32)
    if kind == "other names":
        tensors = {f"model.{name}": value for name, value in tensors.items()}
    content = {
        "truncated": whole[:-1000],
        "header cut": whole[:20],
        "empty": b"",
        "a picture": b"\x89PNG\r\n\x1a\n" + bytes(1000),
        "no format": to_bytes(tensors, {}),
    }
    path.write_bytes(content.get(kind) if kind in content else to_bytes(tensors, facts))


@pytest.mark.parametrize(
    "kind",
    ["truncated", "header cut", "empty", "a picture", "no format", "not finite", "other shapes", "other names"],
)
@pytest.mark.parametrize("verb", ["evaluate", "predict", "info"])
def test_wrong_weights_are_one_line_that_names_the_file(capsys, tmp_path, kind, verb):
    path = tmp_path / "mine.safetensors"
    wrong_weights(kind, path)
    arguments = {
        "evaluate": ["evaluate", "digits", "--model", path],
        "predict": ["predict", "a.png", "--model", path],
        "info": ["info", path],
    }[verb]
    said = fails(capsys, *arguments)
    assert str(path) in said
    if kind in ("not finite", "other shapes"):
        assert {"not finite": "c3.weight", "other shapes": "(84, 119)"}[kind] in said


def test_a_model_that_is_not_there_is_one_line(capsys, tmp_path):
    expected = "expected a model file, a run folder or mnist"
    assert f"{tmp_path / 'none'} does not exist; {expected}" in fails(capsys, "info", tmp_path / "none")
    assert f"{tmp_path} has no best.safetensors; expected a model file" in fails(capsys, "info", tmp_path)


@pytest.mark.landing
@pytest.mark.parametrize("form", ["onnx", "pt"])
def test_a_model_may_be_of_another_form(capsys, tmp_path, form):
    path = tmp_path / f"model.{form}"
    if form == "onnx":
        onnx = pytest.importorskip("onnx")
        onnx.save(lenet.interop.to_onnx(lenet.load_pretrained("mnist")), path)
    else:
        torch = pytest.importorskip("torch")
        torch.save(lenet.interop.to_torch_state_dict(lenet.load_pretrained("mnist")), path)
    assert cli.main(["info", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == 61706
    (tmp_path / "broken").with_suffix(path.suffix).write_bytes(b"PK none")
    assert "broken" in fails(capsys, "evaluate", "digits", "--model", tmp_path / f"broken.{form}")


def test_a_model_of_fewer_classes_than_the_data_is_one_line(capsys, tmp_path):
    lenet.LeNet5(seed=0, num_classes=5).save(tmp_path / "five.safetensors")
    said = fails(capsys, "evaluate", "digits", "--model", tmp_path / "five.safetensors")
    assert "0 to 4" in said or "5" in said


def test_an_unwritable_run_folder_is_found_before_the_training(capsys, tmp_path, monkeypatch, work):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    before = tree(tmp_path)
    for place in (Path("file"), Path("file", "below")):
        said = fails(capsys, "train", work[0] / "some.npz", "--runs", place)
        assert str(place) in said
        assert "--runs" in said
    assert tree(tmp_path) == before


@POSIX
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write everywhere")
def test_a_run_that_may_not_be_written_is_found_before_it_goes_on(capsys, tmp_path, work):
    run = tmp_path / "train-1"
    run.mkdir()
    (run / "args.json").write_bytes((work[0] / "runs/train-1/args.json").read_bytes())
    run.chmod(0o555)
    try:
        assert "train-1 cannot be written (Permission denied)" in fails(capsys, "train", "--resume", run)
    finally:
        run.chmod(0o755)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "has no args.json; expected a run folder"),
        ("{", "cannot be read"),
        ('{"lr": 1}', "cannot be read"),
        ("[]", "cannot be read"),
    ],
)
def test_what_is_no_run_cannot_be_resumed(capsys, tmp_path, content, said):
    if content is not None:
        (tmp_path / "args.json").write_text(content)
    before = tree(tmp_path)
    assert said in fails(capsys, "train", "--resume", tmp_path)
    assert "none is not a folder; expected a run folder" in fails(capsys, "train", "--resume", tmp_path / "none")
    assert tree(tmp_path) == before


def test_a_run_with_a_damaged_checkpoint_or_recipe_is_not_gone_on_with(capsys, tmp_path, work):
    args = json.loads((work[0] / "runs/train-1/args.json").read_text())
    (tmp_path / "args.json").write_text(json.dumps(args))
    whole = (work[0] / "runs/train-1/checkpoint.safetensors").read_bytes()
    (tmp_path / "checkpoint.safetensors").write_bytes(whole[:-1])
    before = tree(tmp_path)
    assert "checkpoint.safetensors" in fails(capsys, "train", "--resume", tmp_path)
    assert tree(tmp_path) == before
    for recipe in ({**args["recipe"], "dropout": 0.5}, {**args["recipe"], "epochs": 0}):
        (tmp_path / "args.json").write_text(json.dumps({**args, "recipe": recipe}))
        fails(capsys, "train", "--resume", tmp_path)


def test_a_training_that_diverges_is_one_line_with_advice(work, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = cli.main(["train", str(work[0] / "some.npz"), "--lr", "3e38", "--schedule", "constant"])
    said = one_error(subprocess.CompletedProcess([], code, *capsys.readouterr()))
    assert "The learning rate (3e+38)" in said


@pytest.mark.landing
@POSIX
@pytest.mark.usefixtures("no_figures")
def test_a_disk_that_fills_up_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
    import resource

    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # its data would be damaged

    # The checkpoint is the largest file, and grows with each epoch's row: a limit just above the first one's size
    # lets the first epochs be saved and a later one not.
    write_some(tmp_path / "some.npz")
    start = ["train", str(tmp_path / "some.npz"), *QUICK]
    assert cli.main([*start, "--epochs", "3", "--runs", str(tmp_path / "short")]) == 0
    limit = (tmp_path / "short/train-1/checkpoint.safetensors").stat().st_size + 1500

    def fill_the_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    arguments = [*start, "--epochs", 15]
    done = command(*arguments, "--json", cwd=tmp_path, preexec_fn=fill_the_disk)
    said = one_error(done)
    assert "checkpoint.safetensors could not be written (File too large)" in said
    told = sum(event["event"] == "epoch" for event in events(done.stdout))
    assert 3 <= told < 15
    run = Run(tmp_path / "runs/train-1")
    assert len(run.load_checkpoint(lenet.LeNet5()).history) == told
    assert [path.name for path in run.folder.iterdir() if path.name.startswith(".")] == []

    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "--resume", "runs/train-1"]) == 0
    assert cli.main([*map(str, arguments)]) == 0
    for name in ("best.safetensors", "last.safetensors"):
        resumed, whole = ((tmp_path / "runs" / run / name).read_bytes() for run in ("train-1", "train-2"))
        assert resumed == whole


@POSIX
def test_a_reader_that_leaves_is_no_traceback(work, tmp_path):
    for arguments in (["info", work[0] / "runs/train-1"], ["--help"]):
        read, write = os.pipe()
        os.close(read)
        done = command(*arguments, stdout=write, cwd=tmp_path)
        os.close(write)
        assert (done.returncode, done.stderr) == (1, "")


@POSIX
def test_training_into_head_stops_without_a_traceback_and_can_go_on(work, tmp_path):
    whole = f"{sys.executable} -m lenet train {work[0] / 'some.npz'} --epochs 30 --json | head -1"
    done = subprocess.run(
        ["/bin/sh", "-c", whole], cwd=tmp_path, capture_output=True, text=True, env=environment(), check=True
    )
    assert done.stderr == ""
    assert [event["event"] for event in events(done.stdout)] == ["start"]
    state = Run(tmp_path / "runs/train-1").load_checkpoint(lenet.LeNet5())
    assert 1 <= len(state.history) < 30


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_the_output_is_one_line():
    with Path("/dev/full").open("w") as full:
        assert "No space left on device" in one_error(command("info", stdout=full))


@POSIX
def test_a_closed_output_is_no_traceback(work, tmp_path):
    whole = f"{sys.executable} -m lenet train {work[0] / 'some.npz'} --epochs 1 >&-"
    done = subprocess.run(
        ["/bin/sh", "-c", whole], cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment(), check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.timing
@POSIX
def test_ctrl_c_outside_of_training_is_130_and_one_line(tmp_path):
    """Within it, it is in test_resume.py."""
    fifo = tmp_path / "slow.safetensors"
    os.mkfifo(fifo)  # the weights never come
    process = subprocess.Popen(
        [sys.executable, "-m", "lenet", "info", fifo], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**environment(), "PYTHONWARNINGS": "ignore"},  # the file is not closed at once
    )  # fmt: skip
    deadline = time.monotonic() + 30
    wanted = None
    while time.monotonic() < deadline and wanted is None:  # a writer can open it once there is a reader
        try:
            wanted = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            time.sleep(0.05)
    assert wanted is not None
    time.sleep(0.5)  # it has opened the file, and goes to wait for content
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    os.close(wanted)
    assert (process.returncode, out, err) == (130, "", "lenet: interrupted\n")


def test_an_error_is_one_line_whatever_it_says(capsys, tmp_path):
    said = fails(capsys, "info", tmp_path / "two\nlines.safetensors")
    assert "two lines.safetensors does not exist" in said


def test_a_picture_without_ink_is_no_digit(capsys, tmp_path):
    image = pytest.importorskip("PIL.Image")
    image.new("L", (99, 99), 255).save(tmp_path / "blank.png")
    assert "shows no ink" in fails(capsys, "predict", tmp_path / "blank.png")


def test_the_figure_is_of_the_model_that_is_named(capsys, tmp_path):
    lenet.LeNet5(num_classes=26).save(tmp_path / "letters.safetensors")
    for name, arguments in (("own.png", [str(tmp_path / "letters.safetensors")]), ("stock.png", [])):
        assert cli.main(["info", *arguments, "--figure", str(tmp_path / name)]) == 0
    assert (tmp_path / "own.png").read_bytes() == plots.architecture(26)
    assert (tmp_path / "stock.png").read_bytes() == plots.architecture(10)


# ---- export --------------------------------------------------------------------------------------------


def test_export_to_c_writes_a_source_and_its_header(capsys, tmp_path):
    from lenet.interop import to_c

    for arguments in ([tmp_path / "digits.c"], [tmp_path / "digits.txt", "--to", "c"]):
        assert cli.main(["export", "mnist", *map(str, arguments)]) == 0
        source, header = to_c(lenet.load_pretrained("mnist"), "digits")
        assert arguments[0].read_text() == source
        assert (tmp_path / "digits.h").read_text() == header
        said = capsys.readouterr().out.splitlines()
        assert said == [f"{arguments[0]} ({len(source):,} bytes)", f"{tmp_path / 'digits.h'} ({len(header):,} bytes)"]


@pytest.mark.landing
def test_export_to_onnx(tmp_path):
    pytest.importorskip("onnx")
    from lenet.interop import from_onnx, to_onnx

    lenet.LeNet5(seed=0, num_classes=3).save(tmp_path / "own.safetensors")
    model = lenet.load(tmp_path / "own.safetensors")
    for pixels, arguments in (("float32", []), ("uint8", ["--pixels", "uint8"])):
        path = tmp_path / "own.onnx"
        assert cli.main(["export", str(tmp_path / "own.safetensors"), str(path), *arguments]) == 0
        assert path.read_bytes() == to_onnx(model, pixels=pixels).SerializeToString(deterministic=True)
        np.testing.assert_array_equal(from_onnx(path).parameters.flat, model.parameters.flat)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["mnist", "out.bin"], "out.bin has an unknown suffix; expected .onnx or .c. Pass --to"),
        (["mnist", "out.h", "--to", "c"], "expected a source file, such as out.c"),
        (["mnist", "1st.c"], "name is '1st'; expected at most 31 letters, digits and underscores"),
        (["mnist", "out.c", "--pixels", "float32"], "expected uint8, as the C functions take bytes"),
        (["mnist", "math.c"], "math.h is a standard C header"),
        (["mnist", "out.c", "--to", "onnx"], "out.c has the suffix of another format; expected that of --to onnx"),
        (["mnist", "out.onnx", "--to", "c"], "out.onnx has the suffix of another format; expected that of --to c"),
        (["mnist", "out.onnx", "--to", "tflite"], "invalid choice: 'tflite'"),
        (["mnist", "out.onnx", "--pixels", "int8"], "invalid choice: 'int8'"),
    ],
)
def test_wrong_arguments_of_export(capsys, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["export", *arguments])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_export_that_fails_is_one_line_and_writes_nothing(capsys, tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    assert "damaged" in fails(capsys, "export", tmp_path / "bad.safetensors", tmp_path / "out.c")
    assert "does not exist; expected" in fails(capsys, "export", tmp_path / "none.safetensors", tmp_path / "out.c")
    assert "is not a folder. Create it first." in fails(capsys, "export", "mnist", tmp_path / "none" / "out.c")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.safetensors"]


def test_export_loses_nothing(capsys, tmp_path):
    own = tmp_path / "own.safetensors"
    lenet.LeNet5(seed=0).save(own)
    (tmp_path / "keep.h").write_text("/* mine */")
    (tmp_path / "folder.h").mkdir()
    before = own.read_bytes()
    assert "is the model itself" in fails(capsys, "export", own, own, "--to", "c")
    assert "keep.h exists and was not written by lenet" in fails(capsys, "export", own, tmp_path / "keep.c")
    assert "folder.h is a folder" in fails(capsys, "export", own, tmp_path / "folder.c")
    assert own.read_bytes() == before
    assert (tmp_path / "keep.h").read_text() == "/* mine */"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.h", "keep.h", "own.safetensors"]


def test_export_to_onnx_without_onnx_names_the_extra(tmp_path):
    program = "import sys; sys.modules['onnx'] = None; from lenet.cli import main; sys.exit(main(sys.argv[1:]))"
    whole = [sys.executable, "-c", program, "export", "mnist", str(tmp_path / "out.onnx")]
    done = subprocess.run(whole, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 1
    assert done.stderr.startswith("lenet: error: This requires onnx")
    assert "pip install 'lenet[onnx]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


# ---- memory --------------------------------------------------------------------------------------------

MEMORY = r"""
import re, sys
from lenet.cli import main
assert main(["train", "mnist", "--epochs", "1", "--runs", sys.argv[1]]) == 0
status = open("/proc/self/status").read()  # getrusage counts what the parent had when it forked, too
print("peak", int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) // 1024)
"""


@pytest.mark.landing
@pytest.mark.uninstrumented
@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the peak in /proc")
@pytest.mark.usefixtures("mnist")
def test_training_on_mnist_takes_less_than_300_mb_in_all(tmp_path):
    known = {**environment(), "LENET_NUM_THREADS": "2"}
    whole = [sys.executable, "-c", MEMORY, str(tmp_path)]
    done = subprocess.run(whole, capture_output=True, text=True, check=True, env=known)
    assert int(done.stdout.split()[-1]) < 300


# ---- reading -------------------------------------------------------------------------------------------


def number_on_paper(path):
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("cv2")
    digits = lenet.data.load_digits()
    page = np.full((60, 160), 255, np.uint8)
    for place, digit in enumerate(digits.X_test[183:187]):
        page[16:44, 20 + 30 * place : 48 + 30 * place] = 255 - digit
    image.fromarray(page).save(path)
    return "".join(map(str, digits.y_test[183:187]))


def test_read_prints_lines(capsys, tmp_path):
    text = number_on_paper(tmp_path / "a.png")
    assert cli.main(["read", str(tmp_path / "a.png")]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{tmp_path / 'a.png'}: {text} (")
    assert cli.main(["read", str(tmp_path / "a.png"), "--json"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["lines"][0]["text"] == text
    assert len(outcome["lines"][0]["digits"]) == 4
    assert cli.main(["read", str(tmp_path / "a.png"), "--least", "1"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'a.png'}: no digits\n"


def test_read_turns_pictures_unless_told_not_to(capsys, tmp_path):
    text = number_on_paper(tmp_path / "a.png")
    image = pytest.importorskip("PIL.Image")
    image.open(tmp_path / "a.png").rotate(90, expand=True).save(tmp_path / "side.png")
    outcomes = []
    for options in ([], ["--no-rotate"]):
        assert cli.main(["read", str(tmp_path / "side.png"), "--json", *options]) == 0
        outcomes.append(json.loads(capsys.readouterr().out))
    assert (outcomes[0]["rotation"], outcomes[0]["lines"][0]["text"]) == (270, text)
    assert outcomes[1]["rotation"] == 0
    assert all(line["text"] != text for line in outcomes[1]["lines"])


def test_read_goes_on_after_a_file_that_is_no_picture(capsys, tmp_path):
    text = number_on_paper(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    assert cli.main(["read", str(tmp_path / "b.png"), str(tmp_path / "a.png")]) == 1
    out, err = capsys.readouterr()
    assert text in out
    assert err.count("\n") == 1
    assert "b.png is not a picture" in err


def test_read_refuses_a_model_of_long_names_once(capsys, tmp_path):
    number_on_paper(tmp_path / "a.png")
    model = lenet.load_pretrained("mnist")
    model.classes = [f"digit {k}" for k in range(10)]
    model.save(tmp_path / "words.safetensors")
    assert cli.main(["read", *[str(tmp_path / "a.png")] * 2, "--model", str(tmp_path / "words.safetensors")]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "The model has a class 'digit 0'; expected names of one character" in err


def test_read_refuses_a_confidence_that_is_none(capsys):
    with pytest.raises(SystemExit):
        cli.main(["read", "a.png", "--least", "2"])
    assert "--least is 2; expected a confidence from 0 to 1" in capsys.readouterr().err


def test_read_shows_boxes_over_the_picture(capsys, tmp_path):
    image = pytest.importorskip("PIL.Image")
    number_on_paper(tmp_path / "a.png")
    shown = tmp_path / "shown.png"
    for _ in range(2):  # a drawing of its own is replaced
        assert cli.main(["read", str(tmp_path / "a.png"), "--show", str(shown)]) == 0
    with image.open(shown) as drawing, image.open(tmp_path / "a.png") as picture:
        assert drawing.mode == "RGB"
        assert drawing.width > picture.width
        colours = {colour for _, colour in drawing.getcolors(2**24)}
    assert (0, 114, 178) in colours  # of what is sure


def test_show_writes_over_nobody_elses_picture(capsys, tmp_path):
    number_on_paper(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    for command in ("read", "predict"):
        assert cli.main([command, str(tmp_path / "a.png"), "--show", str(tmp_path / "a.png")]) == 1
        assert "a.png exists and was not written by lenet" in capsys.readouterr().err
    assert (tmp_path / "a.png").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a.png", "--show", "b.jpg"], "--show is b.jpg; expected a name that ends in .png"),
        (["a.png", "b.png", "--show", "c.png"], "--show was given with 2 pictures; expected one"),
    ],
)
def test_show_says_what_it_cannot_do(capsys, arguments, said):
    for command in ("read", "predict"):
        with pytest.raises(SystemExit):
            cli.main([command, *arguments])
        assert said in capsys.readouterr().err


def test_show_needs_a_folder(capsys, tmp_path):
    assert cli.main(["predict", "a.png", "--show", str(tmp_path / "no" / "b.png")]) == 1
    assert "is not a folder. Create it first" in capsys.readouterr().err


def one_digit(path, index=183):
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("cv2")
    digits = lenet.data.load_digits()
    large = np.kron(255 - digits.X_test[index], np.ones((4, 4), np.uint8))
    image.fromarray(np.pad(large, 30, constant_values=255)).save(path)
    return int(digits.y_test[index])


def test_predict_shows_what_the_network_saw(capsys, tmp_path):
    image = pytest.importorskip("PIL.Image")
    one_digit(tmp_path / "a.png")
    assert cli.main(["predict", str(tmp_path / "a.png"), "--show", str(tmp_path / "b.png")]) == 0
    seen = np.asarray(image.open(tmp_path / "b.png"))
    prepared = lenet.reading.prepare(lenet.reading.read_picture(tmp_path / "a.png"))
    np.testing.assert_array_equal(seen, np.kron(prepared, np.ones((10, 10), np.uint8)))


def test_predict_tells_what_is_no_digit(capsys, tmp_path):
    image = pytest.importorskip("PIL.Image")
    cv2 = pytest.importorskip("cv2")
    page = np.full((200, 200), 255, np.uint8)
    cv2.putText(page, "K", (40, 150), cv2.FONT_HERSHEY_SIMPLEX, 4, 0, 8, cv2.LINE_AA)
    image.fromarray(page).save(tmp_path / "a.png")
    assert cli.main(["predict", str(tmp_path / "a.png")]) == 0
    assert re.fullmatch(r".*a\.png: not a digit \(0\.\d\d\)\n", capsys.readouterr().out)
    assert cli.main(["predict", str(tmp_path / "a.png"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["label"], answer["is_digit"]) == (None, False)
    assert answer["digit_score"] < 0.3


def test_predict_says_that_it_is_unsure(capsys, tmp_path):
    label = one_digit(tmp_path / "a.png")
    model = lenet.load_pretrained("mnist")
    assert cli.main(["predict", str(tmp_path / "a.png"), "--reject-at", "0.02"]) == 0
    assert f"a.png: {label} (" in capsys.readouterr().out
    model.metadata["thresholds"] = '{"0.001": 1.0}'
    model.save(tmp_path / "strict.safetensors")
    known = [
        "predict",
        str(tmp_path / "a.png"),
        "--reject-at",
        "0.001",
        "--model",
        str(tmp_path / "strict.safetensors"),
    ]
    assert cli.main(known) == 0
    assert f"a.png: unsure; most likely {label} (" in capsys.readouterr().out
    assert cli.main([*known, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["label"] is None


def test_predict_refuses_a_rate_before_it_reads_a_picture(capsys):
    assert cli.main(["predict", "missing.png", "--reject-at", "7"]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "reject_at is 7" in err
