"""Run folders: their numbers, their files, and what resuming requires."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

import lenet
from lenet.data import Dataset
from lenet.errors import InputError, SaveError, WeightsError
from lenet.training import Epoch, checkpoint, runs, train
from lenet.training.history import history_csv
from lenet.training.recipes import RECIPES, Recipe
from lenet.training.runs import Run
from lenet.weights import read_tensors, to_bytes

ARGS = {
    "lenet": "0.1.0", "data": "digits", "data_sha256": "0" * 64, "num_classes": 10, "seed": 0,
    "recipe": {"name": "mine", "epochs": 2, "batch_size": 8, "lr": 0.1},
}  # fmt: skip


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (40, 28, 28), np.uint8), np.arange(40) % 10


@pytest.fixture
def stopped(images):
    """A model and its state in the middle of the second epoch."""
    model = lenet.LeNet5(seed=3)
    recipe = Recipe("mine", epochs=3, batch_size=8, lr=0.1, momentum=0.9, validation=0.25)
    state = train(model, *images, recipe, on_step=lambda now: now.epoch == 2 and now.step == 2)
    assert (state.epoch, state.step) == (2, 2)
    return model, state, recipe


@pytest.fixture
def run(tmp_path, stopped):
    """A run with the checkpoint of that state."""
    run = Run.create(tmp_path, ARGS)
    run.save_checkpoint(stopped[1])
    return run


# The folder


def test_the_first_run_creates_the_parents_and_stores_its_arguments(tmp_path):
    run = Run.create(tmp_path / "some" / "runs", ARGS)
    assert run.folder == tmp_path / "some" / "runs" / "train-1"
    assert json.loads((run.folder / "args.json").read_text()) == ARGS
    assert names(run.folder) == ["args.json"]
    assert names(run.folder.parent) == ["train-1"]
    assert run.args == Run(run.folder).args == ARGS


def test_the_next_number_follows_the_highest_and_gaps_are_not_filled(tmp_path):
    for name in ("train-2", "train-9", "train-x", "train-12-old", "retrain-40", ".train-77"):
        (tmp_path / name).mkdir()
    (tmp_path / "train-10").write_text("a file counts as well")
    assert Run.create(tmp_path, ARGS).folder.name == "train-11"
    assert Run.create(tmp_path, ARGS).folder.name == "train-12"


@pytest.mark.parametrize(("args", "start"), [(ARGS, lenet.LeNet5(seed=0)), (ARGS | {"from": "mnist"}, None)])
def test_a_start_is_given_with_its_name(tmp_path, args, start):
    with pytest.raises(InputError, match=r"Only one of start and args\['from'\] was given; expected both or neither\."):
        Run.create(tmp_path, args, start)
    assert names(tmp_path) == []


def test_a_link_to_nowhere_is_not_followed_and_not_replaced(tmp_path):
    (tmp_path / "train-1").symlink_to(tmp_path / "gone")
    if not (tmp_path / "train-1").is_symlink():
        pytest.skip("wine makes no symbolic links")
    assert Run.create(tmp_path, ARGS).folder.name == "train-2"
    assert (tmp_path / "train-1").is_symlink()


def test_runs_started_at_once_in_threads_each_get_a_folder(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: Run.create(tmp_path, {**ARGS, "seed": number}), range(40)))
    assert sorted(run.args["seed"] for run in map(Run, tmp_path.iterdir())) == list(range(40))
    assert {run.folder.name for run in made} == set(names(tmp_path)) == {f"train-{n}" for n in range(1, 41)}
    assert [json.loads((run.folder / "args.json").read_text())["seed"] for run in made] == list(range(40))


def test_runs_started_at_once_in_two_processes_each_get_a_folder(tmp_path):
    program = (
        "import json, sys; from lenet.training import Run; args = json.loads(sys.argv[2]); print('ready', flush=True);"
        "input(); [Run.create(sys.argv[1], args) for _ in range(25)]"
    )
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", program, str(tmp_path), json.dumps(ARGS)]
    both = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(2)]
    for process in both:
        process.stdout.readline()
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in both:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert names(tmp_path) == sorted(f"train-{n}" for n in range(1, 51))


def test_a_name_taken_at_the_last_moment_is_left_alone(tmp_path, monkeypatch):
    rename = Path.rename

    def rival_first(self, target):
        if not target.exists() and target.name == "train-1":
            target.mkdir()
            (target / "args.json").write_text("the rival's")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rival_first)
    assert Run.create(tmp_path, ARGS).folder.name == "train-2"
    assert (tmp_path / "train-1" / "args.json").read_text() == "the rival's"


def test_an_empty_folder_of_that_name_is_not_replaced_either(tmp_path):
    """Run.create would not choose it; renaming would replace it if it were created at the last moment."""
    for name in ("mine", "train-1"):
        (tmp_path / name).mkdir()
    (tmp_path / "mine" / "args.json").write_text("{}")
    assert not runs._take_name(tmp_path / "mine", tmp_path / "train-1")
    assert names(tmp_path / "train-1") == []
    assert runs._take_name(tmp_path / "mine", tmp_path / "train-2")
    assert names(tmp_path) == ["train-1", "train-2"]


def test_a_run_is_unlocked_before_its_file_is_closed(tmp_path, monkeypatch):
    """Windows releases a lock some time after its file is closed; here, a copy of the descriptor keeps it."""
    run = Run.create(tmp_path, ARGS)
    copies = []
    lock = runs.lock

    def copy_and_lock(file):
        copies.append(os.dup(file.fileno()))
        lock(file)

    monkeypatch.setattr(runs, "lock", copy_and_lock)
    with pytest.raises(KeyboardInterrupt), run.locked():
        raise KeyboardInterrupt
    with run.locked(), pytest.raises(InputError, match="another process"), Run(run.folder).locked():
        pass
    for copy in copies:
        os.close(copy)


@pytest.mark.parametrize("below", ["file", "file/below"])
def test_the_error_names_a_folder_that_cannot_be_created(tmp_path, below):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SaveError, match="--runs") as caught:
        Run.create(tmp_path / below, ARGS)
    assert str(tmp_path / below) in str(caught.value)
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_no_temporary_folder(tmp_path, monkeypatch, error):
    def fails(*_):
        raise error

    monkeypatch.setattr(runs, "atomic_write", fails)
    with pytest.raises((SaveError, KeyboardInterrupt)):
        Run.create(tmp_path, ARGS)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1, 2]",
        b"\xff\xfe",
        b'{"lr": 0.1}',  # another program's
        json.dumps(ARGS | {"classes": 5}).encode(),
        json.dumps(ARGS | {"classes": [1, 2]}).encode(),
        json.dumps({key: value for key, value in ARGS.items() if key != "seed"}).encode(),
    ],
)
def test_a_folder_of_something_else_is_not_a_run(tmp_path, content):
    (tmp_path / "args.json").write_bytes(content)
    with pytest.raises(InputError) as caught:
        Run(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'args.json'} cannot be read (")


# The results


def test_the_history_round_trips(tmp_path):
    rows = [Epoch(1, 0.5, 2.25, 0.125, None, None, 1e5, 0.5), Epoch(2, 0.25, 1 / 3, 0.5, 1e-9, 1.0, 2.0, 0.75)]
    run = Run.create(tmp_path, ARGS)
    run.write("results.csv", history_csv(rows))
    assert run.history() == rows
    assert type(run.history()[0].epoch) is int


def test_a_run_without_an_epoch_has_no_history(tmp_path):
    with pytest.raises(InputError, match=r"results\.csv is missing; expected a run with at least one epoch\."):
        Run.create(tmp_path, ARGS).history()


GOOD = history_csv([Epoch(1, 0.5, 2.25, 0.125, None, None, 1e5, 0.5)])


@pytest.mark.parametrize(
    "content",
    [
        "",
        GOOD.splitlines()[0],
        GOOD.replace("2.25", "=A1"),
        GOOD.replace("2.25", "nan"),
        GOOD.replace("2.25", "1e309"),
        GOOD.replace("100000.0", "1e300"),
        GOOD.replace("2.25", ""),
        GOOD.replace("1,0.5", "2,0.5"),
        GOOD.replace("loss", "cost"),
        GOOD.replace("epoch,", ","),
        "\n".join(line.partition(",")[2] for line in GOOD.splitlines()),
        GOOD.replace(",0.5\n", ",0.5,7\n"),
        GOOD.replace(",0.5\n", "\n"),
        "\0",
        b"\xff",
        " " * 2**24 + GOOD,
    ],
)
def test_damaged_results_are_an_error_that_names_the_file(tmp_path, content):
    run = Run.create(tmp_path, ARGS)
    run.write("results.csv", content)
    with pytest.raises(InputError, match=r"results\.csv cannot be read \(.+\)\. Restore it, or train again\."):
        run.history()


# The checkpoint


def test_a_checkpoint_round_trip_is_bit_identical(run, stopped):
    model, state, _ = stopped
    other = lenet.LeNet5(seed=99)
    found = Run(run.folder).load_checkpoint(other)
    for name in ("parameters", "velocity", "best_parameters"):
        assert getattr(found, name).dtype == np.float32
        assert getattr(found, name).tobytes() == getattr(state, name).tobytes()
    assert np.abs(found.velocity).max() > 0
    assert found.as_dict() == state.as_dict()
    assert found.history == state.history
    assert (found.mean, found.std) == (model.mean, model.std) != (0.0, 1.0)


def test_training_resumed_from_a_checkpoint_is_bit_identical(run, stopped, images):
    *_, recipe = stopped
    other = lenet.LeNet5(seed=99)
    train(other, *images, recipe, state=run.load_checkpoint(other))
    whole = lenet.LeNet5(seed=3)
    train(whole, *images, recipe)
    assert other.parameters.flat.tobytes() == whole.parameters.flat.tobytes()


def test_a_run_that_is_resumed_at_the_end_of_an_epoch_has_the_speed_before(tmp_path, images):
    recipe = Recipe("mine", epochs=1, batch_size=8, lr=0.1)
    run = Run.create(tmp_path, ARGS)
    model = lenet.LeNet5(seed=3)
    state = train(model, *images, recipe, on_step=lambda now: now.images == len(images[0]))
    run.save_checkpoint(state)
    (row,) = train(model, *images, recipe, state=run.load_checkpoint(model)).history
    assert row.images_per_second == state.images_per_second > 0


def test_a_checkpoint_of_an_earlier_version_has_no_speed(run, stopped):
    model, *_ = stopped
    path = run.folder / "checkpoint.safetensors"
    arrays, metadata = read_tensors(path)
    text = json.dumps(without(json.loads(metadata["state"]), "images_per_second"))
    path.write_bytes(to_bytes(arrays, {**metadata, "state": text}))
    assert run.load_checkpoint(model).images_per_second == 0


def test_a_checkpoint_within_an_epoch_has_the_preconditioner(tmp_path, images):
    recipe = Recipe("mine", 2, 32, 0.01, optimizer="foof")
    run = Run.create(tmp_path, {**ARGS, "recipe": asdict(recipe)})
    stops = iter([False, True, True])
    model, saved = lenet.LeNet5(seed=3), []

    def save(state):
        run.save_checkpoint(state)
        saved.append(run.load_checkpoint(lenet.LeNet5()).preconditioner)

    state = train(model, *images, recipe, on_step=lambda now: save(now) or next(stops), on_epoch=save)
    assert saved[1].size == 26**2 + 151**2 + 401**2 + 121**2 + 85**2
    assert saved[1].tobytes() == state.preconditioner.tobytes()
    path, (arrays, facts) = run.folder / "checkpoint.safetensors", checkpoint_parts(state)
    for other in ({}, {"preconditioner": state.preconditioner[1:]}):
        path.write_bytes(
            to_bytes(
                {**arrays, **other},
                {"format": checkpoint.FORMAT, "state": json.dumps(facts), "args": json.dumps(run.args)},
            )
        )
        with pytest.raises(WeightsError, match="it belongs to another optimizer"):
            run.load_checkpoint(lenet.LeNet5())
    train(model, *images, replace(recipe, epochs=1), on_epoch=save)
    assert saved[-1].size == 0  # each epoch begins with a new estimate


def test_a_run_without_a_checkpoint_has_no_state(tmp_path):
    assert Run.create(tmp_path, ARGS).load_checkpoint(lenet.LeNet5()) is None


def test_a_run_whose_checkpoint_is_lost_does_not_start_again(tmp_path):
    """The checkpoint of epoch 1 is written after its results, so it may be missing after a crash, but not later."""
    run = Run.create(tmp_path, ARGS)
    history = [Epoch(number, 0.1, 1.0, 0.5, None, None, 1.0, 1.0) for number in (1, 2)]
    run.write("results.csv", history_csv(history[:1]))
    assert run.load_checkpoint(lenet.LeNet5()) is None
    run.write("results.csv", history_csv(history))
    with pytest.raises(InputError, match=r"safetensors is missing, .* the 2 epochs .* new run with --from .*train-1"):
        run.load_checkpoint(lenet.LeNet5())


def checkpoint_parts(state):
    arrays = {name: getattr(state, name) for name in ("parameters", "velocity", "best_parameters")}
    return arrays, state.as_dict()


def without(mapping, key):
    return {name: value for name, value in mapping.items() if name != key}


def damaged(kind, whole, arrays, facts):
    """The bytes of a checkpoint that is wrong in one way."""
    mark = {"format": checkpoint.FORMAT}
    text = json.dumps(facts)
    return {
        "empty": lambda: b"",
        "cut header": lambda: whole[:100],
        "cut arrays": lambda: whole[:-1],
        "longer": lambda: whole + b"\0",
        "weights": lambda: to_bytes(arrays, {"format": "lenet-1", "state": text}),
        "no format": lambda: to_bytes(arrays, {"state": text}),
        "no state": lambda: to_bytes(arrays, mark),
        "state no JSON": lambda: to_bytes(arrays, {**mark, "state": text[:-5]}),
        "state null": lambda: to_bytes(arrays, {**mark, "state": "null"}),
        "state list": lambda: to_bytes(arrays, {**mark, "state": "[]"}),
        "deep state": lambda: to_bytes(arrays, {**mark, "state": "[" * 100_000}),
        "no mean": lambda: to_bytes(arrays, {**mark, "state": json.dumps(without(facts, "mean"))}),
        "no step": lambda: to_bytes(arrays, {**mark, "state": json.dumps(without(facts, "step"))}),
        "unknown fact": lambda: to_bytes(arrays, {**mark, "state": json.dumps({**facts, "luck": 1})}),
        "bad history": lambda: to_bytes(arrays, {**mark, "state": json.dumps({**facts, "history": [{"epoch": 1}]})}),
        "no velocity": lambda: to_bytes(without(arrays, "velocity"), {**mark, "state": text}),
        "one array more": lambda: to_bytes({**arrays, "c1": arrays["velocity"]}, {**mark, "state": text}),
    }[kind]()


@pytest.mark.parametrize(
    "kind",
    ["empty", "cut header", "cut arrays", "longer", "weights", "no format", "no state", "state no JSON", "state null",
     "state list", "deep state", "no mean", "no step", "unknown fact", "bad history", "no velocity", "one array more"],
)  # fmt: skip
def test_a_damaged_or_unknown_checkpoint_is_an_error_that_names_it(run, stopped, kind):
    _model, state, _ = stopped
    path = run.folder / "checkpoint.safetensors"
    path.write_bytes(damaged(kind, path.read_bytes(), *checkpoint_parts(state)))
    other = lenet.LeNet5(seed=99)
    with pytest.raises(WeightsError) as caught:
        run.load_checkpoint(other)
    assert str(caught.value).startswith(f"{path} is ")
    assert str(caught.value).endswith(f". Restore it, or start a new run with --from {run.folder}.")
    assert (other.mean, other.std) == (0.0, 1.0)


def test_a_checkpoint_of_another_network_is_refused(run):
    with pytest.raises(WeightsError, match="another network"):
        run.load_checkpoint(lenet.LeNet5(num_classes=11))


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"seed": 1}, False),
        ({"data_sha256": "1" * 64}, False),
        ({"recipe": {**ARGS["recipe"], "lr": 0.2}}, False),
        ({"data": "elsewhere/digits.npz", "lenet": "0.2.0"}, True),
    ],
)
def test_a_checkpoint_resumes_with_its_own_arguments(run, stopped, change, kept):
    model, state, _ = stopped
    (run.folder / "args.json").write_text(json.dumps({**ARGS, **change}))
    if kept:
        assert Run(run.folder).load_checkpoint(model).step == state.step
        return
    with pytest.raises(
        InputError, match=r"args\.json and the checkpoint beside it differ in data_sha256, num_classes, seed or recipe"
    ):
        Run(run.folder).load_checkpoint(model)


def test_a_checkpoint_without_arguments_is_refused(tmp_path, stopped):
    model, state, _ = stopped
    run = Run.create(tmp_path, ARGS)
    arrays, facts = checkpoint_parts(state)
    content = to_bytes(arrays, {"format": checkpoint.FORMAT, "state": json.dumps(facts)})
    (run.folder / "checkpoint.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=r"is not a checkpoint of LeNet5\(.*\) \('args'\)"):
        run.load_checkpoint(model)


def test_save_epoch_writes_the_weights_of_the_last_and_of_the_best_epoch(tmp_path, images):
    run = Run.create(tmp_path, ARGS)
    model = lenet.LeNet5(seed=0)
    recipe = RECIPES["small"].with_changes(epochs=1, validation=0.25)
    train(model, *images, recipe, on_epoch=lambda state: run.save_epoch(model, state))
    assert names(run.folder) == [
        "args.json", "best.safetensors", "checkpoint.safetensors", "last.safetensors", "results.csv",
    ]  # fmt: skip
    first = (run.folder / "best.safetensors").read_bytes()
    assert first == (run.folder / "last.safetensors").read_bytes()
    state = run.load_checkpoint(model)
    state.history.append(Epoch(2, 0.1, 1.0, 0.5, 99.0, 0.1, 1.0, 1.0))  # a worse one
    state.parameters[...] = 0.25
    model.parameters.flat[...], before = 0.5, model.metadata.copy()
    run.save_epoch(model, state)
    assert (model.parameters.flat == np.float32(0.5)).all()
    assert model.metadata == before
    assert (run.folder / "best.safetensors").read_bytes() == first
    last = lenet.load(run.folder / "last.safetensors")
    assert (last.parameters.flat == np.float32(0.25)).all()
    assert last.metadata["epoch"] == "2"
    assert last.metadata["val_loss"] == "99.0"


def test_no_checkpoint_is_ahead_of_the_weights(tmp_path, stopped, monkeypatch):
    model, state, _ = stopped
    run = Run.create(tmp_path, ARGS)

    def fail(model, path):
        raise SaveError(f"{path.name} could not be written.")

    monkeypatch.setattr(lenet.LeNet5, "save", fail)
    with pytest.raises(SaveError, match=r"last\.safetensors"):
        run.save_epoch(model, state)
    assert run.load_checkpoint(model) is None


# The rest


def test_csv_has_a_line_per_epoch_and_missing_values_are_empty():
    history = [Epoch(1, 0.1, 2.25, 0.5, None, None, 1000.0, 3.5), Epoch(2, 0.05, 1 / 3, 0.75, 1.5, 0.625, 1e6, 7.0)]
    assert history_csv(history) == (
        "epoch,learning_rate,loss,accuracy,val_loss,val_accuracy,images_per_second,seconds\n"
        "1,0.1,2.25,0.5,,,1000.0,3.5\n"
        "2,0.05,0.3333333333333333,0.75,1.5,0.625,1000000.0,7.0\n"
    )
    assert history_csv([]).count("\n") == 1


def some_data():
    X = np.arange(4 * 784, dtype=np.uint32).reshape(4, 28, 28).astype(np.uint8)
    return Dataset(X[:3], np.array([0, 1, 2], np.int64), X[3:], np.array([1], np.int64))


def test_the_hash_of_a_data_set_is_stable_and_of_the_values_not_of_the_memory():
    data = some_data()
    known = data.sha256()
    assert known == data.sha256() == some_data().sha256()
    assert known == data._replace(X_train=np.asfortranarray(data.X_train)).sha256()
    apart = np.zeros((6, 28, 28), np.uint8)
    apart[::2] = data.X_train
    assert known == data._replace(X_train=apart[::2]).sha256()
    # A fixed value: with another one, no existing run could be resumed.
    assert known == "7fd25fa96b9641dc2fb629fce703ba620928146da063c365d70284c70a58f648"


def changed(array, index, value):
    array = array.copy()
    array[index] = value
    return array


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d._replace(X_train=changed(d.X_train, (2, 27, 27), d.X_train[2, 27, 27] ^ 1)),
        lambda d: d._replace(X_test=changed(d.X_test, (0, 0, 0), d.X_test[0, 0, 0] ^ 1)),
        lambda d: d._replace(y_train=changed(d.y_train, 0, 9)),
        lambda d: d._replace(y_test=changed(d.y_test, 0, 9)),
        lambda d: d._replace(y_train=d.y_train.astype(np.int32)),
        lambda d: d._replace(X_train=d.X_train.view(np.int8)),
        lambda d: d._replace(X_train=d.X_train.reshape(3, 784)),
        lambda d: d._replace(X_train=d.X_train[::-1]),
        lambda d: Dataset(d.X_test, d.y_test, d.X_train, d.y_train),
        lambda d: Dataset(
            d.X_train[:2], d.y_train, np.concatenate([d.X_train[2:], d.X_test]), d.y_test
        ),  # the same bytes, divided elsewhere
    ],
)
def test_the_hash_of_a_data_set_changes_with_one_pixel_label_type_or_shape(change):
    assert change(some_data()).sha256() != some_data().sha256()
