"""Writes a first routing.yaml with every endpoint at 0, so that nothing moves until somebody raises a
weight."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from proxy.config.discover import DiscoveredEndpoint, Discovery, skipped_lines
from proxy.config.templates import first_literal
from proxy.core.settings import SAFE_METHODS

_SEARCHES: Final = frozenset(
    {"search", "_search", "query", "find", "lookup", "filter", "list", "count", "suggest", "autocomplete"}
    | {"preview", "validate", "estimate", "calculate", "export"}
)
_NOT_A_RESOURCE: Final = re.compile(r"api|rest|public|v\d+(?:\.\d+)*").fullmatch
_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
_PLAIN_KEY: Final = re.compile(r"[A-Z]+ [A-Za-z0-9/{}._~-]+").fullmatch  # what YAML takes without quotes

_HEAD: Final = """\
# Where each endpoint goes. Every weight is 0: all traffic goes to legacy, as before.
# Raise a weight and save: a running proxy applies it at once. `strangler check` validates this file.
server:
  listen: 127.0.0.1:8000   # clients
  admin: 127.0.0.1:9000    # engineers: status page, metrics, API

backends:
  legacy: {{url: "{legacy}"}}  # the service that you have
  async: {{url: "{async_}"}}  # the service that you are moving to

# What identifies a client; the first source that a request has is used. A client stays on one backend while
# weights only rise. For session cookies, put cookie:NAME first; its value must not change during a session.
sticky: {{key: [header:x-user-id, bearer]}}

phases:  # in this order; a write may move when every read is at 100
  reads: {{methods: [GET, HEAD, OPTIONS]}}
  writes: {{methods: [POST, PUT, PATCH, DELETE], after: reads}}

# weight: percentage of clients (or of requests, if they have no key) that async answers.
# Requests that match no endpoint go to legacy.
endpoints:
"""


def draft(discovery: Discovery, *, legacy: str, async_: str) -> str:
    """The text of a commented routing.yaml with every endpoint that was found."""
    reads = [each for each in discovery.found if _method(each) in SAFE_METHODS]
    writes = [each for each in discovery.found if _method(each) not in SAFE_METHODS]
    width = max((len(_key(each.endpoint)) for each in discovery.found), default=0) + 2
    lines: list[str] = []
    for title, found in (("reads", reads), ("writes", writes)):
        if found:
            lines += ["", f"  # {title}"] if lines else [f"  # {title}"]
            lines += entries(_by_resource(found), width)
    lines += skipped_lines(discovery, "  ")
    body = "\n".join(lines) if discovery.found else "\n".join(["  {}", *lines])
    return f"{_HEAD.format(legacy=legacy, async_=async_)}{body}\n"


def entries(found: Iterable[DiscoveredEndpoint], width: int = 0, indent: str = "  ") -> Iterator[str]:
    """One line per endpoint, at weight 0; a write that looks like a search has a proposal behind it."""
    for each in found:
        template = each.endpoint.partition(" ")[2]
        group = resource(template)
        own = f", group: {group}" if group != first_literal(template) else ""
        note = "  # a search? then add: safe: true, phase: reads" if looks_like_search(each) else ""
        key = f"{_key(each.endpoint)}: ".ljust(width)
        yield f"{indent}{key}{{weight: 0{own}}}{note}"


def resource(template: str) -> str:
    """What the endpoint is about: the first literal segment that is no prefix such as api or v1."""
    literals = [part for part in template.split("/") if part and not part.startswith("{")]
    return next((part for part in literals if not _NOT_A_RESOURCE(part)), first_literal(template))


def looks_like_search(found: DiscoveredEndpoint) -> bool:
    """Whether a POST seems to change nothing. Only proposed, never set: a wrong guess repeats a write."""
    method, _, template = found.endpoint.partition(" ")
    if method != "POST":
        return False
    literals = [part for part in template.split("/") if part and not part.startswith("{")]
    last = re.split(r"[-_:]", literals[-1].lower()) if literals else []
    words = [word.lower() for word in _WORDS.findall(found.name.rpartition(".")[2])]
    return not _SEARCHES.isdisjoint({*last, *words[:1], *(literal.lower() for literal in literals[-1:])})


def _by_resource(found: Sequence[DiscoveredEndpoint]) -> list[DiscoveredEndpoint]:
    """Endpoints of one resource together, in the order in which the resources came."""
    order: dict[str, int] = {}
    for each in found:
        order.setdefault(resource(each.endpoint.partition(" ")[2]), len(order))
    return sorted(found, key=lambda each: order[resource(each.endpoint.partition(" ")[2])])


def _method(found: DiscoveredEndpoint) -> str:
    return found.endpoint.partition(" ")[0]


def _key(endpoint: str) -> str:
    """The endpoint as a YAML key, quoted where it must be."""
    if _PLAIN_KEY(endpoint):
        return endpoint
    return "'" + endpoint.replace("'", "''") + "'"
