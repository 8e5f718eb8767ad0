"""What is refused before the application is asked: what the other backend's server refuses, with its status.

A request that one backend executes and the other refuses would do something, or nothing, depending on the
weight of its endpoint. uvicorn passes on what gunicorn does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from async_api.errors import Problem

MAX_REQUEST_LINE = 8190  # bytes; these three as in legacy_flask/gunicorn.conf.py
MAX_LINES = 128  # of the header
MAX_LINE = 32 * 1024  # bytes

SINGLE: Final = frozenset({b"host", b"content-type"})
VERSIONS: Final = ("1.0", "1.1")


class OneReading:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            problem = objection(scope)
            if problem is not None:
                await problem.response()(scope, receive, send)
                return
        await self.app(scope, receive, send)


def objection(scope: Scope) -> Problem | None:
    """Why this request is refused whatever it asks for."""
    version, path, query = scope["http_version"], scope["raw_path"], scope["query_string"]
    target = len(path) + (len(query) + 1 if query else 0)
    if len(scope["method"]) + 1 + target + len(" HTTP/1.1") > MAX_REQUEST_LINE:
        return Problem("target-too-long", f"The request line may have {MAX_REQUEST_LINE} bytes.")
    if version not in VERSIONS:
        return Problem("malformed-request", "Only HTTP/1.0 and HTTP/1.1 are spoken here.")
    if scope["path"].endswith("\n"):  # the router's patterns end in $, which is before a last line end too
        return Problem("not-found", "There is nothing at this path.")
    return _objection_to_headers(scope["headers"], version)


def _objection_to_headers(headers: Sequence[tuple[bytes, bytes]], version: str) -> Problem | None:
    if len(headers) > MAX_LINES:
        return Problem("headers-too-large", f"The header may have {MAX_LINES} lines.")
    seen = set()
    for name, value in headers:
        if len(name) + len(value) + len(": ") > MAX_LINE:
            return Problem("headers-too-large", f"A header line may have {MAX_LINE} bytes.")
        if name in SINGLE:
            if name in seen:
                return Problem("malformed-request", f"{name.decode('ascii')} may be given once.")
            seen.add(name)
        elif name == b"expect" and value.lower() != b"100-continue":
            return Problem("expectation-failed", "Only Expect: 100-continue can be met.")
        elif name == b"transfer-encoding" and version == "1.0":
            return Problem("malformed-request", "Transfer-Encoding is not allowed in HTTP/1.0.")
    return None
