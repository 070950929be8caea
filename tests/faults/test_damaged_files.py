"""Damaged weights, checkpoints and arguments are rejected or unchanged."""

import contextlib
import json

import numpy as np
import pytest

import lenet
from lenet.errors import InputError, LenetError, WeightsError
from lenet.training.loop import train
from lenet.training.recipes import Recipe
from lenet.training.runs import Run
from lenet.weights.container import CHECKSUM, read_tensors, to_bytes
from tests.faults.folders import RANDOM, changed


@pytest.mark.parametrize("bytes_tried", [4, pytest.param(64, marks=pytest.mark.release)])
def test_a_small_file_with_any_byte_changed(tmp_path, bytes_tried):
    path = tmp_path / "small.safetensors"
    tensors = {"a": np.array([1, -2.5, 3], np.float32), "b": np.arange(4).reshape(2, 2)}
    content = to_bytes(tensors, {"mean": "0.1307", "note": "of a test"})
    path.write_bytes(content)
    whole = read_tensors(path)
    name = range(start := content.index(CHECKSUM.encode()), start + len(CHECKSUM))
    read = 0
    for place, before in enumerate(content):
        for other in RANDOM.sample([byte for byte in range(256) if byte != before], bytes_tried):
            with changed(path, place, other):
                try:
                    found, facts = read_tensors(path)
                except WeightsError:
                    continue
            read += 1
            assert facts.items() >= whole[1].items()
            assert len(facts) == len(whole[1]) or place in name  # of another name, it is somebody else's fact
            assert {key: value.tobytes() for key, value in found.items()} == {
                key: value.tobytes() for key, value in whole[0].items()
            }
    assert read <= len(name) * bytes_tried + content.count(b" ") * 3  # the blanks at the end of the header


def test_a_small_file_cut_anywhere(tmp_path):
    path = tmp_path / "small.safetensors"
    content = to_bytes({"a": np.array([1, -2.5, 3], np.float32)}, {"mean": "0.1307"})
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match=r"small\.safetensors is (damaged|empty)"):
            read_tensors(path)


@pytest.mark.parametrize("share", [30, pytest.param(1, marks=pytest.mark.release)])
def test_weights_with_a_byte_changed_are_refused_or_answer_the_same(tmp_path, share):
    path = tmp_path / "model.safetensors"
    model = lenet.load_pretrained()
    model.save(path)
    expected = model.parameters.flat.tobytes(), model.mean, model.std
    for place in [*range(0, 1400, share), *range(1400, path.stat().st_size, 97 * share)]:
        with changed(path, place), contextlib.suppress(WeightsError):
            found = lenet.load(path)
            assert (found.parameters.flat.tobytes(), found.mean, found.std) == expected
            assert found.metadata.items() >= model.metadata.items()


@pytest.fixture
def run(tmp_path):
    """The folder of a run that stopped in its second epoch."""
    images, labels = np.random.default_rng(0).integers(0, 256, (20, 28, 28), np.uint8), np.arange(20) % 10
    recipe = {"name": "mine", "epochs": 3, "batch_size": 8, "lr": 0.1}
    args = {"lenet": "0.1.0", "data": "some", "data_sha256": "0" * 64, "num_classes": 10, "seed": 7, "recipe": recipe}
    run, model = Run.create(tmp_path, args), lenet.LeNet5(seed=7)
    run.save_checkpoint(train(model, images, labels, Recipe(**recipe), on_step=lambda now: now.epoch == 2))
    return run


def standing(run):
    """All files that a run resumes from."""
    state = run.load_checkpoint(lenet.LeNet5())
    arrays = state.parameters.tobytes(), state.velocity.tobytes(), state.best_parameters.tobytes()
    return arrays, json.dumps(state.as_dict()), run.recipe, run.args["seed"], run.args["data_sha256"]


@pytest.mark.parametrize("share", [30, pytest.param(1, marks=pytest.mark.release)])
def test_a_checkpoint_with_a_byte_changed_is_refused_or_the_same(run, share):
    path = run.folder / "checkpoint.safetensors"
    expected, size = standing(run), path.stat().st_size
    for place in [*range(0, 1500, share), *range(1500, size, 997 * share)]:
        with changed(path, place), contextlib.suppress(WeightsError):
            assert standing(run) == expected


@pytest.mark.parametrize("share", [5, pytest.param(1, marks=pytest.mark.release)])
def test_arguments_with_a_byte_changed_are_refused_or_the_same(run, share):
    path = run.folder / "args.json"
    expected = standing(run)
    for place in range(0, path.stat().st_size, share):
        with changed(path, place), contextlib.suppress(InputError, WeightsError):
            assert standing(Run(run.folder)) == expected


def test_a_checkpoint_cut_anywhere(run):
    path = run.folder / "checkpoint.safetensors"
    content = path.read_bytes()
    for length in [*range(0, 1500, 10), *range(1500, len(content), 9973), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(LenetError, match=r"checkpoint\.safetensors is not a checkpoint of .* \(it is damaged\)"):
            run.load_checkpoint(lenet.LeNet5())
