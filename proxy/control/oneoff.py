"""Compares one request for the admin port. The function that does it is passed in: control does not import
compare."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from proxy.core.comparison.one_off import OneOff
from proxy.core.routing.snapshot import Snapshot

OneOffCompare = Callable[[Snapshot, str, str, Mapping[str, str]], Awaitable[OneOff]]
"""From method, target and headers. Raises NotCompared."""
