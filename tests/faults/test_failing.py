"""If any call to the disk fails, files stay complete, nothing is left behind, and the message is correct."""

from pathlib import Path

import numpy as np
import pytest

import lenet
from tests.faults.disk import KILL, faults_of, is_harmless
from tests.faults.folders import check_outcome, files, put
from tests.faults.tasks import CLASSES

COMMANDS = {  # each writes another file with another model
    "c": ["command", "export", "MODEL", "digits.c"],
    "onnx": ["command", "export", "MODEL", "digits.onnx"],
    "page": ["command", "page", "digits.html", "--model", "MODEL"],
    "figure": ["command", "info", "MODEL", "--figure", "digits.png"],
    "read": ["command", "read", "PICTURE", "--only-digits", "--show", "digits.png", "--model", "MODEL"],
    "predict": ["command", "predict", "PICTURE", "--show", "digits.png"],
    "save": ["save", "MODEL", "digits.safetensors"],
}


@pytest.fixture(params=[pytest.param(name, marks=[] if name == "save" else pytest.mark.release) for name in COMMANDS])
def command(request, tmp_path):
    """A command, and a folder with the files that MODEL and PICTURE stand for."""
    needed = {"onnx": ["onnx"], "read": ["cv2", "PIL"], "predict": ["cv2", "PIL"], "page": ["starlette"]}
    for module in needed.get(request.param, []):
        pytest.importorskip(module)
    for classes in CLASSES:
        lenet.LeNet5(seed=classes, num_classes=classes).save(tmp_path / f"{classes}.safetensors")
        if "PICTURE" in COMMANDS[request.param]:
            from PIL import Image

            ink = np.pad(lenet.data.load_digits().X_test[classes], 30)
            Image.fromarray(255 - ink).save(tmp_path / f"{classes}.png")
    return COMMANDS[request.param]


def given(command, classes):
    known = {"MODEL": f"{classes}.safetensors", "PICTURE": f"{classes}.png"}
    return [known.get(each, each) for each in command]


@pytest.mark.parametrize("replaces", [False, True], ids=["first", "again"])
def test_a_failed_write_changes_nothing_or_reports_the_changes(forks, tmp_path, command, replaces):
    if replaces:
        assert forks.run(*given(command, CLASSES[0]), cwd=tmp_path).code == 0
    before = files(tmp_path)
    child = forks.run(*given(command, CLASSES[1]), cwd=tmp_path)
    assert (child.code, child.err) == (0, "")
    log, new = child.disk["log"], files(tmp_path)
    changed = [name for name in new if before.get(name) != new[name]]
    assert child.disk["written"] == sum(len(new[name]) for name in changed if new[name]) > 0  # it sees every byte
    for faults in faults_of(log):
        put(tmp_path, before)
        child = forks.run(*given(command, CLASSES[1]), cwd=tmp_path, **faults)
        check_outcome(child.code, child.err, before, files(tmp_path), new)
        assert child.code == 1 or is_harmless(log, **faults), faults


def test_a_cache_that_cannot_be_written_is_skipped(forks, tmp_path):
    assert forks.run("keep", 3, cwd=tmp_path).code == 0
    before = files(tmp_path)
    log = forks.run("keep", 4, cwd=tmp_path).disk["log"]
    new = files(tmp_path)
    assert new.keys() == before.keys()
    assert new != before
    for faults in faults_of(log):
        put(tmp_path, before)
        child = forks.run("keep", 4, cwd=tmp_path, **faults)
        assert (child.code, child.err) == (0, "")
        assert files(tmp_path) in (before, new), faults


def test_a_process_that_is_killed_at_any_call_leaves_the_old_or_the_new_file(forks, tmp_path, command):
    assert forks.run(*given(command, CLASSES[0]), cwd=tmp_path).code == 0
    before = files(tmp_path)
    child = forks.run(*given(command, CLASSES[1]), cwd=tmp_path)
    log, new = child.disk["log"], files(tmp_path)
    for at in range(1, len(log) + 1):
        put(tmp_path, before)
        assert forks.run(*given(command, CLASSES[1]), cwd=tmp_path, at=at, fault=KILL).code == -9
        after = files(tmp_path)
        assert all(after.pop(name) in (before[name], new[name]) for name in before)
        assert all(Path(name).name.startswith(".") for name in after)
