from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.forwarding.compression import coded_head, negotiate, not_modified_head, plan, varied_head
from proxy.core.http1.request import RequestHead, parse_request
from proxy.core.http1.response import ResponseHead, parse_response
from proxy.core.settings import Compression, Limits

ALL = ("zstd", "br", "gzip")
SETTINGS = Compression()
JSON = "Content-Type: application/json"


def request(*lines: str, method: str = "GET") -> RequestHead:
    block = "".join(f"{line}\r\n" for line in ("Host: h", *lines))
    return parse_request(f"{method} /a HTTP/1.1\r\n{block}\r\n".encode(), Limits())


def response(*lines: str, status: int = 200, method: str = "GET") -> ResponseHead:
    block = "".join(f"{line}\r\n" for line in lines)
    return parse_response(f"HTTP/1.1 {status} X\r\n{block}\r\n".encode(), method)


GZIP = request("Accept-Encoding: gzip")


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br, zstd", "zstd"),  # a browser's
        ("gzip, deflate, br", "br"),
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("GZIP", "gzip"),
        ("gzip;q=1.0, br;q=0.5, *;q=0", "gzip"),
        ("gzip;q=0.5, br;q=0.5", "br"),
        ("gzip ; q=0.8 , br ; q=0.2", "gzip"),
        ("*", "zstd"),
        ("*;q=0.1", "zstd"),
        ("*, zstd;q=0", "br"),
        ("br;q=0.001", "br"),
        ("identity;q=0, gzip", "gzip"),
        ("", None),
        ("identity", None),
        ("deflate, compress", None),
        ("gzip;q=0", None),
        ("*;q=0", None),
        ("identity, gzip;q=0.5", None),  # likes it as it is better
        ("gzip;q=2", None),
        ("gzip;q=", None),
        ("gzip;level=9", None),
        ("gzip;q=-1, ;;, =,", None),
    ],
)
def test_the_coding_with_the_highest_weight_wins_and_ours_among_equals(
    accepted: str, coding: str | None
) -> None:
    assert negotiate(accepted.encode(), ALL) == coding


@given(st.binary(max_size=60), st.permutations(ALL))
def test_any_accept_encoding_gives_one_of_our_codings_or_none(accepted: bytes, codings: list[str]) -> None:
    found = negotiate(accepted, tuple(codings))  # type: ignore[arg-type]
    assert found is None or found in codings


def test_only_codings_that_are_configured_are_chosen() -> None:
    assert negotiate(b"zstd, br", ("gzip",)) is None
    assert negotiate(b"zstd, br", ()) is None


def test_a_large_answer_of_a_listed_type_is_compressed() -> None:
    wanted = plan(SETTINGS, GZIP, response(JSON, "Content-Length: 5000"), 5000)
    assert wanted is not None
    assert (wanted.coding, wanted.flush) == ("gzip", False)


def test_pieces_of_unknown_number_are_flushed_one_by_one() -> None:
    wanted = plan(SETTINGS, GZIP, response(JSON, "Transfer-Encoding: chunked"), -1)
    assert wanted is not None
    assert wanted.flush


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("Content-Encoding: br", 200),  # never twice
        ("Content-Encoding: identity", 200),
        ("Content-Range: bytes 0-9/100", 206),
        ("X: y", 206),
        ("X: y", 204),
        ("X: y", 205),
        ("Cache-Control: private, No-Transform", 200),
        ("Content-Digest: sha-256=:AAAA:", 200),
        ("Repr-Digest: sha-256=:AAAA:", 200),
        ("Content-MD5: AAAA", 200),
    ],
)
def test_what_a_coding_would_break_is_left_alone(line: str, status: int) -> None:
    assert plan(SETTINGS, GZIP, response(JSON, line, status=status), -1) is None


@pytest.mark.parametrize(
    ("media_type", "compressed"),
    [
        ("application/json; charset=utf-8", True),
        ("Application/JSON", True),
        ("application/problem+json", True),
        ("text/csv", True),
        ("image/svg+xml", True),
        ("text/event-stream", False),
        ("image/png", False),
        ("application/octet-stream", False),
        ("application/zip", False),
    ],
)
def test_only_listed_types_are_compressed(media_type: str, compressed: bool) -> None:
    found = plan(SETTINGS, GZIP, response(f"Content-Type: {media_type}"), 5000)
    assert (found is not None) == compressed


def test_events_are_compressed_if_they_are_named() -> None:
    events = response("Content-Type: text/event-stream")
    assert plan(Compression(types=("text/event-stream",)), GZIP, events, -1) is not None


def test_an_answer_without_a_type_or_below_the_minimum_is_left_alone() -> None:
    assert plan(SETTINGS, GZIP, response("X: y"), 5000) is None
    assert plan(SETTINGS, GZIP, response(JSON), 1023) is None
    assert plan(SETTINGS, GZIP, response(JSON), 1024) is not None


def test_head_gets_the_coding_of_get() -> None:
    found = plan(
        SETTINGS, request("Accept-Encoding: gzip", method="HEAD"), response(JSON, method="HEAD"), 5000
    )
    assert found is not None
    assert found.coding == "gzip"


def test_without_accept_encoding_the_answer_varies_but_has_no_coding() -> None:
    found = plan(SETTINGS, request(), response(JSON), 5000)
    assert found is not None
    assert found.coding is None


def test_several_accept_encoding_lines_are_one_list() -> None:
    found = plan(
        SETTINGS, request("Accept-Encoding: br;q=0.1", "Accept-Encoding: gzip"), response(JSON), 5000
    )
    assert found is not None
    assert found.coding == "gzip"


def test_a_coded_head_has_a_weak_validator_its_own_length_and_no_ranges() -> None:
    given = response(JSON, 'ETag: "v1"', "Content-Length: 5000", "Accept-Ranges: bytes", "X-Other: kept")
    coded = coded_head(given, "br", 77)
    assert coded.raw == (
        b"Content-Type: application/json\r\nX-Other: kept\r\n"
        b'Content-Encoding: br\r\nETag: W/"v1"\r\nContent-Length: 77\r\n'
    )
    assert coded.length == 77


def test_a_coded_head_of_unknown_length_is_chunked() -> None:
    given = response(JSON, 'ETag: W/"v1"', "Content-Length: 5000")
    coded = coded_head(given, "gzip", None)
    assert coded.get(b"content-length") is None
    assert coded.length < 0
    assert coded.values(b"etag") == [b'W/"v1"']


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ((), [b"Accept-Encoding"]),
        (("Vary: Origin",), [b"Origin", b"Accept-Encoding"]),
        (("Vary: origin, ACCEPT-encoding",), [b"origin, ACCEPT-encoding"]),
        (("Vary: *",), [b"*"]),
    ],
)
def test_vary_names_accept_encoding_once(given: tuple[str, ...], values: list[bytes]) -> None:
    assert varied_head(response(JSON, *given)).values(b"vary") == values


@pytest.mark.parametrize(
    ("asked", "etag"),
    [
        ('W/"v1"', b'W/"v1"'),  # the client holds a compressed answer
        ('"v0", W/"v1"', b'W/"v1"'),
        ('"v1"', b'"v1"'),
        ('W/"v2"', b'"v1"'),
    ],
)
def test_a_304_has_the_validator_of_the_stored_answer(asked: str, etag: bytes) -> None:
    found = not_modified_head(request(f"If-None-Match: {asked}"), response('ETag: "v1"', status=304))
    assert found.values(b"etag") == [etag]


def test_a_304_without_a_validator_stays_as_it_is() -> None:
    given = response("X: y", status=304)
    assert not_modified_head(request("If-None-Match: *"), given) is given
