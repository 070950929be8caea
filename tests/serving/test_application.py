"""The application called in this process: routes, errors, tokens, the repository of models, metrics and headers."""

import asyncio
import json
import logging
import math
import re

import needs_serve  # noqa: F401
import numpy as np
import orjson
import pytest
from serving_in_process import ask, asked, metrics_of
from serving_requests import TOKEN, encoded
from starlette.exceptions import HTTPException

import lenet
from lenet.errors import InputError, InputTypeError, MissingExtraError, NotServedError
from lenet.serving import Limits, Models, create_app
from lenet.serving.asgi import Application
from lenet.serving.limits.capacity import BusyError, ThreadPool
from lenet.serving.logs import WRITER
from lenet.serving.metrics import Metrics
from lenet.serving.reloading import watching
from lenet.serving.routing import Operation, Router


@pytest.fixture(scope="module")
def app():
    return create_app({"m": lenet.LeNet5(seed=0)})


def application_of(handler, tokens=()):
    """Return an application with one handler, at GET and POST /path/{name}; /path/public needs no token."""
    models, contexts = Models({"m": lenet.LeNet5(seed=0)}), []
    application = Application(
        Router([Operation("GET", "/path/public", handler, {}, public=True),
                Operation("GET", "/path/{name}", handler, {}), Operation("POST", "/path/{name}", handler, {})]),
        Limits(), Metrics(models), ThreadPool(1, 1), contexts.append, tokens, lambda app: watching(models),
    )  # fmt: skip
    return application, contexts


def raising(error):
    """Return a handler that raises an error."""

    async def handler(request):
        raise error

    return handler


# ---- errors, tokens, headers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "message", "headers"),
    [
        (InputError("a"), 400, "a", {}),
        (NotServedError("b"), 404, "b", {}),
        (MissingExtraError("c"), 501, "c", {}),
        (HTTPException(418, "d", {"allow": "e"}), 418, "d", {"allow": "e"}),
        (BusyError(retry_after=7), 503, "The server is at capacity. Retry after 7 s.", {"retry-after": "7"}),
        (BusyError("f", "deadline"), 503, "f", {"retry-after": "1"}),
        (MemoryError(), 503, "The server has too little memory for this request. Retry after 1 s.",
         {"retry-after": "1"}),
        (KeyError("secret"), 500, "Internal server error. The server's log has the details.", {}),
    ],
)  # fmt: skip
def test_the_response_to_an_error(caplog, error, status, message, headers):
    application, contexts = application_of(raising(error))
    answered, sent, answer = asked(application, "GET", "/path/a", x_request_id="mine")
    assert (answered, answer) == (status, {"error": message})
    assert headers.items() <= sent.items()
    assert ("retry-after" in sent) == (status == 503)
    (context,) = contexts
    assert (context.status, context.error, context.operation) == (status, message, "handler")
    records = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert records == ([("ERROR", "Request mine failed.")] if status == 500 else [])
    rejected = [line for line in metrics_of(application) if line.startswith("lenet_rejected_total{")]
    reason = {"f": "deadline", "The server is at capacity. Retry after 7 s.": "busy"}.get(message, "memory")
    assert rejected == ([f'lenet_rejected_total{{reason="{reason}"}} 1.0'] if status == 503 else [])


@pytest.mark.parametrize(("status", "reason"), [(401, "token"), (408, "slow"), (413, "size"), (404, None)])
def test_rejected_requests_are_counted(status, reason):
    application, _ = application_of(raising(HTTPException(status)))
    asked(application, "GET", "/path/a")
    rejected = [line for line in metrics_of(application) if line.startswith("lenet_rejected_total{")]
    assert rejected == ([f'lenet_rejected_total{{reason="{reason}"}} 1.0'] if reason else [])


def test_an_error_after_the_response_has_begun_is_logged_and_raised(caplog):
    async def handler(request):
        async def response(scope, receive, send):
            raise OSError("lost")

        response.status_code, response.raw_headers = 200, []
        return response

    application, contexts = application_of(handler)
    with pytest.raises(OSError, match="lost"):
        asked(application, "GET", "/path/a")
    assert [record.getMessage() for record in caplog.records] == [f"Request {contexts[0].request} failed."]
    assert "lenet_in_flight 0.0" in metrics_of(application)


def test_requests_are_counted_while_they_run():
    async def handler(request):
        assert "lenet_in_flight 1.0" in metrics_of(application)
        raise HTTPException(404)

    application, contexts = application_of(handler)
    asked(application, "GET", "/path/a")
    assert "lenet_in_flight 0.0" in metrics_of(application)
    assert contexts[0].status == 404
    assert 'lenet_requests_total{operation="handler",status="404"} 1.0' in metrics_of(application)


@pytest.mark.parametrize("is_draining", [True, False])
def test_a_cancelled_request_is_answered_during_the_shutdown_only(is_draining):
    async def handler(request):
        await asyncio.sleep(60)

    application, contexts = application_of(handler)

    async def cancelled():
        task = asyncio.create_task(ask(application, "GET", "/path/a"))
        await asyncio.sleep(0.001)
        application.state.is_draining = is_draining
        task.cancel()
        return await task

    if is_draining:
        status, headers, answer = asyncio.run(cancelled())
        assert (status, headers["connection"]) == (503, "close")
        assert answer["error"] == "The server is shutting down. Retry after 1 s."
    else:
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(cancelled())
        assert contexts[0].status == 499
        assert not application.state.is_draining


def test_dropped_log_lines_are_counted_after_the_next_request(monkeypatch):
    application, _ = application_of(raising(HTTPException(404)))
    monkeypatch.setattr(WRITER, "dropped", 3)
    monkeypatch.setattr(WRITER, "take_dropped", lambda: 3)
    asked(application, "GET", "/path/a")
    assert "lenet_log_lines_dropped_total 3.0" in metrics_of(application)
    monkeypatch.setattr(WRITER, "dropped", 0)
    asked(application, "GET", "/path/a")
    assert "lenet_log_lines_dropped_total 3.0" in metrics_of(application)


@pytest.mark.parametrize(
    ("authorization", "path", "status"),
    [
        ("Bearer open sesame", "/path/a", 404),
        ("bearer   open sesame ", "/path/a", 404),
        ("Bearer other", "/path/a", 404),
        ("Basic open sesame", "/path/a", 401),
        ("Bearer open", "/path/a", 401),
        ("open sesame", "/path/a", 401),
        (None, "/path/a", 401),
        (None, "/path/public", 404),
    ],
)
def test_one_of_the_tokens_is_required_except_for_public_paths(authorization, path, status):
    application, _ = application_of(raising(HTTPException(404)), tokens=[TOKEN, "other"])
    named = {} if authorization is None else {"authorization": authorization}
    answered, headers, _ = asked(application, "GET", path, **named)
    assert (answered, headers.get("www-authenticate")) == (status, "Bearer" if status == 401 else None)
    without, _ = application_of(raising(HTTPException(404)))
    assert asked(without, "GET", path, **named)[0] == 404


def test_only_the_page_and_the_health_need_no_token():
    app = create_app({"m": lenet.LeNet5(seed=0)}, token=TOKEN)
    paths = ("/", "/v2/health/live", "/v2/health/ready", "/v2", "/metrics", "/model.json", "/openapi.json", "/nothing")
    assert [asked(app, "GET", path)[0] for path in paths] == [200, 200, 200, 401, 401, 401, 401, 401]


def messages_of(application, *scopes):
    """The ASGI messages that an application sends for requests without a body."""

    async def run():
        sent = []

        async def receive():
            return {"type": "http.request"}

        async def send(message):
            sent.append(message)

        for scope in scopes:
            await application(scope, receive, send)
        return sent

    return asyncio.run(run())


@pytest.mark.parametrize("name", [b"authorization", b"content-encoding", b"content-length", b"content-type",
                                  b"inference-header-content-length"])  # fmt: skip
def test_a_header_that_decides_about_the_request_occurs_once(name):
    def status(*headers):
        scope = {"type": "http", "method": "POST", "path": "/path/a", "headers": headers}
        start, body = messages_of(application, scope)
        return start["status"], json.loads(body["body"])["error"]

    application, _ = application_of(raising(HTTPException(418)))
    value = b"identity" if name == b"content-encoding" else b"1"
    assert status((name, value))[0] == 418
    assert status((b"accept", b"a"), (b"accept", b"b"))[0] == 418
    assert status((b"accept", b"a"), (b"accept", b"b"), (name, value))[0] == 418
    assert status((name, value), (name, value)) == (
        400, f"The request has 2 {name.decode()} headers; expected at most one."
    )  # fmt: skip


def test_a_mounted_application_sees_its_own_path():
    async def handler(request):
        return JSON(request.path_params)

    application, contexts = application_of(handler, tokens=["t"])

    scope = {"type": "http", "method": "GET", "path": "/outer/path/public", "root_path": "/outer", "headers": []}
    sent = messages_of(
        application,
        {**scope, "client": ("::1", 5)},
        {**scope, "raw_path": b"/%C3%A9\xff", "client": None},
        {**scope, "path": "/outer/path/\u00e9"},
    )
    assert [message["status"] for message in sent if "status" in message] == [200, 200, 401]
    assert [context.peer for context in contexts] == ["::1", None, None]
    assert [context.path for context in contexts] == ["/outer/path/public", "/%C3%A9\\xff", "/outer/path/%C3%A9"]


class JSON:
    """A response with the least that the application needs."""

    status_code = 200

    def __init__(self, content):
        self.content, self.raw_headers = orjson.dumps(content), []

    async def __call__(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.content})


def test_the_lifespan_watches_the_models():
    async def handler(request):
        pass

    application, _ = application_of(handler)
    sent, messages = [], iter(["startup", "shutdown"])

    async def receive():
        return {"type": f"lifespan.{next(messages)}"}

    async def send(message):
        sent.append(message["type"])

    asyncio.run(application({"type": "lifespan"}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


# ---- routes --------------------------------------------------------------------------------------------


async def first(request):
    """Do it."""


async def second(request):
    """Undo it.

    Slowly.
    """


def test_the_router_finds_the_first_operation_of_a_path():
    router = Router([
        Operation("GET", "/a/stats", first, {}), Operation("GET", "/a/{x}", second, {}),
        Operation("POST", "/a/{x}", first, {}), Operation("POST", "/a.b/{x}/{y}", second, {}),
    ])  # fmt: skip
    assert router.find("GET", "/a/stats") == (first, {})
    assert router.find("HEAD", "/a/b") == (second, {"x": "b"})
    assert router.find("POST", "/a/stats") == (first, {"x": "stats"})
    assert router.find("POST", "/a.b/c/d") == (second, {"x": "c", "y": "d"})
    for path in ("/a", "/a/", "/a/b/c", "/aXb/c/d"):
        with pytest.raises(HTTPException) as error:
            router.find("GET", path)
        assert (error.value.status_code, error.value.headers) == (404, None)
    with pytest.raises(HTTPException) as error:
        router.find("DELETE" * 5, "/a/stats")
    assert (error.value.status_code, error.value.headers) == (405, {"allow": "GET, HEAD, POST"})
    assert error.value.detail == "DELETEDELETEDELETEDE is not allowed for this path. Use GET, HEAD, POST."


def test_an_operation_describes_itself():
    get, post = (
        Operation("GET", "/a", second, {}, (409,), public=True),
        Operation("POST", "/{model}", first, {}, (501,)),
    )
    assert (get.methods, get.summary, get.statuses) == (("GET", "HEAD"), "Undo it", [409])
    assert (post.methods, post.summary) == (("POST",), "Do it")
    assert post.statuses == [400, 401, 404, 408, 413, 415, 501, 503]
    assert Operation("GET", "/a", first, {}).statuses == [401]
    assert (get.details, post.public) == ({}, False)

    async def bare(request):
        pass

    assert Operation("GET", "/a", bare, {}).summary == "bare"


# ---- pages, pictures, metrics --------------------------------------------------------------------------


def test_the_metrics_are_in_the_text_format_of_prometheus(app):
    status, headers, content = asked(app, "GET", "/metrics")
    assert status == 200
    assert re.match(r"text/plain; version=[\d.]+; charset=utf-8", headers["content-type"])
    assert content.startswith(b"# HELP lenet_requests_total Requests answered.\n")
    assert b'lenet_pending{kind="pictures"} 0.0' in content


def test_the_openapi_document_has_all_paths(app):
    status, _, document = asked(app, "GET", "/openapi.json")
    paths = {"/", "/metrics", "/model.json", "/openapi.json", "/predict", "/v2", "/v2/models/{model}/infer"}
    assert (status, paths - document["paths"].keys()) == (200, set())
    assert document["paths"]["/model.json"]["get"]["parameters"][0]["name"] == "model"


def test_a_picture_without_digits_is_read_as_empty_text():
    contexts = []
    app = create_app({"one": lenet.LeNet5(seed=0), "two": lenet.LeNet5(seed=1)}, on_request=contexts.append)
    picture = encoded(np.full((40, 40), 255, np.uint8))
    status, _, answer = asked(app, "POST", "/predict", picture, b"model=two")
    assert (status, answer["model"], answer["text"], answer["lines"]) == (200, "two", "", [])
    assert [(context.model, context.operation) for context in contexts] == [("two", "predict")]


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"on_request": 3}, InputTypeError, "on_request is 3; expected a function."),
        (
            {"on_request": asyncio.sleep},
            InputTypeError,
            "on_request is an async function, which would not run;",
        ),
        ({"limits": {}}, InputTypeError, "limits is {}; expected Limits or None."),
        ({"allow_control": 1}, InputTypeError, "allow_control"),
        ({"token": b"a"}, InputTypeError, "token is of type bytes; expected a string or None."),
        ({"control_token": 3}, InputTypeError, "control_token is of type int"),
        ({"token": ""}, InputError, "token is empty; expected a token. Omit the setting to serve without one."),
        ({"token": "\u00e9"}, InputError, "token has spaces around it or characters outside printable ASCII;"),
        ({"token": "a\n"}, InputError, "token has spaces"),
        ({"token": "a\tb"}, InputError, "token has spaces"),
        ({"control_token": " a"}, InputError, "control_token has spaces"),
    ],
)
def test_invalid_arguments_of_the_application_are_rejected(arguments, error, says):
    with pytest.raises(error) as raised:
        create_app({"m": lenet.LeNet5(seed=0)}, **arguments)
    assert says in str(raised.value)


@pytest.mark.parametrize(("token", "control_token", "statuses"), [
    (None, None, [200, 200, 200]), ("a", None, [401, 200, 401]), (None, "b", [200, 200, 200]),
    ("a", "b", [401, 200, 200]),
])  # fmt: skip
def test_the_control_token_is_valid_where_the_token_is(token, control_token, statuses):
    app = create_app({"m": lenet.LeNet5(seed=0)}, token=token, control_token=control_token)
    answered = [asked(app, "GET", "/v2", **named)[0] for named in (
        {}, {"authorization": "Bearer a"}, {"authorization": "Bearer b"})]  # fmt: skip
    assert answered == statuses


def test_requests_are_logged_unless_the_application_gets_them(caplog):
    caplog.set_level(logging.INFO)
    asked(create_app({"m": lenet.LeNet5(seed=0)}), "GET", "/v2")
    ((name, level, line),) = [(record.name, record.levelname, json.loads(record.getMessage()))
                              for record in caplog.records]  # fmt: skip
    assert (name, level, line["path"], line["status"]) == ("lenet.serving.requests", "INFO", "/v2", 200)
    assert math.isfinite(line["ms"])
