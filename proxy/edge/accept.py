"""Takes connections off the listening socket that all workers share.

Few `accept`s per wake-up let the kernel spread connections over the workers; an event loop's own server takes
all it can get, and at EMFILE closes what it took. A worker with many connections comes round seldom, so it
takes more each time, or new clients would wait for seconds behind the old ones. At the cap, or when
descriptors run out, the socket is simply not watched: clients wait in its queue, and other workers may take
them.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

PER_HELD: Final = 16  # connections held for each that is taken on top of the first, per wake-up
MOST: Final = 64  # per wake-up
PAUSE: Final = 0.1  # seconds without accepting after descriptors ran out
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """Accepts on `listener` while fewer than `cap()` connections are open (`count()` tells)."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        factory: Callable[[], asyncio.Protocol],
        count: Callable[[], int],
        cap: Callable[[], int],
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._factory = factory
        self._count = count
        self._cap = cap
        self._watching = False
        self._stopped = False
        self._warned = False
        self.adopting: set[asyncio.Task[None]] = set()  # accepted, not yet counted by `count`

    def start(self) -> None:
        if not self._watching and not self._stopped:
            self._watching = True
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def stop(self) -> None:
        """For good: the worker drains."""
        self._stopped = True
        self._unwatch()

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            self._loop.remove_reader(self._listener.fileno())

    def _accept(self) -> None:
        held = self._count() + len(self.adopting)
        for _ in range(min(MOST, 1 + held // PER_HELD)):
            if not self._accept_one():
                return

    def _accept_one(self) -> bool:
        """Whether there may be more."""
        if self._count() + len(self.adopting) >= self._cap():
            self._pause("the connection limit is reached")
            return False
        try:
            sock, _ = self._listener.accept()
        except ConnectionAbortedError:
            return True  # the client has gone again
        except (BlockingIOError, InterruptedError):
            return False  # another worker was faster
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            self._pause(f"{error.strerror}: raise the limit of open files or lower server.limits.connections")
            return False
        sock.setblocking(False)  # TCP_NODELAY it has from the listening socket
        task = self._loop.create_task(self._adopt(sock))
        self.adopting.add(task)
        task.add_done_callback(self.adopting.discard)
        return True

    async def _adopt(self, sock: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._factory, sock)
        except OSError:
            sock.close()  # gone before it could be served

    def _pause(self, why: str) -> None:
        self._unwatch()
        self._loop.call_later(PAUSE, self.start)
        if not self._warned:
            self._warned = True
            log.warning("not accepting connections: %s", why)
