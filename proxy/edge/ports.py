"""The interfaces between client, exchange, pool and upstream.

A module sees objects of the layers above it only through these. They are base classes, not protocols,
because a compiled class calls a method of a compiled base directly, but a method of a protocol by its
name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, NamedTuple

from proxy.core.forwarding.replies import Source
from proxy.core.http1.grammar import Pairs
from proxy.core.http1.response import ResponseHead
from proxy.core.resilience.retry import FailureKind
from proxy.edge.deadlines import NEVER, Timed


class GaveUp(NamedTuple):
    """What it says of a backend that a client has left."""

    waited: float  # seconds in vain: 0 if its answer was going on
    long: bool  # for so long that it speaks against the endpoint
    failures: int  # of the whole backend: this one, or a run of them; 0 if something came from it meanwhile


NOTHING: Final = GaveUp(0.0, False, 0)


class UpstreamPort(Timed):
    """A connection to an upstream, as those know it whom it serves."""

    __slots__ = ("answered", "closed", "exchange", "flowed", "full", "read", "transport", "used")

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.deadline = NEVER
        self.exchange: Receiver | None = None  # whom it serves; None while it idles in the pool
        self.answered = False  # a byte of the response came in
        self.closed = False
        self.flowed = 0.0  # seconds from the head of the answer to the last piece of its body
        self.full = False  # the upstream does not read
        self.read = False  # it closed after it had read the whole request: known only then
        self.used = False  # has served an exchange before this one

    @property
    def url(self) -> str:
        """Of the upstream, as it is configured."""
        raise NotImplementedError

    def start(self, exchange: Receiver, data: bytes, last: bool) -> None:
        """Begin a request with its first bytes; `last` if these are all of it."""
        raise NotImplementedError

    def write(self, data: bytes, last: bool) -> None:
        """More of its body."""
        raise NotImplementedError

    def pause(self) -> None:
        """The client does not keep up: stop reading, and do not time the upstream for it."""
        raise NotImplementedError

    def resume(self) -> None:
        """The client takes more again."""
        raise NotImplementedError

    def stall(self) -> None:
        """It waits for the client that it serves."""
        raise NotImplementedError

    def go_on(self) -> None:
        """It does not wait for its client any more."""
        raise NotImplementedError

    def is_quiet(self) -> bool:
        """Whether it has neither been closed by the upstream nor been sent unasked bytes."""
        raise NotImplementedError

    def given_up(self) -> GaveUp:
        """Its client has left: what that says of the backend."""
        raise NotImplementedError

    def switch(self) -> bool:
        """Leave the pool as a tunnel; False if the backend has as many as it may have."""
        raise NotImplementedError

    def silence(self) -> float:
        """Seconds of silence that the backend allows."""
        raise NotImplementedError

    def abort(self) -> None:
        """Drop the connection at once, whatever is under way on it."""
        raise NotImplementedError

    def close(self) -> None:
        """Close once what was written has left."""
        raise NotImplementedError

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop; or by who finds that the connection must not be used."""
        raise NotImplementedError


class Waiter(Timed):
    """Who wants a connection of a pool; `on_connection` or `on_failure` follows each `acquire`."""

    __slots__ = ("tried",)

    def __init__(self) -> None:
        self.deadline = NEVER
        self.tried: tuple[object, ...] = ()  # the addresses that could not be reached for it

    def wants_connection(self, pool: object) -> bool:
        """Whether it still waits for one of `pool`."""
        raise NotImplementedError

    def on_connection(self, connection: UpstreamPort) -> None:
        """The connection that it waited for."""
        raise NotImplementedError

    def on_failure(self, kind: FailureKind, detail: str) -> None:
        """There is none for it, or what it asked for on one came to nothing."""
        raise NotImplementedError


class Receiver(Waiter):
    """Whom a connection serves: an exchange, or the probe of a health check."""

    __slots__ = ("idle_timeout", "method", "response_timeout", "upgrade")

    def __init__(self, method: str) -> None:
        super().__init__()
        self.method = method
        self.response_timeout: float | None = None  # seconds; None: the backend's own
        self.idle_timeout: float | None = None
        self.upgrade: bytes | None = None  # the protocol that the client asked to switch to

    def on_informational(self, response: ResponseHead) -> None:
        """An interim answer."""
        raise NotImplementedError

    def on_upgrade(self, response: ResponseHead, rest: bytes) -> None:
        """101: `rest` is the beginning of what comes after it."""
        raise NotImplementedError

    def on_response(self, response: ResponseHead, data: bytes, complete: bool) -> None:
        """The head of the answer, and what there is of its body."""
        raise NotImplementedError

    def on_data(self, data: bytes, complete: bool, trailers: Pairs) -> None:
        """The next piece of the body."""
        raise NotImplementedError

    def on_upstream_writable(self, writable: bool) -> None:
        """The upstream does not read the request, or goes on reading it."""
        raise NotImplementedError

    def give_way(self) -> None:
        """Others wait for the connection that this one's client holds up."""
        raise NotImplementedError


class ClientPort(Timed):
    """A client's connection, as the exchange knows it that is under way on it.

    The exchange names itself with each piece: only the request that is under way is answered.
    """

    __slots__ = ()

    def send(self, exchange: object, data: bytes) -> None:
        """A part of the answer."""
        raise NotImplementedError

    def reply(
        self,
        exchange: object,
        status: int,
        source: Source,
        kind: str,
        detail: str,
        retry_after: int | None = None,
        members: Mapping[str, str] | None = None,
    ) -> None:
        """The proxy's own answer in place of a backend's."""
        raise NotImplementedError

    def on_exchange_end(self, exchange: object) -> None:
        """Nothing more will be sent for this exchange."""
        raise NotImplementedError

    def switch(self, exchange: object, data: bytes, upstream: UpstreamPort) -> None:
        """Become a tunnel: `data` is the end of HTTP on this connection."""
        raise NotImplementedError

    def is_writable(self) -> bool:
        """Whether the client takes what it is sent."""
        raise NotImplementedError

    def idle_since(self) -> float:
        """NEVER if it is not between two requests, or has not taken all of its last answer."""
        raise NotImplementedError

    def make_room(self) -> None:
        """It goes now, and counts as gone."""
        raise NotImplementedError

    def pause_body(self) -> None:
        """The body's next piece has nowhere to go yet; the client is not timed for that."""
        raise NotImplementedError

    def resume_body(self) -> None:
        """The body may come."""
        raise NotImplementedError

    def abort(self) -> None:
        """End with a reset, so that nobody takes what was sent for the whole."""
        raise NotImplementedError


class Claimant:
    """A write whose key is claimed. `token` names its claim, also while the store is asked for it."""

    __slots__ = ("token",)

    def __init__(self) -> None:
        self.token = ""
