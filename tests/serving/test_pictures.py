"""Pictures that are sent to the server, and the names of their classes."""

import io
import json
import struct

import needs_serve  # noqa: F401
import numpy as np
import pytest
from served import serving
from serving_requests import an_input, encoded, form_of, page_of, request_of

import lenet
import lenet.cli

pytest_plugins = ["serving_fixture"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("as_form", [False, True])
def test_a_picture_is_read_as_lenet_reads_it(server, digits, kind, as_form):
    images, labels = digits
    content = encoded(page_of(images[183:187]), kind)
    body, headers = form_of(content) if as_form else (content, {"Content-Type": f"image/{kind.lower()}"})
    status, _, answer = server.ask("POST", "/predict", body, headers)
    assert status == 200
    assert answer["text"] == "".join(map(str, labels[183:187]))
    reading = lenet.reading.read(lenet.reading.read_picture(io.BytesIO(content)))
    assert answer["lines"] == reading.as_dict()["lines"]
    assert answer["model"] == "mnist"


def test_only_digits_reaches_the_reading(server, digits):
    scribble = np.zeros((28, 28), np.uint8)
    scribble[4:24:4, 4:24] = scribble[4:24, 4:24:5] = 255
    content = encoded(page_of([digits[0][183], scribble, digits[0][184]]))
    for option, only_digits in (("", False), ("?only_digits=true", True), ("?only_digits=0", False)):
        reading = lenet.reading.read(lenet.reading.read_picture(io.BytesIO(content)), only_digits=only_digits)
        assert server.ask("POST", f"/predict{option}", content)[2]["text"] == reading.text


LETTERS, WORDS = (
    tuple("ABCDEFGHIJ"),
    ("zero", "one", "two", "three", "four: 4", "five", "six", "seven", "eight", "neuf é"),
)


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A server of the shipped model with other names of its classes."""
    folder, model = tmp_path_factory.mktemp("named"), lenet.load_pretrained("mnist")
    for name, classes in (("letters", LETTERS), ("words", WORDS), ("raw", WORDS)):
        model.classes = classes
        if name == "raw":
            model.metadata["raw"] = "True"
        model.save(folder / f"{name}.safetensors")
    with serving(*(each for path in sorted(folder.iterdir()) for each in ("--model", path))) as running:
        yield running


def test_the_metadata_list_the_classes(server, named):
    assert named.ask("GET", "/v2/models/words")[2]["classes"] == list(WORDS)
    assert server.ask("GET", "/v2/models/mnist")[2]["classes"] == list("0123456789")


def test_digits_in_a_picture_have_the_names_of_their_classes(named, digits):
    images, labels = digits
    content = encoded(page_of(images[183:187]))
    _, _, answer = named.ask("POST", "/predict", content)
    expected = [LETTERS[label] for label in labels[183:187]]
    assert answer["text"] == "".join(expected)
    assert [digit["class"] for digit in answer["lines"][0]["digits"]] == expected


@pytest.mark.parametrize("name", ["words", "raw"])
def test_a_model_of_symbols_classifies_a_picture_as_lenet_predict_does(named, digits, tmp_path, capsys, name):
    image, label = (each[183] for each in digits)
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(image if name == "raw" else page_of([image])))
    status, _, answer = named.ask("POST", f"/predict?model={name}", path.read_bytes())
    assert status == 200
    assert (answer.pop("model"), answer["class"]) == (name, WORDS[label])
    model = lenet.load_pretrained("mnist")
    model.classes = WORDS
    model.metadata |= {"raw": "True"} if name == "raw" else {}
    model.save(tmp_path / "own.safetensors")
    assert lenet.cli.main(["predict", str(path), "--json", "--model", str(tmp_path / "own.safetensors")]) == 0
    expected = json.loads(capsys.readouterr().out)
    assert expected.pop("image") == str(path)
    assert answer.keys() - expected.keys() == {"version"}
    assert answer | expected == answer


@pytest.mark.parametrize(
    ("query", "shape", "says"),
    [
        ("model=words&marks=true", (60, 60), "The option marks was given, but the model 'words' classifies one"),
        ("model=words", (60, 60), "The picture shows no ink; expected a digit or symbol"),
        ("model=raw", (60, 50), "The picture has 50x60 pixels; expected 28x28 for a raw picture."),
    ],
)
def test_pictures_that_a_model_of_symbols_does_not_classify(named, query, shape, says):
    status, _, answer = named.ask("POST", f"/predict?{query}", encoded(np.full(shape, 255, np.uint8)))
    assert status == 400
    assert answer["error"].startswith(says)


@pytest.mark.parametrize("binary", [False, True])
def test_the_most_probable_classes_have_names(named, digits, binary):
    images, _ = digits
    nine = images[lenet.load_pretrained("mnist").predict_proba(images)[:, 9].argmax()]
    wanted = [{"name": "probabilities", "parameters": {"classification": 2, "binary_data": binary}}]
    body = request_of(an_input(data=nine.tolist()), outputs=wanted)
    _, headers, answer = named.ask("POST", "/v2/models/words/infer", body)
    if binary:
        start = int(headers["Inference-Header-Content-Length"])
        (length,) = struct.unpack_from("<I", answer, start)
        first = answer[start + 4 : start + 4 + length].decode()
    else:
        first = answer["outputs"][0]["data"][0]
    probability, index, name = first.split(":", 2)
    assert (index, name) == ("9", WORDS[9])
    assert float(probability) > 0.5
