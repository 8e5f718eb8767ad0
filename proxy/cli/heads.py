"""A request head from the command line."""

from __future__ import annotations

from proxy.cli.errors import fail
from proxy.core.http1.grammar import Malformed
from proxy.core.http1.request import RequestHead


def request_head(method: str, target: str, headers: tuple[str, ...]) -> RequestHead:
    """From METHOD, TARGET and the values of -H; exits 2 with the reason for what is no request."""
    if not (method + target).isprintable():
        fail(f"{method!r} {target!r} is not a request line")
    fields: dict[str, str] = {}
    for line in headers:
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or not line.isprintable():
            fail(f"-H {line!r} is not 'name: value'")
        fields.setdefault(name.strip(), value.strip())
    try:
        return RequestHead.of(method, target, fields)
    except Malformed as error:
        fail(f"{method} {target}: {error}")
    except UnicodeEncodeError:
        fail(f"{method} {target}: only ASCII goes into a request head; percent-encode the rest")
