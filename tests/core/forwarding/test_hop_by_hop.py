from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.forwarding.hop_by_hop import Hop, request_block, response_block
from proxy.core.forwarding.protected import ALWAYS, protected
from proxy.core.http1.request import RequestHead, parse_request
from proxy.core.http1.response import parse_response
from proxy.core.settings import KeySource, Limits

STRANGER = Hop(b"192.0.2.1", trusted=False)
FRONT = Hop(b"192.0.2.1", trusted=True)
ADDED = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "via"}


def head(*lines: str, target: str = "/a", version: str = "1.1", host: str = "Host: h\r\n") -> RequestHead:
    block = host + "".join(f"{line}\r\n" for line in lines)
    return parse_request(f"GET {target} HTTP/{version}\r\n{block}\r\n".encode("latin-1"), Limits())


def lines(block: bytes) -> list[str]:
    assert block.endswith(b"\r\n")
    return block.decode("latin-1").split("\r\n")[:-1]


def passed(request: RequestHead, hop: Hop = STRANGER, host: bytes | None = None) -> list[str]:
    """The lines that go out, without those that the proxy itself writes."""
    return [line for line in lines(request_block(request, hop, host)) if line.partition(":")[0] not in ADDED]


def written(request: RequestHead, hop: Hop) -> dict[str, str]:
    found = [line.partition(": ") for line in lines(request_block(request, hop, None))]
    return {name: value for name, _, value in found if name in ADDED}


def test_fields_pass_in_order_with_case_and_duplicates() -> None:
    given = ["b: 1", "A:  2 ", "b:1", "Empty:", "Latin: \xe9"]
    assert passed(head(*given)) == ["Host: h", *given]


@pytest.mark.parametrize(
    "name",
    [
        "Connection", "Keep-Alive", "Proxy-Connection", "TE", "Upgrade", "HTTP2-Settings", "X-Backend",
        "Proxy-Authorization", "X-Backend-Token", "Via", "X-Forwarded-For", "X-Forwarded-Proto",
        "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Anything", "Forwarded", "X_Forwarded_For",
        "X-Forwarded_For", "X_Backend", "Transfer_Encoding", "Content_Length", "Proxy_Authorization",
        "X-Shadow", "X_Shadow", "X-Served-By", "X_Served_By",
    ],
)  # fmt: skip
def test_what_a_stranger_may_not_pass_on(name: str) -> None:
    assert passed(head("A: b", f"{name}: x", "C: d", f"{name.upper()}: y")) == ["Host: h", "A: b", "C: d"]


@pytest.mark.parametrize("name", ["X-Forwarded-Port", "X-Forwarded-Prefix", "Forwarded"])
def test_what_a_trusted_proxy_may_pass_on_and_a_stranger_may_not(name: str) -> None:
    request = head(f"{name}: x")
    assert passed(request, FRONT) == ["Host: h", f"{name}: x"]
    assert passed(request, STRANGER) == ["Host: h"]


def test_underscores_do_not_pass_for_hyphens_even_from_a_trusted_proxy() -> None:
    assert passed(head("X_Forwarded_For: 1", "x_forwarded_port: 2", "My_Own: 3"), FRONT) == [
        "Host: h",
        "My_Own: 3",
    ]


TWINS = [
    *("X_User_Id", "x-user_id", "X_Tenant", "X_Api_Key", "Idempotency_Key", "If_Match", "Content_Type"),
    *("SCRIPT_NAME", "Path_Info", "Remote_User", "SSL_Client_S_DN", "Request_Method", "My_User"),
]


@pytest.mark.parametrize("hop", [STRANGER, FRONT], ids=["stranger", "front"])
@pytest.mark.parametrize("name", TWINS)
def test_no_name_passes_for_that_of_a_field_that_is_trusted_unless_that_is_asked_for(
    name: str, hop: Hop
) -> None:
    request = head("A: b", f"{name}: x", "C: d")
    strict = protected(b"idempotency-key", [KeySource("header", "My-User")], [])
    lenient = protected(b"idempotency-key", [KeySource("header", "My-User")], [], twins=True)
    assert lines(request_block(request, hop, None, strict))[:4] == [
        *("Host: h", "A: b", "C: d", "x-forwarded-for: 192.0.2.1")
    ]
    assert f"{name}: x" in lines(request_block(request, hop, None, lenient))


@pytest.mark.parametrize("name", ["X_Forwarded_For", "Content_Length", "X_Shadow", "X_Backend"])
def test_what_the_proxy_itself_writes_has_no_twin_even_if_others_have(name: str) -> None:
    lenient = protected(b"idempotency-key", [], [], twins=True)
    assert lines(request_block(head(f"{name}: x"), FRONT, None, lenient))[:1] == ["Host: h"]
    assert f"{name}: x" not in lines(request_block(head(f"{name}: x"), FRONT, None, lenient))


@pytest.mark.parametrize("name", ["api_key", "My_Own", "request_id", "user_name"])
def test_other_names_with_underscores_pass(name: str) -> None:
    assert passed(head(f"{name}: x")) == ["Host: h", f"{name}: x"]


def test_a_name_with_an_underscore_that_the_configuration_names_is_itself_trusted() -> None:
    names = protected(b"idempotency-key", [KeySource("header", "x_user")], [])
    assert "X_User: 1" in lines(request_block(head("X_User: 1"), STRANGER, None, names))


def test_fields_named_by_connection_end_here_but_for_framing_and_host() -> None:
    request = head(
        "Connection: close, X-One ,content-length", "X-One: 1", "x-one: 2", "X-Two: 3", "Content-Length: 0"
    )
    assert passed(request) == ["Host: h", "X-Two: 3", "Content-Length: 0"]


@pytest.mark.parametrize(
    "name",
    [
        "Authorization", "Cookie", "Idempotency-Key", "X-Request-Id", "Traceparent", "X-Api-Key", "If-Match",
        "Content-Type", "Content-Encoding", "Cache-Control", "Range", "X-Mine",
    ],
)  # fmt: skip
def test_fields_that_decide_are_not_named_away_by_connection(name: str) -> None:
    request = head(f"{name}: 1", f"Connection: {name.upper()}, x-other", "X-Other: 2", f"{name}: 3")
    names = ALWAYS | {b"x-mine"}
    assert lines(request_block(request, STRANGER, None, names))[:3] == ["Host: h", f"{name}: 1", f"{name}: 3"]


@pytest.mark.parametrize("name", ["X-Forwarded-Port", "Forwarded"])
def test_what_a_trusted_proxy_says_of_its_client_is_not_named_away_either(name: str) -> None:
    assert passed(head(f"{name}: x", f"Connection: {name}"), FRONT) == ["Host: h", f"{name}: x"]
    assert passed(head(f"{name}: x", f"Connection: {name}")) == ["Host: h"]


@pytest.mark.parametrize("name", ["TE", "Keep-Alive", "Proxy-Authorization", "Trailer", "X-Other"])
def test_fields_of_one_connection_are_named_away_as_ever(name: str) -> None:
    assert passed(head(f"{name}: x", f"Connection: {name}, idempotency-key")) == ["Host: h"]


def test_what_is_written_for_a_stranger_and_for_a_trusted_proxy() -> None:
    request = head(
        "X-Forwarded-For: 10.0.0.1",
        "X-Forwarded-For: 10.0.0.2, 10.0.0.3",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: real",
        "Via: 1.0 a",
        "Via: 1.1 b",
    )
    via = "1.0 a, 1.1 b, 1.1 strangler"
    assert written(request, STRANGER) == {
        "x-forwarded-for": "192.0.2.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "h",
        "via": via,
    }
    assert written(request, FRONT) == {
        "x-forwarded-for": "10.0.0.1, 10.0.0.2, 10.0.0.3, 192.0.2.1",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "real",
        "via": via,
    }
    assert written(head(), FRONT)["x-forwarded-for"] == "192.0.2.1"


def test_lists_of_a_trusted_proxy_are_read_from_all_their_lines() -> None:
    request = head(
        *("X-Forwarded-For: 203.0.113.7:4000,", "X-Forwarded-For: [2001:DB8::7]", "X-Forwarded-Proto: https"),
        *("X-Forwarded-Proto: http", "X-Forwarded-Host: a", "X-Forwarded-Host: b", "Via:", "Via: 1.1 a"),
    )
    assert written(request, FRONT) == {
        "x-forwarded-for": "203.0.113.7, 2001:db8::7, 192.0.2.1",
        "x-forwarded-proto": "https, http",
        "x-forwarded-host": "a, b",
        "via": "1.1 a, 1.1 strangler",
    }


def test_the_host_is_kept_replaced_or_taken_from_the_target() -> None:
    assert passed(head("A: b")) == ["Host: h", "A: b"]
    assert passed(head("A: b"), host=b"backend:80") == ["Host: backend:80", "A: b"]
    assert passed(head("A: b", target="http://other/x")) == ["Host: other", "A: b"]
    assert written(head(target="http://other/x"), STRANGER)["x-forwarded-host"] == "other"
    assert passed(head(version="1.0", host="")) == ["Host: "]


names = st.text("abcXYZ-_", min_size=1, max_size=12)


@given(
    st.lists(st.tuples(names, st.text("abc ,", max_size=5)), max_size=8), st.sampled_from([STRANGER, FRONT])
)
def test_nothing_is_made_up_and_the_inbound_head_is_not_changed(
    pairs: list[tuple[str, str]], hop: Hop
) -> None:
    given = [f"{name}:{value}" for name, value in pairs]
    request = head(*given)
    before = request.fields.raw
    out = passed(request, hop)
    remaining = iter(["Host: h", *given])
    assert all(line in remaining for line in out), "a subsequence of what came in"
    assert request.fields.raw == before


def answer(*given: str, status: str = "200 OK", method: str = "GET") -> list[str]:
    data = f"HTTP/1.1 {status}\r\n" + "".join(f"{line}\r\n" for line in given) + "\r\n"
    return lines(response_block(parse_response(data.encode("latin-1"), method), "async"))


def test_an_answer_passes_in_order_without_the_fields_of_its_connection() -> None:
    given = ["Connection: x-mine, keep-alive", "X-Mine: 1", "Keep-Alive: 5", "Set-Cookie: a", "set-cookie: b"]
    assert answer(*given, "Content-Length: 0") == [
        "HTTP/1.1 200 OK",
        "Set-Cookie: a",
        "set-cookie: b",
        "Content-Length: 0",
        "x-served-by: async",
    ]


def test_the_framing_of_an_answer_is_left_to_the_caller_where_it_is_chunked() -> None:
    assert answer("Transfer-Encoding: chunked", "A: b") == ["HTTP/1.1 200 OK", "A: b", "x-served-by: async"]


def test_a_204_has_no_length_and_a_304_may() -> None:
    assert answer("Content-Length: 0", status="204 No Content") == [
        "HTTP/1.1 204 No Content",
        "x-served-by: async",
    ]
    assert "Content-Length: 9" in answer("Content-Length: 9", status="304 Not Modified")
    assert "Content-Length: 9" in answer("Content-Length: 9", method="HEAD")


def test_x_served_by_of_a_backend_is_replaced_or_kept() -> None:
    assert answer("X-Served-By: me", "Content-Length: 0") == [
        "HTTP/1.1 200 OK",
        "Content-Length: 0",
        "x-served-by: async",
    ]
    response = parse_response(b"HTTP/1.1 200 OK\r\nX-Served-By: me\r\nContent-Length: 0\r\n\r\n", "GET")
    assert lines(response_block(response, None)) == [
        "HTTP/1.1 200 OK",
        "X-Served-By: me",
        "Content-Length: 0",
    ]


def test_a_426_says_what_to_upgrade_to_and_nothing_else_does() -> None:
    fields = "Upgrade: websocket\r\nConnection: Upgrade, X-Own\r\nX-Own: 1\r\nSec-WebSocket-Version: 13\r\n"
    for status, kept in (("426 Upgrade Required", True), ("200 OK", False)):
        found = parse_response(f"HTTP/1.1 {status}\r\n{fields}Content-Length: 0\r\n\r\n".encode(), "GET")
        block = lines(response_block(found, None))
        assert ("Upgrade: websocket" in block) is kept
        assert ("connection: upgrade" in block) is kept
        assert "Sec-WebSocket-Version: 13" in block
        assert not any(line.startswith(("X-Own", "Connection")) for line in block)
