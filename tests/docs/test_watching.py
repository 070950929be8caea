"""Monitor training: event files for TensorBoard, figures that compare runs, and the programs of docs/watching.md."""

import csv
import json
import struct
import sys
import types
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from code_blocks import blocks
from commands import fails, misused, run, succeeds

import lenet
from lenet import plots
from lenet.cli.training import Saver
from lenet.training.history import history_csv

for needed in ("sklearn", "matplotlib"):
    pytest.importorskip(needed)

PAGE = Path(__file__).parents[2] / "docs" / "watching.md"
SCALARS = ["learning_rate", "loss", "accuracy", "val_loss", "val_accuracy"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, no_figures):
    """The current folder, with a small data set."""
    monkeypatch.chdir(tmp_path)
    np.savez("small.npz", X=lenet.data.load_digits().X_train[:60], y=np.arange(60) % 3)
    return tmp_path


def train_run(capsys, *arguments):
    options = ["small.npz", "--epochs", 4, "--batch-size", 8, "--validation", 0.2]
    return succeeds(capsys, "train", *options, *arguments)


def results(folder):
    """The rows of results.csv, read by a program other than lenet."""
    with Path(folder, "results.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


# ---- TensorBoard ---------------------------------------------------------------------------------------


@pytest.fixture
def tensorboardx():
    """Tests that use this fixture require the extra."""
    pytest.importorskip("tensorboardX")


def events(folder):
    """The scalars of all event files by step, in the order in which TensorBoard reads them."""
    from tensorboardX.crc32c import crc32c
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(Path(folder).glob("events.out.tfevents.*")):
        content, position = path.read_bytes(), 0
        while position < len(content):
            (length,) = struct.unpack_from("<Q", content, position)
            record = content[position + 12 : position + 12 + length]
            masked = crc32c(record)
            masked = ((masked >> 15 | masked << 17) + 0xA282EAD8) & 0xFFFFFFFF
            assert content[position + 12 + length :][:4] == struct.pack("<I", masked)
            event = Event.FromString(record)
            if event.HasField("summary"):
                found.append((event.step, {each.tag: each.simple_value for each in event.summary.value}))
            position += 16 + length
    return found


def assert_events_of_the_results(folder):
    rows, found = results(folder), events(folder)
    assert [step for step, _ in found] == [row["epoch"] for row in rows] == [1, 2, 3, 4]
    for (_, scalars), row in zip(found, rows, strict=True):
        assert scalars == pytest.approx({name: row[name] for name in SCALARS}, rel=1e-6)


@pytest.fixture
def stopping(monkeypatch):
    """Training stops in the third epoch, once."""
    steps = []

    def on_step(self, state, signals):
        steps.append(state.epoch)
        return steps.count(3) == 1

    monkeypatch.setattr(Saver, "on_step", on_step)


@pytest.mark.landing
@pytest.mark.usefixtures("tensorboardx")
def test_event_files_have_the_results_of_each_epoch(capsys):
    train_run(capsys, "--tensorboard")
    assert_events_of_the_results("runs/train-1")


@pytest.mark.landing
@pytest.mark.usefixtures("tensorboardx", "stopping")
@pytest.mark.parametrize(("first", "second"), [(["--tensorboard"], []), ([], ["--tensorboard"])])
def test_a_resumed_run_continues_its_curves(capsys, first, second):
    """A run with an event file needs no --tensorboard; otherwise, its earlier epochs are written, too."""
    code, _, _ = run(capsys, "train", "small.npz", "--epochs", 4, "--batch-size", 8, "--validation", 0.2, *first)
    assert code == 130
    assert [step for step, _ in events("runs/train-1")] == ([1, 2] if first else [])
    succeeds(capsys, "train", "--resume", "runs/train-1", *second)
    assert_events_of_the_results("runs/train-1")


@pytest.mark.landing
@pytest.mark.usefixtures("tensorboardx")
def test_without_a_validation_split_there_are_no_curves_of_it(capsys):
    train_run(capsys, "--tensorboard", "--validation", 0)
    assert {tuple(scalars) for _, scalars in events("runs/train-1")} == {("loss", "accuracy", "learning_rate")}


@pytest.mark.landing
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.usefixtures("tensorboardx")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # tensorboardX leaves the file open
def test_a_full_disk_is_an_error_of_one_line(capsys, monkeypatch):
    from tensorboardX import record_writer

    monkeypatch.setattr(record_writer, "open_file", lambda path: Path("/dev/full").open("wb"))  # noqa: SIM115
    code, _, err = run(capsys, "train", "small.npz", "--epochs", 1, "--validation", 0.2, "--tensorboard")
    assert (code, err) == (
        1,
        "lenet: error: The event file in runs/train-1 could not be written (No space left on device). If the disk is "
        "full, free space. Resume with: lenet train --resume runs/train-1\n",
    )
    assert len(results("runs/train-1")) == 1


def test_without_the_extra_no_run_is_started(capsys, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    message = fails(capsys, "train", "small.npz", "--tensorboard")
    assert message.endswith(
        "requires tensorboardX, which is not installed. Run python -m pip install 'lenet[tensorboard]'.\n"
    )
    assert [path.name for path in folder.iterdir()] == ["small.npz"]


# ---- lenet plot ----------------------------------------------------------------------------------------


@pytest.mark.landing
def test_plot_draws_the_histories_by_the_names_of_the_folders(capsys, monkeypatch):
    train_run(capsys)
    train_run(capsys, "--seed", 1)
    drawn = []
    comparison = plots.comparison
    monkeypatch.setattr(plots, "comparison", lambda histories: drawn.append(histories) or comparison(histories))
    out = succeeds(capsys, "plot", "runs/train-1/", "runs/train-2")
    assert out == "comparison.png: runs/train-1, runs/train-2\n"
    assert drawn == [{f"runs/train-{n}": results(f"runs/train-{n}") for n in (1, 2)}]
    first = Path("comparison.png").read_bytes()
    assert succeeds(capsys, "plot", "runs/train-2", "-q") == ""  # its own figure is replaced
    assert first.startswith(b"\x89PNG")
    assert first != Path("comparison.png").read_bytes()
    succeeds(capsys, "plot", "runs/train-2", "-o", "other.png")
    assert Path("other.png").read_bytes() == Path("comparison.png").read_bytes()


@pytest.fixture
def refusals(folder):
    """A run, a run without an epoch, another folder, and a file that lenet did not write."""
    recipe = {"name": "mine", "epochs": 1, "batch_size": 8, "lr": 0.1}
    args = {"lenet": "0.1.0", "data": "digits", "data_sha256": "", "num_classes": 3, "seed": 0, "recipe": recipe}
    for name in ("done", "begun"):
        Path(name).mkdir()
        Path(name, "args.json").write_text(json.dumps(args))
    epoch = lenet.training.Epoch(1, 0.1, 1.0, 0.5, None, None, 1.0, 1.0)
    Path("done/results.csv").write_text(history_csv([epoch]))
    Path("none").mkdir()
    Path("photo.png").write_bytes(b"\x89PNG\r\n\x1a\nmine")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["done", "missing"], "missing is not a folder; expected a run folder, such as runs/train-1."),
        (["photo.png"], "photo.png is not a folder; expected a run folder, such as runs/train-1."),
        (["none"], "none has no args.json; expected a run folder, such as runs/train-1."),
        (
            ["begun"],
            f"{Path('begun/results.csv')} is missing; expected a run with at least one epoch. Train it first.",
        ),
        (
            ["done", "-o", "photo.png"],
            "photo.png exists and was not written by lenet. Choose another name, or remove it first.",
        ),
        (["done", "-o", "no/a.png"], "no is not a folder. Create it first."),
    ],
)
@pytest.mark.usefixtures("refusals")
def test_plot_reports_errors_in_one_sentence(capsys, folder, arguments, message):
    before = sorted(folder.rglob("*"))
    assert fails(capsys, "plot", *arguments) == f"lenet: error: {message}\n"
    assert sorted(folder.rglob("*")) == before
    assert Path("photo.png").read_bytes().endswith(b"mine")


@pytest.mark.usefixtures("refusals")
def test_plot_writes_png_only(capsys):
    assert "--out is a.pdf; expected a name that ends in .png." in misused(capsys, "plot", "done", "-o", "a.pdf")


# ---- the programs of the page --------------------------------------------------------------------------


def run_page(module):
    """Run the program of the page that imports a module; return its variables."""
    (program,) = [text for language, text in blocks(PAGE) if language == "python" and f"import {module}\n" in text]
    names = {}
    exec(compile(program, PAGE.name, "exec"), names)  # noqa: S102
    return names


@contextmanager
def recording(calls, *call):
    calls.append(call)
    yield types.SimpleNamespace(log=lambda row, step: calls.append(("log", row, step)))


def metrics_of(calls, name):
    """The metrics that were logged, by their step; they are what the state has."""
    return {step: metrics for called, metrics, step in (call for call in calls if call[0] == name)}


def assert_losses_fall_as_trained(metrics):
    assert sorted(metrics) == [1, 2, 3, 4, 5]
    again = lenet.LeNet5(seed=0)
    data = lenet.data.load_digits()
    recipe = lenet.training.RECIPES["small"].with_changes(epochs=5)
    state = lenet.train(again, data.X_train, data.y_train, recipe)
    for row in state.history:
        found = metrics[row.epoch]
        assert [found[name] for name in SCALARS] == [getattr(row, name) for name in SCALARS]


def test_the_program_for_mlflow_calls_it_as_it_expects(monkeypatch):
    calls = []
    stand_in = types.ModuleType("mlflow")
    stand_in.start_run = lambda: recording(calls, "run")
    stand_in.log_params = lambda params: calls.append(("params", params))
    stand_in.log_metrics = lambda metrics, step: calls.append(("metrics", metrics, step))
    stand_in.log_artifact = lambda path: calls.append(("artifact", lenet.load(path).num_classes))
    monkeypatch.setitem(sys.modules, "mlflow", stand_in)
    run_page("mlflow")
    assert [call[0] for call in calls] == ["run", "params", *["metrics"] * 5, "artifact"]
    assert calls[1][1].items() >= {"name": "small", "epochs": 5}.items()
    assert_losses_fall_as_trained(metrics_of(calls, "metrics"))


@pytest.mark.release
@pytest.mark.filterwarnings("ignore")  # MLflow's
def test_mlflow_stores_the_program_s_metrics(folder, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(folder.joinpath("mlruns").as_uri())
    run_page("mlflow")
    client = mlflow.MlflowClient()
    (stored,) = client.search_runs(["0"])
    assert stored.data.params["name"] == "small"
    histories = {name: client.get_metric_history(stored.info.run_id, name) for name in SCALARS}
    metrics = {n: {name: histories[name][n - 1].value for name in SCALARS} for n in range(1, 6)}
    assert all([each.step for each in history] == [1, 2, 3, 4, 5] for history in histories.values())
    assert_losses_fall_as_trained(metrics)
    assert [file.path for file in client.list_artifacts(stored.info.run_id)] == ["model.safetensors"]


@pytest.mark.landing
def test_the_program_for_wandb_calls_it_as_it_expects(monkeypatch):
    calls = []
    stand_in = types.ModuleType("wandb")
    stand_in.init = lambda project, config: recording(calls, project, config)
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    run_page("wandb")
    assert calls[0][0] == "digits"
    assert calls[0][1].items() >= {"name": "small", "epochs": 5}.items()
    assert_losses_fall_as_trained(metrics_of(calls[1:], "log"))
