"""Rejected input leaves files and objects unchanged."""

import io
import os
import subprocess
import sys
import threading
import time
import warnings
import zipfile

import numpy as np
import pytest
from commands import fails

import lenet
from lenet import cli
from lenet.errors import DataError, InputError, InputTypeError, SaveError
from lenet.training import RECIPES

X = np.random.default_rng(0).integers(0, 256, (30, 28, 28), np.uint8)
Y = np.arange(30) % 10
QUICK = RECIPES["default"].with_changes(epochs=4, batch_size=10, validation=0.0)


def snapshot(model):
    return model.parameters.flat.tobytes(), model.mean, model.std, dict(model.metadata)


@pytest.mark.parametrize(("name", "value"), [("lr", np.nan), ("lr", -1), ("momentum", 1), ("weight_decay", np.inf)])
def test_settings_of_sgd_are_checked_when_they_are_used(name, value):
    model = lenet.LeNet5(seed=0)
    sgd = lenet.training.SGD(model, 0.1)
    setattr(sgd, name, value)
    before = snapshot(model)
    _, gradients = model.loss_and_gradients(X, Y)
    with pytest.raises(InputError, match=f"{name} is {value}; expected a .*number of at least 0"):
        sgd.step(gradients)
    assert snapshot(model) == before


@pytest.mark.parametrize("rate", [np.nan, -0.1, 1.1])
def test_a_rate_is_from_0_to_1(rate):
    with pytest.raises(InputError, match=r"rate is .*; expected a number from 0 to 1\."):
        lenet.evaluation.threshold(np.array([[0.5, 0.5]]), np.array([0]), rate)


def test_half_is_true_or_false(tmp_path):
    with pytest.raises(InputTypeError, match="half is 'no'; expected True or False"):
        lenet.LeNet5(seed=0).save(tmp_path / "a.safetensors", half="no")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", "."])
def test_a_folder_is_not_a_file_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SaveError, match="expected a file name, not a folder"):
        lenet.LeNet5(seed=0).save(name)
    assert not list(tmp_path.iterdir())


def test_integer_pixels_of_0_and_1_are_refused(tmp_path):
    np.savez(tmp_path / "mine.npz", X=np.tile((X > 127).astype(np.uint8), (3, 1, 1)), y=np.tile(Y, 3))
    with pytest.raises(DataError, match=r"integer pixels of 0 and 1 only; expected 0 to 255\. Multiply them by 255\."):
        lenet.data.load_npz(tmp_path / "mine.npz")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["info", "--figure", "photo.png"], "photo.png"),
        (["export", "mnist", "notes.c"], "notes.c"),
        (["page", "page.html"], "page.html"),
    ],
)
def test_a_file_that_lenet_did_not_write_is_never_replaced(tmp_path, monkeypatch, capsys, arguments, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("mine")
    assert f"{name} exists and was not written by lenet" in fails(capsys, *arguments)
    assert (tmp_path / name).read_text() == "mine"
    (tmp_path / name).unlink()
    assert cli.main(arguments) == 0
    assert cli.main(arguments) == 0  # its own file is replaced


def test_an_unknown_header_prevents_writing_the_source(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.h").write_text("mine")
    assert "notes.h exists and was not written by lenet" in fails(capsys, "export", "mnist", "notes.c")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.h"]


@pytest.mark.landing
def test_an_onnx_file_that_lenet_did_not_write_is_never_replaced(tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_text("mine")
    assert "model.onnx exists and was not written by lenet" in fails(capsys, "export", "mnist", "model.onnx")
    (tmp_path / "model.onnx").unlink()
    assert cli.main(["export", "mnist", "model.onnx"]) == 0
    assert cli.main(["export", "mnist", "model.onnx"]) == 0


def test_a_figure_needs_the_name_of_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").mkdir()
    assert "a.png is a folder; expected a file name." in fails(capsys, "info", "--figure", "a.png")


# ---- one of two things would be taken ------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Duplicate name")  # of zipfile
@pytest.mark.parametrize("names", [("X.npy", "x.npy"), ("X.npy", "X.npy"), ("X.npy", "X")])
def test_a_member_that_occurs_twice_is_refused(tmp_path, names):
    with zipfile.ZipFile(tmp_path / "mine.npz", "w") as archive:
        for name, array in zip((*names, "y.npy"), (X, X // 2, Y), strict=True):
            content = io.BytesIO()
            np.save(content, array)
            archive.writestr(name, content.getvalue())
    with pytest.raises(DataError, match=r"mine\.npz has [Xx] twice, in upper or lower case\. Remove one\."):
        lenet.data.load_npz(tmp_path / "mine.npz")


def test_a_file_that_occurs_twice_is_refused(tmp_path):
    for name, array in (("X", X), ("x", X // 2), ("y", Y)):
        np.save(tmp_path / f"{name}.npy", array)
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("the file system ignores case")
    with pytest.raises(DataError, match=r"has x twice, in upper or lower case\."):
        lenet.data.load_npy_folder(tmp_path)


@pytest.mark.landing
def test_two_columns_of_labels_are_refused(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"image": [b""], "label": [3], "Y": [4]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="has the columns label and Y; expected one column of labels"):
        lenet.data.load_parquet(tmp_path / "a.parquet")


# ---- pixels of 0 and 1 ---------------------------------------------------------------------------------

BITS = np.tile((X > 127).astype(np.uint8), (3, 1, 1))
LABELS = np.tile(Y, 3)


def csv_of_bits(folder):
    np.savetxt(folder / "mine.csv", np.column_stack([LABELS, BITS.reshape(90, 784)]), "%d", ",")
    return lenet.data.load_csv(folder / "mine.csv")


def read_csv_of_bits(folder):
    np.savetxt(folder / "mine.csv", BITS.reshape(90, 784), "%d", ",")
    return lenet.data.read_csv(folder / "mine.csv")


def idx_of_bits(folder):
    for part in ("train", "t10k"):
        header = bytes([0, 0, 8, 3, 0, 0, 0, 90, 0, 0, 0, 28, 0, 0, 0, 28])
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + BITS.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 90]) + bytes(LABELS.tolist()))
    return lenet.data.load_idx_folder(folder)


@pytest.mark.parametrize("load", [csv_of_bits, read_csv_of_bits, idx_of_bits])
def test_files_of_pixels_of_0_and_1_are_refused(tmp_path, load):
    with pytest.raises(DataError, match="integer pixels of 0 and 1 only"):
        load(tmp_path)


# ---- numbers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_report_requires_finite_logits(value):
    with pytest.raises(InputError, match="expected finite numbers"):
        lenet.evaluation.classification_report([[value, 0.0]], [1])


def test_too_many_classes_are_refused_before_training(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    y = np.arange(5001)
    images = np.zeros((len(y), 28, 28), np.uint8)
    np.savez(tmp_path / "many.npz", X_train=images, y_train=y, X_test=images[:1], y_test=y[:1])
    assert "many.npz has 5,001 classes; expected at most 5,000." in fails(capsys, "train", "many.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["many.npz"]


def test_pixels_just_above_1_are_shown_with_all_digits():
    pixels = np.full((28, 28), 1.0000001)
    with pytest.raises(InputError, match=r"pixels from 1\.0000001 to 1\.0000001; expected \[0, 1\]"):
        lenet.LeNet5(seed=0).predict(pixels)


@pytest.mark.parametrize("value", [np.zeros((300, 3)), list(range(10_000)), "x" * 10_000])
@pytest.mark.parametrize(
    "call",
    [
        lambda value: lenet.LeNet5(num_classes=value),
        lambda value: lenet.LeNet5(seed=0).predict(X, n_jobs=value),
        lambda value: lenet.SGD(lenet.LeNet5(seed=0), value),
        lambda value: lenet.train(lenet.LeNet5(seed=0), X, Y, value),
        lambda value: QUICK.with_changes(schedule=value),
        lambda value: lenet.evaluation.evaluate(value, X, Y),
        lambda value: lenet.LeNetClassifier(tol=value).fit(X, Y),
    ],
)
def test_a_message_shows_the_beginning_of_a_long_value(call, value):
    with pytest.raises((InputError, InputTypeError)) as caught:
        call(value)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


def test_extreme_numbers_fit_a_classifier_without_a_warning():
    classifier = lenet.LeNetClassifier(max_iter=1, random_state=0, image_shape=(4, 5))
    table, y = np.array([[1e200, -1e200] * 10, [-1e200, 1e200] * 10] * 5), [0, 1] * 5
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.filterwarnings("ignore", message="The network has hardly begun to learn")
        classifier.fit(table, y)
    assert (classifier.framing_.low, classifier.framing_.high) == (-1e200, 1e200)


# ---- files that are kept -------------------------------------------------------------------------------


def test_many_threads_leave_little_memory_in_a_model():
    model, barrier = lenet.LeNet5(seed=0), threading.Barrier(12)

    def work():
        barrier.wait()
        for _ in range(5):
            model.loss_and_gradients(X, Y, n_jobs=1)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(model._learners) <= 4


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("through_a_link", [False, True])
def test_a_replaced_file_loses_its_set_user_id_bit(tmp_path, through_a_link):
    target = tmp_path / "target"
    target.write_bytes(b"")
    target.chmod(0o4750)
    path = tmp_path / "link" if through_a_link else target
    if through_a_link:
        path.symlink_to(target)
    lenet.LeNet5(seed=0).save(path)
    assert path.stat().st_mode & 0o7777 == 0o750


# ---- the command line ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "backend", ["module://matplotlib_inline.backend_inline", pytest.param("nonsense", marks=pytest.mark.landing)]
)
def test_a_backend_of_matplotlib_that_is_missing_does_not_matter(tmp_path, backend):
    command = [sys.executable, "-m", "lenet", "info", "--figure", "a.png"]
    environment = os.environ | {"MPLBACKEND": backend}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "a.png").read_bytes()[1:4] == b"PNG"


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


# ---- resuming ------------------------------------------------------------------------------------------


@pytest.fixture
def run_folder(tmp_path, monkeypatch, capsys, no_figures):
    """The folder of a finished run, in the current folder."""
    monkeypatch.chdir(tmp_path)
    np.savez("some.npz", X_train=X, y_train=Y, X_test=X[:10], y_test=Y[:10])
    assert cli.main(["train", "some.npz", "--epochs", "2", "--validation", "0", "--batch-size", "8"]) == 0
    capsys.readouterr()
    return lenet.training.Run("runs/train-1")


def hashes(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_is_trained_by_one_process_at_a_time(run_folder, capsys):
    before = hashes(run_folder.folder)
    code = "import lenet, sys\nwith lenet.training.Run('runs/train-1').locked(): print('locked', flush=True), input()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        assert "train-1 is being trained by another process." in fails(capsys, "train", "--resume", "runs/train-1")
        other.kill()
    assert hashes(run_folder.folder) == before
    assert cli.main(["train", "--resume", "runs/train-1"]) == 0  # the other one's end has released it


def test_resuming_a_run_of_another_version_says_so(run_folder, capsys):
    path = run_folder.folder / "args.json"
    path.write_text(path.read_text().replace(f'"lenet": "{lenet.__version__}"', '"lenet": "99.0.0"'))
    assert cli.main(["train", "--resume", "runs/train-1"]) == 0
    expected = f"was started with lenet 99.0.0. With {lenet.__version__}, its results may differ."
    assert expected in capsys.readouterr().err


def stopped_state():
    model = lenet.LeNet5(seed=0)
    return lenet.train(model, X, Y, QUICK, on_step=lambda state: state.epoch == 2 and state.step == 2)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"step": 4, "images": 40}, "it is beyond the 30 images of an epoch"),
        ({"step": 10**6, "images": 10**7}, "it is beyond the 30 images of an epoch"),
        ({"step": 2, "images": 15}, "its step does not match"),
        ({"epoch": 2}, "its history is not that of consecutive epochs from 1, at most 4"),
        ({"recipe": QUICK.with_changes(epochs=1)}, None),
    ],
)
def test_a_state_that_the_run_cannot_produce_is_refused(changes, why):
    state = stopped_state()
    recipe = changes.pop("recipe", QUICK)
    state.history[0].epoch = changes.pop("epoch", 1)
    for name, value in changes.items():
        setattr(state, name, value)
    model = lenet.LeNet5(seed=1)
    before = snapshot(model)
    if why is None:
        assert lenet.train(model, X, Y, recipe, state=state).epoch == 2
        return
    with pytest.raises(InputError, match=why):
        lenet.train(model, X, Y, recipe, state=state)
    assert snapshot(model) == before
