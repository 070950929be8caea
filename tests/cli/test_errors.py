"""Errors of the command `lenet`: exit codes 1, 2 and 130, and a message of one line."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cli_calls import POSIX, command, environment, events, one_error, tree, write_some
from commands import fails, misused, succeeds

import lenet
from lenet import cli, plots
from lenet.training.runs import Run

for needed in ("sklearn", "matplotlib"):
    pytest.importorskip(needed)

pytest_plugins = ["cli_fixture"]

FULL = pytest.mark.skipif(os.name != "posix" or not Path("/dev/full").exists(), reason="needs /dev/full")


@pytest.fixture(params=["", "1"])
def unbuffered(request):
    return {"PYTHONUNBUFFERED": request.param}


# Mistakes: exit 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "COMMAND"),
        (["trian"], "invalid choice: 'trian'"),
        (["train"], "DATA is missing; expected a data set, or --resume RUN"),
        (["train", "digits", "--recipe", "fast"], "error: --recipe is 'fast'; expected one of seed, default"),
        (["train", "digits", "--epochs", "0"], "error: --epochs is 0"),
        (["train", "digits", "--epochs", "two"], "--epochs"),
        (["train", "digits", "--batch-size", "0"], "--batch-size is 0"),
        (["train", "digits", "--lr", "0"], "--lr is 0"),
        (["train", "digits", "--lr", "-1"], "--lr is -1"),
        (["train", "digits", "--lr", "nan"], "--lr is nan"),
        (["train", "digits", "--lr", "inf"], "--lr is inf"),
        (["train", "digits", "--momentum", "1"], "--momentum is 1"),
        (["train", "digits", "--weight-decay", "-0.1"], "--weight-decay is -0.1"),
        (["train", "digits", "--schedule", "cosine"], "--schedule is 'cosine'"),
        (["train", "digits", "--validation", "1"], "--validation is 1"),
        (["train", "digits", "--patience", "0"], "--patience is 0"),
        (
            ["train", "digits", "--patience", "3", "--validation", "0"],
            "error: --patience requires held-out images. Set --validation, for example to 0.1.",
        ),
        (
            ["train", "digits", "--network", "1998", "--momentum", "0.5"],
            "error: --momentum is 0.5 and --weight-decay is 0.0; expected 0",
        ),
        (
            ["train", "digits", "--recipe", "wild", "--network", "1998"],
            "--recipe wild does not suit --network 1998. Omit one of them.",
        ),
        (["train", "digits", "--recipe", "paper"], "--recipe paper requires --network 1998."),
        (["train", "digits", "--recipe", "adapt"], "--recipe adapt requires --from."),
        (["train", "digits", "--runs="], "The value of --runs is empty; expected a folder."),
        (["train", "--resume="], "The value of --resume is empty; expected a folder."),
        (["train", "digits", "--seed", "-1"], "seed is -1"),
        (["train", "digits", "--n-jobs", "0"], "--n-jobs: 0 is out of range; expected at least 1"),
        (["train", "digits", "--n-jobs", "-2"], "--n-jobs"),
        (["train", "digits", "--n-jobs", "all"], "invalid integer value: 'all'"),
        (["evaluate"], "DATA"),
        (["evaluate", "digits", "--n-jobs", "0"], "--n-jobs"),
        (["predict"], "IMAGE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_usage_error_says_which_option_and_writes_nothing(capsys, cwd, arguments, said):
    last = misused(capsys, *arguments)
    assert re.match(r"lenet( \w+)?: error: ", last)
    assert said in last
    assert list(cwd.iterdir()) == []


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


def test_damaged_data_is_a_one_line_error_and_starts_no_run(capsys, cwd):
    assert "mine.npz" in fails(capsys, "train", "mine.npz")
    (cwd / "mine.npz").write_text("no zip file")
    assert "mine.npz" in fails(capsys, "train", "mine.npz")
    assert [path.name for path in cwd.iterdir()] == ["mine.npz"]


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    ("options", "percent"),
    [([], 10), (["--recipe", "small"], 10), (["--recipe", "transfer", "--from", "mnist"], 10),
     (["--recipe", "default"], 3)],
)  # fmt: skip
def test_too_few_images_disable_validation_by_default(capsys, cwd, options, percent):
    y = np.arange(2, dtype=np.uint8)
    X = np.full((2, 28, 28), 9 * y[:, None, None])
    np.savez("mine.npz", X_train=X, y_train=y, X_test=X + 5, y_test=y)
    before = tree(cwd)
    assert "fraction is 0.1, so none of the 2 labels would be held out" in fails(
        capsys, "train", "mine.npz", "--validation", "0.1"
    )
    assert tree(cwd) == before
    assert cli.main(["train", "mine.npz", "--epochs", "1", *options]) == 0
    captured = capsys.readouterr()
    assert "2 images for training, 0 for validation" in captured.out
    text = f"2 of 2 classes have too few training images (0: 1, ...) to hold out {percent}% for validation."
    assert text in captured.err


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("digitz", "'digitz' does not exist and is not the name of a data set; expected digits, mnist"),
        ("", "'' is not a data set; expected digits, mnist"),
        ("notes.txt", "'notes.txt' is not a data set; expected digits, mnist"),
        ("mine.zip", "mine.zip is a ZIP file; expected a folder or a file of data. Unpack it, and pass the folder or"),
        ("none/some.npz", "No such file"),
        (".", "or Parquet files. If it contains the pictures of one class, pass the folder above it."),
    ],
)
@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_unknown_data_is_a_one_line_error(capsys, cwd, verb, data, said, work):
    if data in ("notes.txt", "mine.zip"):
        (cwd / data).write_text("text")
    before = tree(cwd)
    model = ["--model", work[0] / "runs/train-1"] if verb == "evaluate" else []
    assert said in fails(capsys, verb, data, *model)
    assert tree(cwd) == before


def test_an_invalid_environment_variable_starts_no_run(capsys, cwd, monkeypatch, work):
    monkeypatch.setenv("LENET_NUM_THREADS", "many")
    assert "LENET_NUM_THREADS is 'many'" in fails(capsys, "train", work[0] / "some.npz")
    assert list(cwd.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [["evaluate", "digits", "--model"], ["predict", "a.png", "--model"], ["info"]],
    ids=lambda arguments: arguments[0],
)
def test_empty_weights_are_a_one_line_error_that_names_the_file(capsys, tmp_path, arguments):
    path = tmp_path / "mine.safetensors"
    path.touch()
    assert f"{path} is empty; expected a weights file. Copy or save it again." in fails(capsys, *arguments, path)


def test_a_missing_model_is_a_one_line_error(capsys, tmp_path):
    expected = "expected a model file, a run folder or mnist"
    assert f"{tmp_path / 'none'} does not exist; {expected}" in fails(capsys, "info", tmp_path / "none")
    assert f"{tmp_path} has no best.safetensors; expected a model file" in fails(capsys, "info", tmp_path)


@pytest.mark.landing
@pytest.mark.parametrize("form", ["onnx", "pt"])
def test_a_model_may_be_in_another_format(capsys, tmp_path, form):
    path = tmp_path / f"model.{form}"
    if form == "onnx":
        onnx = pytest.importorskip("onnx")
        onnx.save(lenet.interop.to_onnx(lenet.load_pretrained("mnist")), path)
    else:
        torch = pytest.importorskip("torch")
        torch.save(lenet.interop.to_torch_state_dict(lenet.load_pretrained("mnist")), path)
    assert json.loads(succeeds(capsys, "info", path, "--json"))["parameters"] == 61706
    (tmp_path / "broken").with_suffix(path.suffix).write_bytes(b"PK none")
    assert "broken" in fails(capsys, "evaluate", "digits", "--model", tmp_path / f"broken.{form}")


@pytest.mark.landing
@pytest.mark.parametrize(
    "command", [["evaluate", "digits", "--model"], ["train", "some.npz", "--epochs", "1", "--from"]]
)
def test_a_note_says_what_a_file_of_pytorch_lacks(capsys, cwd, command):
    torch = pytest.importorskip("torch")
    model = lenet.load_pretrained("mnist")
    write_some("some.npz")
    torch.save(lenet.interop.to_torch_state_dict(model), "model.pt")
    model.save("model.safetensors")
    text = "lenet: note: model.pt contains only weights, so the model does not standardise pixels"
    for given, is_noted in ((["model.pt"], True), (["model.pt", "--quiet"], False), (["model.safetensors"], False)):
        assert cli.main([*command, *given]) == 0
        assert (text in capsys.readouterr().err) == is_noted


def test_a_model_with_too_few_classes_is_a_one_line_error(capsys, tmp_path):
    lenet.LeNet5(seed=0, num_classes=5).save(tmp_path / "five.safetensors")
    said = fails(capsys, "evaluate", "digits", "--model", tmp_path / "five.safetensors")
    assert "digits has the class '9'; expected only classes of the model: 0, 1, 2, 3, 4." in said


def test_an_unwritable_run_folder_is_found_before_the_training(capsys, cwd, work):
    (cwd / "file").write_text("in the way")
    before = tree(cwd)
    for place in (Path("file"), Path("file", "below")):
        said = fails(capsys, "train", work[0] / "some.npz", "--runs", place)
        assert str(place) in said
        assert "--runs" in said
    assert tree(cwd) == before


@POSIX
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_run_is_detected_before_it_resumes(capsys, tmp_path, work):
    run = tmp_path / "train-1"
    run.mkdir()
    (run / "args.json").write_bytes((work[0] / "runs/train-1/args.json").read_bytes())
    run.chmod(0o555)
    try:
        assert "train-1 cannot be written (Permission denied)" in fails(capsys, "train", "--resume", run)
    finally:
        run.chmod(0o755)


def test_a_folder_that_is_not_a_run_cannot_be_resumed(capsys, tmp_path):
    assert "has no args.json; expected a run folder" in fails(capsys, "train", "--resume", tmp_path)
    assert "none is not a folder; expected a run folder" in fails(capsys, "train", "--resume", tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_a_run_with_a_damaged_checkpoint_is_neither_resumed_nor_changed(capsys, tmp_path, work):
    run = work[0] / "runs/train-1"
    (tmp_path / "args.json").write_bytes((run / "args.json").read_bytes())
    (tmp_path / "checkpoint.safetensors").write_bytes((run / "checkpoint.safetensors").read_bytes()[:-1])
    before = tree(tmp_path)
    assert "checkpoint.safetensors" in fails(capsys, "train", "--resume", tmp_path)
    assert tree(tmp_path) == before


@POSIX
def test_a_closed_pipe_causes_no_traceback(work, tmp_path):
    for arguments in (["info", work[0] / "runs/train-1"], ["--help"]):
        read, write = os.pipe()
        os.close(read)
        done = command(*arguments, stdout=write, cwd=tmp_path)
        os.close(write)
        assert (done.returncode, done.stderr) == (1, "")


@POSIX
def test_training_piped_to_head_stops_without_a_traceback_and_can_resume(work, tmp_path):
    whole = f"{sys.executable} -m lenet train {work[0] / 'some.npz'} --epochs 30 --json | head -1"
    done = subprocess.run(
        ["/bin/sh", "-c", whole], cwd=tmp_path, capture_output=True, text=True, env=environment(), check=True
    )
    assert done.stderr == "lenet: note: Resume with: lenet train --resume runs/train-1\n"
    assert [event["event"] for event in events(done.stdout)] == ["start"]
    state = Run(tmp_path / "runs/train-1").load_checkpoint(lenet.LeNet5())
    assert 1 <= len(state.history) < 30


@FULL
@pytest.mark.parametrize("arguments", [("info",), ("info", "--network"), ("info", "--json")])
def test_a_full_disk_behind_the_output_is_one_line(unbuffered, arguments):
    with Path("/dev/full").open("w") as full:
        done = command(*arguments, stdout=full, env=environment() | unbuffered)
    assert one_error(done) == "lenet: error: Standard output: No space left on device\n"


@FULL
def test_training_whose_output_cannot_be_written_names_the_command_that_resumes_it(work, tmp_path, unbuffered):
    with Path("/dev/full").open("w") as full:
        options = {"stdout": full, "cwd": tmp_path, "env": environment() | unbuffered}
        done = command("train", work[0] / "some.npz", "--epochs", 1, **options)
    assert done.stderr == (
        "lenet: note: Resume with: lenet train --resume runs/train-1\n"
        "lenet: error: Standard output: No space left on device\n"
    )


@POSIX
@pytest.mark.parametrize(("arguments", "status"), [("train some.npz --epochs 1 >&-", 0), ("info none 2>&-", 1)])
def test_what_a_closed_output_would_show_goes_nowhere_else(work, tmp_path, arguments, status):
    shutil.copy(work[0] / "some.npz", tmp_path)
    whole = f"{sys.executable} -m lenet {arguments}"
    done = subprocess.run(
        ["/bin/sh", "-c", whole], cwd=tmp_path, capture_output=True, text=True, env=environment(), check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")


@pytest.mark.timing
@POSIX
def test_ctrl_c_outside_of_training_is_130_and_one_line(tmp_path):
    """Within it, it is in training/test_resume.py."""
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


def test_a_picture_without_ink_is_not_a_digit(capsys, tmp_path):
    image = pytest.importorskip("PIL.Image")
    image.new("L", (99, 99), 255).save(tmp_path / "blank.png")
    assert "shows no ink" in fails(capsys, "predict", tmp_path / "blank.png")


def test_the_figure_is_of_the_model_that_is_named(tmp_path):
    lenet.LeNet5(num_classes=26).save(tmp_path / "letters.safetensors")
    for name, arguments in (("own.png", [str(tmp_path / "letters.safetensors")]), ("stock.png", [])):
        assert cli.main(["info", *arguments, "--figure", str(tmp_path / name)]) == 0
    assert (tmp_path / "own.png").read_bytes() == plots.architecture(26)
    assert (tmp_path / "stock.png").read_bytes() == plots.architecture(10)


class Interrupted:
    def __del__(self):
        raise KeyboardInterrupt


def test_an_interrupt_in_a_finalizer_ends_the_command(monkeypatch, capsys):
    def run(*_):
        Interrupted()
        for _ in range(500):
            time.sleep(0.01)
        return 0

    monkeypatch.setattr("lenet.cli.info.run", run)
    hook = sys.unraisablehook
    assert cli.main(["info"]) == 130
    assert capsys.readouterr().err == "lenet: interrupted\n"
    assert sys.unraisablehook is hook
