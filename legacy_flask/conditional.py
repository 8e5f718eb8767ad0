"""ETags and 304 for reads (RFC 9110, 8.8.3 and 13.1.2), the same as the other backend's for the same content.

Clients move between two backends whose JSON differs in spaces and order, so the tag is made from the
canonical form (keys sorted, no spaces) and is weak: the same content, not the same bytes.
"""

from __future__ import annotations

import hashlib
import re

import msgspec
from flask import Flask, Response, g, request

CACHE_CONTROL = "private, no-cache"  # may be kept by the client, and is asked for again each time

_TAG = re.compile(r'(?:W/)?("[!#-~\x80-\xff]*")')


def init_app(app: Flask) -> None:
    app.after_request(_tag)


def _tag(response: Response) -> Response:
    # Routing is done for GET and HEAD alike; a merchant is known where the API was asked, not /healthz.
    if request.method not in ("GET", "HEAD") or response.status_code != 200 or "merchant_id" not in g:
        return response
    if response.is_streamed or not response.is_json:
        return response
    opaque = _opaque(response.get_data())
    response.headers["ETag"] = f"W/{opaque}"
    response.headers["Cache-Control"] = CACHE_CONTROL
    asked = request.headers.get("If-None-Match", "")  # Werkzeug's own reading takes tags without quotes
    if asked.strip() == "*" or opaque in _TAG.findall(asked):
        response.status_code = 304
        response.set_data(b"")
        del response.headers["Content-Type"], response.headers["Content-Length"]
    return response


def _opaque(body: bytes) -> str:
    canonical = msgspec.json.encode(msgspec.json.decode(body), order="sorted")
    return f'"{hashlib.blake2b(canonical, digest_size=12).hexdigest()}"'
