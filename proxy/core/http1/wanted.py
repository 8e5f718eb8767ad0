"""Which fields of a head a proxy has to know about; all others are only passed on."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

LONGEST: Final = 31  # lengths of names that `shapes` tells apart


class Wanted:
    """Fields by their names in lower case; `open_ended`: also x-forwarded-*, and names with an underscore.

    `find` is a regular expression's findall over lines in lower case, each after a line feed: (name, value
    with trailing blanks). `shapes[low five bits of the first letter * 32 + length]` is 1 where a name may be
    one of these, so that most lines are passed over without a look at their name.
    """

    __slots__ = ("_names", "find", "open_ended", "shapes")

    def __init__(self, names: Collection[bytes], *, open_ended: bool = False) -> None:
        self._names = frozenset(names)
        self.open_ended = open_ended
        parts = [re.escape(name) for name in sorted(names)]
        shapes = bytearray(32 * (LONGEST + 1))
        for name in names:
            shapes[(name[0] & 31) * 32 + min(len(name), LONGEST)] = 1
        if open_ended:
            parts += [b"x-forwarded-[^:]*", rb"[^:\n]*_[^:\n]*"]
            for length in range(len(b"x-forwarded-"), LONGEST + 1):
                shapes[(b"x"[0] & 31) * 32 + length] = 1
        self.shapes = bytes(shapes)
        self.find = re.compile(rb"\n(%b):[ \t]*+([^\r]*+)" % b"|".join(parts)).findall

    def has(self, name: bytes) -> bool:
        if name in self._names:
            return True
        return self.open_ended and (b"_" in name or name.startswith(b"x-forwarded-"))
