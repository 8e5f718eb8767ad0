"""A write whose key is claimed, up to its first byte: an old claim is confirmed before that leaves.

A worker may be stopped for so long that the others take it for dead, and an operator gives its key to another
attempt. When it goes on it must not send what it had claimed before. Between the look at the store and the
first byte no time passes but that of the loop's own turn.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from proxy.core.forwarding import replies
from proxy.core.http1.request import RequestHead
from proxy.core.resilience import idempotency
from proxy.core.resilience.idempotency import Record
from proxy.core.routing.decide import Decision
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import BackendName, Endpoint
from proxy.edge.exchange.attempts import IDLE, RETRY_AFTER, WAITING
from proxy.edge.exchange.exchange import Exchange
from proxy.store import StoreUnavailable
from proxy.store.claims import OLD
from proxy.store.clock import elapsed

if TYPE_CHECKING:
    from proxy.edge.client.http1 import ClientConnection
    from proxy.edge.services import Services
    from proxy.edge.upstream.connection import UpstreamConnection
    from proxy.edge.writes import Writes

LATE = 3.0  # seconds that a confirmation holds, from the question on. Not Final: tests shorten it
CONFIRMATIONS: Final = 3

_OUTCOMES: Final = frozenset({"completed", "too_large", "released", "unknown", "unavailable", "unstored"})


class ClaimedExchange(Exchange):
    """`_record` is the claim that this exchange holds, from the store's yes until the outcome is stored.

    `token` names it, also while the store is asked; `_asked` is when that was last, to claim or to confirm.
    """

    __slots__ = ("_asked", "_record", "token")

    def __init__(
        self,
        client: ClientConnection,
        services: Services,
        snapshot: Snapshot,
        head: RequestHead,
        decision: Decision,
        backend: BackendName,
    ) -> None:
        super().__init__(client, services, snapshot, head, decision, backend)
        self.token = ""
        self._asked = 0.0
        self._record: Record | None = None

    @property
    def _listed(self) -> Endpoint:
        assert self.endpoint is not None
        return self.endpoint

    @property
    def _writes(self) -> Writes:
        return self.services.writes

    @property
    def _records_only(self) -> bool:
        return self._listed.idempotency == "record"

    def _on_fault(self) -> None:
        """A task of this exchange failed."""
        raise NotImplementedError

    def _on_no_store(self) -> None:
        """The store does not answer, and nothing was sent."""
        raise NotImplementedError

    # an attempt

    def on_connection(self, connection: UpstreamConnection) -> None:
        record = self._record
        if record is None or elapsed() - self._asked <= OLD:
            super().on_connection(connection)
        else:
            self.upstream = connection  # nothing is sent on it yet, and no other one is wanted
            self._state = IDLE
            self._writes.spawn(self._confirm(record, connection), self._on_fault)

    async def _confirm(self, record: Record, connection: UpstreamConnection) -> None:
        """This worker may have been stopped, and others have the key: not a byte before that is clear."""
        asked, held = await self._ask_whether_held(record)
        if self.upstream is not connection:
            return  # a fault of our own has ended this meanwhile
        if held:
            self._asked = asked
            self._send_confirmed(connection)
        else:
            self._drop_upstream()
            self._on_claim_lost(record, known=held is not None)

    async def _ask_whether_held(self, record: Record) -> tuple[float, bool | None]:
        """When the store was asked, and what it says; None: no answer that still holds when it is here."""
        for _ in range(CONFIRMATIONS):
            asked = elapsed()
            held: bool | None = None
            with suppress(StoreUnavailable):
                held = await self._writes.claims().confirm(record)
            if not held or elapsed() - asked <= LATE:
                return asked, held
        return asked, None  # this process is stopped again and again

    def _send_confirmed(self, connection: UpstreamConnection) -> None:
        """On `connection`, unless that has ended meanwhile."""
        if not connection.closed and connection.is_quiet():
            self._state = WAITING
            super().on_connection(connection)
            return
        self._drop_upstream()
        self._fresh = True
        self._attempt()

    def _on_claim_lost(self, record: Record, known: bool) -> None:
        """Nothing was sent. `known`: the store says that the key is in other hands; or it does not answer."""
        self._record = None
        self._writes.claims().owe(idempotency.withdraw(record, time.time()))
        if not known or self._records_only:
            self._on_no_store()
            return
        self._count("claim_lost")
        detail = "this waited so long that others took its key for lost; nothing was sent, so try again"
        self._answer_here(503, "proxy", "claim_lost", detail, retry_after=RETRY_AFTER)

    # endings

    def _answer_here(
        self,
        status: int,
        source: replies.Source,
        kind: str,
        detail: str,
        retry_after: int | None = None,
        members: dict[str, str] | None = None,
    ) -> None:
        self.services.count_error(source, kind)
        if self.client is not None:
            self.status = status
            self.client.reply(self, status, source, kind, detail, retry_after=retry_after, members=members)
        self._end()

    def _abort_relay(self) -> None:
        """The upstream broke while its answer waited for the store: a part must not pass for the whole."""
        if self.client is not None:
            self.client.abort()
        self._end()

    def _count(self, result: str) -> None:
        if self._records_only and result not in _OUTCOMES:
            result = f"would_{result}"
        self.services.count_keyed(self._listed, result)
