"""The route of pictures and the routes of the page, called in this process: forms, options and cached content."""

import asyncio
import gzip
import hashlib
import json
import threading

import needs_serve  # noqa: F401
import numpy as np
import pytest
from serving_in_process import ask, asked
from serving_requests import encoded
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

import lenet
from lenet.errors import InputError
from lenet.serving import Limits, Models, pictures
from lenet.serving.asgi import Application
from lenet.serving.limits.capacity import ThreadPool
from lenet.serving.metrics import Metrics
from lenet.serving.page import page_html
from lenet.serving.page.routes import page_operations
from lenet.serving.pictures import Pictures, _parts, _unless_disconnected
from lenet.serving.reloading import watching
from lenet.serving.routing import Router

PICTURE = encoded(np.full((40, 40), 255, np.uint8))


@pytest.fixture(scope="module")
def models():
    return Models({"one": lenet.load_pretrained(), "two": lenet.LeNet5(seed=0)})


@pytest.fixture(scope="module")
def app(models):
    """An application with the routes of pictures and of the page."""
    limits, metrics, pool = Limits(pixels=2000), Metrics(models), ThreadPool(4, 30)
    operations = [*Pictures(models, limits, metrics, pool).operations(), *page_operations(models)]
    app = Application(Router(operations), limits, metrics, pool, lambda context: app.contexts.append(context), [],
                      lambda app: watching(models))  # fmt: skip
    app.contexts = []
    return app


def field(name, value):
    return f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def file(content, name="picture"):
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="a.png"\r\n\r\n'
    return head.encode() + content + b"\r\n"


FORM = {"content_type": "multipart/form-data; boundary=x"}
TRUNCATED = "The form cannot be read (it is truncated; expected a closing boundary). Send a picture as"
NO_FILE = (
    "The form cannot be read (The part '{}' has no filename; expected a file, or one of the fields model, "
    "only_digits, marks, rotate)."
)


# ---- pictures ------------------------------------------------------------------------------------------


class Digit:
    """A reading as far as the route uses it."""

    def __init__(self, labels, picture, model, options):
        self.text, self._labels = "text", labels
        self.given = picture.shape, model, options

    def as_dict(self):
        return {"lines": [{"digits": [{"label": label} for label in line]} for line in self._labels]}


@pytest.fixture
def given(monkeypatch):
    """The arguments of each call of `read`: the shape of the picture, the model, and the options."""
    given = []

    def read(picture, model, *, n_jobs, **options):
        assert n_jobs == 1
        assert threading.current_thread().name == "lenet-serve"
        digit = Digit([[3, None], [3, 7, None]], picture, model, options)
        given.append(digit.given)
        return digit

    monkeypatch.setattr(pictures, "read", read)
    return given


@pytest.mark.parametrize(
    ("query", "name", "options"),
    [
        (b"", "one", {}), (b"model=two", "two", {}), (b"only_digits=true", "one", {"only_digits": True}),
        (b"marks=TRUE&model=two", "two", {"marks": True}), (b"rotate=0", "one", {"rotate": False}),
        (b"only_digits=1&marks=False", "one", {"only_digits": True, "marks": False}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("as_form", [False, True])
def test_a_picture_is_read_with_the_model_and_the_options_that_it_names(
    app, models, given, query, name, options, as_form
):
    body, headers = PICTURE, {"content_type": "image/png"}
    if as_form:
        body, headers = file(PICTURE) + b"--x--\r\n", {"content_type": FORM["content_type"].replace("multi", "MULTI")}
    status, _, answer = asked(app, "POST", "/predict", body, query, **headers)
    model = models.get(name)
    assert status == 200
    assert {key: answer[key] for key in ("model", "version", "text")} == {
        "model": name, "version": model.version, "text": "text",
    }  # fmt: skip
    assert len(answer["lines"]) == 2
    ((shape, used, passed),) = given
    assert (shape[:2], used is model.model, passed) == ((40, 40), True, options)
    assert (app.contexts[-1].model, app.contexts[-1].operation) == (name, "predict")


def test_a_part_of_a_form_has_at_most_8_headers():
    """Older versions of python-multipart have no limit."""
    parser = pictures._FormParser(Headers(), pictures._parts([]), 1)
    parser.on_part_begin()
    for _ in range(8):
        parser.on_header_end()
    with pytest.raises(MultiPartException, match="more than 8 headers"):
        parser.on_header_end()


def test_the_labels_of_a_picture_are_counted(models, given):
    metrics = Metrics(models)
    app = Application(Router(Pictures(models, Limits(), metrics, ThreadPool(1, 30)).operations()), Limits(), metrics,
                      ThreadPool(1, 30), lambda context: None, [], lambda app: watching(models))  # fmt: skip
    assert asked(app, "POST", "/predict", PICTURE)[0] == 200
    lines = metrics.text().decode().splitlines()
    for label, number in (("3", 2), ("7", 1), ("rejected", 2)):
        assert f'lenet_predictions_total{{label="{label}",model="one"}} {number}.0' in lines


def test_fields_of_a_form_are_options(app, given):
    body = field("model", "two") + file(PICTURE) + field("only_digits", "true") + b"--x--\r\n"
    assert asked(app, "POST", "/predict", body, **FORM)[2]["model"] == "two"
    assert given[0][2] == {"only_digits": True}


@pytest.mark.parametrize(
    ("query", "body", "headers", "status", "says"),
    [
        (b"", b"", {}, 400, "The request has no picture. Send a PNG or JPEG as the body or as a file in a form."),
        (b"", field("only_digits", "true") + b"--x--\r\n", FORM, 400, "The request has no picture."),
        (b"", file(b"") + b"--x--\r\n", FORM, 400, "The request has no picture."),
        (b"least=1&a=2", PICTURE, {}, 400, "Unknown option 'least'; expected one of model, only_digits, marks"),
        (b"", field("least", "1") + file(PICTURE) + b"--x--\r\n", FORM, 400, NO_FILE.format("least")),
        (b"", field("picture", "x" * 1025) + b"--x--\r\n", FORM, 400, NO_FILE.format("picture")),
        (b"", file(PICTURE), FORM, 400, TRUNCATED),
        (b"", file(PICTURE)[:-9], FORM, 400, TRUNCATED),
        (b"", file(PICTURE) + b"--x--", FORM, 200, ""),
        (b"model=three", PICTURE, {}, 404, "Model 'three' is unknown"),
        (b"only_digits=yes", PICTURE, {}, 400, "only_digits is 'yes'; expected true or false."),
        (b"marks=no", PICTURE, {}, 400, "marks is 'no'; expected true or false."),
        (b"", b"nonsense", FORM, 400, "The form cannot be read ("),
        (b"", PICTURE, {"content_type": "multipart/form-data"}, 400, "The form cannot be read ("),
        (b"", file(PICTURE) * 2 + b"--x--\r\n", FORM, 400, "The form cannot be read ("),
        (b"", field("model", "one") * 11 + b"--x--\r\n", FORM, 400, "The form cannot be read ("),
        (b"", field("marks", "1") * 10 + file(PICTURE) + b"--x--\r\n", FORM, 400, "The option marks was given"),
        (b"model=one&model=one", PICTURE, {}, 400, "The option model was given more than once; expected one"),
        (b"model=one&rotate=0&marks=1&rotate=1", PICTURE, {}, 400, "The option rotate was given"),
        (b"model=two", field("model", "one") + file(PICTURE) + b"--x--\r\n", FORM, 400, "The option model was given"),
        (b"model=one", field("marks", "1") + file(PICTURE) + b"--x--\r\n", FORM, 200, ""),
        (b"other=1&other=2", PICTURE, {}, 400, "Unknown option 'other'"),
        (b"", b"not a picture", {}, 400, "The file is not a picture"),
        (b"", PICTURE[:60], {}, 400, "damaged"),
        (b"", encoded(np.zeros((40, 50), np.uint8)), {}, 200, ""),
        (b"", encoded(np.zeros((40, 51), np.uint8)), {}, 400, "expected at most 0.002 million."),
    ],
)
def test_requests_without_a_picture_that_can_be_read(app, query, body, headers, status, says):
    answered, _, answer = asked(app, "POST", "/predict", body, query, **headers)
    assert answered == status, answer
    assert says in answer.get("error", "")


def collected(parts):
    async def collect():
        return [part async for part in _parts(parts)]

    return asyncio.run(collect())


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([0], []),
        ([5], [5]),
        ([2**18], [2**18]),
        ([2**18 + 1], [2**18, 1]),
        ([3, 4, 5], [12]),
        ([2**18 - 1, 1, 7], [2**18, 7]),
        ([2**18 - 1, 2, 7], [2**18, 1, 7]),
        ([2**19 + 3, 2**17, 2**17], [2**18, 2**18, 3, 2**18]),
    ],
)
def test_a_body_is_parsed_in_parts_of_256_kib(sizes, expected):
    rng = np.random.default_rng(0)
    parts = [rng.bytes(size) for size in sizes]
    found = collected(parts)
    assert [len(part) for part in found] == expected
    assert b"".join(found) == b"".join(parts)


@pytest.mark.parametrize("leaves", [True, False])
def test_work_is_cancelled_if_the_client_leaves(leaves):
    ended, release = [], asyncio.Event()

    async def work():
        try:
            await release.wait()
            return "done"
        finally:
            ended.append(True)

    async def receive():
        if not leaves:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def run():
        asyncio.get_running_loop().call_later(60 if leaves else 0.001, release.set)
        request = Request({"type": "http", "headers": []}, receive)
        if not leaves:
            return await _unless_disconnected(request, work())
        with pytest.raises(HTTPException) as error:
            await _unless_disconnected(request, work())
        assert (error.value.status_code, error.value.detail) == (499, "The client disconnected.")
        await asyncio.sleep(0)
        assert not release.is_set()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert (ended, others) == ([True], set())
        return None

    assert asyncio.run(run()) == (None if leaves else "done")


def test_an_error_of_the_work_is_that_of_the_request():
    async def work():
        raise InputError("a")

    async def receive():
        await asyncio.Event().wait()

    async def run():
        with pytest.raises(InputError):
            await _unless_disconnected(Request({"type": "http", "headers": []}, receive), work())
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())


def test_the_routes_are_described(models):
    (predict,) = Pictures(models, Limits(body=99), None, None).operations()
    assert (predict.method, predict.path, predict.errors, predict.public) == ("POST", "/predict", (404, 501), False)
    assert predict.details["operationId"] == "predict"
    assert [each["name"] for each in predict.details["parameters"]] == ["model", "only_digits", "marks", "rotate"]
    page, document = page_operations(models)
    assert (page.path, page.public, document.path, document.public) == ("/", True, "/model.json", False)
    assert (document.errors, [each["name"] for each in document.details["parameters"]]) == ((404,), ["model"])


# ---- the page ------------------------------------------------------------------------------------------


def test_the_page_and_its_headers(app):
    status, headers, content = asked(app, "GET", "/")
    assert (status, content) == (200, page_html())
    tag = f'W/"{hashlib.sha256(content).hexdigest()[:16]}"'
    assert headers.pop("x-request-id")
    policy = headers.pop("content-security-policy")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert headers == {
        "content-length": str(len(content)), "content-type": "text/html; charset=utf-8", "etag": tag,
        "cache-control": "private, no-cache", "vary": "Accept-Encoding", "x-content-type-options": "nosniff",
        "cross-origin-opener-policy": "same-origin", "cross-origin-resource-policy": "same-origin",
        "referrer-policy": "no-referrer",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [
        ("gzip", True), ("br, gzip", True), ("gzip, br", True), ("gzip;q=1.0", True), ("gzip ; q=0.001, br", True),
        ("br;q=0.5,gzip;q=0.5", True), (None, False), ("", False), ("br", False), ("gzip;q=0", False),
        ("gzip;q=0.0, br", False), ("gzip;q=0.000", False), ("xgzip", False), ("gzipped", False),
    ],
)  # fmt: skip
def test_content_is_compressed_if_the_client_accepts_it(app, accepted, is_compressed):
    named = {} if accepted is None else {"accept_encoding": accepted}
    status, headers, content = asked(app, "GET", "/", **named)
    assert (status, headers.get("content-encoding")) == (200, "gzip" if is_compressed else None)
    assert (gzip.decompress(content) if is_compressed else content) == page_html()
    assert headers["vary"] == "Accept-Encoding"
    if is_compressed:
        assert content[4:8] == bytes(4)  # without the time, it is the same from each process


@pytest.mark.parametrize(
    ("known", "status"),
    [("TAG", 304), ('"a", TAG', 304), ("TAG , W/\"b\"", 304), ("*", 304), (" * ", 304), ('W/"a"', 200), ("", 200)],
)  # fmt: skip
def test_content_that_the_client_has_is_not_sent_again(app, known, status):
    tag = asked(app, "GET", "/")[1]["etag"]
    answered, headers, content = asked(app, "GET", "/", if_none_match=known.replace("TAG", tag))
    assert (answered, headers["etag"], headers["cache-control"]) == (status, tag, "private, no-cache")
    assert (content == b"") == (status == 304)


def test_the_document_of_a_model_is_made_once_and_again_when_the_model_changes(tmp_path, monkeypatch):
    lenet.LeNet5(seed=0).save(tmp_path / "a.safetensors")
    models, made = Models({"a": tmp_path / "a.safetensors", "b": lenet.LeNet5(seed=1)}), []
    metrics, pool = Metrics(models), ThreadPool(1, 30)
    app = Application(Router(page_operations(models)), Limits(), metrics, pool, lambda context: None, [],
                      lambda app: watching(models))  # fmt: skip

    def document(model, name, version):
        made.append((name, threading.current_thread() is threading.main_thread()))
        return {"name": name, "version": version}

    monkeypatch.setattr("lenet.serving.page.routes.model_document", document)

    def versions():
        answers = [asked(app, "GET", "/model.json", query=query) for query in (b"", b"model=b", b"model=a")]
        assert [(status, headers["content-type"]) for status, headers, _ in answers] == [(200, "application/json")] * 3
        return [(answer["name"], answer["version"]) for _, _, answer in answers]

    expected = [(name, models.get(name).version) for name in "aba"]
    assert versions() == versions() == expected
    assert made == [("a", False), ("b", False)]
    lenet.LeNet5(seed=2).save(tmp_path / "a.safetensors")
    models.reload("a")
    assert versions() == [(name, models.get(name).version) for name in "aba"] != expected
    assert made == [("a", False), ("b", False), ("a", False)]
    assert asked(app, "GET", "/model.json", query=b"model=c")[0] == 404


def test_requests_for_a_document_are_answered_together(app):
    async def both():
        return await asyncio.gather(*(ask(app, "GET", "/model.json", query=b"model=two") for _ in range(2)))

    first, second = asyncio.run(both())
    assert first[2] == second[2]
    assert json.dumps(first[2]["parameters"]).count("data") == 10


def test_the_client_does_not_choose_the_codec_of_a_form(app, given):
    """Python's punycode codec takes time that is quadratic in the length."""
    body = field("only_digits", "true") + file(PICTURE) + b"--x--\r\n"
    for charset in ("punycode", "utf-16"):
        kind = f"multipart/form-data; boundary=x; charset={charset}"
        assert asked(app, "POST", "/predict", body, content_type=kind)[0] == 200
    assert [each[2] for each in given] == [{"only_digits": True}] * 2


@pytest.mark.parametrize(("length", "status"), [(2**10, 404), (2**10 + 1, 400)])
def test_fields_of_a_form_are_short(app, length, status):
    body = field("model", "x" * length) + file(PICTURE) + b"--x--\r\n"
    assert asked(app, "POST", "/predict", body, content_type="multipart/form-data; boundary=x")[0] == status
