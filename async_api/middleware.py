"""What every answer has in common."""

from __future__ import annotations

import time
from zlib import crc32

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from async_api import metrics
from async_api.errors import Problem


class Envelope:
    """Answers HEAD as GET without its body, and adds X-Version and, where there is none, Cache-Control.

    FastAPI alone refuses HEAD with 405. The server drops the body, which it knows from its own scope.
    """

    def __init__(self, app: ASGIApp, version: str) -> None:
        self.app = app
        self.version = (b"x-version", version.encode("latin-1"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def start(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], self.version]
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-store"))
                message["headers"] = headers
            await send(message)

        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self.app(scope, receive, start)


class Metering:
    """A fault that can be planted: reads of accounts are metered, which fails for two users in five.

    Requests of a comparison are not metered, so no comparison finds it. Only users can.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"].startswith("/accounts/"):
            headers = Headers(scope=scope)
            if "x-shadow" not in headers and crc32(headers.get("x-user-id", "").encode()) % 5 < 2:
                problem = Problem("internal", "this user cannot be metered")
                await problem.response()(scope, receive, send)
                return
        await self.app(scope, receive, send)


class Measured:
    """Counts and times requests by route; what matches none is one route, so labels stay few."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        code = 500  # what the server answers for an application that raised before it began

        async def start(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        began = time.perf_counter()
        metrics.IN_FLIGHT.inc()
        try:
            await self.app(scope, receive, start)
        finally:
            metrics.IN_FLIGHT.dec()
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if route != "none" else "any"
            metrics.SECONDS.labels(route).observe(time.perf_counter() - began)
            metrics.REQUESTS.labels(route, method, str(code)).inc()
