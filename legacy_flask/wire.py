"""What Werkzeug reads more generously than the other backend, so that a request means the same to both.

What gunicorn refuses by itself is refused there too, see gunicorn.conf.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask, request

from legacy_flask.errors import Problem

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class NoUpgrade:
    """Werkzeug looks for WebSocket routes where a client asks for them, finds none, and says 405."""

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ.pop("HTTP_UPGRADE", None)  # a protocol that is not offered is ignored (RFC 9110, 7.8)
        return self.app(environ, start_response)


def init_app(app: Flask) -> None:
    app.wsgi_app = NoUpgrade(app.wsgi_app)  # type: ignore[method-assign]
    app.before_request(_refuse)


def _refuse() -> None:
    """Before authentication and before an unknown path is answered. Raises Problem."""
    if request.environ.get("SERVER_PROTOCOL") not in ("HTTP/1.0", "HTTP/1.1"):
        raise Problem("malformed-request", "Only HTTP/1.0 and HTTP/1.1 are spoken here.")
    if request.environ["PATH_INFO"].startswith("//"):  # the router takes away all slashes but one
        raise Problem("not-found", "There is nothing at this path.")
