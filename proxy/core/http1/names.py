"""Names of fields that several parts of the proxy need."""

from __future__ import annotations

from typing import Final

SHADOW: Final = b"x-shadow"
"""On every request of the comparer and of a replay, so that backends can tell them from those of clients."""

VERSION: Final = "x-version"
"""On answers: which version of its backend gave them."""
