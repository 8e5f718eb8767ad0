"""Checks every request to the admin port (Host, Origin and token), and adds security headers."""

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
    user_with,
)
from proxy.control.state import State
from proxy.core.settings import AdminUser

READING = frozenset({"GET", "HEAD", "OPTIONS"})
# How paths end of which even reading needs a token: what shows the answers to clients, and whose token it is.
PRIVATE = ("/samples", "/api/v1/me")
SECURITY_HEADERS = {
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
CSP = "default-src 'none'; frame-ancestors 'none'"  # the page sets one of its own


class Guard:
    """ASGI middleware. What changes something needs our own origin, and an operator's token if any is set.

    What shows clients' answers needs anybody's token. `state.user` of a request is whose token it has; None
    where none was asked for.
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
        found = self._judge(scope["method"], scope["path"], Headers(scope=scope), client)
        if found is None or isinstance(found, AdminUser):
            scope.setdefault("state", {})["user"] = found
            await self._app(scope, receive, send_guarded)
        else:
            await found(scope, receive, send_guarded)

    def _judge(self, method: str, path: str, headers: Headers, client: str) -> ASGIApp | AdminUser | None:
        """A refusal, or who asks; None: anybody."""
        if not host_allowed(headers.get("host", ""), self._bound):
            return problem(403, f"Host must be {self._bound}, localhost or a loopback address")
        if method in READING and not path.rstrip("/").endswith(PRIVATE):
            return None
        if method not in READING and not same_origin(headers):
            return problem(403, "a page of another origin is not allowed to do this")
        users = self._state.users()
        if not users:
            return None
        found = self._identify(method, headers, client, users)
        if isinstance(found, AdminUser) and method not in READING and found.role != "operator":
            return problem(403, f"{found} is not allowed to change anything: use an operator's token")
        return found

    def _identify(
        self, method: str, headers: Headers, client: str, users: tuple[AdminUser, ...]
    ) -> ASGIApp | AdminUser:
        """Whose token this has, or why that is not known.

        Only a wrong token is a guess. What any page can make an engineer's browser send (images without a
        token) must not lock the engineer out, who has the same address.
        """
        given = bearer_token(headers.get("authorization", ""))
        if not given:
            return _unauthorized()
        if from_foreign_page(headers):
            return problem(403, "a page of another origin is not allowed to do this")
        wait = self._failures.wait(client, time.monotonic())
        if wait:
            return problem(429, "too many wrong tokens; try again in a minute", {"retry-after": str(wait)})
        user = user_with(given, users)
        if user is not None:
            return user
        self._failures.failed(client, time.monotonic())
        log.warning("%s from %s was refused: wrong token", method, client)
        return _unauthorized()


def _unauthorized() -> ASGIApp:
    return problem(
        401,
        "this needs `Authorization: Bearer TOKEN`: server.admin_token, or the token of a user in admin_users",
        {"www-authenticate": 'Bearer realm="strangler"'},
    )
