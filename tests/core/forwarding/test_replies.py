from __future__ import annotations

import json

import h11
import pytest

from proxy.core.forwarding.replies import problem
from proxy.core.http1.request import RequestHead
from proxy.core.http1.response import parse_response


def parts(data: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    head, _, body = data.partition(b"\r\n\r\n")
    response = parse_response(head + b"\r\n\r\n", "GET")
    return response.line, {name.lower(): value for name, value in response.pairs()}, body


def test_a_problem_says_what_whose_and_in_rfc_9457s_form() -> None:
    line, fields, body = parts(problem(502, "upstream", "reset", "gone"))
    assert line == b"502 Bad Gateway"
    assert fields == {
        b"content-type": b"application/problem+json",
        b"content-length": b"%d" % len(body),
        b"x-proxy-error": b"source=upstream; kind=reset",
        b"cache-control": b"no-store",
    }
    assert json.loads(body) == {
        "type": "urn:strangler:reset",
        "title": "Bad Gateway",
        "status": 502,
        "detail": "gone",
    }


def test_head_gets_the_length_without_the_body() -> None:
    _, fields, body = parts(problem(404, "client", "unlisted", "x", head=RequestHead.of("HEAD", "/")))
    assert body == b""
    assert int(fields[b"content-length"]) > 0


def test_retry_after_extra_fields_and_close_are_there_when_asked_for() -> None:
    data = problem(503, "upstream", "busy", "x", retry_after=3, close=True, extra=b"a: b\r\n")
    _, fields, _ = parts(data)
    assert (fields[b"retry-after"], fields[b"connection"], fields[b"a"]) == (b"3", b"close", b"b")


def test_a_script_of_another_origin_may_read_the_problem() -> None:
    _, fields, _ = parts(
        problem(502, "upstream", "reset", "x", head=RequestHead.of("GET", "/", {"origin": "http://o"}))
    )
    assert fields[b"access-control-allow-origin"] == b"http://o"
    assert fields[b"access-control-expose-headers"] == b"x-proxy-error, retry-after"
    assert fields[b"vary"] == b"origin"
    _, fields, _ = parts(problem(502, "upstream", "reset", "x", head=RequestHead.of("GET", "/")))
    assert b"access-control-allow-origin" not in fields


@pytest.mark.parametrize("status", [400, 404, 408, 413, 414, 417, 431, 501, 502, 503, 504, 505, 599])
def test_oracle_h11_reads_every_problem(status: int) -> None:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(problem(status, "proxy", "kind", 'a "detail" with ünïcode'))
    response = connection.next_event()
    assert isinstance(response, h11.Response)
    assert response.status_code == status
    data = connection.next_event()
    assert isinstance(data, h11.Data)
    assert json.loads(bytes(data.data))["detail"] == 'a "detail" with ünïcode'
    assert isinstance(connection.next_event(), h11.EndOfMessage)
