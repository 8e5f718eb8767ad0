"""Takes connections off the listening socket that all workers share.

Few `accept`s per wake-up let the kernel spread connections over the workers; an event loop's own server takes
all it can get, and at EMFILE closes what it took. A worker with many connections comes round seldom, so it
takes more each time, or new clients would wait for seconds behind the old ones. At the cap, for each that
comes another makes room (`crowd.py`). If nobody can, or when descriptors run out, the socket is simply not
watched: clients wait in its queue, and other workers may take them.

Neither a task nor a socket object is made for a connection: with both, letting it in cost as much as serving
a request.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import os
import socket
from collections.abc import Callable, Generator
from typing import Any, ClassVar, Final, cast

log = logging.getLogger(__name__)

PER_HELD: Final = 16  # connections held for each that is taken on top of the first, per wake-up
MOST: Final = 64  # per wake-up
PAUSE: Final = 0.1  # seconds without accepting after descriptors ran out
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class AcceptedSocket:
    """What uvloop's `connect_accepted_socket` asks of a socket. A real one costs two system calls to make."""

    __slots__ = ("_descriptor", "family")

    type: ClassVar[int] = int(socket.SOCK_STREAM)  # not the enum: uvloop computes with it

    def __init__(self, descriptor: int, family: int) -> None:
        self._descriptor = descriptor
        self.family = family

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        """Called when the transport has closed the descriptor itself."""


Adoption = Generator[Any, Any, object]


class Acceptor:
    """Accepts on `listener` while fewer than `cap()` connections are open (`count()` tells), or while one of
    those can go: `leaver()` finds it, and what that returns ends it.

    `factory` makes a protocol, given the client's numeric address. `loop` is uvloop's: it takes an
    `AcceptedSocket` for a socket.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        factory: Callable[[str], asyncio.Protocol],
        count: Callable[[], int],
        cap: Callable[[], int],
        leaver: Callable[[], Callable[[], None] | None] = lambda: None,
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._family = int(listener.family)
        self._factory = factory
        self._count = count
        self._cap = cap
        self._leaver = leaver
        self._watching = False
        self._stopped = False
        self._warned = False
        self.adopting = 0  # accepted, not yet counted by `count`

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
        held = self._count() + self.adopting
        room = self._cap() - held
        adoptions: list[Adoption] = []
        try:
            for _ in range(min(MOST, 1 + held // PER_HELD)):
                leave = None
                if len(adoptions) >= room and (leave := self._leaver()) is None:
                    self._pause("the connection limit is reached")
                    break
                taken = len(adoptions)
                more = self._accept_one(adoptions)
                if leave is not None and len(adoptions) > taken:
                    leave()
                    room += 1
                if not more:
                    break
        finally:
            if adoptions:
                self.adopting += len(adoptions)
                self._loop.call_soon(self._adopted, adoptions)

    def _accept_one(self, adoptions: list[Adoption]) -> bool:
        """Whether there may be more."""
        try:
            # What `accept` makes its socket object from. TCP_NODELAY it has from the listening socket.
            descriptor, address = self._listener._accept()  # type: ignore[attr-defined]
        except ConnectionAbortedError:
            return True  # the client has gone again
        except (BlockingIOError, InterruptedError):
            return False  # another worker was faster
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            if error.errno == errno.EMFILE and (leave := self._leaver()) is not None:
                leave()
            self._pause(f"{error.strerror}: raise the limit of open files or lower server.limits.connections")
            return False
        sock = cast(socket.socket, AcceptedSocket(descriptor, self._family))
        factory = functools.partial(self._factory, address[0])
        adoption = self._loop.connect_accepted_socket(factory, sock).__await__()
        try:
            next(adoption)  # up to its wait for `connection_made`, which it has scheduled
        except OSError:
            os.close(descriptor)  # gone before it could be served
        except BaseException:
            os.close(descriptor)
            raise
        else:
            adoptions.append(adoption)
        return True

    def _adopted(self, adoptions: list[Adoption]) -> None:
        """Scheduled after each `connection_made`, so that nothing is left to wait for."""
        self.adopting -= len(adoptions)
        for adoption in adoptions:
            try:
                next(adoption, None)
            except Exception:
                log.exception("a connection was accepted and lost")

    def _pause(self, why: str) -> None:
        self._unwatch()
        self._loop.call_later(PAUSE, self.start)
        if not self._warned:
            self._warned = True
            log.warning("not accepting connections: %s", why)
