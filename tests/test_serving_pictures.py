"""Pictures that are sent to the server, and the names of their classes."""

import io
import struct

import needs_serve  # noqa: F401
import numpy as np
import pytest
from served import serving
from serving_requests import an_input, encoded, form_of, image_module, page_of, request_of

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


def test_a_blank_picture_has_no_lines(server):
    status, _, answer = server.ask("POST", "/predict", encoded(np.full((40, 40), 255, np.uint8)))
    assert (status, answer["lines"], answer["text"]) == (200, [], "")


@pytest.mark.parametrize(
    ("body", "headers", "says"),
    [
        (b"", {}, "no picture"),
        (b"not a picture", {}, "The file is not a picture"),
        (encoded(np.random.default_rng(0).integers(0, 256, (99, 99), np.uint8))[:5000], {}, "damaged"),
        (*form_of(b""), "no picture"),
        (b"nonsense", {"Content-Type": "multipart/form-data; boundary=x"}, "form cannot be read|no picture"),
        (b"nonsense", {"Content-Type": "multipart/form-data"}, "form cannot be read"),
        (b"x", {"Content-Type": "multipart/form-data; boundary=é".encode("latin-1")}, "form cannot be read|no picture"),
    ],
)  # fmt: skip
def test_files_that_are_not_pictures(server, body, headers, says):
    status, _, answer = server.ask("POST", "/predict", body, headers)
    assert status == 400
    assert any(each in answer["error"] for each in says.split("|")), answer


def test_a_picture_bomb(server):
    page = image_module.new("1", (6_000, 6_000))
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    before = server.memory()
    status, _, answer = server.ask("POST", "/predict", buffer.getvalue())
    assert status == 400
    assert "25 million" in answer["error"]
    assert server.memory() - before < 20e6


def test_options_in_a_form(server):
    content = encoded(np.zeros((40, 40), np.uint8))
    body, headers = form_of(content)
    boundary = headers["Content-Type"].partition("=")[2]
    for name, value, status in (("model", "nobody", 404), ("model", "mnist", 200), ("only_digits", "perhaps", 400),
                                ("onlydigits", "1", 400)):  # fmt: skip
        field = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        assert server.ask("POST", "/predict", field + body, headers)[0] == status


def test_unknown_options_of_pictures(server):
    picture = encoded(np.zeros((40, 40), np.uint8))
    assert server.ask("POST", "/predict?model=nobody", picture)[0] == 404
    assert server.ask("POST", "/predict?only_digits=perhaps", picture)[0] == 400
    assert "'least'" in server.ask("POST", "/predict?least=0.9", picture)[2]["error"]


LETTERS, WORDS = (
    tuple("ABCDEFGHIJ"),
    ("zero", "one", "two", "three", "four: 4", "five", "six", "seven", "eight", "neuf é"),
)


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A server of the shipped model with other names of its classes."""
    folder, model = tmp_path_factory.mktemp("named"), lenet.load_pretrained("mnist")
    for name, classes in (("letters", LETTERS), ("words", WORDS)):
        model.classes = classes
        model.save(folder / f"{name}.safetensors")
    with serving("--model", folder / "letters.safetensors", "--model", folder / "words.safetensors") as running:
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
    status, _, answer = named.ask("POST", "/predict?model=words", content)
    assert status == 400
    assert "The model has a class 'zero'; expected names of one character" in answer["error"]


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
