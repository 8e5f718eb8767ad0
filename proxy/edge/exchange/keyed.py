"""A write with an idempotency key on its way: claimed before it is sent, stored before it is answered.

    body whole -> claim (durable) -> send -> answer whole -> store (durable) -> relay

What the store says about the key (`core.idempotency`) decides whether and where it is sent. Once claimed, the
write no longer depends on its client. An answer over `max_response` is marked as such, then relayed as it
comes; one for which `max_store` leaves no room is marked in the same way. Endpoints that only record claim
too; what goes wrong with that changes nothing for them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from proxy.core.http1.body import hold
from proxy.core.http1.grammar import Malformed, Pairs
from proxy.core.http1.request import RequestHead
from proxy.core.http1.response import ResponseHead
from proxy.core.resilience import idempotency
from proxy.core.resilience.idempotency import Proceed, Record, Refuse, Replay, Verdict, Wanted
from proxy.core.resilience.retry import Again, FailureKind
from proxy.core.routing.decide import Decision
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import ASYNC, LEGACY, BackendName
from proxy.edge.exchange.attempts import ANSWERED, ENDED, RETRY_AFTER, SENT, SETTLING
from proxy.edge.exchange.claimed import ClaimedExchange
from proxy.edge.exchange.exchange import Exchange
from proxy.edge.exchange.held import HeldAnswer, is_event_stream, replay
from proxy.store import StoreUnavailable
from proxy.store.clock import elapsed

if TYPE_CHECKING:
    from proxy.edge.client.http1 import ClientConnection
    from proxy.edge.services import Services


def exchange_for(
    client: ClientConnection,
    services: Services,
    snapshot: Snapshot,
    head: RequestHead,
    decision: Decision,
    backend: BackendName,
) -> Exchange:
    """The exchange for a request whose endpoint minds idempotency keys: a plain one if it has none."""
    endpoint = decision.endpoint
    assert endpoint is not None
    keys = head.fields.values(snapshot.idempotency.header)
    if services.writes.ownership_off or (not keys and endpoint.idempotency != "required"):
        return Exchange(client, services, snapshot, head, decision, backend)
    return KeyedExchange(client, services, snapshot, head, decision, backend, keys)


class KeyedExchange(ClaimedExchange):
    """`_record` is the claim that this exchange holds, from the store's yes until the outcome is stored."""

    __slots__ = (
        "_claiming",
        "_existing",
        "_held",
        "_keys",
        "_plain",
        "_streams",
    )

    def __init__(
        self,
        client: ClientConnection,
        services: Services,
        snapshot: Snapshot,
        head: RequestHead,
        decision: Decision,
        backend: BackendName,
        keys: list[bytes],
    ) -> None:
        super().__init__(client, services, snapshot, head, decision, backend)
        self.safe = False
        self.upgrade = None
        self._keys = keys
        self._plain = False  # goes on like any other request
        self._claiming = False
        self._existing = False
        self._streams = False  # events: the client gets them as they come, and the store the whole
        self._held = HeldAnswer(snapshot.idempotency.max_response)

    # the request

    def begin(self, has_body: bool) -> None:
        if has_body:
            self._body_complete = False
        else:
            self._claim()

    def expect(self) -> bool:
        return False  # the whole body is needed first

    def on_request_body(self, data: bytes, complete: bool) -> None:
        if self._plain:
            super().on_request_body(data, complete)
            return
        self._body_complete = complete
        hold(self._body, data)
        self._buffered += len(data)
        limit = self.snapshot.idempotency.max_body
        if max(self._buffered, self.head.fields.content_length) > limit:
            if self._records_only:
                self._count("invalid")
                self._go_plain()
            else:
                self.refuse(413, "body_too_large", f"with an idempotency key a body may have {limit} bytes")
        elif complete:
            self._claim()

    def on_client_gone(self) -> None:
        if self._plain or not (self._claiming or self._record):
            super().on_client_gone()
            return
        self.client = None
        if self.upstream is not None:
            self.upstream.resume()

    def on_client_writable(self, writable: bool) -> None:
        if self._record is None or self._streams:  # what is held does not depend on the client
            super().on_client_writable(writable)

    def _go_plain(self) -> None:
        """From here on like a request without a key."""
        self._plain = True
        if self._body_complete:
            self._attempt()
        elif self._buffered > self._buffers.request:
            self._pause_client()
            self._attempt()

    # the claim

    def _claim(self) -> None:
        settings = self.snapshot.idempotency
        if not self._keys:
            self._refuse_key(settings.missing, "idempotency_key_missing", "this needs an idempotency key")
            return
        try:
            wanted = self._writes.wanted(
                self.snapshot,
                self._listed,
                self.head,
                b"".join(self._body),
                self._keys,
                self.backend,
                self.services.request_id().decode(),
            )
        except Malformed as error:
            self._refuse_key(error.status, error.kind, error.detail)
            return
        self.token = wanted.token
        self._asked = elapsed()
        self._claiming = True
        self._writes.under_way.add(self)
        self._writes.spawn(self._ask_store(wanted), self._on_fault)

    async def _ask_store(self, wanted: Wanted) -> None:
        try:
            await self._writes.ready()
            verdict = await self._writes.claims().claim(wanted)
        except StoreUnavailable:
            self._claiming = False
            self._on_no_store()
        else:
            self._claiming = False
            self._on_verdict(verdict)

    def _on_no_store(self) -> None:
        self._count("unavailable")
        if self._records_only:
            self._go_plain()
            return
        detail = "the store of idempotency keys does not answer; nothing was sent"
        self._answer_here(503, "proxy", "store_unavailable", detail, retry_after=RETRY_AFTER)

    def _on_verdict(self, verdict: Verdict) -> None:
        if isinstance(verdict, Proceed):
            self._record = verdict.record
            self._existing = verdict.existing
            if verdict.existing:
                self._follow(verdict.record.owner)
            self._attempt()
        elif isinstance(verdict, Refuse):
            self._on_refusal(verdict)
        else:
            self._on_replay(verdict)

    def _on_refusal(self, verdict: Refuse) -> None:
        self._count(verdict.kind.removeprefix("idempotency_"))
        if self._records_only:
            self._go_plain()
            return
        self._follow(verdict.owner)
        members = {"outcome": "unknown"} if verdict.unknown else None
        self._answer_here(verdict.status, "client", verdict.kind, verdict.detail, members=members)

    def _on_replay(self, verdict: Replay) -> None:
        self._count("replayed")
        if self._records_only:
            self._go_plain()
            return
        self._follow(verdict.owner)
        answer, client = verdict.answer, self.client
        if client is not None:
            self._relayed = True
            if self.services.draining:
                self.keep_alive = False
            client.send(self, replay(answer, self.keep_alive, self.head.fields.minor))
        self._complete(answer.status)

    def _follow(self, owner: BackendName) -> None:
        """An earlier claim decides, whatever the weight says by now."""
        self.backend = owner
        self.reason = "owner"

    def _refuse_key(self, status: int, kind: str, detail: str) -> None:
        self._count(kind.removeprefix("idempotency_").removeprefix("key_"))
        if self._records_only:
            self._go_plain()
        else:
            self._answer_here(status, "client", kind, detail)

    # the answer

    def on_response(self, response: ResponseHead, data: bytes, complete: bool) -> None:
        if self._record is None:
            super().on_response(response, data, complete)
        elif self._state != SENT:
            self._violated("answer_unasked")
        else:
            self._state = ANSWERED
            self._answer = response
            self._hold(data, complete, [])

    def on_data(self, data: bytes, complete: bool, trailers: Pairs) -> None:
        if self._record is None:
            super().on_data(data, complete, trailers)
        elif self._state != ANSWERED:
            self._violated("answer_unasked")
        else:
            self._hold(data, complete, trailers)

    def _hold(self, data: bytes, complete: bool, trailers: Pairs) -> None:
        if self.captured is not None:
            self._capture(data)
        if complete:
            self.upstream = None  # it is in the pool again
            self._state = SETTLING
        if self._streams or self._may_stream():
            self._stream_held(data, complete, trailers)
        if self._held.add(data, complete, trailers):
            if self.upstream is not None:
                self.upstream.pause()
            self._writes.spawn(self._store_answer(), self._on_fault)

    def _may_stream(self) -> bool:
        """Events are worth something at once; a whole that is good for a replay comes with their end."""
        response, record = self._answer, self._record
        if response is not None and record is not None and is_event_stream(response):
            self._streams = not idempotency.in_use(record, response.status)
        return self._streams

    def _stream_held(self, data: bytes, complete: bool, trailers: Pairs) -> None:
        """To the client before the store knows; what ends it early leaves the key unknown."""
        client, response = self.client, self._answer
        if client is not None and self._relayed:
            client.send(self, self._encoded_response(data, complete, trailers))
        elif client is not None and response is not None:
            self._relayed = True
            client.send(self, self._answer_begun(response, data, complete, trailers))

    async def _store_answer(self) -> None:
        record, response = self._record, self._answer
        assert record is not None
        assert response is not None
        backend = self.snapshot.backend(self.backend)
        room = self._writes.room(self.snapshot.idempotency.max_store)
        outcome = self._held.outcome(record, response, backend, self.served_by(), time.time(), room)
        if outcome.state == "unknown":
            self.services.count_unknown(self.endpoint)
        await self._save(outcome)
        if not self._records_only and idempotency.in_use(record, response.status):
            self._answer_in_use()
        else:
            self._relay(response)

    def _answer_in_use(self) -> None:
        """An earlier attempt still runs: the backend's refusal must not pass for the answer to the write."""
        self._drop_upstream()
        self._held.take()
        status = self.snapshot.idempotency.in_flight
        detail = (
            "an earlier request with this idempotency key may still be running; try again with the same key"
        )
        self._answer_here(status, "client", "idempotency_in_flight", detail, retry_after=RETRY_AFTER)

    def _relay(self, response: ResponseHead) -> None:
        """What was held goes to the client, and the rest follows by itself."""
        held, client = self._held, self.client
        data = held.take()
        if client is not None and not self._streams:
            self._relayed = True
            client.send(self, self._answer_begun(response, data, held.whole, held.trailers))
        if held.whole:
            self._complete(response.status)
        elif self.upstream is None:
            self._abort_relay()
        elif self._streams and client is None:  # nobody waits for events without an end
            self._drop_upstream()
            self._end()
        elif client is None or client.is_writable():
            self.upstream.resume()

    # failures

    def _give_up(self, status: int, kind: FailureKind, detail: str, *, unknown: bool, abort: bool) -> None:
        record = self._record
        if record is None:
            super()._give_up(status, kind, detail, unknown=unknown, abort=abort)
            return
        self._state = SETTLING
        if self._held.too_large:
            self.services.count_error("upstream", kind)  # `_relay` goes on when the store has answered
        else:
            work = self._store_failure(record, status, kind, detail, unknown, abort)
            self._writes.spawn(work, self._on_fault)

    async def _store_failure(
        self, record: Record, status: int, kind: FailureKind, detail: str, unknown: bool, abort: bool
    ) -> None:
        now = time.time()
        await self._save(idempotency.lose(record, now) if unknown else idempotency.withdraw(record, now))
        super()._give_up(status, kind, detail, unknown=unknown, abort=abort)

    def _fallback_available(self) -> bool:
        return not self._existing and super()._fallback_available()

    def _again(self, verdict: Again) -> None:
        record = self._record
        if record is not None and verdict.on_fallback:
            self._writes.spawn(self._move(record, verdict), self._on_fault)
        else:
            super()._again(verdict)

    async def _move(self, record: Record, verdict: Again) -> None:
        """Nothing was sent: the key changes its owner first, then the write goes there."""
        moved = idempotency.move(record, LEGACY if self.backend == ASYNC else ASYNC, time.time())
        try:
            held = await self._writes.claims().change(moved)
        except StoreUnavailable:
            held = False
        if held:
            self._record = moved
            super()._again(verdict)
        else:
            self._writes.claims().owe(idempotency.withdraw(record, time.time()))
            self._record = None
            self._on_no_store()

    def _on_fault(self) -> None:
        """A fault of our own, wherever it was: the client must not wait for ever, nor the key stay taken."""
        self._claiming = False
        record, self._record = self._record, None
        if record is not None:
            self.services.count_unknown(self.endpoint)
            self._writes.claims().owe(idempotency.lose(record, time.time()))
        if self._state == ENDED:
            return
        self._drop_upstream()
        if self._relayed:
            self._abort_relay()
        else:
            self._answer_here(500, "proxy", "internal_error", "the proxy failed at this; see its log")

    # the store

    async def _save(self, record: Record) -> None:
        """The outcome, durably. If that fails the client gets its answer all the same; the key is unknown."""
        sent = self._record
        assert sent is not None
        self._count("no_room" if self._held.no_room else record.note or record.state)
        claims = self._writes.claims()
        try:
            stored = await claims.change(record)
        except StoreUnavailable:
            stored = False
            claims.owe(record if record.answer is None else idempotency.lose(sent, record.updated_at))
        if not stored:
            self._count("unstored")
        self._record = None

    # endings

    def _end(self) -> None:
        self._writes.under_way.discard(self)
        super()._end()
