"""Sends a request to one backend, with the header lines that a proxied request has.

It follows no redirects, uses no proxy from the environment, and sends nothing twice.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import Final, NamedTuple

import httpx2

from proxy.compare import tracing
from proxy.compare.decoding import BodyDecoder
from proxy.compare.tracing import Lines
from proxy.core.comparison.differences import Answer, Body
from proxy.core.forwarding.hop_by_hop import Hop, request_block
from proxy.core.forwarding.protected import ALWAYS
from proxy.core.http1.request import RequestHead
from proxy.core.settings import Backend, Upstream

LOCAL: Final = Hop(b"127.0.0.1", trusted=False)
NO_LIMITS: Final = httpx2.Limits()
MAX_READ: Final = 256 * 1024 * 1024  # bytes of one body; more is an error


class Unanswered(Exception):
    """The backend gave no whole answer; the message says which address and why."""


class Unreachable(Unanswered):
    """No address of the backend accepts a connection: it is down, whatever the request."""


class BackendRequest(NamedTuple):
    """`body` has the length that the head says; `extra` are header lines in addition to those of the head."""

    head: RequestHead
    body: bytes = b""
    hop: Hop = LOCAL
    extra: tuple[tuple[bytes, bytes], ...] = ()
    protected: frozenset[bytes] = ALWAYS


class Asked(NamedTuple):
    """`seconds` until the response head; `upstream` is the address as configured."""

    answer: Answer
    seconds: float
    reason: str  # the phrase of the status line
    upstream: str


class Connections:
    """Keeps connections to the upstreams open from one request to the next."""

    def __init__(self) -> None:
        self._transports: dict[Upstream, httpx2.AsyncHTTPTransport] = {}

    def to(self, backend: Backend, upstream: Upstream) -> httpx2.AsyncHTTPTransport:
        found = self._transports.get(upstream)
        if found is None:
            idle = httpx2.Limits(keepalive_expiry=backend.timeouts.pool_idle)
            found = self._transports[upstream] = _transport(upstream, idle)
        return found

    async def aclose(self) -> None:
        transports, self._transports = self._transports, {}
        for transport in transports.values():
            await transport.aclose()


async def ask(
    backend: Backend,
    request: BackendRequest,
    request_id: str,
    keep: int,
    connections: Connections | None = None,
) -> Asked:
    """The backend's answer; a body of more than `keep` bytes is hashed and not kept. Raises Unanswered.

    Another address is tried only where no connection could be made. Without `connections` a new one is made.
    """
    host = None if backend.host is None else backend.host.encode("latin-1")
    block = request_block(request.head, request.hop, host, request.protected)
    lines = (line.partition(b":") for line in block.split(b"\r\n") if line)
    headers = [(name, value.strip()) for name, _, value in lines]
    headers += [(b"x-request-id", request_id.encode("latin-1")), *request.extra]
    with tracing.shadow(request.head, backend.name, headers) as lines_out:
        return await _ask_one_of(backend, request, lines_out, keep, connections)


async def _ask_one_of(
    backend: Backend,
    request: BackendRequest,
    headers: Lines,
    keep: int,
    connections: Connections | None,
) -> Asked:
    reason = ""
    for upstream in backend.upstreams:
        try:
            if connections is not None:
                transport = connections.to(backend, upstream)
                return await _ask(backend, upstream, transport, request, headers, keep)
            async with _transport(upstream) as transport:
                return await _ask(backend, upstream, transport, request, headers, keep)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            reason = f"{backend.name} at {upstream.url}: {_cause(error)}"
        except (httpx2.HTTPError, TimeoutError) as error:
            raise Unanswered(f"{backend.name} at {upstream.url}: {_cause(error)}") from None
    raise Unreachable(reason)


async def _ask(
    backend: Backend,
    upstream: Upstream,
    transport: httpx2.AsyncHTTPTransport,
    wanted: BackendRequest,
    headers: Lines,
    keep: int,
) -> Asked:
    timeouts = backend.timeouts
    limits = httpx2.Timeout(timeouts.idle, connect=timeouts.connect)
    async with asyncio.timeout(timeouts.connect + timeouts.response + timeouts.idle):
        request = httpx2.Request(
            wanted.head.method,
            _url(upstream),
            headers=headers,
            content=wanted.body or None,
            extensions={"target": wanted.head.target, "timeout": limits.as_dict()},
        )
        start = time.perf_counter()
        async with asyncio.timeout(timeouts.connect + timeouts.response):
            response = await transport.handle_async_request(request)
        seconds = time.perf_counter() - start
        response.request = request
        try:
            answered = await _body(response, keep)
        finally:
            await response.aclose()
    fields = {name.lower(): ", ".join(response.headers.get_list(name)) for name in response.headers}
    return Asked(
        Answer(response.status_code, fields, answered), seconds, response.reason_phrase, upstream.url
    )


def _transport(upstream: Upstream, limits: httpx2.Limits = NO_LIMITS) -> httpx2.AsyncHTTPTransport:
    return httpx2.AsyncHTTPTransport(
        uds=upstream.path or None,
        verify=ssl.create_default_context() if upstream.scheme == "https" else False,
        trust_env=False,
        limits=limits,
    )


async def _body(response: httpx2.Response, keep: int) -> Body:
    """Without its content-coding, so that compressed and plain answers can be compared."""
    reader, size = BodyDecoder(",".join(response.headers.get_list("content-encoding")), keep), 0
    async for piece in response.aiter_raw():
        size += len(piece)
        if size > MAX_READ:
            raise httpx2.ReadError(f"the body is over {MAX_READ} bytes")
        reader.feed(piece)
    return reader.finish()


def _url(upstream: Upstream) -> str:
    """Scheme and address; the target goes byte for byte, as an extension of the request."""
    if upstream.scheme == "unix":
        return "http://localhost/"
    host = f"[{upstream.host}]" if ":" in upstream.host else upstream.host
    return f"{upstream.scheme}://{host}:{upstream.port}/"


def _cause(error: Exception) -> str:
    text = str(error) or ("no answer in time" if "Timeout" in type(error).__name__ else type(error).__name__)
    return " ".join(text.split())
