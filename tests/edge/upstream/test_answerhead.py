from __future__ import annotations

import pytest

from proxy.edge.upstream.answerhead import MAX_HEAD, add, what_is_wrong

HEAD = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"


@pytest.mark.parametrize("cut", range(len(HEAD)))
def test_the_end_is_found_wherever_the_head_was_cut(cut: int) -> None:
    partial = bytearray(HEAD[:cut])
    assert add(partial, HEAD[cut:] + b"body") == len(HEAD) - 4
    assert partial == HEAD + b"body"


def test_there_is_no_end_before_its_last_byte() -> None:
    partial = bytearray()
    assert [add(partial, bytes([byte])) for byte in HEAD[:-1]] == [-1] * (len(HEAD) - 1)
    assert add(partial, HEAD[-1:]) == len(HEAD) - 4


@pytest.mark.parametrize("cut", range(len(HEAD)))
def test_the_beginning_of_a_head_may_go_on(cut: int) -> None:
    assert what_is_wrong(bytearray(HEAD[:cut])) == ""


@pytest.mark.parametrize(
    ("partial", "why"),
    [
        (b"S", "not HTTP/1.1"),
        (b"HTTP/2", "not HTTP/1.1"),
        (b"HTTP/1.1 ".ljust(MAX_HEAD + 1, b"x"), f"over {MAX_HEAD} bytes"),
    ],
)
def test_what_cannot_become_a_head_is_refused(partial: bytes, why: str) -> None:
    assert why in what_is_wrong(bytearray(partial))
