"""What stands in for parts that ask the kernel, or that have no order of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from proxy.edge import turns
from proxy.edge.deadlines import Timed
from proxy.edge.exchange import confirmation, keyed_write
from proxy.edge.exchange.sending import Sending
from proxy.edge.upstream.connection import UpstreamConnection

turned: list[str] = []  # wrongly; whoever looks empties it


class Ordered(set[Timed]):
    """A sweeper's items in the order in which they came, or the other way round: a set knows none.

    `early` hears of an item that is called before its time.
    """

    def __init__(self, backwards: bool, early: Callable[[Timed], None]) -> None:
        super().__init__()
        self._order: dict[Timed, None] = {}
        self._backwards = backwards
        self.early = early

    def add(self, item: Timed) -> None:
        super().add(item)
        self._order[item] = None

    def discard(self, item: Timed) -> None:
        super().discard(item)
        self._order.pop(item, None)

    def remove(self, item: Timed) -> None:
        super().remove(item)
        del self._order[item]

    def __iter__(self) -> Iterator[Timed]:
        return reversed(self._order) if self._backwards else iter(self._order)


def is_quiet(connection: UpstreamConnection) -> bool:
    """In place of asking the kernel."""
    transport: Any = connection.transport
    return bool(transport.is_quiet())


@contextmanager
def prepared() -> Iterator[None]:
    """While it lasts, connections do not ask the kernel, and deadlines that are called early are noticed."""
    with (
        patch.object(UpstreamConnection, "is_quiet", is_quiet),
        patch.object(confirmation, "elapsed", _elapsed),
        patch.object(keyed_write, "elapsed", _elapsed),
        patch.object(UpstreamConnection, "on_deadline", _timely(UpstreamConnection.on_deadline)),
        patch.object(turns, "wanted", lambda: True),
        patch.object(turns, "tell", _tell),
        patch.object(Sending, "on_deadline", _timely(Sending.on_deadline)),
    ):
        yield


def _elapsed() -> float:
    return asyncio.get_running_loop().time()


def _tell(who: object, names: tuple[str, ...], table: turns.Table, before: int, after: int) -> None:
    """Collects the changes of state that the tables do not have."""
    if after not in table[before]:
        turned.append(f"{who!r} -> {names[after]}")


def _timely(on_deadline: Callable[[Any, float], None]) -> Callable[[Any, float], None]:
    def checked(item: Any, now: float) -> None:
        if item.deadline > now:
            sweeper = item.pool._sweeper if isinstance(item, UpstreamConnection) else item.services.upstreams
            sweeper.items.early(item)
        on_deadline(item, now)

    return checked
