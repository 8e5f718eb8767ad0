"""Limits how many requests the admin port processes at the same time; health checks are never refused."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.control.admin.problems import problem

ALWAYS: Final = frozenset({"/healthz", "/readyz", "/metrics", "/events"})
"""What holds no descriptor but the connection's. The page's feed has a bound of its own."""


class Busy:
    """ASGI middleware. Who waits for its client is not counted: a slow client must not be able to be many."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most
        self._working = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in ALWAYS:
            await self._app(scope, receive, send)
            return
        if self._working >= self._most:
            refusal = problem(503, "too many concurrent requests; try again", {"retry-after": "1"})
            await refusal(scope, receive, send)
            return

        async def received() -> Message:
            self._working -= 1
            try:
                return await receive()
            finally:
                self._working += 1

        async def sent(message: Message) -> None:
            self._working -= 1
            try:
                await send(message)
            finally:
                self._working += 1

        self._working += 1
        try:
            await self._app(scope, received, sent)
        finally:
            self._working -= 1
