"""The parser of HTTP/1.1: requests, and their limits at the boundaries."""

import needs_serve  # noqa: F401
import pytest
from serving_in_process import Transport, after, connect, run

from lenet.errors import InputError
from lenet.serving.limits.parsing import StrictProtocol

GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def parsed(*packets, answers=True, closing=None):
    """Feed packets to a connection; return its requests, the message of the error, and the bytes that it sent.

    A request is a method, a target, a dict of headers and a body. If `answers` is false, no request is answered before
    all packets have arrived. If `closing` is a list, whether the server has closed the connection is appended to it.
    """
    requests, closing = [], [] if closing is None else closing

    async def application(scope, receive, send):
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        query = scope["query_string"] and b"?" + scope["query_string"]
        requests.append((scope["method"], scope["raw_path"] + query, dict(scope["headers"]), body))
        await send({"type": "http.response.start", "status": 204, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async def feed():
        message, connection = "", connect(StrictProtocol, application, transport := Transport())
        for packet in packets:
            try:
                connection.feed(packet)
            except InputError as error:
                message = str(error)
                break
            if answers:
                await after(iterations=6)
        await after(iterations=100 if not answers else 6)
        closing.append(transport.is_closing())
        connection.connection_lost(None)
        await after(iterations=3)
        return message, transport.written

    return requests, *run(feed())


def in_parts(data, size):
    return [data[start : start + size] for start in range(0, len(data), size)]


def error_of(*packets):
    return parsed(*packets)[1]


def test_a_request_is_the_same_in_packets_of_any_size():
    body = bytes(range(256)) * 3
    sized = b"POST /a%20b?c=d HTTP/1.1\r\nHost: x\r\nX-Spaced:   two  words \t \r\nContent-Length: 768\r\n\r\n" + body
    chunks = b"".join(b"%x;name=value\r\n%b\r\n" % (len(part), part) for part in in_parts(body, 100))
    chunked = CHUNKED + chunks + b"0\r\nX-Trailer: ignored\r\n\r\n"
    first = ("POST", b"/a%20b?c=d", {b"host": b"x", b"x-spaced": b"two  words", b"content-length": b"768"}, body)
    second = ("POST", b"/", {b"host": b"x", b"transfer-encoding": b"chunked"}, body)
    for size in (1, 7, 300, 10_000):
        requests, error, _ = parsed(*in_parts(sized + chunked + sized, size), answers=False)
        assert (requests, error) == ([first, second, first], "")


LINES = b"".join(b"H%d: value\r\n" % k for k in range(200)).splitlines(keepends=True)


def size_of(target, lines):
    """The bytes that count: the target, and of each line the name, the value and ": " and CR LF."""
    return len(target) + sum(map(len, lines))


@pytest.mark.parametrize("number", [99, 100, 199])
def test_a_header_has_at_most_100_lines(number):
    """The line with Host is one of them; the first line of the request is none."""
    requests, error, _ = parsed(GET + b"".join(LINES[:number]) + b"\r\n")
    size = size_of(b"/", [b"Host: x\r\n", *LINES[:100]])
    assert len(requests) == (number == 99)
    assert error == ("" if number == 99 else (
        f"The header, trailer and chunk extensions of the request have 102 lines and {size} bytes; "
        "expected at most 100 lines and 16384 bytes. Send fewer or shorter ones."
    ))  # fmt: skip


@pytest.mark.parametrize(("number", "says"), [(97, ""), (98, "have 102 lines")])
def test_a_header_and_its_trailer_have_at_most_100_lines(number, says):
    """The header has two lines, the trailer one."""
    head = CHUNKED[:-2] + b"".join(LINES[:number]) + b"\r\n"
    requests, error, _ = parsed(head, b"1\r\na\r\n0\r\nT: t\r\n\r\n")
    assert (len(requests), says in error, bool(error)) == (not says, True, bool(says))


@pytest.mark.parametrize("is_long", ["target", "value", "name"])
@pytest.mark.parametrize("excess", [0, 1])
def test_a_header_has_at_most_16_kib(is_long, excess):
    """The line with Host counts 9 bytes, the one with the long name or value 5 more than these."""
    long = b"n" * (2**14 + excess - 9 - (0 if is_long == "target" else 6))
    start = {
        "target": b"GET /%b HTTP/1.1\r\nHost: x\r\n" % long[1:],
        "value": GET + b"a: %b\r\n" % long,
        "name": GET + b"%b: a\r\n" % long,
    }[is_long]
    requests, error, _ = parsed(start + b"\r\n")
    assert len(requests) == 1 - excess
    assert error.count("16385 bytes; expected at most 100 lines and 16384 bytes") == excess


@pytest.mark.parametrize("start", [b"GET /", GET + b"a: "])
def test_an_incomplete_header_has_at_most_16_kib_however_it_arrives(start):
    line = start + b"x" * (2**14 - len(start))
    lines = 1 + start.count(b"\n") // 2
    for packets in ([line], in_parts(line, 5000)):
        assert error_of(*packets) == ""
        assert f"have {lines} lines and 16385 bytes" in error_of(*packets, b"x")
    # The rest is not parsed. Of the first line, only the target counts.
    size = 2**15 - len(b"GET ") * (start == b"GET /")
    assert f"have {lines} lines and {size} bytes" in error_of(line + b"x" * 30_000)


def test_the_limits_hold_for_each_request_of_a_connection():
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 7000\r\n" + b"".join(LINES[:60]) + b"\r\n" + b"x" * 7000
    long = GET + b"a: " + b"b" * 10_000 + b"\r\n\r\n"
    chunked = CHUNKED + b"1\r\na\r\n" * 60 + b"0\r\nT: t\r\n\r\n"
    packets = in_parts((request + long + chunked) * 4, 3000)
    requests, error, _ = parsed(*packets)
    assert (len(requests), error) == (12, "")


@pytest.mark.parametrize("size", [1000, 16_000, 50_000])
def test_the_data_of_a_body_does_not_count_as_header(size):
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n"
    requests, error, _ = parsed(head, *in_parts(b"x" * 50_000, size))
    assert (error, len(requests[0][3])) == ("", 50_000)
    chunks = [b"%x\r\n%b\r\n" % (size, b"x" * size)] * (50_000 // size)
    requests, error, _ = parsed(CHUNKED, *chunks, b"0\r\n\r\n")
    assert (error, len(requests[0][3])) == ("", 50_000 // size * size)


@pytest.mark.parametrize(("size", "number", "says"), [
    (1, 64, ""), (1, 65, "The body has 66 chunks in its first 65 bytes"),
    (256, 128, ""), (256, 129, "The body has 130 chunks in its first 33024 bytes"),
    (512, 500, ""),
])  # fmt: skip
def test_a_body_has_64_chunks_and_one_more_for_each_512_bytes(size, number, says):
    """The chunk that ends the body counts as the one more that the first bytes may have."""
    body = b"%x\r\n%b\r\n" % (size, b"x" * size) * number + b"0\r\n\r\n"
    expected = f"{says}; expected at least 512 bytes per chunk after 64 chunks. Send larger chunks."
    for packets in ([body], in_parts(body, 100)):
        requests, error, _ = parsed(CHUNKED, *packets)
        assert (len(requests), error) == ((0, expected) if says else (1, ""))


def test_the_sizes_and_extensions_of_chunks_have_at_most_16_kib_and_16_bytes_per_chunk():
    first = b"1;" + b"x" * (2**14 - 4) + b"\r\n"  # 16 KiB
    assert error_of(CHUNKED, first) == ""
    assert "and 16385 bytes" in error_of(CHUNKED, first[:-2] + b"xxx")
    # Of the second packet, the data of the chunk does not count.
    second = b"a\r\n1;" + b"x" * 12
    assert error_of(CHUNKED, first, second) == ""
    assert "and 16401 bytes" in error_of(CHUNKED, first, second + b"x")


def test_a_line_of_a_trailer_without_an_end_has_at_most_16_kib_and_16_bytes_per_chunk():
    """The byte of the first of two chunks does not count."""
    start = b"1\r\na\r\n0\r\nA: "
    line = start + b"x" * (2**14 + 2 * 16 + 1 - len(start))
    for packets in ([line], in_parts(line, 5000)):
        assert error_of(CHUNKED, *packets) == ""
        assert "have 3 lines and 16417 bytes" in error_of(CHUNKED, *packets, b"x")


@pytest.mark.parametrize("name", ["connection", "Host", "UPGRADE"])
def test_a_trailer_lacks_the_fields_that_belong_in_the_header(name):
    error = error_of(CHUNKED + b"0\r\n" + name.encode() + b": x\r\n\r\n")
    assert error == f"The trailer has the field {name}; expected none that belongs in the header."


OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"


@pytest.mark.parametrize("size", [1, 50, 10_000])
def test_an_offer_to_upgrade_is_left_out_of_its_request(size):
    sized = b"PUT /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n" + OFFER + b"\r\nhello"
    chunked = CHUNKED[:-2] + OFFER + b"\r\n5\r\nhello\r\n0\r\n\r\n"
    requests, error, _ = parsed(*in_parts(sized + chunked + sized + GET + b"\r\n", size))
    offered = {b"host": b"x", b"connection": b"Upgrade, HTTP2-Settings", b"http2-settings": b"AAMAAABk"}
    put = ("PUT", b"/a?b", offered | {b"content-length": b"5"}, b"hello")
    post = ("POST", b"/", offered | {b"transfer-encoding": b"chunked"}, b"hello")
    assert (requests, error) == ([put, post, put, ("GET", b"/", {b"host": b"x"}, b"")], "")


def test_an_offer_to_upgrade_does_not_change_the_version():
    """A server closes the connection after a request with HTTP/1.0."""
    offer = b"GET / HTTP/%b\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    closing = []
    for version in (b"1.0", b"1.1"):
        parsed(offer % version, closing=closing)
    assert closing == [True, False]


@pytest.mark.parametrize("offer", ["", "Upgrade: h2c\r\n"])
def test_data_after_the_last_request_of_a_connection_is_ignored(offer):
    last = f"GET / HTTP/1.1\r\nHost: x\r\nConnection: close{', Upgrade' if offer else ''}\r\n{offer}\r\n"
    requests, error, _ = parsed(last.encode() + GET + b"\r\n")
    assert (len(requests), error) == (1, "")


def test_a_tunnel_is_refused():
    error = error_of(b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert error == "The method is CONNECT; expected GET or POST. This server is not a proxy."


@pytest.mark.parametrize("number", [17, 18])
def test_16_requests_wait_for_the_answer_to_another(number):
    requests, error, _ = parsed(*[GET + b"\r\n"] * number, answers=False)
    assert len(requests) == 17
    assert error == ("" if number == 17 else (
        "The connection has more than 16 requests waiting; expected at most 16. Wait for the responses."
    ))  # fmt: skip


@pytest.mark.parametrize(("request_", "says"), [
    (b"GET /v2 HTTP/1.1\r\nHost: x\r\n", ""),
    (b"GET http://x/v2 HTTP/1.1\r\nHost: x\r\n", ""),
    (b"GET http://x HTTP/1.1\r\nHost: x\r\n", "has no path"),
    (b"GET http://a@b:99999999/ HTTP/1.1\r\nHost: x\r\n", "not a valid URL"),
    (b"GET /v2#a HTTP/1.1\r\nHost: x\r\n", "has a fragment"),
    (b"GET /v2 HTTP/1.0\r\n", ""),
    (b"GET /v2 HTTP/1.0\r\nHost: x\r\n", ""),
    (b"GET /v2 HTTP/1.0\r\nHost: x\r\nHost: y\r\n", "has 2 Host headers; expected exactly one."),
    (b"GET /v2 HTTP/1.1\r\n", "has 0 Host headers"),
    (b"GET /v2 HTTP/1.1\r\nHost: x\r\nHost: y\r\n", "has 2 Host headers"),
    (b"GET /v2 HTTP/2.0\r\nHost: x\r\n", "has version HTTP/2.0; expected HTTP/1.1."),
    (b"GET /v2 HTTP/0.9\r\nHost: x\r\n", "has version HTTP/0.9"),
    (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding is not chunked"),
    (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding is not chunked"),
    (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: CHUNKED\r\n", ""),
    (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n", "Transfer-Encoding"),
    (b"GET x:80 HTTP/1.1\r\nHost: x\r\n", "The request is not valid HTTP/1.1: "),
    (b"GET http://x/v2#x HTTP/1.1\r\nHost: x\r\n", "has a fragment"),
    (b"GET /\xff HTTP/1.1\r\nHost: x\r\n", "The request is not valid HTTP/1.1: "),
    (b"nonsense", "The request is not valid HTTP/1.1: "),
])  # fmt: skip
def test_what_makes_a_request_valid(request_, says):
    requests, error, _ = parsed(request_ + b"\r\n" + b"0\r\n\r\n" * (b"encoding" in request_.lower()))
    assert (len(requests), says in error, bool(error)) == (not says, True, bool(says))


@pytest.mark.parametrize(
    ("values", "is_continued"),
    [([], False), ([b"100-Continue"], True), ([b"200-maybe"], False), ([b"100-continue", b"other"], False)],
)
def test_the_server_says_continue_if_it_is_expected_to(values, is_continued):
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n" + b"".join(
        b"Expect: %b\r\n" % each for each in values
    )
    requests, _, sent = parsed(head + b"\r\n", b"x")
    assert len(requests) == 1
    assert sent.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 ") == is_continued
    assert sent.startswith(b"HTTP/1.1 204 ") != is_continued
