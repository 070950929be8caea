"""Folders, patterns, tables and the standard input on the command line."""

import csv
import errno
import io
import json
import operator
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import lenet
from lenet import cli
from lenet.errors import SaveError

pytestmark = pytest.mark.usefixtures("no_figures")

DIGITS = lenet.data.load_digits()
X, Y = DIGITS.X_test[7:13], DIGITS.y_test[7:13]  # the shipped weights read them


def picture(image):
    return cv2.copyMakeBorder(255 - cv2.resize(image, (84, 84)), *[20] * 4, cv2.BORDER_CONSTANT, value=255)


@pytest.fixture
def scans(cwd):
    (cwd / "scans" / "more").mkdir(parents=True)
    for number, image in enumerate(X):
        folder = cwd / "scans" / ("more" if number > 3 else "")
        cv2.imwrite(str(folder / f"{number}.png"), picture(image))
    (cwd / "scans" / "notes.txt").write_text("mine")
    return cwd


def lines(capsys, *arguments, status=0):
    assert cli.main([str(each) for each in arguments]) == status
    captured = capsys.readouterr()
    return captured.out.splitlines() if status == 0 else captured.err


def rows(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def answers(found):
    return {Path(line.partition(": ")[0]).name: line.partition(": ")[2][0] for line in found}


EXPECTED = {f"{number}.png": str(label) for number, label in enumerate(Y)}


def test_files_of_a_folder_that_are_not_pictures_are_named(scans, capsys):
    """Hidden files are not. With -q, these warnings are printed, too."""
    folder = scans / "scans"
    (folder / ".hidden").write_text("text")
    assert lines(capsys, "predict", "scans")
    cli.main(["predict", "scans"])
    assert capsys.readouterr().err == "lenet: warning: Skipped files of scans that are not pictures: notes.txt\n"
    for number in range(4):
        (folder / f"{number}.txt").write_text("text")
    cli.main(["predict", "scans", "-q"])
    others = "0.txt, 1.txt, 2.txt and 2 more"
    said = f"lenet: warning: Skipped files of scans that are not pictures: {others}\n"
    assert capsys.readouterr().err == said


def test_files_of_a_folder_that_must_be_converted_are_not_skipped(scans, capsys):
    for name in ("a.HEIC", "more/b.pdf"):
        (scans / "scans" / name).write_text("text")
    assert cli.main(["predict", "scans", "--csv", "out.csv", "-q"]) == 1
    *_, converted, other = csv.DictReader((scans / "out.csv").read_text().splitlines())
    for row, name in ((converted, "a.HEIC"), (other, "more/b.pdf")):
        assert row["image"] == str(Path("scans", name))
        assert row["check"] == f"not read: {row['image']} is not a picture that lenet reads. Convert it to PNG or JPEG."
    assert "notes.txt\n" in capsys.readouterr().err


def test_errors_name_their_picture(scans, capsys, monkeypatch):
    """Errors of a page with too many strokes do not name it themselves."""
    texture = scans / "texture.png"
    dots = np.pad(np.zeros((3, 3), np.uint8), 3, constant_values=255)
    cv2.imwrite(str(texture), np.tile(dots, (80, 90)))
    assert cli.main(["read", str(texture)]) == 1
    assert capsys.readouterr().err.startswith(f"lenet: error: {texture}: The picture has 7,200 strokes")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO()))
    assert cli.main(["read", "-"]) == 1
    assert capsys.readouterr().err.startswith("lenet: error: Standard input: The file is empty")


def test_a_folder_expands_to_all_its_pictures(scans, capsys):
    assert answers(lines(capsys, "predict", "scans")) == EXPECTED


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
@pytest.mark.parametrize("command", ["predict", "read"])
def test_links_pipes_and_folders_that_cannot_be_read_do_not_stop_the_others(scans, capsys, monkeypatch, command):
    folder, iterdir = scans / "scans", Path.iterdir
    (folder / "broken.png").symlink_to("nowhere")
    (folder / "more" / "loop").symlink_to(scans)
    (folder / "locked").mkdir()
    os.mkfifo(folder / "pipe.png")

    def list_if_allowed(path):
        if path == Path("scans/locked"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", list_if_allowed)
    assert cli.main([command, "scans"]) == 1
    captured = capsys.readouterr()
    assert answers(captured.out.splitlines()) == EXPECTED
    assert captured.err.splitlines() == [
        "lenet: warning: Skipped files of scans that are not pictures: notes.txt, pipe.png",
        "lenet: error: scans/broken.png: No such file or directory",
        "lenet: error: scans/locked cannot be read (Permission denied). Change its permissions.",
        "lenet: error: scans/more/loop links back to a folder that contains it, or is nested too deeply. Remove it.",
    ]


def test_a_name_that_is_too_long_does_not_stop_the_others(scans, capsys):
    name = "a" * 300 + ".png"
    assert cli.main(["predict", name, "scans/0.png"]) == 1
    captured = capsys.readouterr()
    assert answers(captured.out.splitlines()) == {"0.png": str(Y[0])}
    assert captured.err.startswith(f"lenet: error: {name}: ")


@pytest.mark.parametrize("command", [["predict"], ["read"], ["read", "--fields", "fields.json"]])
def test_a_picture_that_cannot_be_read_has_a_line_of_json(scans, capsys, command):
    Path("broken.png").write_bytes(b"no picture")
    Path("fields.json").write_text('[{"name": "total", "box": [0, 0, 1, 1]}]')
    assert cli.main([command[0], "broken.png", "scans/0.png", *command[1:], "--json"]) == 1
    captured = capsys.readouterr()
    broken, first = map(json.loads, captured.out.splitlines())
    assert captured.err == f"lenet: error: {broken['error']}\n"
    assert broken["error"].startswith("broken.png is not a picture; expected a PNG")
    assert (broken["image"], first["image"], "error" in first) == ("broken.png", "scans/0.png", False)


def test_the_current_folder_has_no_name(scans, capsys, monkeypatch):
    monkeypatch.chdir(scans / "scans")
    names = [line.partition(":")[0] for line in lines(capsys, "predict", ".", "-q")]
    assert names[0] == "0.png"
    assert not [name for name in names if name.startswith("./")]


def test_a_pattern_expands_to_the_matching_files(scans, capsys):
    found = answers(lines(capsys, "predict", "scans/*.png"))
    assert found == {name: EXPECTED[name] for name in ("0.png", "1.png", "2.png", "3.png")}
    assert answers(lines(capsys, "predict", "scans/**/*.png")) == EXPECTED
    (scans / "scans" / "folder.png").mkdir()
    assert answers(lines(capsys, "predict", "scans/*.png")) == found


def test_a_name_with_brackets_is_a_file_first(scans, capsys):
    (scans / "scans" / "0.png").rename(scans / "a[1].png")
    assert lines(capsys, "predict", "a[1].png")[0].startswith(f"a[1].png: {Y[0]}")


@pytest.mark.parametrize("command", ["predict", "read"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty", "empty has no pictures; expected PNG, JPEG"),
        ("none/*.png", "none/*.png matches no file;"),
        ("", "The name of a picture is empty; expected a path or a pattern."),
        ("no.png", "no.png: No such file or directory"),
        ("https://example.com/a.png", "https://example.com/a.png is a URL; expected a file. Download it first."),
        ("https://example.com/a?id=1", "https://example.com/a?id=1 is a URL; expected a file. Download it first."),
    ],
)
def test_a_name_that_matches_no_picture_is_an_error(scans, capsys, command, name, message):
    (scans / "empty").mkdir()
    assert message in lines(capsys, command, name, status=1)


@pytest.mark.parametrize("name", ["empty", "none/*.png"])
def test_pictures_beside_a_name_that_matches_none_are_read(scans, capsys, name):
    (scans / "empty").mkdir()
    assert cli.main(["predict", name, "scans/0.png", "--csv", "out.csv"]) == 1
    assert capsys.readouterr().err.startswith(f"lenet: error: {name} ")
    assert [row[0] for row in rows(scans / "out.csv")[1:]] == [name, "scans/0.png"]


def standard_input(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize("command", ["predict", "read"])
def test_a_dash_is_standard_input(scans, capsys, monkeypatch, command):
    standard_input(monkeypatch, (scans / "scans" / "0.png").read_bytes())
    assert lines(capsys, command, "-")[0].startswith(f"-: {Y[0]} (")


def test_a_picture_from_standard_input_is_drawn(scans, capsys, monkeypatch):
    standard_input(monkeypatch, (scans / "scans" / "0.png").read_bytes())
    lines(capsys, "read", "-", "--show", "out.png")
    assert cv2.imread("out.png").shape[0] > 100


def test_empty_standard_input_is_an_error(scans, capsys, monkeypatch):
    standard_input(monkeypatch, b"")
    assert "The file is empty; expected a picture." in lines(capsys, "predict", "-", status=1)


def test_closed_standard_input_is_an_error(scans, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)  # as Python sets it
    assert "Standard input is closed; expected a picture." in lines(capsys, "read", "-", status=1)


def test_predictions_are_written_as_a_table(scans, capsys):
    assert lines(capsys, "predict", "scans", "--csv", "out.csv") == []
    header, *found = rows(scans / "out.csv")
    assert header == ["image", "class", "probability", "is_digit", "check"]
    assert {Path(row[0]).name: row[1] for row in found} == EXPECTED
    assert all(0.5 < float(row[2]) <= 1 and row[3] == "True" for row in found)
    lines(capsys, "predict", "scans/0.png", "--csv", "out.csv")  # its own table is replaced
    assert len(rows(scans / "out.csv")) == 2
    lines(capsys, "predict", "none.png", "--csv", "out.csv", status=1)  # unless nothing can be read
    assert len(rows(scans / "out.csv")) == 2


def test_readings_are_written_as_a_table(scans, capsys):
    lines(capsys, "read", "scans/0.png", "scans/1.png", "--csv", "out.csv")
    header, *found = rows(scans / "out.csv")
    assert header == ["image", "line", "text", "confidence", "check"]
    assert [row[:3] for row in found] == [[f"scans/{n}.png", "1", str(Y[n])] for n in (0, 1)]


@pytest.mark.parametrize("command", ["predict", "read"])
def test_an_output_in_a_read_only_folder_is_an_error_before_anything_is_read(scans, capsys, monkeypatch, command):
    def refuse(**_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    monkeypatch.setattr(f"lenet.cli.{command}.read_each", None)
    for option in (["--csv", "out.csv"], ["--show", "out.png"]):
        error = lines(capsys, command, "scans/0.png", *option, status=1)
        assert error == f"lenet: error: {scans} cannot be written (Permission denied). Make it writable.\n"


@pytest.mark.parametrize("command", ["predict", "read"])
def test_an_interruption_writes_the_rows_so_far(scans, capsys, monkeypatch, command):
    """The error after two pictures is a Ctrl-C, whose exit code is 130."""
    function = {"predict": "lenet.data.pictures.image_of", "read": "lenet.reading.read"}[command]
    whole, given = operator.attrgetter(function.removeprefix("lenet."))(lenet), iter(range(2))

    def stopped(*arguments, **options):
        if next(given, None) is None:
            raise KeyboardInterrupt
        return whole(*arguments, **options)

    monkeypatch.setattr(function, stopped)
    error = lines(capsys, command, "scans", "-q", "--csv", "out.csv", status=130)
    assert error == (
        "lenet: warning: Skipped files of scans that are not pictures: notes.txt\n"
        "lenet: note: out.partial.csv has the rows of the pictures read so far.\nlenet: interrupted\n"
    )
    assert not (scans / "out.csv").exists()
    assert [row[0] for row in rows(scans / "out.partial.csv")] == [
        "image",
        *(str(Path("scans", f"{n}.png")) for n in (0, 1)),
    ]


@pytest.mark.parametrize("command", ["predict", "read"])
def test_an_answer_is_printed_even_if_it_cannot_be_drawn(scans, capsys, monkeypatch, command):
    def fail(*_):
        raise SaveError("full")

    monkeypatch.setattr(f"lenet.cli.{command}.atomic_write", fail)
    assert cli.main([command, "scans/0.png", "--show", "out.png"]) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith(f"scans/0.png: {Y[0]}")
    assert captured.err == "lenet: error: full\n"


def test_a_picture_without_digits_has_a_row(scans, capsys):
    cv2.imwrite("white.png", np.full((90, 90), 255, np.uint8))
    lines(capsys, "read", "white.png", "scans/0.png", "--csv", "out.csv")
    error = lines(capsys, "read", "none.png", "--csv", "out.csv", status=1)  # and leaves the table as it is
    assert error.endswith("lenet: note: No picture could be read, so out.csv was not written.\n")
    assert [row[:3] for row in rows(scans / "out.csv")[1:]] == [["white.png", "0", ""], ["scans/0.png", "1", str(Y[0])]]


@pytest.mark.parametrize("command", ["predict", "read"])
def test_a_picture_that_cannot_be_read_has_a_row_and_earlier_tables_are_replaced(scans, capsys, command):
    old = {"read": "image,line,text,confidence\n", "predict": "image,class,probability,is_digit\n"}[command]
    (scans / "out.csv").write_text(old, newline="\n")
    (scans / "broken.png").write_bytes(b"no picture")
    lines(capsys, command, "scans/0.png", "broken.png", "-q", "--csv", "out.csv", status=1)
    header, first, broken = rows(scans / "out.csv")
    assert header == [*old.strip().split(","), "check"]
    assert (first[0], first[-1]) == ("scans/0.png", "")
    assert broken[:-1] == ["broken.png", "", "", ""]
    assert broken[-1].startswith("not read: broken.png is not a picture; expected a PNG")


@pytest.mark.parametrize("command", ["predict", "read"])
def test_a_table_and_json_are_not_written_together(scans, capsys, command):
    with pytest.raises(SystemExit):
        cli.main([command, "scans", "--csv", "out.csv", "--json"])
    assert "--csv and --json were both given; expected one of them." in capsys.readouterr().err
    assert not (scans / "out.csv").exists()


@pytest.mark.parametrize(
    ("command", "columns"),
    [
        ("predict", "image,class,probability,is_digit,check or ImageId,Label"),
        ("read", "image,line,text,confidence,check"),
    ],
)
@pytest.mark.parametrize(
    "content",
    [
        "image,text\n1,2\n", "ImageId,Label,Usage\n", "#\nimage,line,text,confidence\n",
        "image,line,text,confidence,by hand\n", "image,class,probability,is_digit_by_hand\n",
    ],
)  # fmt: skip
def test_a_table_with_other_columns_is_never_replaced(scans, capsys, command, columns, content):
    (scans / "mine.csv").write_text(content)
    assert f"mine.csv exists and is not a table with the columns {columns}. Choose another name, or remove it" in lines(
        capsys, command, "scans", "--csv", "mine.csv", status=1
    )
    assert (scans / "mine.csv").read_text() == content
    with pytest.raises(SystemExit):
        cli.main([command, "scans", "--csv", "out.txt"])
    assert "--csv is out.txt; expected a name that ends in .csv" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main([command, "scans", "--csv", ""])
    assert "--csv is an empty name; expected a name that ends in .csv" in capsys.readouterr().err


def kaggle(path, images=X):
    header = ",".join(f"pixel{k}" for k in range(784))
    np.savetxt(path, images.reshape(-1, 784), "%d", ",", header=header, comments="")


def test_a_table_of_pixels_becomes_a_submission(scans, capsys):
    kaggle("test.csv")
    assert lines(capsys, "predict", "test.csv", "--csv", "submission.csv") == []
    assert (scans / "submission.csv").read_text() == "ImageId,Label\n" + "".join(
        f"{number},{label}\n" for number, label in enumerate(lenet.load_pretrained("mnist").predict(X), 1)
    )


@pytest.mark.landing
def test_a_submission_on_mnist_equals_the_predictions_for_idx_files(mnist, scans, capsys):
    kaggle("test.csv", mnist.X_test)
    lines(capsys, "predict", "test.csv", "--csv", "submission.csv")
    found = np.array([int(row[1]) for row in rows(scans / "submission.csv")[1:]])
    np.testing.assert_array_equal(found, lenet.load_pretrained("mnist").predict(mnist.X_test))
    assert (found == mnist.y_test).mean() > 0.99


def test_a_rate_of_0_rejects_rows_too(scans, capsys):
    kaggle("test.csv")
    model = lenet.load_pretrained("mnist")
    model.metadata["margins"] = '{"0": 100}'
    model.save("model.safetensors")
    lines(capsys, "predict", "test.csv", "--model", "model.safetensors", "--csv", "out.csv", "--reject-at", "0")
    assert [row[1] for row in rows(scans / "out.csv")[1:]] == [""] * 6


def test_rows_of_a_table_are_printed(scans, capsys):
    images = np.concatenate([X, np.zeros_like(X[:1])])
    kaggle("test.csv", images)
    expected = lenet.load_pretrained("mnist").predict(images)
    printed = [line.partition(" (")[0] for line in lines(capsys, "predict", "test.csv")]
    assert printed[:6] == [f"test.csv, row {number}: {label}" for number, label in enumerate(expected[:6], 1)]
    assert printed[6] == "test.csv, row 7: not a digit"  # a blank one, which the submission still answers
    found = [json.loads(line) for line in lines(capsys, "predict", "test.csv", "--json")]
    assert [each["likeliest"] for each in found] == expected.tolist()
    assert [each["row"] for each in found] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("command", [("evaluate", "--model", "mnist"), ("train", "--epochs", "1"), ("predict",)])
def test_data_that_are_dark_on_light_print_a_warning(scans, capsys, command):
    images = 255 - DIGITS.X_test[:140]
    labels = np.arange(140) % 10
    header = ",".join(["label", *map(str, range(784))])
    np.savetxt("mine.csv", np.c_[labels, images.reshape(-1, 784)], "%d", ",", header=header, comments="")
    name, *options = command
    for quiet in ([], ["--quiet"]):
        assert cli.main([name, "mine.csv", *options, *quiet]) == 0
        found = "lenet: warning: mine.csv: most images look dark on light; expected light ink on a dark background."
        assert found in capsys.readouterr().err


SYMBOLS = {
    "circle": lambda page, s: cv2.circle(page, (s // 2, s // 2), s // 3, 0, s // 15),
    "cross": lambda page, s: [
        cv2.line(page, (s // 4, s // 4), (3 * s // 4, 3 * s // 4), 0, s // 15),
        cv2.line(page, (s // 4, 3 * s // 4), (3 * s // 4, s // 4), 0, s // 15),
    ],
    "ell": lambda page, s: cv2.polylines(
        page, [np.array([[s // 3, s // 5], [s // 3, 4 * s // 5], [3 * s // 4, 4 * s // 5]])], False, 0, s // 15
    ),
}


def symbols(folder, count, seed):
    rng = np.random.default_rng(seed)
    for name, draw in SYMBOLS.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            size = int(rng.integers(50, 120))
            page = np.full((size, size), 255, np.uint8)
            draw(page, size)
            turn = cv2.getRotationMatrix2D((size / 2, size / 2), rng.uniform(-15, 15), rng.uniform(0.8, 1.1))
            page = cv2.warpAffine(page, turn, (size, size), borderValue=255)
            cv2.imwrite(str(folder / name / f"{number}.png"), page)


def test_own_symbols_are_learned_and_named(cwd, capsys):
    symbols(cwd / "mine", 10, 0)
    symbols(cwd / "new", 3, 1)
    options = ["--from", "mnist", "--epochs", "60", "--seed", "1"]
    lines(capsys, "train", "mine", *options)
    report = (cwd / "runs/train-1/report.txt").read_text()
    assert "circle" in report
    assert lenet.load("runs/train-1/best.safetensors").classes == ("circle", "cross", "ell")
    found = lines(capsys, "predict", "new", "--model", "runs/train-1")
    assert [line.split(": ")[1].split(" ")[0] for line in found] == ["circle"] * 3 + ["cross"] * 3 + ["ell"] * 3
    answer = json.loads(lines(capsys, "predict", "new/ell/0.png", "--model", "runs/train-1", "--json")[0])
    assert (answer["class"], answer["label"]) == ("ell", 2)
    outcome = json.loads(lines(capsys, "evaluate", "mine", "--model", "runs/train-1", "--json")[0])
    assert outcome["classes"] == ["circle", "cross", "ell"]
    assert (outcome["accuracy"], outcome["images"]) == (1, 6)  # one in five of ten
    said = lines(capsys, "evaluate", "mine", "--model", "mnist", status=1)
    assert "expected only classes of the model" in said
    assert "are used" not in said  # no images were


def test_pictures_of_another_size_need_no_raw(cwd, capsys):
    symbols(cwd / "mine", 5, 0)
    error = lines(capsys, "evaluate", "mine", "--raw", "-q", status=1)
    assert error.endswith("has no usable pictures of 28x28 pixels. Omit --raw or raw=True to prepare others.\n")


def test_a_model_of_raw_pictures_reads_others_as_they_are(cwd, capsys):
    """The shapes differ only in their place, which the preparation of a picture removes."""
    pages = np.full((2, 28, 28), 255, np.uint8)
    pages[0, 2:9, 2:6] = pages[1, 18:25, 20:24] = 0
    for name, page in zip("ab", pages, strict=True):
        (cwd / "mine" / name).mkdir(parents=True)
        for number in range(5):
            cv2.imwrite(str(cwd / "mine" / name / f"{number}.png"), page)
    lines(capsys, "train", "mine", "--raw", "--from", "mnist", "--epochs", "30")
    use = ["--model", "runs/train-1", "--json", "-q"]
    expected = lenet.load("runs/train-1").predict_proba(255 - pages)
    assert expected.argmax(axis=1).tolist() == [0, 1]
    found = [json.loads(line) for line in lines(capsys, "predict", "mine/a/0.png", "mine/b/0.png", *use)]
    np.testing.assert_allclose([each["probabilities"] for each in found], expected, rtol=1e-6)
    assert json.loads(lines(capsys, "evaluate", "mine", *use)[0])["accuracy"] == 1
    cv2.imwrite("large.png", np.zeros((28, 30), np.uint8))
    error = lines(capsys, "predict", "large.png", *use, status=1)
    assert error == "lenet: error: large.png has 30x28 pixels; expected 28x28 for a raw picture.\n"


@pytest.mark.parametrize("folder", ["drawn", "drawn/test", "drawn/Testing"])
def test_all_pictures_of_a_folder_without_splits_are_tested(cwd, capsys, folder):
    for label in ("3", "7"):
        (cwd / folder / label).mkdir(parents=True)
        for number, image in enumerate(DIGITS.X_test[DIGITS.y_test == int(label)][:2]):
            cv2.imwrite(str(cwd / folder / label / f"{number}.png"), picture(image))
    assert cli.main(["evaluate", "drawn", "--json"]) == 0
    captured = capsys.readouterr()
    outcome = json.loads(captured.out)
    assert (outcome["images"], outcome["support"]) == (4, [0, 0, 0, 2, 0, 0, 0, 2, 0, 0])
    assert "All 4 images of drawn are used, as it has no separate training set." in captured.err


def test_digits_of_another_size_and_slant_are_converted_for_the_shipped_weights(cwd, capsys):
    shear = np.array([[1.4, -0.8, 5.6], [0, 1.4, -5.6]])  # from 20 to 28 pixels, leaning
    images = np.stack([cv2.warpAffine(image, shear, (28, 28)) for image in DIGITS.X_test[:100]])
    np.savez(cwd / "large.npz", X=images, y=DIGITS.y_test[:100])
    np.savez(cwd / "usual.npz", X=DIGITS.X_test[:100], y=DIGITS.y_test[:100])

    def evaluated(name, *options):
        assert cli.main(["evaluate", f"{name}.npz", "--json", *options]) == 0
        captured = capsys.readouterr()
        return json.loads(captured.out)["accuracy"], captured.err

    (usual, note), (large, note_of_large) = evaluated("usual"), evaluated("large")
    converted, note_of_converted = evaluated("large", "--as-mnist")
    assert min(converted, usual) >= large + 0.05
    assert "28 pixels high or wide; those of MNIST are 20. --as-mnist converts them." in note_of_large
    assert "--as-mnist" not in note + note_of_converted

    np.savetxt(cwd / "large.csv", images.reshape(100, 784), "%d", ",")
    assert cli.main(["predict", "large.csv", "--as-mnist", "--csv", "answers.csv"]) == 0
    answers = np.loadtxt(cwd / "answers.csv", int, delimiter=",", skiprows=1)[:, 1]
    assert np.mean(answers == DIGITS.y_test[:100]) == converted


@pytest.mark.parametrize(
    ("height", "options", "expected"),
    [
        (18, [], None), (22, [], None), (23, [], "--as-mnist"), (17, [], "lenet.reading.as_mnist"), (0, [], None),
        (23, ["--as-mnist"], None), (17, ["--as-mnist"], "lenet.reading.as_mnist"), (23, ["--quiet"], None),
    ],
)  # fmt: skip
def test_a_note_reports_digits_of_another_size(cwd, capsys, height, options, expected):
    """The first tenth have the usual size; a sample of the first images would not see the others."""
    images = np.zeros((50, 28, 28), np.uint8)
    images[:, 2 : 2 + height, 12:15] = 255
    images[:5, 2:22, 12:15] = 255
    np.savez("bars.npz", X=images, y=np.arange(50) % 10)
    assert cli.main(["evaluate", "bars.npz", *options]) == 0
    found = capsys.readouterr().err
    assert expected in found if expected else "Most digits" not in found


@pytest.mark.parametrize("change", [lambda x: 255 - x, lambda x: np.maximum(x, 100)], ids=["dark ink", "grey paper"])
def test_the_background_is_not_part_of_the_size(cwd, capsys, change):
    np.savez("changed.npz", X=change(DIGITS.X_test[:100]), y=DIGITS.y_test[:100])
    assert cli.main(["evaluate", "changed.npz"]) == 0
    assert "Most digits" not in capsys.readouterr().err


def test_a_model_is_tested_on_the_held_out_images(cwd, capsys):
    for part in (slice(0, 210), slice(210, 280)):
        np.savez(cwd / f"{part.start}.npz", X=DIGITS.X_train[part], y=DIGITS.y_train[part])
    model = lenet.load_pretrained("mnist")
    model.metadata["data"] = "0.npz"
    model.save("digits.safetensors")
    for name, count, note in (
        ("0", 30, "The model was trained on data named 0.npz: only its test set, 30 images, is used."),
        ("210", 70, "All 70 images of 210.npz are used, as it has no separate training set."),
    ):
        assert cli.main(["evaluate", f"{name}.npz", "--model", "digits.safetensors", "--json"]) == 0
        captured = capsys.readouterr()
        assert json.loads(captured.out)["images"] == count
        assert note in captured.err


@pytest.mark.parametrize(("name", "renamed", "count"), [("mine", "copy", 6), ("mine.npz", "copy.npz", 30)])
def test_a_renamed_training_set_is_recognised_by_its_images(cwd, capsys, name, renamed, count):
    """One picture in five is held out, but one row in seven."""
    symbols(cwd / "mine", 12, 0)
    np.savez("mine.npz", X=DIGITS.X_train[:210], y=DIGITS.y_train[:210])
    lines(capsys, "train", name, "--epochs", "1")
    Path(name).rename(renamed)
    assert cli.main(["evaluate", renamed, "--model", "runs/train-1", "--json"]) == 0
    captured = capsys.readouterr()
    outcome = json.loads(captured.out)
    assert outcome["images"] == count
    assert str(outcome["accuracy"]) == lenet.load("runs/train-1").metadata["test_accuracy"]
    text = f"The model was trained on the images of {renamed}: only their test set, {count} images, is used."
    assert text in captured.err


@pytest.mark.parametrize("count", [2, 209])  # 2 are too few to hold out any
def test_all_images_of_another_data_set_are_tested(cwd, capsys, count):
    np.savez("mine.npz", X=DIGITS.X_train[:210], y=DIGITS.y_train[:210])
    np.savez("other.npz", X=DIGITS.X_train[210:][:count], y=DIGITS.y_train[210:][:count])
    lines(capsys, "train", "mine.npz", "--epochs", "1")
    outcome = lines(capsys, "evaluate", "other.npz", "--model", "runs/train-1", "--json", "-q")
    assert json.loads(outcome[0])["images"] == count


@pytest.mark.parametrize(
    ("classes", "shown"),
    [
        ([*"0123456789"], None),
        ([*"1234567890"], None),  # the labels are taken as names
        ([*"0123456789", "blank"], "10 is blank"),
        ([*"abcdefghij"], "0 is a, 1 is b, 2 is c, 3 is d, 4 is e, 5 is f, 6 is g, 7 is h, 8 is i, 9 is j"),
        ([*"abcdefghijk"], "0 is a, 1 is b, 2 is c, 3 is d, 4 is e, 5 is f, 6 is g, 7 is h, 8 is i, 9 is j, ..."),
    ],
)
def test_a_warning_shows_the_names_that_labels_are_taken_for(cwd, capsys, classes, shown):
    model = lenet.LeNet5(seed=0, num_classes=len(classes))
    model.classes = classes
    model.save("named.safetensors")
    assert cli.main(["evaluate", "digits", "--model", "named.safetensors", "-q"]) == 0
    text = "lenet: warning: digits has labels without names, so they are taken as positions among the model's classes: "
    assert capsys.readouterr().err == ("" if shown is None else f"{text}{shown}.\n")


@pytest.mark.parametrize("use", [["evaluate", "--model"], ["train", "--epochs", "1", "--from"]])
def test_a_training_set_that_has_changed_is_reported(cwd, capsys, use):
    """The positions of the test images stay the same, so those at them were for training before."""
    warning = (
        "lenet: warning: The test set of mine.npz has changed since the model was trained, so it may contain training"
    )
    note = "The model was trained on data named mine.npz"
    for first, command in ((0, ["train", "--epochs", "1"]), (0, [*use, "runs/train-1"]), (1, [*use, "runs/train-1"])):
        np.savez("mine.npz", X=DIGITS.X_train[first:210], y=DIGITS.y_train[first:210])
        assert cli.main([*command, "mine.npz"]) == 0
        err = capsys.readouterr().err
        assert (warning in err) == (first == 1)
        assert (note in err) == (command[0] == "evaluate")


def test_a_run_from_other_weights_resumes_without_them(cwd, capsys):
    symbols(cwd / "mine", 6, 0)
    options = ["mine", "--epochs", "3", "--seed", "1"]
    lenet.load_pretrained("mnist").save("start.safetensors")
    lines(capsys, "train", *options, "--from", "start.safetensors")
    expected = (cwd / "runs/train-1/last.safetensors").read_bytes()
    (cwd / "start.safetensors").unlink()
    for name in ("checkpoint.safetensors", "results.csv"):  # as after a crash in the first epoch
        (cwd / "runs/train-1" / name).unlink()
    lines(capsys, "train", "--resume", "runs/train-1")
    assert (cwd / "runs/train-1/last.safetensors").read_bytes() == expected


def digits_of(path, *classes):
    data = lenet.data.load_digits()
    chosen = np.array([np.flatnonzero(data.y_train == k)[:14] for k in classes])
    np.savez(path, X=data.X_train[chosen.ravel()], y=np.repeat(np.arange(len(classes)), 14))


@pytest.mark.parametrize(
    ("classes", "options", "recipe"),
    [
        (range(10), [], "small"),
        (range(10), ["--from", "mnist"], "adapt"),
        ([*range(1, 10), 0], ["--from", "mnist"], "transfer"),  # each label is another digit's
        ((3, 5), ["--from", "mnist"], "transfer"),
        ((3, 5), ["--from", "mnist", "--recipe", "small"], "small"),
    ],
)
def test_the_recipe_follows_from_the_model_to_start_from(cwd, capsys, classes, options, recipe):
    digits_of("mine.npz", *classes)
    assert cli.main(["train", "mine.npz", "--epochs", "1", *options]) == 0
    settings = json.loads((cwd / "runs/train-1/args.json").read_text())["recipe"]
    assert settings["name"] == recipe
    assert settings["lr"] == {"small": 0.05, "transfer": 0.1, "adapt": 0.01}[recipe]
    found = re.findall(r"mnist classifies .* so the recipe is (\w+)\.", capsys.readouterr().err)
    assert found == ([recipe] if len(classes) == 10 and options else [])


def test_a_recipe_for_digits_refuses_other_classes_before_it_creates_a_run(cwd, capsys):
    digits_of("mine.npz", 3, 5)
    error = lines(capsys, "train", "mine.npz", "--recipe", "drawn", status=1)
    assert "The classes are ('0', '1'); expected the ten digits" in error
    assert [path.name for path in cwd.iterdir()] == ["mine.npz"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--recipe", "paper", "--from", "mnist"], "expected a network with RBF outputs"),
        (["--recipe", "wild", "--from", "1998.safetensors"], "expected a network of Conv2d and Linear layers"),
    ],
)
def test_an_optimizer_for_another_network_is_refused_before_a_run_is_created(cwd, capsys, options, expected):
    digits_of("mine.npz", *range(10))
    lenet.LeNet1998().save("1998.safetensors")
    assert expected in lines(capsys, "train", "mine.npz", *options, status=1)
    assert not Path("runs").exists()


@pytest.mark.parametrize("recipe", ["wild", "drawn"])
def test_a_recipe_that_draws_requires_opencv_before_it_creates_a_run(cwd, monkeypatch, capsys, recipe):
    digits_of("mine.npz", *range(10))
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert "pip install 'lenet[vision]'" in lines(capsys, "train", "mine.npz", "--recipe", recipe, status=1)
    assert [path.name for path in cwd.iterdir()] == ["mine.npz"]


ADVICE = "This is hardly better than guessing. {}."
TOO_FAST = "This is hardly better than guessing. The loss is higher than that of equal probabilities: lower --lr."


@pytest.mark.parametrize(
    ("classes", "options", "advice"),
    [
        (
            range(10),
            ["--lr", "1e-9"],
            ADVICE.format("Sigmoid networks start on a plateau: pass --from mnist, or increase --epochs"),
        ),
        ((3, 5), ["--lr", "1e-9", "--from", "mnist"], ADVICE.format("Increase --epochs")),
        (range(10), ["--lr", "1e4"], TOO_FAST),
        ((3, 5), ["--from", "mnist"], None),
    ],
)
def test_a_network_on_the_plateau_gets_advice(cwd, capsys, classes, options, advice):
    digits_of("mine.npz", *classes)
    epochs = "1" if advice else "30"
    printed = lines(capsys, "train", "mine.npz", "--epochs", epochs, *options)
    assert [line for line in printed if "guessing" in line] == ([advice] if advice else [])
    assert sum(line.startswith("The model cannot reject images") for line in printed) == 1


@pytest.mark.parametrize(
    ("command", "name"), [("predict", "some.npz"), ("predict", "ALL.PARQUET"), ("read", "some.npy"), ("read", "a.csv")]
)
def test_a_data_set_is_not_a_picture(capsys, cwd, command, name):
    Path(name).write_bytes(b"PK")
    error = lines(capsys, command, name, status=1)
    assert error.startswith(f"lenet: error: {name} is a table or an array; expected a picture. ")
    assert error.count("\n") == 1


@pytest.mark.parametrize("command", ["predict", "read"])
def test_a_file_with_the_name_for_partial_results_is_kept(scans, capsys, command):
    Path("out.partial.csv").write_text("my own notes")
    error = lines(capsys, command, "scans", "--csv", "out.csv", status=1)
    assert "out.partial.csv exists and is not a table with the columns image," in error
    assert Path("out.partial.csv").read_text() == "my own notes"


def test_ctrl_c_ends_the_command_even_if_the_rows_so_far_cannot_be_written(scans, capsys, monkeypatch):
    def stopped(grey, name, raw):
        if name.endswith("1.png"):
            Path("out.partial.csv").mkdir()
            raise KeyboardInterrupt
        return X[0]

    monkeypatch.setattr("lenet.data.pictures.image_of", stopped)
    names = [str(Path("scans", f"{n}.png")) for n in (0, 1)]
    assert lines(capsys, "predict", *names, "-q", "--csv", "out.csv", status=130) == "lenet: interrupted\n"


def test_the_rows_are_kept_under_another_name_if_the_table_cannot_be_written(scans, capsys, monkeypatch):
    def blocked(grey, name, raw):
        Path("out.csv").mkdir(exist_ok=True)
        return X[0]

    monkeypatch.setattr("lenet.data.pictures.image_of", blocked)
    error = lines(capsys, "predict", "scans", "-q", "--csv", "out.csv", status=1)
    assert "lenet: note: out.partial.csv has the rows of the pictures read so far." in error
    assert len(rows(Path("out.partial.csv"))) > 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_with_a_carriage_return_stays_one_cell(tmp_path, capsys):
    name = tmp_path / "x\rother.png"
    cv2.imwrite(str(tmp_path / "a.png"), picture(X[0]))
    (tmp_path / "a.png").rename(name)
    lines(capsys, "predict", name, "-q", "--csv", tmp_path / "out.csv", status=0)
    with (tmp_path / "out.csv").open(newline="") as file:
        _, row = csv.reader(file)
    assert row[0].endswith("x\rother.png")
    assert b"\r\n" not in (tmp_path / "out.csv").read_bytes()
