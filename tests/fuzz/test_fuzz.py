"""Inputs that fuzzing found; and, in the tier `release`, tests of the fuzz targets and their drivers."""

import dataclasses
import subprocess
import sys
import time

import numpy as np
import pytest

from tests import fuzz
from tests.fuzz import driving

NEEDED = {"http": "starlette", "pictures": "PIL", "reading": "cv2", "onnx": "onnx", "torch": "torch"}
LANDING = {"onnx", "torch"}  # targets that need packages beyond .[train,serve]
FILES = [(name, path) for name in fuzz.TARGETS for path in sorted((fuzz.CORPUS / name).iterdir())]


def target(name):
    pytest.importorskip(NEEDED.get(name, "numpy"))
    return fuzz.target(name)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        pytest.param(name, path, id=f"{name}-{path.name}", marks=pytest.mark.landing if name in LANDING else ())
        for name, path in FILES
    ],
)
def test_the_corpus(name, path):
    target(name).run(path.read_bytes())


@pytest.mark.parametrize("name", [each for each in fuzz.TARGETS if each not in LANDING | set(driving.SEEDED)])
def test_the_first_inputs_are_in_the_corpus(name):
    assert target(name).seeds().keys() <= {path.name for path in (fuzz.CORPUS / name).iterdir()}


def test_the_corpus_is_small():
    assert {name for name, _ in FILES} == set(fuzz.TARGETS)
    assert sum(path.stat().st_size for _, path in FILES) < 250_000


# ---- planted faults ------------------------------------------------------------------------------------


def mirrored(images):
    return images[..., ::-1]


def backwards(read):
    tensors, facts = read
    return {name: np.flip(tensor) for name, tensor in tensors.items()}, facts


def changed(model):
    """A model with one changed weight."""
    model.parameters["f6.weight"][3, 5] += 1
    return model


def moved(reading):
    """A reading whose boxes are outside the picture."""
    lines = tuple(
        dataclasses.replace(line, digits=tuple(dataclasses.replace(each, box=(0, 0, 999, 9)) for each in line.digits))
        for line in reading.lines
    )
    return dataclasses.replace(reading, lines=lines)


# The module and the function that a target relies on, and the faulty result.
FAULTS = {
    "idx": ("lenet.data.idx", "_read_shape", lambda shape: shape[::-1]),
    "weights": ("lenet.weights", "read_tensors", backwards),
    "kernels": ("lenet.layers.conv2d", "_columns", lambda columns: np.flip(columns).copy()),
    "http": ("lenet.serving.protocol.inference", "read_request", lambda read: (read[0], mirrored(read[1]))),
    "pictures": ("tests.fuzz.pictures", "read_picture", lambda picture: mirrored(picture)),
    "reading": ("tests.fuzz.reading", "read", moved),
    "onnx": ("tests.fuzz.onnx", "from_onnx", changed),
    "torch": ("tests.fuzz.torch", "from_torch", changed),
}  # fmt: skip


def plant(monkeypatch, name, of_result):
    module, function, _ = FAULTS[name]
    real = getattr(sys.modules[module], function)
    monkeypatch.setattr(sys.modules[module], function, lambda *given, **named: of_result(real(*given, **named)))


def run_corpus(name):
    for path in sorted((fuzz.CORPUS / name).iterdir()):
        fuzz.timed(fuzz.target(name).run)(path.read_bytes())


@pytest.mark.release
@pytest.mark.parametrize("name", FAULTS)
def test_a_target_detects_misread_input(monkeypatch, name):
    target(name)
    plant(monkeypatch, name, FAULTS[name][2])
    with pytest.raises(AssertionError):
        run_corpus(name)


@pytest.mark.release
@pytest.mark.parametrize("name", FAULTS)
def test_a_target_detects_an_unexpected_error(monkeypatch, name):
    def fail(result):
        raise KeyError("what a reader has forgotten")

    target(name)
    plant(monkeypatch, name, fail)
    with pytest.raises(KeyError, match="forgotten"):
        run_corpus(name)


@pytest.mark.release
def test_slow_cases_are_detected(monkeypatch):
    def tarry(data):
        end = time.process_time() + 0.02
        while time.process_time() < end:
            pass

    monkeypatch.setattr(fuzz, "SECONDS", 0.01)
    with pytest.raises(fuzz.SlowError, match=r"0\.0 seconds of the processor for 3 bytes"):
        fuzz.timed(tarry)(b"abc")


# ---- the drivers ---------------------------------------------------------------------------------------


@pytest.mark.release
def test_a_seed_that_shows_a_fault_is_written_to_a_file(monkeypatch, tmp_path, capsys):
    plant(monkeypatch, "kernels", FAULTS["kernels"][2])
    monkeypatch.setattr(driving, "MEMORY", 2**20)  # MiB: earlier tests of this process may have left much in memory
    with pytest.raises(AssertionError):
        driving.over_seeds("kernels", tmp_path, ["-runs=10000"])
    (finding,) = tmp_path.iterdir()
    with pytest.raises(AssertionError):
        fuzz.target("kernels").run(finding.read_bytes())
    assert "number_of_executed_units: " in capsys.readouterr().err


@pytest.mark.release
def test_libfuzzer_finds_a_fault_that_no_file_of_the_corpus_shows(tmp_path):
    pytest.importorskip("atheris")
    program = (
        "from lenet.data import idx; from tests.fuzz import driving\n"
        "read = idx._read; idx._read = lambda *given: (found := read(*given)) * (found != 77)\n"
        f"driving.under_atheris('idx', {str(tmp_path)!r}, ['-runs=2000000', {str(fuzz.CORPUS / 'idx')!r}])"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "AssertionError: misread" in process.stdout
    assert process.returncode != 0
    (finding,) = tmp_path.iterdir()
    assert b"M" in finding.read_bytes()


@pytest.mark.release
def test_the_runner_reports_runs_and_findings(tmp_path):
    command = [sys.executable, "-m", "tests.fuzz", "kernels", "--runs", "2000", "--findings", str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0
    assert process.stdout.startswith("kernels: 2,")
    assert process.stdout.endswith(" s, 0 findings\n")


# ---- the kernels ---------------------------------------------------------------------------------------


def test_kernels_accept_any_layout_that_hypothesis_draws():
    hypothesis = pytest.importorskip("hypothesis")
    kernels = fuzz.target("kernels")

    @hypothesis.settings(max_examples=150, deadline=None, derandomize=True, database=None)
    @hypothesis.given(hypothesis.strategies.randoms(use_true_random=False))
    def check(source):
        kernels.check(source, inputs=2)

    check()
