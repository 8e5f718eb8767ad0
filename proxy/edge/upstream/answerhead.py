"""The head of an upstream's answer that has arrived in part: where it ends, and whether it is still valid."""

from __future__ import annotations

from typing import Final

MAX_HEAD: Final = 64 * 1024


def add(partial: bytearray, data: bytes) -> int:
    """Appends `data`; where the last line's end begins, or -1.

    Looks at what is new only: a head may come byte by byte.
    """
    before = len(partial)
    partial += data
    return partial.find(b"\r\n\r\n", max(0, before - 3))


def what_is_wrong(partial: bytearray) -> str:
    """ "" if this can still become the head of an answer."""
    if len(partial) > MAX_HEAD:
        return f"the head of the upstream's answer is over {MAX_HEAD} bytes"
    if not partial.startswith(b"HTTP/1."[: len(partial)]):
        return "the upstream's answer is not HTTP/1.1"
    return ""
