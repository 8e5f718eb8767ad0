"""Stands before every route of the admin port: Host, Origin and token, and security headers."""

from __future__ import annotations

import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.control.admin.problems import problem
from proxy.control.log import log
from proxy.control.security import (
    Failures,
    bearer_token,
    from_foreign_page,
    host_allowed,
    same_origin,
    token_valid,
)
from proxy.control.state import State

READING = frozenset({"GET", "HEAD", "OPTIONS"})
PRIVATE = "/samples"  # how paths end that show answers which clients got: reading them needs the token, too
SECURITY_HEADERS = {
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
CSP = "default-src 'none'; frame-ancestors 'none'"  # the page sets one of its own


class Guard:
    """ASGI middleware. Whatever changes something needs the token, if one is set, and our own origin.

    So does, but for the origin, what shows clients' answers.
    """

    def __init__(self, app: ASGIApp, state: State, bound: str) -> None:
        self._app = app
        self._state = state
        self._bound = bound
        self._failures = Failures()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
                headers.setdefault("content-security-policy", CSP)
            await send(message)

        client = scope["client"][0] if scope.get("client") else "unknown"
        refusal = self._refusal(scope["method"], scope["path"], Headers(scope=scope), client)
        await (refusal or self._app)(scope, receive, send_guarded)

    def _refusal(self, method: str, path: str, headers: Headers, client: str) -> ASGIApp | None:
        if not host_allowed(headers.get("host", ""), self._bound):
            return problem(403, f"Host must be {self._bound}, localhost or a loopback address")
        if method in READING and not path.rstrip("/").endswith(PRIVATE):
            return None
        if method not in READING and not same_origin(headers):
            return problem(403, "a page of another origin may not do this")
        token = self._state.reloader.started.server.admin_token
        return self._unproven(method, headers, client, token) if token else None

    def _unproven(self, method: str, headers: Headers, client: str, token: str) -> ASGIApp | None:
        """Why whoever sends this has not shown the token; None if they have.

        Only a wrong token is a guess. What any page can make an engineer's browser send (images without a
        token) must not lock the engineer out, who has the same address.
        """
        given = bearer_token(headers.get("authorization", ""))
        if not given:
            return _unauthorized()
        if from_foreign_page(headers):
            return problem(403, "a page of another origin may not do this")
        wait = self._failures.wait(client, time.monotonic())
        if wait:
            return problem(429, "too many wrong tokens; wait", {"retry-after": str(wait)})
        if token_valid(given, token):
            return None
        self._failures.failed(client, time.monotonic())
        log.warning("%s from %s was refused: wrong token", method, client)
        return _unauthorized()


def _unauthorized() -> ASGIApp:
    return problem(
        401,
        "this needs `Authorization: Bearer <server.admin_token>`",
        {"www-authenticate": 'Bearer realm="strangler"'},
    )
