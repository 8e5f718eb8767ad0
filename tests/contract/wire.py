"""Requests as bytes, for what no HTTP client would send."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.contract.fixtures import PROBLEMS

TIMEOUT = 20.0


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def kind(self) -> str:
        """The contract's problem type; "" for a success, and for what a server or the proxy refuses."""
        if self.headers.get_content_type() != "application/problem+json":
            return ""
        kind = str(json.loads(self.body)["type"])
        return kind.removeprefix(PROBLEMS) if kind.startswith(PROBLEMS) else ""

    @property
    def fields(self) -> list[str]:
        return [error["field"] for error in json.loads(self.body)["errors"]]


def ask(
    url: str,
    method: str,
    target: str,
    lines: Sequence[str] = (),
    body: bytes = b"",
    version: str = "HTTP/1.1",
    trailers: Sequence[str] | None = None,
) -> Answer:
    """Header lines as they stand; `trailers` makes the body chunked, with those after it."""
    framing = [f"Content-Length: {len(body)}"] if body else []
    if trailers is not None:
        framing = ["Transfer-Encoding: chunked"]
        body = b"%x\r\n%s\r\n0\r\n" % (len(body), body) + _block(trailers)
    head = f"{method} {target} {version}\r\n".encode("latin-1")
    return send(url, head + _block(["Host: localhost", *lines, *framing]) + body, method)


def send(url: str, raw: bytes, method: str = "POST") -> Answer:
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), TIMEOUT) as connection:
        connection.sendall(raw)
        with http.client.HTTPResponse(connection, method=method) as response:
            response.begin()
            return Answer(response.status, response.headers, response.read())


def _block(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")
