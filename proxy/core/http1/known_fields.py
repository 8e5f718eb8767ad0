"""The header fields that a proxy must understand; all others are only passed on."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

LONGEST: Final = 31  # lengths of names that `shapes` tells apart
EXACT: Final = 1
PREFIXED: Final = 2
FORWARDED: Final = b"x-forwarded-"


class KnownFields:
    """Fields by their names in lower case; `open_ended`: also x-forwarded-*, and names with an underscore.

    `find` is a regular expression's findall over lines in lower case, each after a line feed: (name, value
    with trailing blanks). `shapes[low five bits of the first letter * 32 + length]` has EXACT where a name
    may be one of these, PREFIXED where it may be x-forwarded-*: most lines are passed over by that alone.
    """

    __slots__ = ("find", "names", "open_ended", "shapes")

    def __init__(self, names: Collection[bytes], *, open_ended: bool = False) -> None:
        self.names: dict[bytes, bool] = dict.fromkeys(names, True)
        self.open_ended = open_ended
        parts = [re.escape(name) for name in sorted(names)]
        shapes = bytearray(32 * (LONGEST + 1))
        for name in names:
            shapes[_shape(name, len(name))] |= EXACT
        if open_ended:
            parts += [FORWARDED + b"[^:\n]*+", rb"[^:\n_]*+_[^:\n]*+"]
            for length in range(len(FORWARDED), LONGEST + 1):
                shapes[_shape(FORWARDED, length)] |= PREFIXED
        self.shapes = bytes(shapes)
        self.find = re.compile(rb"\n(%b):[ \t]*+([^\r]*+)" % b"|".join(parts)).findall


def _shape(name: bytes, length: int) -> int:
    return (name[0] & 31) * 32 + min(length, LONGEST)
