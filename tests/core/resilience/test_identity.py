from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import load_text
from proxy.core.http1.grammar import FieldBlock, Malformed
from proxy.core.http1.request import RequestHead, parse_request
from proxy.core.resilience.identity import (
    ANONYMOUS,
    Caller,
    caller,
    fingerprint,
    first_fingerprint,
    identity,
    parse_key,
    principals_of,
    second_fingerprint,
)
from proxy.core.settings import CREDENTIAL, Endpoint, KeySource, Limits

SID = KeySource("cookie", "sid")
USER = KeySource("header", "x-user")
SUB = KeySource("jwt", "sub")
TOKEN = "Authorization: Bearer e30.eyJzdWIiOiJhZGEifQ.c2ln"  # sub: ada


def head(*lines: str, host: str = "h", target: str = "/x/1", method: str = "POST") -> RequestHead:
    block = "".join(f"{line}\r\n" for line in (f"Host: {host}", *lines))
    return parse_request(f"{method} {target} HTTP/1.1\r\n{block}\r\n".encode("latin-1"), Limits())


def of(*lines: str, by: Sequence[KeySource] = (CREDENTIAL,)) -> Caller:
    return caller(head(*lines).fields, tuple(by))


def marks(*lines: str, by: Sequence[KeySource] = (CREDENTIAL,), sticky: Sequence[KeySource] = ()) -> str:
    """The fingerprint of one and the same write with these header lines."""
    request = head(*lines)
    return fingerprint(request, b"body", tuple(sticky), caller(request.fields, tuple(by)))


def endpoint(name: str) -> Endpoint:
    text = "backends: {legacy: {url: 'http://a'}, async: {url: 'http://b'}}\n"
    return load_text(f"{text}endpoints: {{'{name}': {{}}}}", source="test", environ={}).snapshot.endpoints[0]


# keys


@pytest.mark.parametrize("text", ["abc", '"abc"'])
def test_a_quoted_and_a_bare_key_are_one(text: str) -> None:
    assert parse_key([text.encode()]) == "abc"


def test_escapes_in_a_quoted_key_are_read() -> None:
    assert parse_key([rb'"a\"b\\c d"']) == 'a"b\\c d'


@pytest.mark.parametrize("value", [b"", b'""', b'"a', b'"a"b', b'"a";p=1', b"\xff", b"x" * 256])
def test_a_key_that_is_none_is_refused(value: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        parse_key([value])
    assert caught.value.status == 400


def test_two_keys_are_refused() -> None:
    with pytest.raises(Malformed, match="more than once"):
        parse_key([b"a", b"a"])


# ids


def test_a_key_is_the_same_after_a_parameter_was_renamed() -> None:
    assert identity("p", endpoint("POST /a/{x}/b"), "k") == identity("p", endpoint("POST /a/{y}/b"), "k")


@pytest.mark.parametrize(
    ("principal", "name", "key"), [("q", "POST /a", "k"), ("p", "PUT /a", "k"), ("p", "POST /b", "k")]
)
def test_a_key_belongs_to_principal_method_and_endpoint(principal: str, name: str, key: str) -> None:
    assert identity("p", endpoint("POST /a"), "k") != identity(principal, endpoint(name), key)


OF_0_1 = [  # the value of Authorization, what version 0.1 made of it, and the id of key k
    (None, "anonymous", "c3680786c9a872f3955084d27420cc33"),
    ("Bearer t", "b7771f31955ab9d843316ec85f4787b2", "5b511bc6883f8a5e610046dd9631bdec"),
    ("opaque", "01ef22db2d8c071552be337183f2a537", "06d71b40d674e75da4721822ec509a82"),
    ("Basic YTpi", "d0b209974582b9a166d2b10a74c49acb", "a92397efd3f42eea8517002b6e79a531"),
    ("", "2c66bf8cc84ec29e46900ae66cd26989", "5cf85f438e00d1bd0e5602c62c20c392"),
]


@pytest.mark.parametrize(("value", "principal", "id"), OF_0_1)
def test_ids_are_those_of_version_0_1(value: str | None, principal: str, id: str) -> None:
    found = of() if value is None else of(f"Authorization: {value}")
    assert found == Caller(principal)
    assert identity(found.principal, endpoint("POST /x/{id}"), "k") == id
    assert first_fingerprint(head(), b"body") == "dfa2fbc3d158b42590b7095c82081738"


def test_other_single_sources_have_the_ids_of_version_0_1_too() -> None:
    ada = Caller("e7e2c72ec71be41a643c73cde87fc988", "", declared=True)
    assert of("X-User: ada", by=[USER]) == ada
    assert of(TOKEN, by=[SUB]) == ada


def test_a_scheme_spelled_unusually_is_the_usual_one_and_says_what_version_0_1_made_of_it() -> None:
    usual, first = "b7771f31955ab9d843316ec85f4787b2", "5564e1837dc3918246107820979a7b4e"
    assert of("Authorization: bearer t") == Caller(usual, first)
    assert of("Authorization: bearer t", by=[KeySource("header", "authorization")]) == Caller(
        usual, first, True
    )
    assert of("Authorization: bearer t", by=[SID, CREDENTIAL]).former == ""  # unknown to version 0.1


@given(
    st.text("abcXYZ-", min_size=1, max_size=8),
    st.text("abXY=/", min_size=1, max_size=8),
    st.text(" \t", min_size=1, max_size=3),
    st.data(),
)
def test_any_scheme_is_one_in_all_spellings_and_what_follows_is_not(
    scheme: str, rest: str, blanks: str, data: st.DataObject
) -> None:
    respelled = "".join(data.draw(st.sampled_from([c.lower(), c.upper()])) for c in scheme)
    usual = of(f"Authorization: {scheme} {rest}")
    assert of(f"Authorization: {respelled}{blanks}{rest}").principal == usual.principal
    assert of(f"Authorization: {scheme} {rest}x").principal != usual.principal
    assert of(f"Authorization: {rest}").former == ""  # a lone word is a credential, not a scheme


# callers


def test_credentials_are_hashed_and_nobody_is_anonymous() -> None:
    assert of() == Caller(ANONYMOUS)
    assert of(by=[SUB, USER, SID, CREDENTIAL]) == Caller(ANONYMOUS)
    assert "secret" not in of("Authorization: secret").principal
    assert of("X-User:", by=[USER]) == of("Cookie: sid=", by=[SID]) == Caller(ANONYMOUS)
    assert of("Authorization: Bearer opaque", by=[SUB]) == Caller(ANONYMOUS)


def test_the_first_source_that_is_found_wins() -> None:
    sources = (SID, USER, CREDENTIAL)
    both = of("Cookie: sid=1", "X-User: u", "Authorization: a", by=sources)
    assert both == of("Cookie: sid=1", by=sources)
    assert of("X-User: u", "Authorization: a", by=sources) == of("X-User: u", by=sources)
    assert [of("Cookie: sid=1", by=sources).declared, of("Authorization: a", by=sources).declared] == [
        True,
        False,
    ]


def test_a_value_of_one_source_is_not_taken_for_one_of_another() -> None:
    sources = (CREDENTIAL, SUB, USER, SID)
    found = [
        of("Authorization: ada", by=sources),
        of("X-User: ada", by=sources),
        of("Cookie: sid=ada", by=sources),
    ]
    assert len({each.principal for each in found}) == 3


@pytest.mark.parametrize(
    "line", ["sid=1", "a=2; sid=1", 'sid="1"; b=3', "sid=1;sid=1", "  sid = 1", "xsid=2; sid=1", "a; sid=1"]
)
def test_a_cookie_is_found_by_its_whole_name(line: str) -> None:
    assert of(f"Cookie: {line}", by=[SID]) == of("Cookie: sid=1", by=[SID])
    assert of("Cookie: a=1", f"Cookie: {line}", by=[SID]) == of("Cookie: sid=1", by=[SID])


def test_a_cookie_is_told_from_others() -> None:
    assert of("Cookie: sid=1", by=[SID]).principal != of("Cookie: sid=2", by=[SID]).principal
    assert of("Cookie: SID=1; sidx=2", by=[SID]) == Caller(ANONYMOUS)


@pytest.mark.parametrize(
    ("lines", "sources"),
    [
        (["Authorization: a", "Authorization: a"], [CREDENTIAL]),
        (["Authorization: a", "Authorization: b"], [USER]),
        (["X-User: a", "X-User: b"], [USER]),
        (["Cookie: sid=1; sid=2"], [SID]),
        (["Cookie: sid=1", "Cookie: sid=2"], [SID]),
    ],
)
def test_who_is_named_twice_is_refused(lines: list[str], sources: list[KeySource]) -> None:
    with pytest.raises(Malformed, match="more than once") as caught:
        of(*lines, by=sources)
    assert (caught.value.status, caught.value.kind) == (400, "idempotency_principal_invalid")


# fingerprints


def test_fingerprints_do_not_run_together() -> None:
    assert first_fingerprint(head(target="/a"), b"b") != first_fingerprint(head(target="/ab"), b"")
    who = Caller(ANONYMOUS)
    assert fingerprint(head(target="/a"), b"b", (), who) != fingerprint(head(target="/ab"), b"", (), who)
    assert marks("X-Api-Key: a", "X-User: b", sticky=[USER]) != marks("X-Api-Key: aX-User: b", sticky=[USER])
    assert marks("X-Api-Key: a", "X-Api-Key: b") != marks("X-Api-Key: ab")
    assert marks() != first_fingerprint(head(), b"body")


@pytest.mark.parametrize("line", ["Cookie: a=1", "X-Api-Key: a", "X-User: a", "X-Forwarded-Host: a"])
def test_who_asks_is_part_of_the_fingerprint(line: str) -> None:
    found = [marks(sticky=[USER]), marks(line, sticky=[USER]), marks(line + "2", sticky=[USER])]
    assert len(set(found)) == 3


def test_a_header_that_tells_nobody_apart_is_not() -> None:
    assert marks("X-User: a", "User-Agent: b", "X-Request-Id: 1", sticky=[SID]) == marks()


@pytest.mark.parametrize("same", ["H", "h:80", "h:443", "h:"])
def test_a_host_is_the_same_in_any_case_and_with_the_default_port(same: str) -> None:
    who = Caller(ANONYMOUS)
    assert fingerprint(head(host=same), b"", (), who) == fingerprint(head(), b"", (), who)
    assert fingerprint(head(host="h:81"), b"", (), who) != fingerprint(head(), b"", (), who)
    assert fingerprint(head(host="[::1]:80"), b"", (), who) == fingerprint(head(host="[::1]"), b"", (), who)


def test_the_host_is_the_one_that_the_request_goes_to() -> None:
    who = Caller(ANONYMOUS)
    absolute = head(host="h", target="http://other/x/1")
    assert fingerprint(absolute, b"", (), who) == fingerprint(head(host="other"), b"", (), who)


def test_a_declared_principal_outlives_cookies_and_tokens_that_are_renewed() -> None:
    first = marks("Cookie: sid=1; _ga=1", "Authorization: Bearer 1", by=[SID])
    assert marks("Cookie: sid=1; _ga=2", "Authorization: Bearer 2", by=[SID]) == first
    assert marks("Cookie: sid=1; _ga=1", "Authorization: Bearer 1", "X-Api-Key: a", by=[SID]) != first


def test_a_principal_that_is_not_there_leaves_all_in_the_fingerprint() -> None:
    found = {
        marks(by=[SID]),
        marks("Cookie: a=1", by=[SID]),
        marks("Cookie: a=2", by=[SID]),
        marks("Authorization: Bearer a", by=[SID]),
        marks("Authorization: Bearer b", by=[SID]),
        marks("Authorization:", by=[SID]),
    }
    assert len(found) == 6
    assert marks("Authorization: bearer  a", by=[SID]) == marks("Authorization: Bearer a", by=[SID])


def test_the_order_of_sticky_keys_does_not_matter_nor_one_that_is_not_there() -> None:
    lines = ("X-User: a", "X-Team: b")
    team = KeySource("header", "x-team")
    assert marks(*lines, sticky=[USER, team]) == marks(*lines, sticky=[team, USER])
    assert marks("X-User: a", sticky=[USER, team]) == marks("X-User: a", sticky=[USER])


def test_cookies_in_two_lines_are_those_in_one() -> None:
    assert marks("Cookie: a=1", "Cookie: b=2") == marks("Cookie: a=1; b=2")


def test_only_what_was_sent_is_read() -> None:
    assert caller(FieldBlock(b""), (CREDENTIAL, SID, USER, SUB)) == Caller(ANONYMOUS)


# forms


def form(boundary: str, *parts: str, said: str = "") -> str:
    """The fingerprint of a form with these parts."""
    request = head(f"Content-Type: multipart/form-data; charset=utf-8; Boundary={said or boundary}")
    body = "".join(f"--{boundary}\r\nContent-Disposition: form-data\r\n\r\n{part}\r\n" for part in parts)
    return fingerprint(request, f"{body}--{boundary}--\r\n".encode(), (), Caller("p"))


def test_a_form_sent_again_with_another_boundary_is_the_same() -> None:
    assert form("AAAA", "1", "2") == form("b-b", "1", "2") == form("x y", "1", "2", said='"x y"')


def test_other_forms_are_others() -> None:
    different = {
        form("A", "1", "2"), form("A", "12"), form("A", "1\r\n2"), form("A", "1"), form("A"),
        form("A", "2", "1"),
        form("A", "1\r\n--B\r\nContent-Disposition: form-data\r\n\r\n2"),
    }  # fmt: skip
    assert len(different) == 7


def test_what_is_no_form_is_taken_byte_by_byte_as_in_version_2() -> None:
    who = Caller("p")
    for kind in ("text/plain; boundary=A", "multipart/form-data", "multipart/form-data; boundary=", "x"):
        request = head(f"Content-Type: {kind}")
        assert fingerprint(request, b"--A\r\n", (), who) == second_fingerprint(request, b"--A\r\n", (), who)
    assert form("A", "1", said="B") != form("C", "1", said="B")
    assert (
        second_fingerprint(head(), b"body", (), Caller("")) == "5b520f4d559d862fe686b6889bff0573"
    )  # as that version computed it


PERSON_SOURCES = (KeySource("jwt", "sub"), KeySource("header", "x-user-id"), CREDENTIAL)


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        ("X-User-Id: ada", "ada"),
        ("Authorization: Bearer t0k", "t0k"),
        ("Authorization: bearer t0k", "Bearer t0k"),
        ("Authorization: Basic YTpi", "Basic YTpi"),
        ("X-User-Id: J\u00fcrgen", "J\u00fcrgen"),
    ],
)
@pytest.mark.parametrize("sources", [PERSON_SOURCES, PERSON_SOURCES[1:], PERSON_SOURCES[::-1]])
def test_a_persons_principals_are_those_under_which_its_claims_are_stored(
    lines: str, name: str, sources: tuple[KeySource, ...]
) -> None:
    stored = of(lines, by=sources)
    assert stored.principal in principals_of(name, sources)
    assert stored.principal not in principals_of(name + "x", sources)


def test_a_principal_is_its_own_and_a_name_is_not() -> None:
    principal = "0123456789abcdef" * 2
    assert principal in principals_of(principal, ())
    assert "ada" not in principals_of("ada", ())
    assert "anonymous" not in principals_of("anonymous", ())
