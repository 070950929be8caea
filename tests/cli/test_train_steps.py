"""The steps of `lenet train`: what it passes to the training, what it saves and prints; nothing is trained."""

import errno
import json
import math
import os
import shlex
import signal
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cli_calls import events
from commands import fails, misused

import lenet
from lenet import cli
from lenet.cli import runs
from lenet.cli.progress import JsonProgress, Progress, progress_for
from lenet.cli.results import print_report
from lenet.cli.training import Saver
from lenet.data import Dataset
from lenet.errors import DataError, InputError, SaveError
from lenet.evaluation.report import MAX_CLASSES
from lenet.training import loop
from lenet.training.recipes import recipe_named
from lenet.training.runs import Run
from lenet.training.splits import split
from lenet.training.state import Epoch, State

for needed in ("sklearn", "matplotlib"):
    pytest.importorskip(needed)
threadpoolctl = pytest.importorskip("threadpoolctl")

pytestmark = pytest.mark.usefixtures("no_figures")


def epoch(number, val_loss=0.5):
    return Epoch(number, 0.1, 2.0, 0.25, val_loss, 0.5, 1000.0, 9.0)


TRAINED = SimpleNamespace(best_epoch=1, history=[epoch(1)])


def state_of(model, step=0, history=(), **more):
    flat = model.parameters.flat
    numbers = flat.copy(), np.zeros_like(flat), flat.copy()
    return State(*numbers, mean=0.0, std=1.0, step=step, history=list(history), **more)


@pytest.fixture
def training(monkeypatch, cwd):
    """The arguments of the trainings of this test; they last one epoch, or stop after `stop` steps."""
    data = lenet.data.load_digits()
    np.savez("mine.npz", X_train=data.X_train[:200], y_train=data.y_train[:200], X_test=data.X_test[:50],
             y_test=data.y_test[:50])  # fmt: skip
    calls = SimpleNamespace(made=[], stop=0)

    def train(model, x, y, recipe, **named):
        calls.made.append((model, x, y, recipe, named))
        calls.blas_threads = blas_threads()
        if calls.stop:
            return state_of(model, step=calls.stop, images=calls.stop * recipe.batch_size)
        state = state_of(model, history=[epoch(1)], best_epoch=1)
        if named["state"] is None:
            named["on_epoch"](state)
        return state

    monkeypatch.setattr(loop, "train", train)
    return calls


def blas_threads():
    return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}


def args_of(run):
    return json.loads(Path(f"runs/{run}/args.json").read_text())


def test_the_progress_counts_the_images_that_a_recipe_adds(training, monkeypatch):
    """181 of 200 images are not for validation; 36 drawn digits and 54 non-digits are added."""
    made = []
    monkeypatch.setattr("lenet.cli.progress.progress_for", lambda *given: made.append(given) or Progress(*given[:2]))
    assert cli.main(["train", "mine.npz", "--recipe", "drawn"]) == 0
    assert made == [(60, math.ceil((181 + 36 + 54) / 32), False)]


def test_matrix_products_have_one_thread_during_training(training):
    """Otherwise they would compete with the threads of lenet, or with those of other ranks."""
    if not blas_threads():
        pytest.skip("threadpoolctl does not control this BLAS, such as Accelerate on macOS")
    with threadpoolctl.threadpool_limits(2, "blas"):
        assert cli.main(["train", "mine.npz", "-q"]) == 0
        assert (training.blas_threads, blas_threads()) == ({1}, {2})


def test_printed_commands_quote_folders(training, capsys):
    training.stop = 2
    assert cli.main(["train", "mine.npz", "-q", "--runs", "my runs"]) == 130
    run = shlex.quote(str(Path("my runs/train-1"))) if os.name == "posix" else r'"my runs\train-1"'
    assert capsys.readouterr().out.endswith(f"Resume with: lenet train --resume {run}\n")


def test_a_wrong_start_is_found_before_the_data_are_loaded(training, capsys, monkeypatch):
    monkeypatch.setattr("lenet.cli.runs.load_data", None)
    assert cli.main(["train", "mine.npz", "--from", "mnits"]) == 1
    assert "mnits does not exist; expected a model file" in capsys.readouterr().err


def test_the_options_reach_the_training(training, capsys):
    assert cli.main(["train", "mine.npz", "--seed", "4", "--n-jobs", "3", "--recipe", "seed", "-q"]) == 0
    ((model, x, y, recipe, named),) = training.made
    assert (x.shape, y.shape, model.num_classes) == ((200, 28, 28), (200,), 10)
    assert recipe == recipe_named("seed")
    assert (named["seed"], named["n_jobs"], named["state"]) == (4, 3, None)
    args = args_of("train-1")
    assert (args["seed"], args["num_classes"]) == (4, 10)
    assert args["recipe"] == asdict(recipe)
    assert not {"network", "from", "classes", "raw"} & args.keys()
    assert capsys.readouterr().err == ""


def test_without_a_seed_it_is_0_and_data_sets_keep_their_names(training):
    assert cli.main(["train", "digits", "-q"]) == 0
    assert (args_of("train-1")["seed"], args_of("train-1")["data"]) == (0, "digits")
    assert training.made[0][-1]["seed"] == 0
    assert (training.made[0][0].parameters["c1.weight"] == lenet.LeNet5(seed=0).parameters["c1.weight"]).all()


def test_other_classes_get_a_new_output_layer_of_the_seed(training):
    data = lenet.data.load_digits()
    some = np.flatnonzero(data.y_train < 3)[:60]
    np.savez("three.npz", X=data.X_train[some], y=data.y_train[some])
    for options in ([], ["--seed", "0"], ["--seed", "5"]):
        assert cli.main(["train", "three.npz", "--from", "mnist", "-q", *options]) == 0
    outputs = [made[0].parameters["output.weight"] for made in training.made]
    assert outputs[0].shape == (3, 84)
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert (outputs[0] != outputs[2]).any()
    assert [args_of(f"train-{n}").get("from") for n in (1, 2, 3)] == 3 * ["mnist"]


@pytest.mark.parametrize(
    ("train", "test", "names", "said"),
    [
        ([0, 1, 2], [1, 2, 0], None, None),
        ([0, 1, 3], [0, 3, 1, 5], None, "2, 4, 5."),
        ([1, 2, 4], [1, 2, 4], None, "0, 3. If the classes are not digits, subtract 1 from all labels."),
        ([1, 2], [0, 1, 2], None, "0."),
        ([1, 2], [1, 2], "abc", "a."),
    ],
)
def test_classes_without_training_images_are_reported(capsys, train, test, names, said):
    data, arguments = dataset(train, test, names), SimpleNamespace(data="x", network=None, quiet=False)
    runs.inspect_data(data, runs.classes_of(data, arguments), arguments)
    warning = f"lenet: warning: The model cannot learn classes without training images: {said}\n"
    assert [line for line in capsys.readouterr().err.splitlines(True) if "learn" in line] == [warning] * bool(said)


def test_classes_without_test_images_and_copies_of_training_images_are_reported(training, capsys):
    data = np.load("mine.npz")
    X, y = data["X_train"], data["y_train"]
    tested = np.flatnonzero(data["y_test"] < 8)
    X_test, y_test = np.append(data["X_test"][tested], X[3:5], 0), np.append(data["y_test"][tested], y[3:5])
    np.savez("copies.npz", X_train=X, y_train=y, X_test=X_test, y_test=y_test)
    assert cli.main(["train", "copies.npz"]) == 0
    assert capsys.readouterr().err == (
        "lenet: note: The report does not cover classes without test images: 8, 9.\n"
        f"lenet: warning: The training set contains 2 of the {len(y_test)} test images, with the same class, so the "
        "accuracy may be overestimated. Remove them from the training set.\n"
    )
    assert cli.main(["train", "mine.npz"]) == 0
    assert capsys.readouterr().err == ""


COPIES = "The training set contains {} of the {} test images, with the same class"
CLASHES = "The same image is in the classes {}. Images in more than one class: {}. Remove them from the wrong classes."


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        ("0a 1b 2c", "3a", []),
        ("0a 1b 2c 0a", "0a 1b 3a", [COPIES.format(2, 3)]),
        ("0a 1b 2c", "0b 1b 3a", [CLASHES.format("a and b", 1), COPIES.format(1, 3)]),
        ("0a 1b 2c 0c 1a 1b", "3a", [CLASHES.format("a and c", 2)]),
        ("0a 1b 2c", "3c 3a", [CLASHES.format("c and a", 1)]),
    ],
)
def test_images_in_two_classes_are_reported_with_an_example(capsys, train, test, said):
    """A number stands for an image, and a letter for its class."""
    levels, labels = np.array([(int(image), "abc".index(label)) for image, label in (train + " " + test).split()]).T
    X, count = np.broadcast_to(levels[:, None, None], (len(levels), 28, 28)), len(train.split())
    data = Dataset(X[:count], labels[:count], X[count:], labels[count:])
    runs.inspect_data(data, tuple("abc"), SimpleNamespace(quiet=True))
    warnings = capsys.readouterr().err.splitlines()
    assert [line.partition(", so the accuracy")[0] for line in warnings] == [f"lenet: warning: {text}" for text in said]


@pytest.mark.parametrize(
    ("labels", "right", "name"),
    [
        ([0, 1] * 50, 74, "transfer"), ([0, 1] * 50, 75, "adapt"),  # guessing: 50%
        ([*range(10)] * 100, 549, "transfer"), ([*range(10)] * 100, 550, "adapt"),  # 10%
        ([0] * 80 + [1] * 20, 89, "transfer"), ([0] * 80 + [1] * 20, 90, "adapt"),  # 80%
    ],
)  # fmt: skip
def test_classes_without_names_are_the_models_halfway_from_guessing_to_1(capsys, labels, right, name):
    labels = np.array(labels)
    answers = np.where(np.arange(len(labels)) < right, labels, -1)
    old = SimpleNamespace(classes="01", predict=lambda X, n_jobs: answers)
    arguments = SimpleNamespace(start="mnist", n_jobs=None, quiet=False)
    assert runs.fine_tuning_recipe(old, "01", dataset(labels), arguments) == name
    said = f"mnist classifies {right} of the {len(labels):,} training images correctly, so the recipe is {name}."
    assert said in capsys.readouterr().err


def test_the_network_of_1998_is_for_ten_digits(training, capsys):
    assert cli.main(["train", "mine.npz", "--network", "1998", "-q"]) == 0
    assert args_of("train-1")["network"] == "1998"
    assert args_of("train-1")["recipe"]["name"] == "paper"
    capsys.readouterr()
    x, y = np.zeros((4, 28, 28), np.uint8), [0, 1, 0, 1]
    np.savez("two.npz", X_train=x, y_train=y, X_test=x, y_test=y)
    assert "two.npz has 2 classes; expected 10, the digits. Omit --network." in fails(
        capsys, "train", "two.npz", "--network", "1998"
    )
    said = misused(capsys, "train", "mine.npz", "--network", "1998", "--from", "mnist")
    assert "--network and --from were both given; expected one of them." in said


def test_a_stopped_training_is_saved_and_ends_with_128_and_the_signal(training, capsys):
    training.stop = 3
    assert cli.main(["train", "mine.npz", "--json"]) == 128 + signal.SIGINT
    start, stopped = events(capsys.readouterr().out)
    assert (start["event"], start["train"], start["validation"], start["test"]) == ("start", 180, 20, 50)
    command = f"lenet train --resume {start['run']}"
    assert stopped == {"event": "stopped", "epoch": 1, "step": 3, "resume": command}
    run = Run(start["run"])
    assert run.load_checkpoint(run.initial_model()).step == 3
    training.stop = 0
    assert cli.main(["train", "--resume", start["run"], "-q"]) == 0
    assert training.made[1][-1]["state"].step == 3
    training.stop = 3
    assert cli.main(["train", "mine.npz"]) == 130
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith("Stopped in epoch 1 after step 3; the state is saved. Resume with: lenet train --resume ")


@pytest.mark.parametrize(("changes", "said"), [
    ({}, ""),
    ({"lenet": "0.0.1"}, f"was started with lenet 0.0.1. With {lenet.__version__}, its results may differ."),
    ({"cpu": "other"}, "was started with the other kernels. With the"),
])  # fmt: skip
def test_resuming_a_complete_run_says_so_and_that_results_may_differ(training, capsys, changes, said):
    assert cli.main(["train", "mine.npz", "-q"]) == 0
    Path("runs/train-1/args.json").write_text(json.dumps(args_of("train-1") | changes))
    capsys.readouterr()
    assert cli.main(["train", "--resume", "runs/train-1"]) == 0
    run, err = Path("runs/train-1"), capsys.readouterr().err
    assert f"{run} is already complete. To train further, start a new run with --from {run}." in err
    assert said in err
    assert ("was started" in err) == bool(changes)
    assert training.made[1][-1]["state"].history == [epoch(1)]


@pytest.mark.usefixtures("training")
def test_ctrl_c_while_the_results_are_written_says_how_to_resume(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lenet.cli.training.write_results", interrupted)
        assert cli.main(["train", "mine.npz", "-q"]) == 130
    run = Path("runs/train-1")
    said = f"lenet: note: Resume with: lenet train --resume {run}\nlenet: interrupted\n"
    assert capsys.readouterr().err == said
    assert cli.main(["train", "--resume", str(run)]) == 0
    assert capsys.readouterr().err == ""
    assert (run / "report.txt").exists()


@pytest.mark.usefixtures("training")
@pytest.mark.parametrize("options", [[], ["--resume", "runs/train-1"]])
def test_a_complete_run_whose_report_is_not_printed_needs_no_resuming(monkeypatch, capsys, options):
    """As if `head` had closed standard output."""

    def closed(*_):
        raise BrokenPipeError

    if options:
        assert cli.main(["train", "mine.npz", "-q"]) == 0
        capsys.readouterr()
    monkeypatch.setattr("lenet.cli.training.print_report", closed)
    assert cli.main(["train", "mine.npz", "-q", *options]) == 1
    assert "Resume" not in capsys.readouterr().err
    assert Path("runs/train-1/report.txt").exists()


def test_data_of_a_run_that_were_moved_are_those_of_the_run(training, capsys):
    assert cli.main(["train", "mine.npz", "-q"]) == 0
    Path("mine.npz").rename("moved.npz")
    error = fails(capsys, "train", "--resume", "runs/train-1")
    assert error.startswith(f"lenet: error: {Path('mine.npz').resolve()} cannot be read")
    advice = "If the data was moved, pass its new path: lenet train DATA --resume runs/train-1.\n"
    assert f" The path is stored in runs/train-1. {advice}" in error


def test_a_run_resumes_with_data_that_were_moved(training, capsys):
    training.stop = 3
    assert cli.main(["train", "mine.npz", "-q"]) == 130
    before = args_of("train-1")
    Path("mine.npz").rename("moved.npz")
    capsys.readouterr()
    assert cli.main(["train", "./moved.npz", "--resume", "runs/train-1", "-q"]) == 130
    assert capsys.readouterr().out.endswith("Resume with: lenet train ./moved.npz --resume runs/train-1\n")
    assert training.made[1][-1]["state"].step == 3
    assert args_of("train-1") == before


def test_a_run_does_not_resume_with_other_data(training, capsys):
    assert cli.main(["train", "mine.npz", "-q"]) == 0
    before = args_of("train-1")
    error = fails(capsys, "train", "digits", "--resume", "runs/train-1")
    assert error == (
        "lenet: error: digits differs from the data that runs/train-1 was started with. Pass the original data, or "
        "start a new run.\n"
    )
    assert "none.npz cannot be read" in (error := fails(capsys, "train", "none.npz", "--resume", "runs/train-1"))
    assert "is stored in" not in error
    assert args_of("train-1") == before
    assert len(training.made) == 1


def test_a_run_without_the_build_of_its_kernels_is_resumed_without_a_note(training, capsys):
    assert cli.main(["train", "mine.npz", "-q"]) == 0
    args = args_of("train-1")
    del args["cpu"]
    Path("runs/train-1/args.json").write_text(json.dumps(args))
    capsys.readouterr()
    assert cli.main(["train", "--resume", "runs/train-1"]) == 0
    assert "kernels" not in capsys.readouterr().err


def test_a_resumed_run_saves_its_first_checkpoint_after_30_more_seconds():
    folder = Recorder()
    saver = Saver(folder, None, [], 100.0)
    for seconds in (100.1, 130.0, 130.1):
        saver.on_step(SimpleNamespace(seconds=seconds), SimpleNamespace(received=0))
    assert folder.calls == [("save_checkpoint", 130.1)]


ADVICE = "To enable this, train on more images, or call lenet.evaluation.calibrate with other images.\n"

NOT_CALIBRATED = (
    "The model cannot reject images: calibration requires at least 100 validation images; {} were held out. " + ADVICE
)

WITHOUT_NON_DIGITS = (
    "The model cannot reject pictures that resemble none of its classes: calibration requires at least 1,000 "
    "validation images for this; {} were held out. " + ADVICE
)


@pytest.mark.parametrize(
    ("held_out", "said"),
    [(99, NOT_CALIBRATED), (100, WITHOUT_NON_DIGITS), (999, WITHOUT_NON_DIGITS), (1000, None)],
)
def test_what_a_model_cannot_reject_is_reported(capsys, held_out, said):
    report = SimpleNamespace(accuracy=1.0, loss=0.0, classes="01")
    folder = SimpleNamespace(folder=Path("run"), args={})
    data = SimpleNamespace(y_test=np.array([0, 1]), X_train=np.zeros((2, 28, 28)))
    print_report(report, folder, data, TRAINED, held_out)
    out = capsys.readouterr().out
    assert [line + "\n" for line in out.splitlines() if "held out" in line] == ([said.format(held_out)] if said else [])


def test_a_model_that_guesses_is_not_calibrated(training, capsys):
    """The model of this test is not trained."""
    assert cli.main(["train", "mine.npz", "-q", "--validation", "0.6"]) == 0
    assert capsys.readouterr().err == (
        "lenet: warning: The model was not calibrated, so it cannot reject images: it misreads too many validation "
        "images.\n"
    )
    assert "temperature" not in lenet.load("runs/train-1").metadata


@pytest.mark.parametrize(
    ("top", "left", "height", "raw", "said"),
    [
        (4, 13, 20, False, False), (3, 13, 22, False, False), (3, 13, 23, False, True), (5, 13, 18, False, False),
        (5, 13, 17, False, True), (6, 13, 20, False, False), (7, 13, 20, False, True), (4, 15, 20, False, False),
        (4, 10, 20, False, True), (3, 13, 23, True, False),
    ],
)  # fmt: skip
def test_training_images_of_another_form_than_pictures_are_reported(capsys, top, left, height, raw, said):
    """Bars 3 pixels wide; the centre of MNIST's images is 14, of which the centre of a bar may be 2 pixels off."""
    images = np.zeros((50, 28, 28), np.uint8)
    images[:, top : top + height, left : left + 3] = 255
    report = SimpleNamespace(accuracy=1.0, loss=0.0, classes="01")
    folder = SimpleNamespace(folder=Path("run"), args={"raw": raw})
    print_report(report, folder, SimpleNamespace(y_test=np.array([0, 1]), X_train=images), TRAINED, 1000)
    assert ("training images are not in MNIST's format" in capsys.readouterr().out) == said


@pytest.mark.parametrize(("light", "args", "said"), [(26, {}, True), (25, {}, False), (50, {"raw": True}, False)])
def test_training_images_that_are_dark_on_light_are_reported_again(capsys, light, args, said):
    images = np.zeros((50, 28, 28), np.uint8)
    images[:, 4:24, 13:16] = 255
    images[:light] = 255 - images[:light]
    report = SimpleNamespace(accuracy=1.0, loss=0.0, classes="01")
    data = SimpleNamespace(y_test=np.array([0, 1]), X_train=images)
    print_report(report, SimpleNamespace(folder=Path("run"), args=args), data, TRAINED, 1000)
    assert [line for line in capsys.readouterr().out.splitlines() if "images" in line and "run" not in line] == said * [
        "Most training images look dark on light. `lenet predict` converts pictures to light on dark, so the model "
        "misreads them: train on 255 - X."
    ]


@pytest.mark.parametrize(("more", "said"), [(-0.001, True), (0.001, False)])
def test_advice_needs_an_accuracy_within_a_tenth_of_the_way_from_guessing_to_1(
    training, capsys, monkeypatch, more, said
):
    labels = np.load("mine.npz")["y_test"]
    guessing = np.bincount(labels).max() / 50
    accuracy = guessing + 0.1 * (1 - guessing) + more
    outcome = SimpleNamespace(
        accuracy=accuracy, loss=2.3, classes="0123456789", confusion_matrix=np.ones((10, 10), int)
    )
    monkeypatch.setattr("lenet.evaluation.report.classification_report", lambda *_: outcome)
    assert cli.main(["train", "mine.npz"]) == 0
    assert ("hardly better than guessing" in capsys.readouterr().out) == said


@pytest.mark.parametrize(
    ("losses", "args", "said"),
    [
        ((0.1, 0.9 * math.log(2) + 0.001), {}, True),
        ((9.0, 0.9 * math.log(2) - 0.001), {}, False),
        ((0.9 * math.log(2) + 0.001, None), {}, True),
        ((0.9 * math.log(2) - 0.001, None), {}, False),
        ((9.0, 9.0), {"network": "1998"}, False),  # whose loss is not the cross-entropy
    ],
)
def test_advice_is_given_if_the_best_loss_is_at_least_90_percent_of_that_of_guessing(capsys, losses, args, said):
    """The loss of validation, or without it, that of training."""
    training, validation = losses
    state = SimpleNamespace(best_epoch=1, history=[replace(epoch(1, validation), loss=training), epoch(2)])
    report = SimpleNamespace(accuracy=0.6, loss=0.6, classes="01")
    data = SimpleNamespace(y_test=np.array([0, 1]), X_train=np.zeros((2, 28, 28)))
    print_report(report, SimpleNamespace(folder=Path("run"), args=args), data, state, 1000)
    assert ("hardly better than guessing" in capsys.readouterr().out) == said


@pytest.mark.parametrize(("options", "name"), [
    (["--seed", "0"], "seed"), (["--batch-size", "8"], "batch-size"), (["--from", "mnist"], "from"), (["--raw"], "raw"),
    (["--no-distort"], "no-distort"), (["--recipe", "small"], "recipe"), (["--network", "1998"], "network"),
    (["--strict"], "strict"), (["--patience", "3"], "patience"), (["--lr", "0.1"], "lr"), (["--distort"], "distort"),
    (["--runs", "x"], "runs"),
])  # fmt: skip
def test_a_resumed_run_keeps_its_options(capsys, options, name):
    assert f"--resume keeps the options of the run. Omit --{name}." in misused(
        capsys, "train", "--resume", "x", *options
    )


FEW = "lenet: note: {} too few training images (c: {}) to hold out 25% for validation. "
ONE = "At most one image is held out of each class with fewer than 4.\n"
NONE = "The weights of the last epoch are kept.\n"


@pytest.mark.parametrize(
    ("counts", "rate", "said"),
    [
        ((4, 0, 4), 0.25, ""),
        ((9, 0, 3), 0.25, FEW.format("1 of 2 classes has", "3") + ONE),  # 3 of 12 images are 25%
        ((8, 0, 3), 0.0, FEW.format("1 of 2 classes has", "3") + NONE),
        ((15, 3, 2), 0.25, FEW.format("2 of 3 classes have", "2, ...") + ONE),
        ((14, 3, 2), 0.0, FEW.format("2 of 3 classes have", "2, ...") + NONE),
    ],
)
def test_classes_with_few_of_the_images_do_not_disable_validation(capsys, counts, rate, said):
    labels, arguments = np.repeat([0, 1, 2], counts), SimpleNamespace(quiet=False, patience=None)
    recipe = replace(recipe_named("small"), validation=0.25)
    assert runs.with_possible_validation(recipe, labels, "abc", arguments).validation == rate
    assert capsys.readouterr().err == said
    assert np.bincount(labels[split(labels, 0.25, 0).validation], minlength=3)[1:].max() <= 1


def test_a_class_keeps_an_image_for_training():
    """With 60% held out, `split` would hold out the only image of a class."""
    labels, arguments = np.repeat([0, 1], [50, 1]), SimpleNamespace(quiet=True, patience=None)
    recipe = replace(recipe_named("small"), validation=0.6)
    assert runs.with_possible_validation(recipe, labels, "ab", arguments).validation == 0


def test_a_rare_class_does_not_prevent_patience():
    labels, arguments = np.repeat([0, 1], [300, 5]), SimpleNamespace(quiet=True, patience=3)
    assert runs.with_possible_validation(recipe_named("small"), labels, "ab", arguments) == recipe_named("small")


@pytest.mark.parametrize(("smallest", "fraction"), [(3, 0.34), (7, 0.15), (9, 0.12)])
def test_patience_needs_a_fraction_that_holds_out_an_image_of_each_class(smallest, fraction):
    labels = np.repeat([0, 1], [20, smallest])
    held_out = split(labels, fraction, 0).validation
    assert np.count_nonzero(labels[held_out] == 1) == 1
    said = rf"^1 of 2 classes has too few .* \(b: {smallest}\) to .* Set --validation, for example to {fraction}, or "
    with pytest.raises(InputError, match=said):
        runs.with_possible_validation(recipe_named("small"), labels, "ab", SimpleNamespace(patience=3))


def dataset(labels, test_labels=(), classes=None):
    images = [np.zeros((len(y), 28, 28), np.uint8) for y in (labels, test_labels)]
    data = Dataset(images[0], np.array(labels), images[1], np.array(test_labels, int))
    data.classes = classes
    return data


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (dataset([0, 1]), ("0", "1")),
        (dataset([0, 1], [3]), ("0", "1", "2", "3")),
        (dataset([2, 0], [1]), ("0", "1", "2")),
        (dataset([0, 1], classes=("a", "b", "c")), ("a", "b", "c")),
    ],
)
def test_the_classes_are_those_of_the_data_or_all_labels_up_to_the_largest(data, names):
    assert runs.classes_of(data, SimpleNamespace(data="x", network=None)) == names


def test_data_of_one_class_or_too_many():
    arguments = SimpleNamespace(data="x", network=None)
    with pytest.raises(DataError, match=r"^x has one class; expected at least two"):
        runs.classes_of(dataset([3, 3], [1]), arguments)
    assert len(runs.classes_of(dataset([0, MAX_CLASSES - 1]), arguments)) == MAX_CLASSES
    with pytest.raises(DataError, match=rf"^x has {MAX_CLASSES + 1:,} classes; expected at most {MAX_CLASSES:,}\.$"):
        runs.classes_of(dataset([0, MAX_CLASSES]), arguments)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "If the disk is full, free space."),
        (errno.EACCES, "Make it writable, or close the program that has it open."),
    ],
)
def test_a_failure_to_save_is_reported_with_the_command_that_resumes(training, monkeypatch, capsys, code, advice):
    def save_checkpoint(folder, state):
        raise SaveError("It could not be written; nothing was changed.") from OSError(code, os.strerror(code))

    monkeypatch.setattr(Run, "save_checkpoint", save_checkpoint)
    assert fails(capsys, "train", "mine.npz", "-q").endswith(
        f"; nothing was changed. {advice} Resume with: lenet train --resume {Path('runs/train-1')}\n"
    )


class Recorder:
    """A run folder and a progress output that record what they are asked to save and to show."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *arguments: self.calls.append((name, arguments[-1].seconds))


def after(seconds, epochs):
    """The state after so many seconds and epochs."""
    numbers, history = np.zeros(1), [epoch(number) for number in range(1, epochs + 1)]
    return State(numbers, numbers, numbers, mean=0.0, std=1.0, seconds=seconds, history=history)


def test_checkpoints_are_saved_each_epoch_and_each_30_seconds():
    folder, progress, table = Recorder(), Recorder(), Recorder()
    saver = Saver(folder, None, [table, progress], 0.0)
    signals = SimpleNamespace(received=0)
    for seconds in (29.0, 30.0, 30.1, 60.0, 60.2):
        assert saver.on_step(after(seconds, 0), signals) is False
    assert folder.calls == [("save_checkpoint", 30.1), ("save_checkpoint", 60.2)]
    saver.on_epoch(after(80.0, 1))
    assert folder.calls[2:] == [("save_epoch", 80.0)]
    assert table.calls == progress.calls
    signals.received = signal.SIGTERM
    assert saver.on_step(after(110.0, 1), signals) is True
    assert saver.on_step(after(110.1, 1), signals) is True
    assert folder.calls[3:] == [("save_checkpoint", 110.1)]
    assert progress.calls[-3:] == [("epoch", 80.0), ("step", 110.0), ("step", 110.1)]


def test_an_epoch_is_saved_before_a_checkpoint_after_it():
    folder = Recorder()
    saver = Saver(folder, None, [], 0.0)
    for number, seconds in enumerate((0.1, 0.2), 1):
        saver.on_epoch(after(seconds, number))
    saver.on_step(after(30.2, 2), SimpleNamespace(received=0))
    assert folder.calls == [("save_epoch", 0.1), ("save_epoch", 0.2), ("save_checkpoint", 30.2)]


def test_short_epochs_are_saved_once_a_second_and_at_the_end():
    """Saving took 40 ms after each epoch of 6 ms. The first one is saved: it marks a run that has a checkpoint."""
    folder, progress = Recorder(), Recorder()
    saver = Saver(folder, None, [progress], 0.0)
    for number, seconds in enumerate((0.1, 0.2, 1.0, 1.1, 1.2, 2.3, 2.4), 1):
        saver.on_epoch(after(seconds, number))
    assert folder.calls == [("save_epoch", 0.1), ("save_epoch", 1.2), ("save_epoch", 2.3)]
    assert len(progress.calls) == 7
    saver.save()
    saver.save()
    assert folder.calls[3:] == [("save_epoch", 2.4)]


def test_the_state_to_save_is_that_at_the_end_of_the_epoch():
    saved = []
    folder = SimpleNamespace(save_epoch=lambda _, state: saved.append(state))
    state = after(0.1, 2)
    saver = Saver(folder, None, [], 0.0)
    saver.on_epoch(state)
    state.parameters += 1  # in place, as training does
    state.velocity += 1
    state.history.append(epoch(3))
    saver.save()
    assert (*saved[0].parameters, *saved[0].velocity, len(saved[0].history)) == (0.0, 0.0, 2)


def test_reported_epochs_are_saved_if_the_terminal_has_gone(training, monkeypatch):
    def stop(_):
        raise OSError(errno.EIO, "Input/output error")

    def train(model, *_, on_epoch, **named):
        on_epoch(replace(state_of(model, history=[epoch(1)], best_epoch=1), seconds=0.1))
        on_epoch(replace(state_of(model, history=[epoch(1), epoch(2)], best_epoch=1), seconds=0.2))
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Progress, "stop", stop)
    monkeypatch.setattr(loop, "train", train)
    assert cli.main(["train", "mine.npz"]) == 1
    assert len(Run("runs/train-1").history()) == 2


def test_the_remaining_time_is_in_minutes_and_seconds():
    numbers = np.zeros(1)
    state = State(numbers, numbers, numbers, mean=0.0, std=1.0, step=2, seconds=10.0, history=[epoch(1)])
    progress = Progress(epochs=5, steps_per_epoch=8)  # 10 of 40 steps took 10 s
    assert (progress.seconds_left(state), progress.time_left(state)) == (30, "0:30")
    state.seconds = 30.0
    assert progress.time_left(state) == "1:30"
    assert Progress(1, 7).seconds_left(State(numbers, numbers, numbers, mean=0.0, std=1.0, seconds=2.0)) == 14


def test_json_progress_prints_epochs(capsys):
    numbers = np.zeros(1)
    state = State(numbers, numbers, numbers, mean=0.0, std=1.0, seconds=3.0, history=[epoch(1), epoch(2, 0.25)])
    progress = progress_for(3, 10, as_json=True)
    assert isinstance(progress, JsonProgress)
    progress.start({"run": "x"})
    progress.step(state)
    progress.epoch(state)
    progress.stop()
    start, row = events(capsys.readouterr().out)
    assert start == {"event": "start", "run": "x"}
    assert row == {"event": "epoch", **asdict(epoch(2, 0.25)), "seconds_left": 2}
