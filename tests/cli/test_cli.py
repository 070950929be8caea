"""`lenet predict`, `read`, `evaluate`, `info` and `export`: their output and files."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_calls import EPOCHS, command, environment, events
from commands import fails, misused, run, succeeds

import lenet
from lenet import cli, plots
from lenet._fused.dispatch import available, chosen
from lenet.cli import predict
from lenet.cli.options import load_model

for needed in ("sklearn", "matplotlib"):
    pytest.importorskip(needed)

pytest_plugins = ["cli_fixture"]


# Predicting, evaluating, telling


def test_predict_reads_photographs_of_digits(pictures, reader, capsys):
    lines = succeeds(capsys, "predict", "-q", *reader, *[path for path, _ in pictures]).splitlines()
    right = 0
    for line, (path, label) in zip(lines, pictures, strict=True):
        match = re.fullmatch(re.escape(str(path)) + r": (\d|not a digit) \((?:digit score )?(\d\.\d{3})\)", line)
        assert match, line
        assert 0 <= float(match[2]) <= 1
        right += match[1] == str(label)
    assert right >= 0.85 * len(pictures)


def test_predict_prints_every_probability_as_json(pictures, reader, capsys):
    paths = [str(path) for path, _ in pictures]
    found = events(succeeds(capsys, "predict", "--json", *reader, *paths))
    assert [each["image"] for each in found] == paths
    for each in found:
        assert len(each["probabilities"]) == 10
        assert sum(each["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert each["likeliest"] == int(np.argmax(each["probabilities"]))
        assert each["label"] == (each["likeliest"] if each["is_digit"] else None)


def test_predict_continues_after_a_file_that_is_not_a_picture(pictures, reader, tmp_path, capsys):
    (tmp_path / "note.png").write_text("seven")
    (tmp_path / "cut.png").write_bytes(pictures[0][0].read_bytes()[:-400])
    missing = tmp_path / "missing.png"
    given = [tmp_path / "note.png", pictures[0][0], tmp_path / "cut.png", missing, pictures[1][0]]
    assert cli.main(["predict", *reader, *map(str, given)]) == 1
    out, err = capsys.readouterr()
    assert [line.partition(": ")[0] for line in out.splitlines()] == [str(pictures[0][0]), str(pictures[1][0])]
    said = err.splitlines()
    assert len(said) == 3
    for line, path in zip(said, [tmp_path / "note.png", tmp_path / "cut.png", missing], strict=True):
        assert line.startswith(f"lenet: error: {path}")
    assert "not a picture" in said[0]
    assert "damaged" in said[1]
    assert said[2] == f"lenet: error: {missing}: No such file or directory"


@pytest.mark.timing
def test_info_measures_the_speed_of_the_build(capsys, monkeypatch):
    from lenet.cli import bench

    monkeypatch.setattr(bench, "SECONDS", 0.0)
    measured = json.loads(succeeds(capsys, "info", "--bench", "--json"))["bench"]
    assert measured["build"] == chosen()
    assert measured["share"] == pytest.approx(2 * 416_520e-3 / measured["microseconds"] / measured["peak_gflops"])
    assert 0.01 < measured["share"] < 1.1  # a core cannot do more than its peak
    *_, speed, share, check = succeeds(capsys, "info", "--bench").splitlines()
    assert re.fullmatch(rf"bench    {chosen()}: [\d.]+ microseconds per image, 64 at a time on one thread", speed)
    assert re.fullmatch(r" {9}\d+% of this core's \d+ GFLOP/s, counted as plain loops", share)
    assert re.fullmatch(r" {9}logits within \de-\d\d of those in float64", check)
    assert 0 < measured["difference"] < 1e-5


def test_a_bench_takes_about_as_long_for_the_peak_as_for_predictions():
    """Predictions reach 67% of the peak of a core with AVX2; see the README."""
    from lenet.cli import bench

    build = available().get("x86-64-v3") or pytest.skip("needs AVX2")
    predictions = bench.CALLS * bench.IMAGES * bench.MULTIPLY_ADDS / 0.67
    assert 2 / 3 < predictions / (bench.ROUNDS * build.multiply_adds(1)) < 3 / 2


def test_info_describes_the_installation_and_the_network(capsys):
    text = succeeds(capsys, "info")
    assert lenet.__version__ in text
    assert "kernels" in text
    assert "61,706" in text
    network = succeeds(capsys, "info", "--network")
    assert network in text
    assert [line.split()[0] for line in network.splitlines()] == [
        "Stage", "input", "c1", "s2", "c3", "s4", "c5", "f6", "output", "total",
    ]  # fmt: skip


def test_info_refuses_an_empty_name(capsys):
    assert "An empty name does not exist" in fails(capsys, "info", "")
    assert "--figure is an empty name; expected a name that ends in .png" in misused(capsys, "info", "--figure", "")


def test_info_prints_only_the_layers_of_a_model_on_request(capsys):
    layers = succeeds(capsys, "info", "mnist", "--network")
    assert "61,706" in layers.splitlines()[-1]
    assert succeeds(capsys, "info", "mnist").startswith(layers + "\n")


def test_info_shows_the_network_of_1998(capsys, tmp_path):
    assert "60,000" in succeeds(capsys, "info", "--network", "1998")
    assert succeeds(capsys, "info", "--network", "1998", "--figure", tmp_path / "old.png") == ""
    assert (tmp_path / "old.png").read_bytes() == plots.architecture(10, "1998") != plots.architecture()
    assert "invalid choice: 'mnist'" in misused(capsys, "info", "--network", "mnist")
    assert "--network and --json were both given" in misused(capsys, "info", "--network", "--json")


@pytest.mark.landing
@pytest.mark.usefixtures("no_figures")
def test_train_evaluate_and_predict_with_the_network_of_1998(cwd, capsys):
    text = succeeds(capsys, "train", "digits", "--network", "1998", "--epochs", "2", "--validation", "0.1")
    assert "accuracy" in text
    model = lenet.load("runs/train-1")
    assert type(model) is lenet.LeNet1998
    assert model.metadata["recipe"] == "paper"
    evaluated = json.loads(succeeds(capsys, "evaluate", "digits", "--model", "runs/train-1", "--json"))
    assert evaluated["accuracy"] == float(model.metadata["test_accuracy"]) > 0.8
    described = json.loads(succeeds(capsys, "info", "runs/train-1", "--json"))
    assert (described["network"], described["parameters"]) == ("1998", 60_000)
    said = misused(capsys, "train", "digits", "--network", "1998", "--from", "mnist")
    assert "--network and --from were both given" in said
    assert "expected 0 with the optimizer" in misused(
        capsys, "train", "digits", "--network", "1998", "--momentum", "0.9"
    )


def test_info_shows_the_origin_of_a_model(work, capsys):
    folder, told, _ = work
    text = succeeds(capsys, "info", folder / "runs/train-1")
    facts = dict(line.split(maxsplit=1) for line in text.rpartition("\n\n")[2].splitlines())
    assert facts["recipe"] == "small"
    assert facts["changes"] == f"epochs={EPOCHS}, lr=0.07, distort=False"
    assert facts["data"] == "digits"
    assert facts["parameters"] == "61706"
    assert facts["epoch"] == str(told[-1]["best_epoch"])
    assert float(facts["test_accuracy"]) == told[-1]["accuracy"]
    as_json = json.loads(succeeds(capsys, "info", folder / "runs/train-1/best.safetensors", "--json"))
    assert facts.pop("classes") == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert as_json.pop("classes") == list("0123456789")
    assert {name: str(value) for name, value in as_json.items()} == facts


def test_info_lists_the_names_of_the_classes(capsys, tmp_path):
    model = lenet.LeNet5(seed=0, num_classes=3)
    model.classes = names = ("circle", "square", "a, b")
    path = tmp_path / "model.safetensors"
    model.save(path)
    assert re.search(r"^classes +circle, square, a, b$", succeeds(capsys, "info", path), re.MULTILINE)
    assert json.loads(succeeds(capsys, "info", path, "--json"))["classes"] == list(names)


def test_info_draws_the_network(tmp_path, capsys):
    assert cli.main(["info", "--figure", str(tmp_path / "network.png")]) == 0
    assert (tmp_path / "network.png").read_bytes().startswith(b"\x89PNG")
    said = fails(capsys, "info", "--figure", tmp_path / "none" / "network.png")
    assert "is not a folder. Create it first." in said


@pytest.mark.parametrize(
    ("side", "ink", "said"),
    [(8, 16.0, "8x8 pixels from 0 to 16"), (28, 2.5, "28x28 pixels from 0 to 2.5"), (28, 1.0, None),
     (28, np.uint8(9), None)],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_classifier_of_other_images_is_reported(cwd, capsys, side, ink, said):
    pixels = np.stack([np.full((side, side), 0 * ink), np.full((side, side), ink)])
    lenet.LeNetClassifier(max_iter=1).fit(pixels, [0, 1]).save("own.safetensors")
    np.savez("own.npz", X=np.zeros((2, 28, 28), np.uint8), y=[0, 1])
    Path("own.csv").write_text(",".join(["0"] * 784))
    use = ["--model", "own.safetensors"]
    for each in (["evaluate", "own.npz", *use], ["predict", "own.csv", *use], ["export", "own.safetensors", "own.c"],
                 ["page", "own.html", *use]):  # fmt: skip
        assert cli.main([*each, "-q"]) == 0
        warning = f"lenet: warning: own.safetensors was trained on images of {said}. "
        assert (warning in capsys.readouterr().err) == (said is not None)
    assert cli.main(["info", "own.safetensors"]) == 0  # passes it no images
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("record", ["[]", "{", '{"framing": 3}', '{"framing": {"low": 0}}', "[" * 100_000])
def test_a_damaged_record_of_a_classifier_is_not_reported(tmp_path, capsys, record):
    model = lenet.LeNet5(seed=0)
    model.metadata["classifier"] = record
    model.save(tmp_path / "own.safetensors")
    load_model(tmp_path / "own.safetensors", quiet=False)
    assert capsys.readouterr().err == ""


def test_version_from_every_entry_point():
    wanted = f"lenet {lenet.__version__}\n"
    done = command("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, wanted, "")
    script = Path(sys.executable).parent / "lenet"
    if script.exists():
        done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout == wanted


def test_help_names_every_command_and_option(capsys):
    for arguments, words in (
        ([], cli.COMMANDS),
        (["train"], ["--resume", "--recipe", "--epochs", "--runs", "--seed", "--json", "digits", ".npz"]),
        (["evaluate"], ["--model", "--corruptions", "--images", "--json"]),
        (["predict"], ["IMAGE", "--model", "--json"]),
        (["info"], ["--network", "--figure", "--bench", "--json"]),
    ):
        text = succeeds(capsys, *arguments, "--help")
        assert [word for word in words if word not in text] == []


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["train"], ["--version"], ["nothing"]])
def test_help_and_usage_errors_import_nothing_heavy(arguments):
    program = (
        "import sys\nfrom lenet.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'safetensors', 'sklearn', 'scipy', 'pandas', 'matplotlib', 'rich', 'PIL'}\n"
        "print(sorted(heavy & sys.modules.keys()), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_predicting_imports_nothing_heavy(pictures, reader):
    program = (
        "import sys\nfrom lenet.cli import main\nassert main(sys.argv[1:]) == 0\n"
        "heavy = {'sklearn', 'scipy', 'pandas', 'matplotlib', 'rich', 'lenet.scale'}\n"
        "print(sorted(heavy & sys.modules.keys()), file=sys.stderr)"
    )
    whole = [sys.executable, "-c", program, "predict", *reader, pictures[0][0]]
    done = subprocess.run(whole, capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


# ---- export --------------------------------------------------------------------------------------------


def test_export_to_c_writes_a_source_and_its_header(capsys, tmp_path):
    from lenet.interop import to_c

    for arguments in ([tmp_path / "digits.c"], [tmp_path / "digits.txt", "--to", "c"]):
        assert cli.main(["export", "mnist", *map(str, arguments)]) == 0
        source, header = to_c(lenet.load_pretrained("mnist"), "digits")
        assert arguments[0].read_text() == source
        assert (tmp_path / "digits.h").read_text() == header
        said = capsys.readouterr().out.splitlines()
        assert said == [f"{arguments[0]} ({len(source):,} bytes)", f"{tmp_path / 'digits.h'} ({len(header):,} bytes)"]


@pytest.mark.landing
def test_export_to_onnx(tmp_path):
    pytest.importorskip("onnx")
    from lenet.interop import from_onnx, to_onnx

    lenet.LeNet5(seed=0, num_classes=3).save(tmp_path / "own.safetensors")
    model = lenet.load(tmp_path / "own.safetensors")
    for pixels, arguments in (("float32", []), ("uint8", ["--pixels", "uint8"])):
        path = tmp_path / "own.onnx"
        assert cli.main(["export", str(tmp_path / "own.safetensors"), str(path), *arguments]) == 0
        assert path.read_bytes() == to_onnx(model, pixels=pixels).SerializeToString(deterministic=True)
        np.testing.assert_array_equal(from_onnx(path).parameters.flat, model.parameters.flat)


def test_the_suffix_of_a_model_may_be_in_capitals(tmp_path):
    pytest.importorskip("onnx")
    model = lenet.LeNet5(seed=0, num_classes=3)
    (tmp_path / "OWN.ONNX").write_bytes(lenet.interop.to_onnx(model).SerializeToString())
    np.testing.assert_array_equal(load_model(tmp_path / "OWN.ONNX", quiet=True).parameters.flat, model.parameters.flat)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["mnist", "out.bin"], "out.bin has an unknown suffix; expected .onnx or .c. Pass --to"),
        (["mnist", "x.H", "--to", "c"], "x.H is the name of a header; expected a source file, such as x.c."),
        (["mnist", "out.h", "--to", "c"], "expected a source file, such as out.c"),
        (["mnist", "1st.c"], "name is '1st'; expected at most 31 letters, digits and underscores"),
        (["mnist", "out.c", "--pixels", "float32"], "expected uint8, as the C functions take bytes"),
        (["mnist", "math.c"], "math.h is a standard C header"),
        (["mnist", "out.c", "--to", "onnx"], "out.c has the suffix of another format; expected that of --to onnx"),
        (["mnist", "out.onnx", "--to", "c"], "out.onnx has the suffix of another format; expected that of --to c"),
        (["mnist", "out.onnx", "--to", "tflite"], "invalid choice: 'tflite'"),
        (["mnist", "out.onnx", "--pixels", "int8"], "invalid choice: 'int8'"),
    ],
)
def test_wrong_arguments_of_export(capsys, cwd, arguments, says):
    assert says in misused(capsys, "export", *arguments)
    assert list(cwd.iterdir()) == []


def test_a_failed_export_is_a_one_line_error_and_writes_nothing(capsys, tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    assert "damaged" in fails(capsys, "export", tmp_path / "bad.safetensors", tmp_path / "out.c")
    assert "does not exist; expected" in fails(capsys, "export", tmp_path / "none.safetensors", tmp_path / "out.c")
    assert "is not a folder. Create it first." in fails(capsys, "export", "mnist", tmp_path / "none" / "out.c")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.safetensors"]


def test_export_loses_nothing(capsys, tmp_path):
    own = tmp_path / "own.safetensors"
    lenet.LeNet5(seed=0).save(own)
    (tmp_path / "keep.h").write_text("/* mine */")
    (tmp_path / "folder.h").mkdir()
    before = own.read_bytes()
    assert "is the model itself" in fails(capsys, "export", own, own, "--to", "c")
    assert "keep.h exists and was not written by lenet" in fails(capsys, "export", own, tmp_path / "keep.c")
    assert "folder.h is a folder" in fails(capsys, "export", own, tmp_path / "folder.c")
    assert own.read_bytes() == before
    assert (tmp_path / "keep.h").read_text() == "/* mine */"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.h", "keep.h", "own.safetensors"]


def test_export_to_onnx_without_onnx_names_the_extra(tmp_path):
    program = "import sys; sys.modules['onnx'] = None; from lenet.cli import main; sys.exit(main(sys.argv[1:]))"
    whole = [sys.executable, "-c", program, "export", "mnist", str(tmp_path / "out.onnx")]
    done = subprocess.run(whole, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 1
    assert done.stderr.startswith("lenet: error: This requires onnx")
    assert "pip install 'lenet[onnx]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


# ---- reading -------------------------------------------------------------------------------------------


def number_on_paper(path):
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("cv2")
    digits = lenet.data.load_digits()
    page = np.full((60, 160), 255, np.uint8)
    for place, digit in enumerate(digits.X_test[183:187]):
        page[16:44, 20 + 30 * place : 48 + 30 * place] = 255 - digit
    image.fromarray(page).save(path)
    return "".join(map(str, digits.y_test[183:187]))


def test_read_prints_lines(capsys, tmp_path):
    path = tmp_path / "a.png"
    text = number_on_paper(path)
    assert succeeds(capsys, "read", path).startswith(f"{path}: {text} (")
    outcome = json.loads(succeeds(capsys, "read", path, "--json"))
    assert outcome["lines"][0]["text"] == text
    assert len(outcome["lines"][0]["digits"]) == 4
    assert succeeds(capsys, "read", path, "--least", "1") == f"{path}: no line with a confidence of at least 1\n"


def test_read_turns_pictures_by_default(capsys, tmp_path):
    text = number_on_paper(tmp_path / "a.png")
    image = pytest.importorskip("PIL.Image")
    image.open(tmp_path / "a.png").rotate(90, expand=True).save(tmp_path / "side.png")
    command = ["read", tmp_path / "side.png", "--json"]
    turned, kept = (json.loads(succeeds(capsys, *command, *options)) for options in ([], ["--no-rotate"]))
    assert (turned["rotation"], turned["lines"][0]["text"]) == (270, text)
    assert kept["rotation"] == 0
    assert all(line["text"] != text for line in kept["lines"])


def test_a_note_says_that_a_picture_was_turned(capsys, tmp_path):
    """Texts and tables do not show it."""
    number_on_paper(tmp_path / "a.png")
    image, path, fields = pytest.importorskip("PIL.Image"), tmp_path / "side.png", tmp_path / "fields.json"
    image.open(tmp_path / "a.png").rotate(90, expand=True).save(path)
    fields.write_text('[{"name": "a", "box": [0, 0, 1, 1]}]')
    said = f"lenet: note: {path} was turned by 270 degrees, counter-clockwise. If this is wrong, pass --no-rotate.\n"
    for options in ([], ["--fields", fields], ["--csv", tmp_path / "out.csv"]):
        code, _, err = run(capsys, "read", path, *options)
        assert (code, err) == (0, said)
        succeeds(capsys, "read", path, *options, "-q")


def test_read_continues_after_a_file_that_is_not_a_picture(capsys, tmp_path):
    text = number_on_paper(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    assert cli.main(["read", str(tmp_path / "b.png"), str(tmp_path / "a.png")]) == 1
    out, err = capsys.readouterr()
    assert text in out
    assert err.count("\n") == 1
    assert "b.png is not a picture" in err


def test_read_refuses_a_model_of_long_names_once(capsys, tmp_path):
    number_on_paper(tmp_path / "a.png")
    model = lenet.load_pretrained("mnist")
    model.classes = [f"digit {k}" for k in range(10)]
    model.save(tmp_path / "words.safetensors")
    said = fails(capsys, "read", *[tmp_path / "a.png"] * 2, "--model", tmp_path / "words.safetensors")
    assert "The model has a class 'digit 0'; expected names of one character" in said


def test_read_shows_boxes_over_the_picture(tmp_path):
    image = pytest.importorskip("PIL.Image")
    number_on_paper(tmp_path / "a.png")
    shown = tmp_path / "shown.png"
    for _ in range(2):  # lenet replaces its own drawing
        assert cli.main(["read", str(tmp_path / "a.png"), "--show", str(shown)]) == 0
    with image.open(shown) as drawing, image.open(tmp_path / "a.png") as picture:
        assert drawing.mode == "RGB"
        assert drawing.width > picture.width
        colours = {colour for _, colour in drawing.getcolors(2**24)}
    assert (0, 114, 178) in colours  # of confident digits


def test_show_never_overwrites_another_picture(capsys, tmp_path):
    path = tmp_path / "a.png"
    number_on_paper(path)
    before = path.read_bytes()
    for verb in ("read", "predict"):
        assert "a.png exists and was not written by lenet" in fails(capsys, verb, path, "--show", path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a.png", "--show", "b.jpg"], "--show is b.jpg; expected a name that ends in .png"),
        (["a.png", "b.png", "--show", "c.png"], "--show was given with 2 pictures; expected one"),
    ],
)
def test_show_explains_what_it_cannot_do(capsys, arguments, said):
    for verb in ("read", "predict"):
        assert said in misused(capsys, verb, *arguments)


def one_digit(path):
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("cv2")
    digits = lenet.data.load_digits()
    large = np.kron(255 - digits.X_test[183], np.ones((4, 4), np.uint8))
    image.fromarray(np.pad(large, 30, constant_values=255)).save(path)
    return int(digits.y_test[183])


def test_predict_rounds_probabilities_and_scores_down():
    """0.9996 is not certain, and the score 0.0299 is below 0.03."""
    likely = {"label": 0, "likeliest": 0, "is_digit": True, "probabilities": [0.9996, 0.0004]}
    assert predict.in_words(likely, ("7", "1")) == "7 (0.999)"
    assert predict.in_words(likely | {"probabilities": [1.0, 0.0]}, ("7", "1")) == "7 (1.000)"
    assert predict.in_words(likely | {"label": None}, ("7", "1")) == "unsure; most likely 7 (0.999)"
    assert predict.in_words({"is_digit": False, "digit_score": 0.0299}, ("7", "1")) == "not a digit (digit score 0.029)"


def test_predict_shows_what_the_network_saw(tmp_path):
    image = pytest.importorskip("PIL.Image")
    one_digit(tmp_path / "a.png")
    assert cli.main(["predict", str(tmp_path / "a.png"), "--show", str(tmp_path / "b.png")]) == 0
    seen = np.asarray(image.open(tmp_path / "b.png"))
    prepared = lenet.reading.prepare(lenet.reading.read_picture(tmp_path / "a.png"))
    np.testing.assert_array_equal(seen, np.kron(prepared, np.ones((10, 10), np.uint8)))


def test_predict_reports_non_digits(capsys, tmp_path):
    image = pytest.importorskip("PIL.Image")
    cv2 = pytest.importorskip("cv2")
    page = np.full((200, 200), 255, np.uint8)
    cv2.putText(page, "K", (40, 150), cv2.FONT_HERSHEY_SIMPLEX, 4, 0, 8, cv2.LINE_AA)
    image.fromarray(page).save(tmp_path / "a.png")
    assert cli.main(["predict", str(tmp_path / "a.png")]) == 0
    captured = capsys.readouterr()
    assert re.fullmatch(r".*a\.png: not a digit \(digit score 0\.\d{3}\)\n", captured.out)
    assert captured.err == "lenet: note: To read pictures of several digits, run `lenet read`.\n"
    answer = json.loads(succeeds(capsys, "predict", tmp_path / "a.png", "--json"))
    assert (answer["label"], answer["is_digit"]) == (None, False)
    assert answer["digit_score"] < 0.3


def test_a_model_that_cannot_tell_non_digits_says_so(capsys, tmp_path):
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("cv2")
    grille = np.zeros((28, 28), np.uint8)
    grille[4:24:5] = grille[:, 4:24:5] = 255
    image.fromarray(grille).save(tmp_path / "a.png")
    model = lenet.load_pretrained("mnist")
    model.metadata |= {"margins": '{"0.01": 0.1}'}
    model.metadata.pop("min_digit_score")
    model.save(tmp_path / "m.safetensors")
    given = ["predict", str(tmp_path / "a.png"), "--model", str(tmp_path / "m.safetensors")]
    answer = json.loads(succeeds(capsys, *given, "--json"))
    assert (answer["is_digit"], answer["label"]) == (None, answer["likeliest"])
    assert cli.main([*given, "--csv", str(tmp_path / "out.csv"), "-q"]) == 0
    assert (tmp_path / "out.csv").read_text().splitlines()[1].endswith(",,")
    assert cli.main([*given, "--reject-at", "0.01"]) == 0
    error = capsys.readouterr().err
    assert error.startswith(
        f"lenet: note: {tmp_path / 'm.safetensors'} cannot reject pictures that resemble none of its"
    )


def test_predict_reports_unsure_answers(capsys, tmp_path):
    label = one_digit(tmp_path / "a.png")
    assert f"a.png: {label} (" in succeeds(capsys, "predict", tmp_path / "a.png", "--reject-at", "0.02")
    model = lenet.load_pretrained("mnist")
    model.metadata["margins"] = '{"0.001": 100}'
    model.save(tmp_path / "strict.safetensors")
    given = ["predict", tmp_path / "a.png", "--reject-at", "0.001", "--model", tmp_path / "strict.safetensors"]
    assert f"a.png: unsure; most likely {label} (" in succeeds(capsys, *given)
    assert json.loads(succeeds(capsys, *given, "--json"))["label"] is None
    block = np.pad(np.zeros((40, 60), np.uint8), 30, constant_values=255)
    pytest.importorskip("PIL.Image").fromarray(block).save(tmp_path / "block.png")
    succeeds(capsys, "predict", tmp_path / "block.png", *given[1:], "--csv", tmp_path / "out.csv", "-q")
    _, block, unsure = (row.split(",") for row in (tmp_path / "out.csv").read_text().splitlines())
    assert (unsure[1], unsure[3:]) == ("", ["True", f"unsure; most likely {label}"])
    assert (block[1], block[3:]) == ("", ["False", "not a digit"])


def test_predict_refuses_a_rate_before_it_reads_a_picture(capsys):
    for rate in ("5", "1", "0", "1e-9", "-0.1", "nan"):
        said = misused(capsys, "predict", "missing.png", "--reject-at", rate)
        assert f"--reject-at is {float(rate):g}; expected at least 0.0005, the lowest error rate with" in said


def test_a_rate_requires_a_calibrated_model(capsys, tmp_path):
    lenet.LeNet5().save(tmp_path / "new.safetensors")
    said = misused(capsys, "predict", "a.png", "--reject-at", "0.01", "--model", tmp_path / "new.safetensors")
    assert "The model has no rejection thresholds. Omit --reject-at, train the model with a validation split of" in said


@pytest.mark.parametrize(
    "backend", ["module://matplotlib_inline.backend_inline", pytest.param("nonsense", marks=pytest.mark.landing)]
)
def test_a_backend_of_matplotlib_that_is_missing_does_not_matter(tmp_path, backend):
    command = [sys.executable, "-m", "lenet", "info", "--figure", "a.png"]
    variables = os.environ | {"MPLBACKEND": backend}
    ended = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "a.png").read_bytes()[1:4] == b"PNG"
