"""Faults that were there once, to be put back one at a time: a model that does not find them is no proof."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final
from unittest.mock import patch

from proxy.edge.deadlines import Sweeper


def _sweep(self: Sweeper) -> None:
    """As it was: what the list holds is timed out, even if its deadline was moved meanwhile."""
    self._handle = self._loop.call_later(self._interval, self._sweep)
    now = self._loop.time()
    for item in [item for item in self.items if item.deadline <= now]:
        item.on_deadline(now)


FAULTS: Final[dict[str, tuple[tuple[Any, str, Callable[..., Any]], ...]]] = {
    "stale-sweep": ((Sweeper, "_sweep", _sweep),),
}


@contextlib.contextmanager
def put_back(name: str) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for owner, attribute, old in FAULTS[name]:
            stack.enter_context(patch.object(owner, attribute, old))
        yield
