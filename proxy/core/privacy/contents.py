"""Hides the contents of secret files wherever they appear, whichever setting they belong to."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

SHORTEST: Final = 4  # characters: what is shorter turns up everywhere, and protects nothing
MASK: Final = "***"


def hideable(contents: Iterable[str]) -> frozenset[str]:
    """Those that are long enough to be told from other text."""
    return frozenset(content for content in contents if len(content) >= SHORTEST)


def hide(text: str, contents: Collection[str]) -> str:
    """The text without the contents."""
    for content in sorted(contents, key=len, reverse=True):
        text = text.replace(content, MASK)
    return text
