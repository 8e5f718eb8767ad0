"""Connected workers that have no slot yet: just being started, or orphans that kept serving."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator

from proxy.control.channel import Link
from proxy.control.listener import address_of, same_socket
from proxy.control.supervisor.changes import Changes


class Unclaimed:
    """Their connections by pid, in the order in which they came."""

    def __init__(self, changes: Changes) -> None:
        self._links: dict[int, Link] = {}
        self._changes = changes

    def __iter__(self) -> Iterator[Link]:
        return iter(list(self._links.values()))

    def add(self, link: Link) -> None:
        self._links[link.hello.pid] = link

    def take(self, pid: int) -> Link | None:
        return self._links.pop(pid, None)

    def remove(self, link: Link) -> bool:
        """Whether exactly this connection was here."""
        here = self._links.get(link.hello.pid) is link
        if here:
            del self._links[link.hello.pid]
        return here

    def take_slot(self, slot: int, listener: socket.socket | None) -> Link | None:
        """A worker of this number that listens on this socket, or, for None, on any."""
        for link in self:
            if link.hello.worker == slot and (listener is None or same_socket(link.listener, listener)):
                return self.take(link.hello.pid)
        return None

    def slots(self) -> list[int]:
        return sorted({link.hello.worker for link in self})

    def state(self) -> str:
        """Their `server.state`; "" if there are none, or they do not tell."""
        return next((link.hello.state for link in self if link.hello.state), "")

    async def socket_on(self, address: tuple[str, int], timeout: float) -> socket.socket | None:
        """A copy of the socket on `address` (numeric host, port) of the first that has it, or None."""

        def found() -> Link | None:
            return next((link for link in self if address_of(link.listener) == address), None)

        await self._changes.until(found, timeout)
        link = found()
        return link.listener.dup() if link else None

    async def arrived(self, pids: Collection[int], timeout: float) -> None:
        """Waits until these have connected."""
        await self._changes.until(lambda: self._links.keys() >= set(pids), timeout)
