"""The proxy's own answers: problem details (RFC 9457), with a header that says who caused the error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, Literal

from proxy.core.http1.request import RequestHead

Source = Literal["client", "upstream", "proxy"]

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


def problem(
    status: int,
    source: Source,
    kind: str,
    detail: str,
    *,
    head: RequestHead | None = None,
    close: bool = False,
    extra: bytes = b"",
    retry_after: int | None = None,
    members: Mapping[str, str] | None = None,
) -> bytes:
    """A whole response. `head`, if there is one, decides on CORS fields and on the body of HEAD."""
    title = _PHRASES.get(status, "Error")
    content = {"type": f"urn:strangler:{kind}", "title": title, "status": status, "detail": detail}
    body = json.dumps({**content, **(members or {})}).encode()
    lines = [
        f"HTTP/1.1 {status} {title}\r\n".encode(),
        b"content-type: application/problem+json\r\ncontent-length: %d\r\n" % len(body),
        f"x-proxy-error: source={source}; kind={kind}\r\ncache-control: no-store\r\n".encode(),
        extra,
    ]
    if retry_after is not None:
        lines.append(b"retry-after: %d\r\n" % retry_after)
    if head is not None:
        lines.append(_cors(head))
    if close:
        lines.append(b"connection: close\r\n")
    lines.append(b"\r\n")
    if head is None or head.method != "HEAD":
        lines.append(body)
    return b"".join(lines)


def _cors(head: RequestHead) -> bytes:
    """Lets a script of another origin read the problem; it holds nothing that is not already the client's."""
    origin = head.get(b"origin")
    if origin is None:
        return b""
    return (
        b"access-control-allow-origin: %b\r\naccess-control-allow-credentials: true\r\n"
        b"access-control-expose-headers: x-proxy-error, retry-after\r\nvary: origin\r\n" % origin
    )
