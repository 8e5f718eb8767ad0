"""ETags and 304 (RFC 9110, 8.8.3 and 13.1.2).

Clients move between two backends whose JSON differs in spaces and order, so the tag is made from the
canonical form (keys sorted, no spaces) and is weak: the same content, not the same bytes. The other
backend does the same.
"""

from __future__ import annotations

import hashlib
import re

import msgspec
from fastapi import Request, Response

CACHE_CONTROL = "private, no-cache"  # may be kept by the client, and is asked for again each time

_TAG = re.compile(r'(?:W/)?("[!#-~\x80-\xff]*")')


def etag(body: bytes) -> str:
    """The weak tag of a JSON document."""
    canonical = msgspec.json.encode(msgspec.json.decode(body), order="sorted")
    return f'W/"{hashlib.blake2b(canonical, digest_size=12).hexdigest()}"'


def tag(response: Response) -> Response:
    """The same response, with its tag."""
    response.headers["ETag"] = etag(bytes(response.body))
    response.headers["Cache-Control"] = CACHE_CONTROL
    return response


def answer(request: Request, tagged: Response) -> Response:
    """304 if the client has it already, else the response as it is."""
    asked = ",".join(request.headers.getlist("if-none-match"))  # several lines are one list
    if not asked or tagged.status_code != 200:
        return tagged
    current = tagged.headers["etag"]
    if asked.strip() != "*" and current.removeprefix("W/") not in _TAG.findall(asked):
        return tagged
    return Response(status_code=304, headers={"ETag": current, "Cache-Control": CACHE_CONTROL})
