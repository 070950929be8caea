"""The arithmetic of the benchmarks, not their results."""

import itertools
import json
import re
import string
import types
from pathlib import Path

import numpy as np
import pytest

import benchmarks.__main__ as command
from benchmarks import drawings, instructions, loading, measure, parts, results, seed
from lenet import LeNet5
from lenet.cli import bench

pytestmark = pytest.mark.release

PROFILE = """
version: 1
events: Ir

fl=(1) conv.c
fn=(1) __pyx_f_5lenet_6_fused_7kernels_c1_stage.constprop.0
10 100
+1 20
cfn=(2) __pyx_f_5lenet_6_fused_7kernels_c5_sums
calls=3 50
* 4000
-2 3

fn=(2)
7 1000
fn=(3) __pyx_f_5lenet_6_fused_7kernels_c1_stage.constprop.1
9 7
fn=(4) __pyx_f_5lenet_6_fused_7kernels_c1_stage_of_another
9 9
fn=(5) PyObject_Call
9 9
fn=(6) __pyx_f_5lenet_6_fused_7kernels_sgd_step.isra.0
9 11
"""


def test_a_profile_gives_each_kernel_its_own_instructions():
    """Instructions of called functions do not count; those of copies for constant arguments are added up."""
    assert instructions.parse(PROFILE) == {"c1_stage": 130, "c5_sums": 1000, "sgd_step": 11}


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


def test_functions_alternate(monkeypatch):
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


def test_the_multiply_adds_of_training_are_those_of_the_network():
    """Those of a prediction, and twice as many: by the weights and by the inputs, except for C1's."""
    assert 3 * bench.MULTIPLY_ADDS - 150 * 28 * 28 == measure.TRAIN_MULTIPLY_ADDS


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
    lines = command.table(RESULTS).splitlines()
    assert "| 64 | 1 | 5.00 | 20.00 | 0.25 | 100 | 66% |" in lines
    assert "| 4 | 1 | 20.00 |  | 90 | 50% |" in lines  # there is no peer to compare with
    assert "| x86-64-v2 | 20.00 | 50 | 40% | 2.50 |" in lines
    assert any("within 25% of the median" in line for line in lines)


def test_float_images_are_timed_beside_bytes():
    rows = command.float_rows(LeNet5(seed=0), np.zeros((64, 28, 28), np.uint8), 2)
    assert [row["batch"] for row in rows] == [1, 64]
    assert all(row["uint8"] > 0 and row["float32"] > 0 for row in rows)


# ---- the published figures -------------------------------------------------------------------------------


def test_a_run_becomes_values_by_name():
    run = RESULTS | {"floats": [{"uint8": 7.0, "float32": 9.0}, {"uint8": 4.0, "float32": 4.12}]}
    assert parts.speed(json.dumps(run), 0) == {
        "predict, 64 images, 1 thread, lenet (us)": 5,
        "predict, 64 images, 1 thread, PyTorch 2 (us)": 20,
        "predict, 64 images, 1 thread, of the peak (%)": 66,
        "predict, 64 images, 2 threads, lenet (us)": 5,
        "predict, 64 images, 2 threads, PyTorch 2 (us)": 20,
        "predict, 64 images, 2 threads, of the peak (%)": 66,
        "training step, 4 images, 1 thread, lenet (us)": 20,
        "training step, 4 images, 1 thread, of the peak (%)": 50,
        "1 float32 image, longer than uint8 (us)": 2,
        "64 float32 images, longer than uint8 (%)": 3,
        "build x86-64-v3, 64 images (us)": 8,
        "build x86-64-v2, 64 images (us)": 20,
    }


def test_numbers_and_rows_are_found_in_an_output():
    output = "accuracy 99.10% (90 errors in 10,000 images)\n| 1,000 | 0.01 | 5.1 |\n| 10,000 | 0.1 | 5.0 |\n"
    assert parts.number(r"\(# errors in [\d,]+", output) == 90
    assert parts.number("between #,", "between -9.8e-05, and 2e+3") == -9.8e-05
    assert parts.number("and #$", "between -9.8e-05, and 2e+3") == 2000
    assert parts.rows(r"^\| ([\d,]+) \| # \| #", "time (s)", "an image (us)")(output, 0) == {
        "1,000, time (s)": 0.01, "1,000, an image (us)": 5.1, "10,000, time (s)": 0.1, "10,000, an image (us)": 5,
    }  # fmt: skip
    with pytest.raises(ValueError, match="The output has no"):
        parts.number("loss #", output)


def test_the_rows_of_a_table_of_runs_become_values():
    output = """\
| 26 letters, 5 of each | 3.8% | 4.0% | 83.4% |
`lenet train symbols --from mnist`, 320 files: 98.8% of 800 others right, 6.5 s
scikit-learn's digits, 5 of each: 92.5% before, 97.5% after
MNIST's test digits: 99.43% before, 99.10% after
"""
    assert parts.PARTS["transfer"].read(output, 0) == {
        "26 letters, 5 of each, from scratch (%)": 3.8,
        "26 letters, 5 of each, from scratch, 800 epochs (%)": 4.0,
        "26 letters, 5 of each, from mnist (%)": 83.4,
        "files of symbols, accuracy (%)": 98.8,
        "files of symbols, time (s)": 6.5,
        "scikit-learn's digits, before (%)": 92.5,
        "scikit-learn's digits, after (%)": 97.5,
        "MNIST, before (%)": 99.43,
        "MNIST, after (%)": 99.1,
    }


def test_the_report_on_corrupted_images_becomes_values():
    summary = {
        "accuracy": 0.75, "worst_corruption": "fog", "worst_accuracy": 0.5, "calibration_error": 0.125,
        "accuracies": {"fog": 0.5, "shear": 1.0},
    }  # fmt: skip
    report = {"clean_accuracy": 0.99431, "clean_calibration_error": 0.0032, "mean": summary, "published": summary}
    found = parts.PARTS["corruptions"].read(json.dumps(report), 61.27)
    shared = {"accuracy": 75, "worst": 50, "calibration error": 12.5, "fog": 50, "shear": 100}
    expected = {"clean, accuracy (%)": 99.43, "clean, calibration error (%)": 0.32, "time (s)": 61.3}
    assert found == expected | {f"{of}, {name} (%)": x for of in ("mean", "published") for name, x in shared.items()}


def test_pictures_are_loaded_and_counted():
    count, seconds, cpu, memory, images = loading.measure(200)
    assert count == 200
    assert images == 200 * 784
    assert 0 < memory < 50
    assert cpu / count < 3e-3  # seconds; on an idle core, a sixth of it
    assert seconds > 0


# ---- drawings --------------------------------------------------------------------------------------------


def test_there_are_thirty_fonts_and_each_has_all_letters():
    fonts = {*drawings.TRAINING, *drawings.TESTING}
    assert (len(drawings.TRAINING), len(drawings.TESTING), len(fonts)) == (20, 10, 30)
    for font in fonts:
        pages = {drawings.letter(name, [font], np.random.default_rng(0)).tobytes() for name in string.ascii_uppercase}
        assert len(pages) == 26, font


def test_symbols_are_written_by_class_and_differ(tmp_path):
    drawings.write_symbols(tmp_path, 3, 0)
    files = sorted(tmp_path.glob("*/*.png"))
    assert [path.parent.name for path in files] == [name for name in sorted(drawings.STROKES) for _ in range(3)]
    assert len({path.read_bytes() for path in files}) == 24


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A file of results, and three parts: one succeeds, one fails, and one is not run by default."""
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(results, "derived", lambda of: {"twice (s)": 2 * of("slow/time (s)")})
    monkeypatch.setattr(results, "here", lambda: {"cpu": "a CPU", "cores": 2, "commit": "abc"})
    read = parts.numbers({"time (s)": "# s"})
    monkeypatch.setattr(
        results,
        "PARTS",
        {
            "quick": parts.Part("echo it takes 1.5 s", read),
            "broken": parts.Part("exit 3", read),
            "slow": parts.Part("echo it takes 4 s", read, everyday=False),
        },
    )
    results.RESULTS.write_text(json.dumps({"slow": {"command": "before", "values": {"time (s)": 3}}}))
    return lambda: results.flat(json.loads(results.RESULTS.read_text()))


def test_selected_parts_are_measured_and_the_others_kept(kept, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["results"])
    assert results.main() == 1
    assert kept() == {"slow/time (s)": 3, "quick/time (s)": 1.5, "derived/twice (s)": 6}
    assert "Failed: broken." in capsys.readouterr().err
    results.main()
    assert "quick" not in capsys.readouterr().out  # measured on this commit and CPU
    monkeypatch.setattr("sys.argv", ["results", "slow"])
    assert results.main() == 0
    assert kept() == {"slow/time (s)": 4, "quick/time (s)": 1.5, "derived/twice (s)": 8}


def test_an_interrupted_run_keeps_what_was_measured(kept, monkeypatch, capsys):
    def interrupt(output, seconds):
        raise KeyboardInterrupt

    monkeypatch.setitem(results.PARTS, "broken", parts.Part("echo", interrupt))
    monkeypatch.setattr("sys.argv", ["results"])
    assert results.main() == 130
    assert kept()["quick/time (s)"] == 1.5
    assert "run the command again" in capsys.readouterr().err


def test_an_unknown_part_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["results", "sped"])
    with pytest.raises(SystemExit):
        results.main()
    assert "sped: no such part" in capsys.readouterr().err


# ---- a notebook's gradients ------------------------------------------------------------------------------

CELLS = (
    "import numpy as np\nX = download()",
    "def square(values):\n    return (values**2).sum()",
    "half = 0.5\nturned = np.array([3.0, 4.0])\nsteep = np.array([1.0, -2.0])\nright = np.array([5.0])",
    """\
for epoch in range(2):
    total = 0
    for batch in range(0, len(X_train), 4):
        X_batch = X_train[batch : batch + 4]
        print(batch)
        loss = half * (square(turned) + square(steep) + square(right)) + 0 * X_batch.sum()
        total += loss
        dturned, dsteep, dright = turned[::-1], 2 * steep, right
        turned -= lr * dturned
        steep -= lr * dsteep
        right -= lr * dright""",
)


def as_text(cells):
    return "A title\n\n" + "".join(f"In [{n}]:\n{code}\n\n0\nWords on it.\n\n" for n, code in enumerate(cells))


def as_ipynb(cells):
    words = {"cell_type": "markdown", "source": ["Words on it."]}
    return json.dumps({"cells": [words, *({"cell_type": "code", "source": [code]} for code in cells)]})


@pytest.mark.parametrize(("name", "form"), [("notebook.txt", as_text), ("notebook.ipynb", as_ipynb)])
def test_a_notebooks_gradients_are_compared_with_its_loss(name, form, tmp_path, monkeypatch, capsys):
    """The loss is half of the sum of squares, so that each parameter is its own gradient."""
    pytest.importorskip("sklearn")
    (tmp_path / name).write_text(form(CELLS))
    monkeypatch.setattr("sys.argv", ["seed", str(tmp_path / name)])
    seed.main()
    printed = capsys.readouterr()
    *table, _, seconds = printed.out.splitlines()
    assert re.fullmatch(r"Forward and backward, these four images take \d+\.\d\d s\.", seconds)
    assert table == [
        *seed.HEADER.splitlines(),
        "| `turned` | 2 of 2 | 1.00 | 0.9600 | 3, 4 |",  # (4, 3) by (3, 4) is 24 / 25
        "| `steep` | 2 of 2 | 2.00 | 1.0000 | -4, -2 |",
        "| `right` | 1 of 1 | 1.00 | 1.0000 | 5, 5 |",
    ]
    told = ["not code: Words on it."] * 4 if form is as_text else []
    assert [line for line in printed.err.splitlines() if line != "not run: 0"] == [
        *told, "not run: import numpy as np", "not run: X = download()",
    ]  # fmt: skip


def test_a_notebook_without_training_is_refused(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    (tmp_path / "notebook.txt").write_text(as_text(CELLS[:-1]))
    monkeypatch.setattr("sys.argv", ["seed", str(tmp_path / "notebook.txt")])
    with pytest.raises(SystemExit, match="no loop that sets loss and updates parameters"):
        seed.main()


def test_the_page_has_the_table_that_is_printed():
    page = (Path(__file__).parents[2] / "docs" / "seed.md").read_text("utf-8")
    rows = re.findall(r"^\| `\w+` \| \d+ of [\d,]+ \| \d\.\d\d \| .*\|$", page, re.MULTILINE)
    assert "\n".join([seed.HEADER, *rows]) in page
    assert len(rows) == 10
