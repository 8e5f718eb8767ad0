from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.http1.grammar import FieldBlock
from proxy.core.routing.keys import MAX_TOKEN, extractor
from proxy.core.settings import KeySource


def key(
    source: str, headers: dict[str, str] | None = None, template: str = "/a/{x}/{r...}", path: str = "a/1/2/3"
) -> bytes | None:
    kind, _, name = source.partition(":")
    found = extractor(KeySource(kind, name), template)  # type: ignore[arg-type]
    assert found is not None
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    return found.key(FieldBlock(lines.encode("latin-1")), path.split("/"), "192.0.2.7")


def token(claims: object) -> dict[str, str]:
    return {"authorization": "Bearer " + ".".join(_part(each) for each in ({"alg": "none"}, claims, "sig"))}


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_header_is_the_key_unless_absent_or_empty() -> None:
    assert key("header:X-User-Id", {"x-user-id": "42"}) == b"42"
    assert key("header:x-user-id", {"x-user-id": ""}) is None
    assert key("header:x-user-id") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Bearer abc", b"abc"),
        ("bearer abc", b"abc"),
        ("BEARER  abc", b"abc"),
        ("Basic abc", None),
        ("Bearer", None),
        ("Bearer ", None),
    ],
)
def test_bearer_token_is_the_key(value: str, expected: bytes | None) -> None:
    assert key("bearer", {"authorization": value}) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("sid=1", b"1"),
        ("a=b; sid=1; c=d", b"1"),
        ("a=b;sid=1", b"1"),
        ('sid="quoted"', b"quoted"),
        ("xsid=1", None),
        ("sidx=1", None),
        ("a=sid=1", None),
        ("sid=", None),
        ("sid=1; sid=2", b"1"),
        ("SID=1", None),
    ],
)
def test_cookie_is_the_key(value: str, expected: bytes | None) -> None:
    assert key("cookie:sid", {"cookie": value}) == expected


@pytest.mark.parametrize(
    "lines",
    [
        ["a=b", "sid=1"],
        ["a=b; c=d", "e=f", "sid=1; g=h"],
        ["sid=1", "sid=2"],
        ["", "sid=1"],
        ["a", "sid=1", "sid=2"],
    ],
)
def test_a_cookie_is_found_in_whichever_line_it_stands(lines: list[str]) -> None:
    block = "".join(f"Cookie: {line}\r\n" for line in lines) + "Sid: sid=3\r\n"
    found = extractor(KeySource("cookie", "sid"), "/a")
    assert found is not None
    assert found.key(FieldBlock(block.encode()), (), "") == b"1"


def test_cookie_name_is_taken_literally() -> None:
    assert key("cookie:s.d", {"cookie": "sxd=1"}) is None


def test_path_parameter_is_the_key() -> None:
    assert key("path:x") == b"1"
    assert key("path:r") == b"2/3"
    assert key("path:r", path="a/1/") is None


def test_template_without_the_parameter_has_no_such_source() -> None:
    assert extractor(KeySource("path", "y"), "/a/{x}") is None


def test_client_address_is_the_key() -> None:
    assert key("client-ip") == b"192.0.2.7"


def test_claim_of_an_unverified_token_is_the_key() -> None:
    assert key("jwt:sub", token({"sub": "user-1", "exp": 1})) == b"user-1"
    assert key("jwt:uid", token({"sub": "user-1", "uid": 7})) == b"7"
    assert key("jwt:https://x.example/id", token({"https://x.example/id": "q"})) == b"q"


@pytest.mark.parametrize(
    "claims", [{}, {"sub": None}, {"sub": ""}, {"sub": ["a"]}, {"sub": {"a": 1}}, {"sub": True}, [], "x", 1]
)
def test_token_without_a_usable_claim_is_no_key(claims: object) -> None:
    assert key("jwt:sub", token(claims)) is None


@pytest.mark.parametrize(
    "value",
    [
        "Bearer a.b",
        "Bearer a.b.c.d",
        "Bearer a.!!!.c",
        "Bearer ..",
        "Basic a.b.c",
        "Bearer " + "a" * (MAX_TOKEN + 1),
    ],
)
def test_what_is_no_token_is_no_key(value: str) -> None:
    assert key("jwt:sub", {"authorization": value}) is None


def test_deep_nesting_in_a_token_ends_in_no_error() -> None:
    """How deep is too deep for a key is Python's: 3.13 goes further than 3.11."""
    payload = base64.urlsafe_b64encode(b'{"a":' + b"[" * 5000 + b"]" * 5000 + b',"sub":"x"}').decode()
    assert key("jwt:sub", {"authorization": f"Bearer a.{payload}.c"}) in (None, b"x")


FIELD_VALUES = st.text(
    st.characters(codec="latin-1", exclude_characters="".join(map(chr, (*range(32), *range(127, 160))))),
    max_size=80,
)


@given(FIELD_VALUES | FIELD_VALUES.map("Bearer ".__add__) | FIELD_VALUES.map("a=".__add__))
def test_any_header_value_gives_a_key_or_none(value: str) -> None:
    headers = dict.fromkeys(("authorization", "cookie", "x-user-id"), value)
    for source in ("header:x-user-id", "bearer", "cookie:a", "jwt:sub"):
        found = key(source, headers)
        assert found is None or found != b""


@given(st.binary(max_size=60))
def test_any_token_payload_gives_a_key_or_none(payload: bytes) -> None:
    value = f"Bearer a.{base64.urlsafe_b64encode(payload).decode()}.c"
    assert key("jwt:sub", {"authorization": value}) in (None, _expected(payload))


def _expected(payload: bytes) -> bytes | None:
    try:
        return str(json.loads(payload)["sub"]).encode()
    except (ValueError, TypeError, KeyError):
        return None
