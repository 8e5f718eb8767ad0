"""What every answer has in common."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Envelope:
    """Answers HEAD as GET without its body, and adds Cache-Control and X-Version.

    FastAPI alone refuses HEAD with 405. The server drops the body, which it knows from its own scope.
    """

    def __init__(self, app: ASGIApp, version: str) -> None:
        self.app = app
        self.headers = [(b"cache-control", b"no-store"), (b"x-version", version.encode("latin-1"))]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def start(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self.headers]
            await send(message)

        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self.app(scope, receive, start)
