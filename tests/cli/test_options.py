"""The options of the commands, tested with stand-ins for models, data and readings."""

import argparse
import io
import json
import logging
import re
import signal
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from commands import misused, succeeds

import lenet
import lenet.cli.read as read_command
from lenet import cli
from lenet.cli import bench, completion, evaluate, export, inputs, output, predict, score
from lenet.cli.options import load_data, printed_log
from lenet.cli.output import note
from lenet.cli.signals import StopSignals
from lenet.errors import DataError, InputError, WorkerError
from lenet.rejection import RejectionRule

# ---- predict -----------------------------------------------------------------------------------------------------


class Model:
    """A model of two classes that returns the first pixel as the probability of the second class."""

    classes = ("a", "b")
    metadata: ClassVar = {}

    def __init__(self):
        self.calls = []

    def predict_proba(self, images, n_jobs):
        self.calls.append((len(images), n_jobs))
        second = images.reshape(len(images), -1)[:, :1] / 256
        return np.hstack([1 - second, second])


def table(monkeypatch, *first):
    images = np.zeros((len(first), 28, 28), np.uint8)
    images[:, 0, 0] = first
    monkeypatch.setattr("lenet.data.csv.read_csv", lambda name: (images, None, None))


def arguments_of(**values):
    defaults = {"quiet": True, "n_jobs": 3, "json": False, "csv": None, "reject_at": None, "as_mnist": False}
    return argparse.Namespace(**(defaults | values))


def test_rows_are_predicted_in_parts(monkeypatch):
    table(monkeypatch, 0, 64, 192, 128, 255)
    monkeypatch.setattr(predict, "ROWS_AT_ONCE", 2)
    model = Model()
    answers = list(predict.rows_of("x.csv", model, RejectionRule(), arguments_of()))
    assert model.calls == [(2, 3), (2, 3), (1, 3)]
    assert [answer["label"] for answer in answers] == [0, 0, 1, 0, 1]
    score = answers[1].pop("digit_score")
    assert score == pytest.approx(1 - 3 ** (-1 / 6))  # the highest logit is log(3) / 2 above the mean
    assert answers[1] == {
        "label": 0, "class": "a", "likeliest": 0, "is_digit": None, "probabilities": [0.75, 0.25],
    }  # fmt: skip


@pytest.mark.parametrize(("as_json", "reject_at"), [(False, None), (True, None), (False, 0.5)])
def test_rows_are_numbered_from_1(monkeypatch, capsys, tmp_path, as_json, reject_at):
    table(monkeypatch, 0, 192)
    rule = RejectionRule(0.0, 1.2) if reject_at else RejectionRule()
    arguments = arguments_of(json=as_json, reject_at=reject_at)
    assert predict.predict_rows("x.csv", Model(), rule, arguments) == 0
    first, second = capsys.readouterr().out.splitlines()
    if as_json:
        assert json.loads(second)["row"] == 2
        assert json.loads(second)["image"] == "x.csv"
    else:
        assert first == "x.csv, row 1: a (1.000)"
        assert second == f"x.csv, row 2: {'unsure; most likely ' if reject_at else ''}b (0.750)"
    arguments.csv = str(tmp_path / "out.csv")
    assert predict.predict_rows("x.csv", Model(), rule, arguments) == 0
    assert Path(arguments.csv).read_text() == f"ImageId,Label\n1,a\n2,{'' if reject_at else 'b'}\n"


@pytest.mark.parametrize("others", [["a.png"], ["--show", "b.png"]])
def test_a_table_is_the_only_input(capsys, others):
    assert "x.CSV is a table; expected no other input and no --show." in misused(capsys, "predict", "x.CSV", *others)


@pytest.mark.parametrize(("classes", "kind"), [(("4", "7"), "a digit"), (("4", "x"), "one of the classes")])
def test_what_resembles_no_class_is_none_of_them(classes, kind):
    answer = {"is_digit": False, "digit_score": 0.25}
    assert predict.in_words(answer, classes) == f"not {kind} (digit score 0.250)"


# ---- read --------------------------------------------------------------------------------------------------------


@pytest.fixture
def readings(monkeypatch):
    """The calls of `read`, which finds two lines, 0.5 and 0.25 sure; and no picture named broken."""
    cv2 = pytest.importorskip("cv2")
    assert cv2
    from lenet import reading
    from lenet.reading import Reading

    calls = []

    def line(text, confidence):
        return SimpleNamespace(text=text, confidence=confidence)

    def read(file, model, **named):
        calls.append((file, named))
        if file == "broken":
            raise DataError("broken is broken.")
        return Reading(lines=(line("12", 0.5), line("3", 0.25)), rotation=0, cells=())

    monkeypatch.setattr(reading, "read", read)
    return calls


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ([], {"only_digits": False, "rotate": True, "marks": False, "n_jobs": None}),
        (["--only-digits"], {"only_digits": True, "rotate": True, "marks": False, "n_jobs": None}),
        (["--no-rotate", "--n-jobs", "2"], {"only_digits": False, "rotate": False, "marks": False, "n_jobs": 2}),
        (["--marks", "--n-jobs", "-1"], {"only_digits": False, "rotate": True, "marks": True, "n_jobs": -1}),
    ],
)
def test_the_options_of_read(readings, capsys, given, named):
    assert cli.main(["read", "a", *given]) == 0
    assert readings == [("a", named)]
    assert capsys.readouterr().out == "a: 12 (0.50)\na: 3 (0.25)\n"


@pytest.mark.parametrize(("least", "texts"), [("0.25", ["12", "3"]), ("0.26", ["12"]), ("0.5", ["12"]), ("0.6", [])])
def test_lines_below_the_least_confidence_are_omitted(readings, capsys, tmp_path, least, texts):
    file = tmp_path / "out.csv"
    assert cli.main(["read", "a", "broken", "b", "--least", least, "--csv", str(file), "-q"]) == 1
    assert capsys.readouterr().err == "lenet: error: broken is broken.\n"
    lines = [f"{number},{text},{ {'12': 0.5, '3': 0.25}[text] }," for number, text in enumerate(texts, 1)] or ["0,,,"]
    rows = [[f"{name},{line}\n" for line in lines] for name in "ab"]
    broken = "broken,,,,not read: broken is broken.\n"
    assert file.read_text() == "image,line,text,confidence,check\n" + "".join([*rows[0], broken, *rows[1]])
    assert len(readings) == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--least", "1.1"], "--least: 1.1 is out of range; expected a confidence from 0 to 1."),
        (["--least=-0.1"], "--least: -0.1 is out of range; expected a confidence from 0 to 1."),
        (["--check-below", "0.5"], "--check-below requires --fields."),
        (["--check-below", "2", "--fields", "x"], "--check-below: 2 is out of range; expected a confidence"),
        (["--n-jobs", "0"], "0 is out of range; expected at least 1, or -1 for all cores."),
        (["--n-jobs", "-2"], "-2 is out of range; expected at least 1, or -1 for all cores."),
    ],
)
def test_usage_errors_of_read(capsys, given, said):
    assert said in misused(capsys, "read", "a.png", *given)


def test_a_confidence_of_0_or_1_is_possible(readings, capsys):
    for least in ("0", "1"):
        assert cli.main(["read", "a", "--least", least]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "a: no line with a confidence of at least 1"


@pytest.mark.parametrize("option", [["--only-digits"], ["--marks"], ["--least", "0.5"]])
def test_forms_have_no_options_of_pages(capsys, option):
    pytest.importorskip("cv2")
    said = misused(capsys, "read", "a.png", "--fields", "x.json", *option)
    assert f"--fields and {option[0]} were both given; expected one of them." in said


def value(name, text, confidence, problems=()):
    return SimpleNamespace(
        name=name, value=text, confidence=confidence, problems=problems, rotation=0, as_dict=lambda: {"x": name}
    )


def test_fields_are_printed_and_written(monkeypatch, capsys, tmp_path):
    pytest.importorskip("cv2")
    fields = tmp_path / "fields.json"
    fields.write_text('[{"name": "a", "box": [0, 0, 1, 1], "digits": 2}]')
    calls = []

    def read_form(file, fields, model, **named):
        calls.append((file, [field.name for field in fields], named))
        if file == "broken":
            raise DataError("broken is broken.")
        if file == "interrupted":
            raise KeyboardInterrupt
        return (value("a", "12", 0.519, ("low", "digits")),)

    monkeypatch.setattr("lenet.reading.read_form", read_form)
    assert cli.main(["read", "x", "broken", "--fields", str(fields), "--no-rotate", "--check-below", "0.75"]) == 1
    assert calls[0] == ("x", ["a"], {"rotate": False, "n_jobs": 1, "check_below": 0.75})
    assert capsys.readouterr().out == "x: a: 12 (0.51) check: low, digits\n"
    assert cli.main(["read", "x", "--fields", str(fields), "--json"]) == 0
    assert calls[2][-1] == {"rotate": True, "n_jobs": None}
    assert json.loads(capsys.readouterr().out) == {"image": "x", "fields": [{"x": "a"}]}
    out = tmp_path / "out.csv"
    assert cli.main(["read", "broken", "x", "--fields", str(fields), "--csv", str(out), "-q"]) == 1
    table = 'image,check,a,a_confidence\nbroken,not read: broken is broken.,,\nx,"a: low, digits",12,0.519\n'
    assert out.read_text() == table
    for names, status in [(["broken"], 1), (["broken", "interrupted"], 130)]:  # without a row of values
        assert cli.main(["read", *names, "--fields", str(fields), "--csv", str(out), "-q"]) == status
        assert out.read_text() == table


def test_a_reading_as_json_and_in_words(capsys):
    line = SimpleNamespace(text="12", confidence=0.999)
    reading = SimpleNamespace(lines=[line], as_dict=lambda: {"text": "12"})
    read_command.show("a", reading, as_json=True)
    read_command.show("a", reading, as_json=False)
    read_command.show("a", SimpleNamespace(lines=[]), as_json=False)
    assert capsys.readouterr().out == '{"image": "a", "text": "12"}\na: 12 (0.99)\na: no digits\n'


# ---- standard input, tables, notes -------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "fits"), [(10, True), (11, False)])
def test_standard_input_has_a_limit(monkeypatch, size, fits):
    monkeypatch.setattr(inputs, "MAX_BYTES", 10)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(bytes(size))))
    if fits:
        file = inputs.picture("-")
        assert len(file.read()) == size
        assert inputs.rewound(file).read() == bytes(size)
    else:
        with pytest.raises(InputError, match=r"^Standard input has more than 10 bytes; expected a smaller picture"):
            inputs.picture("-")
    assert inputs.picture("a.png") == inputs.rewound("a.png") == "a.png"


@pytest.mark.parametrize(("csv", "quiet", "shown"), [("x", False, True), ("x", True, False), (None, False, False)])
def test_a_bar_is_shown_while_a_table_is_written(monkeypatch, capsys, csv, quiet, shown):
    bars = []

    class Bar:
        def __init__(self, shown):
            bars.append([shown])

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def update(self, done, total):
            bars[-1].append((done, total))

    def read(name):
        if name == "b":
            raise OSError(2, "No such file or directory", "b")
        return name.upper()

    monkeypatch.setattr("lenet.cli.inputs.Bar", Bar)
    table = inputs.Table(["check", "image", "text"])
    found = inputs.read_each(arguments_of(csv=csv, quiet=quiet), ["a", "b", "c"], read, table)
    assert list(found) == [("a", "A"), ("c", "C")]
    assert (table.rows, table.num_unread) == ([["not read: b: No such file or directory", "b", ""]], 1)
    assert capsys.readouterr().err == "lenet: error: b: No such file or directory\n"
    assert bars == [[shown, (1, 3), (2, 3), (3, 3)]]


@pytest.mark.parametrize("quiet", [False, True])
def test_notes_and_the_log_of_loaders(capsys, quiet):
    logger = logging.getLogger("lenet.data")
    before = logger.level, list(logger.handlers)
    note("a\nb", quiet=quiet)
    with printed_log(quiet=quiet):
        logger.info("an %s", "info")
        logger.warning("a warning")
    assert (logger.level, logger.handlers) == before
    notes = "" if quiet else "lenet: note: a\\nb\nlenet: note: an info\n"
    assert capsys.readouterr().err == f"{notes}lenet: warning: a warning\n"


@pytest.mark.parametrize("quiet", [False, True])
def test_the_options_of_a_data_set(monkeypatch, quiet):
    bars, calls = [], []

    def load(source, progress, **named):
        calls.append((source, named))
        for done in (1, 2):
            progress(done, 2)

    class Bar(io.StringIO):
        def __init__(self, shown):
            super().__init__()
            bars.append([shown])

        def update(self, done, total):
            bars[-1].append((done, total))

    monkeypatch.setattr("lenet.data.load", load)
    monkeypatch.setattr("lenet.cli.options.Bar", Bar)
    load_data("x", quiet=quiet)
    load_data("y", raw=True, strict=True, hold_out=False)
    assert bars[0] == [not quiet, (1, 2), (2, 2)]
    assert calls == [
        ("x", {"raw": False, "strict": False, "hold_out": True}),
        ("y", {"raw": True, "strict": True, "hold_out": False}),
    ]


# ---- evaluate, export, score, info -------------------------------------------------------------------------------


@pytest.mark.parametrize(("images", "said"), [(None, False), (7, False), (8, False), (3, True)])
def test_at_most_some_images_are_evaluated(capsys, images, said):
    chosen = evaluate.chosen_images(7, SimpleNamespace(images=images, quiet=False))
    numbers = np.arange(7)[chosen]
    assert len(set(numbers)) == len(numbers) == (3 if said else 7)
    assert ("3 of the 7 test images, chosen at random, are used." in capsys.readouterr().err) == said
    if said:
        again = evaluate.chosen_images(7, SimpleNamespace(images=images, quiet=True))
        np.testing.assert_array_equal(chosen, again)
        assert capsys.readouterr().err == ""


def test_evaluate_needs_an_image(capsys):
    pytest.importorskip("sklearn")
    assert "--images: 0 is out of range; expected at least 1." in misused(capsys, "evaluate", "digits", "--images", 0)
    assert json.loads(succeeds(capsys, "evaluate", "digits", "--images", 1, "--json", "-q"))["images"] == 1


def test_a_model_is_not_replaced_by_its_export(tmp_path):
    model, other = tmp_path / "model.onnx", tmp_path / "other.c"
    model.write_bytes(b"\x08\x08\x12\x05lenet")
    export.check_overwrite({model: b""}, str(tmp_path / "none"))
    export.check_overwrite({other: b"", tmp_path / "new.h": b""}, str(model))
    with pytest.raises(InputError, match=r"model\.onnx is the model itself\. Choose another name"):
        export.check_overwrite({model: b""}, str(model))


def test_score_passes_its_options(monkeypatch, capsys, tmp_path):
    calls = []
    monkeypatch.setattr("lenet.scale.score", lambda *given, **named: calls.append((given, named)) or 1234)
    out = str(tmp_path / "out.npy")
    said = succeeds(capsys, "score", "a", "b", "--out", out, "--workers", "2", "--column", "c", "--probabilities")
    assert re.fullmatch(re.escape(out) + r": 1,234 images in \d+\.\d s\n", said)
    (((files, target), named),) = calls
    assert (files, target) == (["a", "b"], out)
    model = named.pop("model")
    assert model.num_classes == 10
    assert named == {"client": None, "workers": 2, "column": "c", "probabilities": True, "progress": True}
    found = json.loads(succeeds(capsys, "score", "a", "--out", out, "--json", "-q"))
    assert (found["out"], found["images"]) == (out, 1234)
    assert 0 <= found["seconds"] < 60
    assert calls[1][1].items() >= {"workers": None, "column": None, "probabilities": False, "progress": False}.items()
    assert succeeds(capsys, "score", "a", "--out", out, "-q") == ""
    said = misused(capsys, "score", "a", "--out", out, "--workers", 1, "--scheduler", "x")
    assert "--workers and --scheduler were both given; expected one of them." in said


@pytest.mark.parametrize("error", [OSError, ValueError, TypeError])
def test_a_scheduler_that_does_not_answer(monkeypatch, error):
    def client(address, timeout):
        assert (address, timeout) == ("tcp://x", 10)
        raise error("no")

    monkeypatch.setattr("lenet._extras.require", lambda name, extra: SimpleNamespace(Client=client))
    with pytest.raises(WorkerError, match=r"^No scheduler answers at tcp://x \(no\)\. Correct the address"):
        score.cluster("tcp://x")
    with score.cluster(None) as nothing:
        assert nothing is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["mnist", "--network", "1998"], "FILE and --network were both given; expected one of them."),
        (["mnist", "--bench"], "--bench and FILE were both given; expected one of them."),
        (["--network", "--bench"], "--bench and --network were both given; expected one of them."),
        (["--figure", "x.png", "--bench"], "--bench and --figure were both given; expected one of them."),
        (["--figure", "x.jpg"], "--figure is x.jpg; expected a name that ends in .png."),
    ],
)
def test_usage_errors_of_info(capsys, given, said):
    assert said in misused(capsys, "info", *given)


def test_info_as_json(capsys):
    here = json.loads(succeeds(capsys, "info", "--json"))
    assert here.items() >= {"num_classes": 10, "dtype": "float32", "parameters": 61706}.items()
    assert here["lenet"] == lenet.__version__
    assert here["threads"] >= 1
    assert not {"mean", "classes", "network", "bench"} & here.keys()
    model = json.loads(succeeds(capsys, "info", "mnist", "--json"))
    assert model["classes"] == list("0123456789")
    assert model["parameters"] == 61706
    assert not {"threads", "network", "bench"} & model.keys()


def test_the_report_of_a_bench():
    measured = {"build": "v4", "microseconds": 9.55, "peak_gflops": 118.4, "share": 0.745, "difference": 1.23e-6}
    assert bench.report(measured) == (
        "bench    v4: 9.6 microseconds per image, 64 at a time on one thread\n"
        "         74% of this core's 118 GFLOP/s, counted as plain loops\n"
        "         logits within 1e-06 of those in float64"
    )


# ---- the command as a whole --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (InputError("a\nb"), "a b"),
        (MemoryError(), "out of memory"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError(28, "No space left on device", Path("x")), "x: No space left on device"),
        (OSError("no number"), "no number"),
    ],
)
def test_the_line_of_an_error(error, text):
    assert output.error_text(error) == text
    assert output.error_line(error) == f"lenet: error: {text}"


def test_only_the_first_signal_stops_gently():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with StopSignals() as signals:
        assert signals.received == 0
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] != before
        signal.raise_signal(signal.SIGTERM)
        assert signals.received == signal.SIGTERM
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    found = []

    def other_thread():
        with StopSignals():
            found.append([signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)])

    thread = threading.Thread(target=other_thread)
    thread.start()
    thread.join()
    assert found == [before]


def test_the_arguments_that_are_paths_complete_file_names(monkeypatch, capsys):
    scripts = SimpleNamespace(FILE={"bash": "files"}, complete=lambda parser, shell: f"script for {shell}")
    monkeypatch.setattr("lenet._extras.require", lambda name, extra: scripts)
    parser = cli.build_parser()
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--print-completion", "zsh"])
    assert (ended.value.code, capsys.readouterr().out) == (0, "script for zsh\n")
    completed = {each.metavar for each in completion._actions(parser) if getattr(each, "complete", None)}
    assert completed == set(completion.PATHS)
