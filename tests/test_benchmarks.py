"""The benchmarks' own arithmetic. What they measure is no matter for a test."""

import itertools
import json
import types

import numpy as np
import pytest

import benchmarks.__main__ as command
from benchmarks import instructions, measure, report
from lenet import LeNet5

PROFILE = """
version: 1
events: Ir

fl=(1) conv.c
fn=(1) __pyx_f_5lenet_8_conv_v3_c1_stage.constprop.0
10 100
+1 20
cfn=(2) __pyx_f_5lenet_8_conv_v3_dense
calls=3 50
* 4000
-2 3

fn=(2)
7 1000
fn=(3) __pyx_f_5lenet_8_conv_v3_c1_stage.constprop.1
9 7
fn=(4) __pyx_f_5lenet_8_conv_v3_c1_stage_of_another
9 9
fn=(5) PyObject_Call
9 9
fn=(6) __pyx_pf_5lenet_8_conv_v3_16sgd_step.isra.0
9 11
"""


def test_a_profile_gives_each_kernel_its_own_instructions():
    """Those of the functions that it calls are not its own; copies for constant arguments are added up."""
    assert instructions.parse(PROFILE) == {"c1_stage": 130, "dense": 1000, "sgd_step": 11}


@pytest.mark.parametrize(("count", "fails"), [(1000, False), (1049, False), (1051, True), (10, False), (0, True)])
def test_a_kernel_of_more_than_5_percent_more_instructions_fails(monkeypatch, tmp_path, capsys, count, fails):
    stored = tmp_path / "stored.json"
    stored.write_text(json.dumps({"gcc 12": dict.fromkeys(instructions.KERNELS, 1000)}))
    monkeypatch.setattr(instructions, "STORED", stored)
    monkeypatch.setattr(instructions, "compiler", lambda: "gcc 12")
    counts = dict.fromkeys(instructions.KERNELS, 1000) | {"c3_stage": count}
    monkeypatch.setattr(instructions, "count", lambda: counts)
    monkeypatch.setattr("sys.argv", ["instructions"])
    if fails:
        with pytest.raises(SystemExit, match=r"More than 5% above the stored figure, or not found: c3_stage\."):
            instructions.main()
    else:
        instructions.main()
    assert f"{count:,}" in capsys.readouterr().out


def test_functions_take_turns(monkeypatch):
    now, durations, order = [0.0], itertools.chain([1.0] * 4, [1, 5, 9, 2, 2, 1], itertools.repeat(1.0)), []

    def function(name):
        order.append(name)
        now[0] += next(durations)

    monkeypatch.setattr(measure.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(measure.time, "sleep", lambda _: None)
    functions = {"a": lambda: function("a"), "b": lambda: function("b")}
    turns = measure.interleaved(functions, repetitions=3, seconds=1.0)
    assert order == ["a", "a", "b", "b", "a", "b", "a", "b", "a", "b"]
    assert turns == {"a": [1.0, 9.0, 2.0], "b": [5.0, 2.0, 1.0]}


def test_the_spread_is_that_of_the_middle_half():
    assert measure.spread([1.0, 2.0, 3.0, 4.0, 100.0]) == pytest.approx((4 - 2) / 3)


def test_the_multiply_adds_are_those_of_the_network():
    shapes = {name: value.shape for name, value in LeNet5(seed=0).parameters.items() if name.endswith("weight")}
    pixels = {"c1": 28 * 28, "c3": 10 * 10}
    forward = sum(int(np.prod(shape)) * pixels.get(name[:2], 1) for name, shape in shapes.items())
    assert forward == measure.MULTIPLY_ADDS
    backward = 2 * forward - 150 * 28 * 28  # by the weights and by the inputs, except for C1's
    assert forward + backward == measure.TRAIN_MULTIPLY_ADDS


@pytest.mark.parametrize("threads", [1, 2])
def test_the_peak_counts_two_operations_a_multiply_add(threads):
    calls = []
    kernels = types.SimpleNamespace(multiply_adds=lambda rounds: calls.append(rounds) or 10 * rounds)
    measure.peak_work(kernels, threads)()
    assert calls == [measure.ROUNDS] * threads
    assert measure.gflops(kernels, threads, seconds=0.5) == pytest.approx(threads * 2 * 10 * measure.ROUNDS / 0.5 / 1e9)


def test_a_build_counts_its_multiply_adds(build):
    assert build.multiply_adds(100) == 100 * 12 * build.build()["lanes"]


def peer(name, logits):
    return types.SimpleNamespace(name=name, images=lambda x: x, predictor=lambda batch, threads: lambda x: logits)


def test_libraries_that_disagree_are_not_compared():
    logits = np.array([[1.0, -8.0]])
    assert command.check([peer("lenet", logits), peer("other", logits + 7e-5)], [0]) == pytest.approx(7e-5)
    with pytest.raises(SystemExit, match="do not compute the same network"):
        command.check([peer("lenet", logits), peer("other", logits + 9e-5)], [0])
    with pytest.raises(SystemExit):
        command.check([peer("lenet", logits), peer("other", logits * np.nan)], [0])


RESULTS = {
    "cpu": "a CPU",
    "cores": 2,
    "build": "x86-64-v3",
    "compiler": "gcc 12.2.0",
    "versions": {"numpy": "2.4"},
    "repetitions": 9,
    "call_microseconds": 1.25,
    "predict": [
        {
            "batch": 64,
            "threads": threads,
            "microseconds": {"lenet": 5.0, "PyTorch 2": 20.0},
            "peak_gflops": 100.0,
            "share": 0.66,
            "spread": 0.01,
        }
        for threads in (1, 2)
    ],
    "train": [
        {"batch": 4, "threads": 1, "microseconds": {"lenet": 20.0}, "peak_gflops": 90.0, "share": 0.5, "spread": 0.25}
    ],
    "builds": [
        {"build": "x86-64-v3", "microseconds": 8.0, "peak_gflops": 100.0, "share": 0.5},
        {"build": "x86-64-v2", "microseconds": 20.0, "peak_gflops": 50.0, "share": 0.4},
    ],
}


def test_the_table_has_ratios_and_shares():
    lines = report.table(RESULTS).splitlines()
    assert "| 64 | 1 | 5.00 | 20.00 | 0.25 | 100 | 66% |" in lines
    assert "| 4 | 1 | 20.00 |  | 90 | 50% |" in lines  # nobody to compare with
    assert "| x86-64-v2 | 20.00 | 50 | 40% | 2.50 |" in lines
    assert any("within 25% of the median" in line for line in lines)


def test_the_files_are_json_and_a_picture(tmp_path):
    pytest.importorskip("matplotlib")
    image = pytest.importorskip("PIL.Image")
    report.write(RESULTS, tmp_path / "new")
    assert json.loads((tmp_path / "new/results.json").read_text())["predict"][0]["share"] == 0.66
    with image.open(tmp_path / "new/results.png") as picture:
        assert min(picture.size) > 500
