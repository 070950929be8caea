"""Fixtures of the command's tests: two runs, a model that reads digits, and photographs of digits."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from cli_calls import EPOCHS, QUICK, events, write_some
from commands import without_figures

import lenet
from lenet import cli


@pytest.fixture(scope="session")
def work(tmp_path_factory):
    """A folder with a small data set and two runs: one that learns, with output in JSON, and a short one with lines."""
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


@pytest.fixture(scope="session")
def reader(work):
    """The arguments that choose a model which reads digits: the shipped one, or one trained here."""
    if (Path(lenet.__file__).parent / "weights" / "pretrained" / "mnist.safetensors").exists():
        return []
    return ["--model", str(work[0] / "runs" / "train-1")]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Photographs of digits as a person would take them: large, dark on white paper, not centred."""
    image_module = pytest.importorskip("PIL.Image")
    folder, data = tmp_path_factory.mktemp("pictures"), lenet.data.load_digits()
    found = []
    for number in range(30):
        page = np.full((200, 300), 235, np.uint8)
        large = np.asarray(image_module.fromarray(data.X_test[5 * number + 5]).resize((140, 140)))
        top, left = 5 + number, 150 - 4 * number
        page[top : top + 140, left : left + 140] -= (large * 0.85).astype(np.uint8)
        path = folder / f"{number}.png"
        image_module.fromarray(page).save(path)
        found.append((path, int(data.y_test[5 * number + 5])))
    return found
