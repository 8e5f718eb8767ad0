"""A request head from the command line."""

from __future__ import annotations

from proxy.cli.errors import fail
from proxy.core.http1.grammar import Malformed
from proxy.core.http1.request import RequestHead


def request_head(method: str, target: str, headers: tuple[str, ...]) -> RequestHead:
    """Builds a head from METHOD, TARGET and the values of -H; exits 2 with the reason if it is not valid."""
    if not (method + target).isprintable():
        fail(f"{method!r} {target!r} is not a request line")
    if not (method + target).isascii():
        fail(f"{method} {target}: only ASCII goes into a request line; percent-encode the rest")
    fields: dict[str, str] = {}
    for name, value in map(header, headers):
        fields.setdefault(name, value)
    try:
        return RequestHead.of(method, target, fields)
    except Malformed as error:
        fail(f"{method} {target}: {error}")


def header(line: str) -> tuple[str, str]:
    """Name and value of one -H. The value has a character for each byte of the argument, as on the wire.

    So what the terminal gave as UTF-8 is the UTF-8 that curl would send. Exits 2 if it is not a header.
    """
    name, colon, value = line.partition(":")
    if (
        not colon
        or not name.strip()
        or not name.isascii()
        or any(char < " " or char == "\x7f" for char in line)
    ):
        fail(f"-H {line!r} is not 'name: value'")
    return name.strip(), value.strip(" \t").encode("utf-8", "surrogateescape").decode("latin-1")
