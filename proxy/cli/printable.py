"""Text that backends chose, for a terminal."""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """Backends choose these characters: none of them may steer the terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else f"\\u{ord(char):04x}" for char in text)
