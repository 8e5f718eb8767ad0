from __future__ import annotations

import functools
import sys
from types import FrameType
from typing import Any

import pytest

from proxy.core.routing.paths import split
from proxy.core.routing.table import Table, parameters
from proxy.core.settings import Endpoint
from tests.core.tables import endpoint


def table(*names: str) -> Table:
    return Table.build([endpoint(name) for name in names])


def matched(routes: Table, method: str, path: str) -> tuple[str, dict[str, str]] | None:
    segments = split(path.encode())
    found = None if segments is None else routes.find(method, segments)
    if segments is None or found is None:
        return None
    return found.name, parameters(found.template, segments)


MATCHES: list[tuple[list[str], str, str | None, dict[str, str]]] = [
    (["GET /a/{x}"], "GET /a/1", "GET /a/{x}", {"x": "1"}),
    (["GET /a/{x}"], "GET /a/1?q", "GET /a/{x}", {"x": "1"}),
    (["GET /a/{x}"], "GET /a", None, {}),
    (["GET /a/{x}"], "GET /a/", None, {}),
    (["GET /a/{x}"], "GET /a/1/", None, {}),
    (["GET /a/{x}"], "GET /a/1/2", None, {}),
    (["GET /a/{x}"], "POST /a/1", None, {}),
    (["GET /a/{x}"], "GET /A/1", None, {}),
    (["GET /a/{x}"], "GET /a/%31", "GET /a/{x}", {"x": "1"}),
    (["GET /a/{x}"], "GET /a/1%2F2", None, {}),
    (["GET /a/"], "GET /a/", "GET /a/", {}),
    (["GET /a/"], "GET /a", None, {}),
    (["GET /"], "GET /", "GET /", {}),
    (["GET /a/{x}", "GET /a/b"], "GET /a/b", "GET /a/b", {}),
    (["GET /a/{x}", "GET /a/b"], "GET /a/c", "GET /a/{x}", {"x": "c"}),
    # the literal leads nowhere: back to the parameter
    (["GET /a/{x}/c", "GET /a/b/d"], "GET /a/b/c", "GET /a/{x}/c", {"x": "b"}),
    (["GET /{x}/b/c", "GET /a/{y}/d"], "GET /a/b/c", "GET /{x}/b/c", {"x": "a"}),
    # the literal is there for another method
    (["GET /a/{x}", "POST /a/b"], "GET /a/b", "GET /a/{x}", {"x": "b"}),
    (["GET /f/{rest...}"], "GET /f/a/b/c", "GET /f/{rest...}", {"rest": "a/b/c"}),
    (["GET /f/{rest...}"], "GET /f/", "GET /f/{rest...}", {"rest": ""}),
    (["GET /f/{rest...}"], "GET /f", None, {}),
    (["GET /f/{rest...}", "GET /f/{x}"], "GET /f/a", "GET /f/{x}", {"x": "a"}),
    (["GET /f/{rest...}", "GET /f/{x}/b/c"], "GET /f/a/b/d", "GET /f/{rest...}", {"rest": "a/b/d"}),
    (["GET /f/{rest...}", "GET /f/a/b/c"], "GET /f/a/b", "GET /f/{rest...}", {"rest": "a/b"}),
    (["GET /{all...}", "GET /f/{rest...}"], "GET /f/x", "GET /f/{rest...}", {"rest": "x"}),
    (["GET /{all...}", "POST /f/{rest...}"], "GET /f/x", "GET /{all...}", {"all": "f/x"}),
    (["GET /t/{a}/u/{b...}"], "GET /t/1/u/2/3", "GET /t/{a}/u/{b...}", {"a": "1", "b": "2/3"}),
]


@pytest.mark.parametrize(("names", "request_line", "name", "params"), MATCHES)
def test_most_specific_endpoint_matches(
    names: list[str], request_line: str, name: str | None, params: dict[str, str]
) -> None:
    method, _, path = request_line.partition(" ")
    assert matched(table(*names), method, path) == ((name, params) if name else None)


def test_order_of_the_file_does_not_matter() -> None:
    names = ["GET /a/{x}", "GET /a/b", "GET /a/{rest...}"]
    for routes in (table(*names), table(*reversed(names))):
        assert matched(routes, "GET", "/a/b") == ("GET /a/b", {})
        assert matched(routes, "GET", "/a/c") == ("GET /a/{x}", {"x": "c"})
        assert matched(routes, "GET", "/a/c/d") == ("GET /a/{rest...}", {"rest": "c/d"})


def test_head_follows_get_unless_listed() -> None:
    routes = table("GET /a", "GET /b", "HEAD /b", "GET /f/{rest...}", "POST /c")
    assert matched(routes, "HEAD", "/a") == ("GET /a", {})
    assert matched(routes, "HEAD", "/b") == ("HEAD /b", {})
    assert matched(routes, "HEAD", "/f/x") == ("GET /f/{rest...}", {"rest": "x"})
    assert matched(routes, "HEAD", "/c") is None


def test_two_endpoints_for_the_same_requests_are_refused() -> None:
    with pytest.raises(ValueError, match=r"GET /a/{y} matches the same requests as GET /a/{x}"):
        table("GET /a/{x}", "GET /a/{y}")
    with pytest.raises(ValueError, match="matches the same requests"):
        table("GET /a/{x...}", "GET /a/{y...}")


def steps(routes: Table, method: str, segments: list[str]) -> tuple[int, Endpoint | None]:
    """Lines of Python executed by one lookup: a count that no load on the machine changes."""
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        if frame.f_code is not Table.find.__code__:
            return None  # a callback of the garbage collector, say
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        found = routes.find(method, segments)
    finally:
        sys.settrace(before)
    return count, found


@functools.cache
def many(count: int) -> Table:
    """Shared prefixes, parameters beside literals, rests: what makes a lookup come back."""
    names = []
    for number in range(count // 5):
        names += [
            f"GET /r{number}/{{id}}",
            f"GET /r{number}/{{id}}/items/{{item}}",
            f"GET /r{number}/special/items",
            f"GET /shared/r{number}/{{id}}",
            f"POST /r{number}/{{rest...}}",
        ]
    return table(*names, "GET /{any}/{id}/other")


@pytest.mark.parametrize(
    "path",
    [
        "r1/7",
        "r1/7/items/9",
        "r1/special/items/9",
        "r1/special/other",
        "shared/r1/7",
        "nowhere/1/2/3/4",
        "r1/7/x",
    ],
)
def test_steps_of_a_lookup_do_not_depend_on_the_number_of_endpoints(path: str) -> None:
    segments = path.split("/")
    small, large = many(10), many(10_000)
    few, found_few = steps(small, "GET", segments)
    lots, found_lots = steps(large, "GET", segments)
    assert few == lots > 0
    assert (found_few and found_few.name) == (found_lots and found_lots.name)
