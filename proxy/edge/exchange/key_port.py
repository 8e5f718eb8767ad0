"""The key of a write, as the exchange knows it that sends the write.

An exchange asks it at each step on which a key has something to say. Those that answer "whether" have taken
the step over, and go on with it by themselves.
"""

from __future__ import annotations

from proxy.core.http1.grammar import Pairs
from proxy.core.resilience.retry import Again, FailureKind
from proxy.edge.exchange.body import RequestBody
from proxy.edge.ports import Claimant, UpstreamPort


class KeyPort(Claimant):
    """The base of `KeyedWrite`; a request without a key has none."""

    __slots__ = ()

    def begin(self, has_body: bool) -> None:
        """The head is in."""
        raise NotImplementedError

    def on_request_body(self, body: RequestBody) -> None:
        """There is more of the body."""
        raise NotImplementedError

    def confirms(self, connection: UpstreamPort) -> bool:
        """Whether the store is asked once more before anything is sent on `connection`."""
        raise NotImplementedError

    def holds(self, data: bytes, complete: bool, trailers: Pairs) -> bool:
        """Whether a part of the answer is held back for the store."""
        raise NotImplementedError

    def outlives_client(self) -> bool:
        """Whether the write goes on although its client has gone."""
        raise NotImplementedError

    def ignores_client(self) -> bool:
        """Whether the backend is read even if the client takes nothing."""
        raise NotImplementedError

    def settles(self, status: int, kind: FailureKind, detail: str, unknown: bool, abort: bool) -> bool:
        """Whether the store hears of a failure before the client does."""
        raise NotImplementedError

    def moves(self, verdict: Again) -> bool:
        """Whether the key changes its owner before another attempt."""
        raise NotImplementedError

    def may_fall_back(self) -> bool:
        """Whether no earlier attempt has decided where the write belongs."""
        raise NotImplementedError

    def on_refusal(self) -> None:
        """Nothing more is taken from the client; the request may have to give way to others."""
        raise NotImplementedError

    def on_end(self) -> None:
        """Nothing more can be sent for the request."""
        raise NotImplementedError
