from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.routing.paths import normalise, split

SEGMENTS = [
    (b"/", [""]),
    (b"/a", ["a"]),
    (b"/a/", ["a", ""]),
    (b"/a/b?x=/../y", ["a", "b"]),
    (b"/a?", ["a"]),
    (b"*", []),
    (b"/%61bc/%7Euser", ["abc", "~user"]),
    (b"/a%3ab/%40me", ["a:b", "@me"]),
    (b"/caf%c3%a9", ["caf%C3%A9"]),
    (b"/100%25", ["100%25"]),
    (b"/%252F", ["%252F"]),
    (b"/a%20b", ["a%20b"]),
    (b"/.well-known/x..y/...", [".well-known", "x..y", "..."]),
    (b"http://api.example:80/a/b?c", ["a", "b"]),
    (b"https://api.example", [""]),
]


@pytest.mark.parametrize(("target", "expected"), SEGMENTS, ids=[case[0].decode() for case in SEGMENTS])
def test_target_is_split_into_normalised_segments(target: bytes, expected: list[str]) -> None:
    assert split(target) == expected


AMBIGUOUS = [
    *(b"/a%2Fb", b"/a%2fb", b"/%2F", b"/a%5Cb", b"/a%5cb", b"/a\\b"),
    *(b"//", b"//a", b"/a//b", b"/a//", b"/a///b"),
    *(b"/.", b"/..", b"/a/../b", b"/a/./b", b"/a/..", b"/%2e%2e/a", b"/a/%2E", b"/a/.%2e/b"),
    *(b"/%00", b"/a%0Ab", b"/a%0a", b"/a%1f", b"/a%7F"),
    *(b"/%", b"/%4", b"/%zz", b"/a%2", b"/caf\xc3\xa9", b"/a b", b'/"', b"/<a>", b"/a#b", b"/{a}"),
    *(b"", b"a/b", b"?x", b"//host/a", b"http:/a"),
]


@pytest.mark.parametrize("target", AMBIGUOUS, ids=repr)
def test_forms_that_backends_may_read_differently_are_ambiguous(target: bytes) -> None:
    assert split(target) is None


@given(
    st.lists(
        st.sampled_from([*"abz019-._~!$&'()*+,;=:@/%", "%41", "%2e", "%2F", "%c3", "%25", "/"]), max_size=12
    )
)
def test_normalising_twice_changes_nothing(parts: list[str]) -> None:
    once = normalise(("/" + "".join(parts)).encode())
    if once is not None:
        assert normalise(once) == once


@given(st.binary(max_size=40))
def test_any_bytes_are_split_or_ambiguous(target: bytes) -> None:
    segments = split(target)
    if segments is not None and target.startswith(b"/"):
        assert "/" + "/".join(segments) == (normalise(target.partition(b"?")[0]) or b"").decode()


@given(st.text(alphabet="abcXYZ019-_~.@:!", min_size=1, max_size=8))
def test_a_needlessly_encoded_segment_is_the_same_segment(segment: str) -> None:
    encoded = "".join(f"%{ord(char):02x}" for char in segment)
    assert split(f"/x/{encoded}/y".encode()) == split(f"/x/{segment}/y".encode())
