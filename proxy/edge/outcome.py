"""What became of a request: all that counters, access log, traces and comparer get to know of it.

Made once for each request, when nothing more can be sent for it. None of them sees an exchange, so none of
them depends on how one works.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from proxy.core.forwarding.hop_by_hop import Hop
from proxy.core.http1.request import RequestHead
from proxy.core.http1.response import ResponseHead
from proxy.core.settings import BackendName, Endpoint, Reason


class Outcome:
    """`status` is what the client got, 0 if nothing whole; `seconds` from the whole head to the end."""

    __slots__ = (
        "answer",
        "asked",
        "backend",
        "body",
        "captured",
        "endpoint",
        "head",
        "hop",
        "reason",
        "refused",
        "seconds",
        "status",
        "trace",
        "upgrade",
    )

    def __init__(
        self,
        head: RequestHead,
        hop: Hop,
        endpoint: Endpoint | None,
        backend: BackendName,
        reason: Reason,
        status: int,
        seconds: float,
        asked: bool,
        answer: ResponseHead | None,
        body: Sequence[bytes] | None,
        captured: bytearray | None,
        upgrade: bool,
        trace: str | None,
        refused: bool,
    ) -> None:
        self.head: Final = head
        self.hop: Final = hop  # from the client, also when that is gone
        self.endpoint: Final = endpoint  # None: no endpoint of routing.yaml
        self.backend: Final = backend
        self.reason: Final = reason
        self.status: Final = status
        self.seconds: Final = seconds
        self.asked: Final = asked  # whether any backend was
        self.answer: Final = answer  # of the last attempt, if it was answered
        self.body: Final = body  # pieces of the request's; None if it is not held whole
        self.captured: Final = captured  # the answer's body, for a comparison with a dry run
        self.upgrade: Final = upgrade  # the client asked to switch protocols
        self.trace: Final = trace  # its id, if requests are traced
        self.refused: Final = refused  # by the proxy, with a status that says nothing about the backend

    @property
    def peer(self) -> str:
        """Address of the client's end of its connection."""
        return self.hop.peer.decode("ascii")

    @property
    def is_own(self) -> bool:
        """Whether the proxy itself answered, and not because backends had failed."""
        return self.refused or (self.answer is None and (not self.asked or 200 <= self.status < 500))

    def __repr__(self) -> str:
        name = "unlisted" if self.endpoint is None else self.endpoint.name
        return f"<Outcome of {name} by {self.backend}: {self.status}>"
