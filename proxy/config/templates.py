"""Endpoint keys: "METHOD /path/{param}/{rest...}"."""

from __future__ import annotations

import re
from typing import Any, Final

from proxy.config.methods import COMMON_METHODS, METHODS
from proxy.core.routing import paths

MAX_SEGMENTS: Final = 32

_PARAM: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(\.\.\.)?\}").fullmatch


def parse_endpoint(value: Any) -> str:
    """The key in its one spelling. Raises ValueError with a phrase that says why it is refused."""
    method, blank, template = value.partition(" ") if isinstance(value, str) else ("", "", "")
    if not blank or not template.startswith("/"):
        raise ValueError("is not 'METHOD /path', such as 'GET /accounts/{account_id}'")
    if method not in METHODS:
        raise ValueError(f"does not begin with a method in capitals such as {', '.join(COMMON_METHODS)}")
    _check_template(template)
    return f"{method} {template}"


def parameters(template: str) -> list[str]:
    return [found[1] for part in template.split("/") if (found := _PARAM(part))]


def shape(endpoint: str) -> str:
    """Two endpoints match the same requests exactly if their shapes are equal."""
    return "/".join(
        ("{...}" if found[2] else "{}") if (found := _PARAM(part)) else part for part in endpoint.split("/")
    )


def first_literal(template: str) -> str:
    """The group that an endpoint is in by default; "" if its path has no literal segment."""
    return next((part for part in template.split("/") if part and not _PARAM(part)), "")


def _check_template(template: str) -> None:
    if "?" in template or "#" in template:
        raise ValueError("has a query or fragment: endpoints match the path only")
    parts = template.split("/")[1:]
    if len(parts) > MAX_SEGMENTS:
        raise ValueError(f"has more than {MAX_SEGMENTS} segments")
    for position, part in enumerate(parts):
        found = _PARAM(part)
        if found is None and ("{" in part or "}" in part):
            raise ValueError(
                f"has {part!r}: a parameter is a whole segment, {{name}} or at the end {{name...}}"
            )
        if found is not None and found[2] and position != len(parts) - 1:
            raise ValueError(f"has {part} before the end of the path")
    names = parameters(template)
    if len(set(names)) != len(names):
        raise ValueError("names a parameter twice")
    literal = "/".join("x" if _PARAM(part) else part for part in parts)
    normal = paths.normalise(b"/" + literal.encode("ascii", "replace").replace(b"?", b" "))
    if normal is None:
        raise ValueError("has a path that is ambiguous or not legal in a URL (RFC 3986 section 3.3)")
    if normal.decode() != "/" + literal:
        raise ValueError("has a path with needless percent-escapes")
