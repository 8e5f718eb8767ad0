"""The line of a file that an error is about, with a caret below the column, and without its secrets."""

from __future__ import annotations

import re
from typing import Final

MAX_WIDTH: Final = 160

_SECRETS: Final = re.compile(
    r"""((?:tok\w*|secret\w*|passw\w*|salt)["']?\s*:\s*)("[^"]*"?|'[^']*'?|[^\s,}]+)|(//)([^\s"',}]+)(?=@)""",
    re.IGNORECASE,
)


def excerpt(text: str, line: int, column: int) -> list[str]:
    """The line (both from 1), cut around the column if it is very long, and a caret; [] if there is none."""
    lines = text.splitlines()
    if not 0 < line <= len(lines):
        return []
    shown = masked(lines[line - 1])
    start = max(0, column - 1 - MAX_WIDTH // 2) if len(shown) > MAX_WIDTH else 0
    before = "".join("\t" if char == "\t" else " " for char in shown[start : column - 1])
    cut = "".join(
        char if char.isprintable() or char == "\t" else "?" for char in shown[start : start + MAX_WIDTH]
    )
    return [cut, f"{before}^"]


def masked(line: str) -> str:
    """Without the secrets that the line holds; everything keeps its column."""
    return _SECRETS.sub(lambda m: (m[1] or m[3]) + "*" * len(m[2] or m[4]), line)
