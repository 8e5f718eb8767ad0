"""A write with a key: the key is claimed before it is sent, and its outcome stored before it is answered.

    body whole -> claim (durable) -> send -> answer whole -> store (durable) -> relay

What the store says about the key (`core.resilience.idempotency`) decides whether and where it is sent. Once
claimed, the write no longer depends on its client. An answer over `max_response` is marked as such, then
relayed as it comes; one for which `max_store` leaves no room is marked in the same way. Endpoints that only
record claim too; what goes wrong with that changes nothing for them.
"""

from __future__ import annotations

import time
from typing import Final

from proxy.core.http1.grammar import Malformed, Pairs
from proxy.core.resilience import idempotency
from proxy.core.resilience.idempotency import ClaimRequest, Proceed, Record, Refuse, Replay, Verdict
from proxy.core.resilience.retry import Again, FailureKind
from proxy.core.settings import ASYNC, LEGACY, BackendName, Endpoint
from proxy.edge import turns
from proxy.edge.exchange import states
from proxy.edge.exchange.body import RequestBody
from proxy.edge.exchange.confirmation import ask_whether_held, is_old
from proxy.edge.exchange.exchange import RETRY_AFTER, Exchange
from proxy.edge.exchange.held import replay
from proxy.edge.exchange.key_port import KeyPort
from proxy.edge.exchange.relaying import Relaying
from proxy.edge.ports import UpstreamPort
from proxy.store import StoreUnavailable
from proxy.store.clock import elapsed

_OUTCOMES: Final = frozenset({"completed", "too_large", "released", "unknown", "unavailable", "unstored"})


class KeyedWrite(KeyPort):
    """`record` is the claim, from the store's yes until the outcome is stored.

    `_asked` is when the store was asked last, to claim or to confirm.
    """

    __slots__ = (
        "_answer",
        "_asked",
        "_endpoint",
        "_existing",
        "_keys",
        "_records_only",
        "_writes",
        "exchange",
        "record",
        "state",
    )

    def __init__(self, exchange: Exchange, endpoint: Endpoint, keys: list[bytes]) -> None:
        super().__init__()
        exchange.safe = False
        exchange.upgrade = None
        self.exchange = exchange
        self.state = states.READING
        self.record: Record | None = None
        self._endpoint = endpoint
        self._keys = keys
        self._writes = exchange.services.writes
        self._records_only = endpoint.idempotency == "record"
        self._asked = 0.0
        self._existing = False  # an earlier attempt has decided where this belongs
        self._answer = Relaying(exchange)

    def __repr__(self) -> str:
        state = states.KEY_STATES[self.state]
        return f"<KeyedWrite {self.token or 'without a name'}: {state}, of {self.exchange!r}>"

    def turn(self, state: int) -> None:
        """The one place where the state changes."""
        if self.exchange.services.debug:
            turns.tell(self, states.KEY_STATES, states.KEY_TRANSITIONS, self.state, state)
        self.state = state

    # the request

    def begin(self, has_body: bool) -> None:
        if not has_body:
            self._claim()

    def on_request_body(self, body: RequestBody) -> None:
        exchange = self.exchange
        limit = exchange.snapshot.idempotency.max_body
        if max(body.size, exchange.head.fields.content_length) > limit:
            if self._records_only:
                self._count("invalid")
                self._let_go()
            else:
                detail = f"with an idempotency key, a body may have at most {limit} bytes"
                exchange.refuse(413, "body_too_large", detail)
        elif body.complete:
            self._claim()

    def outlives_client(self) -> bool:
        return self.state == states.CLAIMING or self.state == states.OWNED or self.state == states.STORING

    def ignores_client(self) -> bool:
        return self.record is not None and not self._answer.streams

    def _let_go(self) -> None:
        """From here on the request goes its way like one without a key."""
        exchange = self.exchange
        self.turn(states.RELEASED)
        self._writes.under_way.discard(self)
        exchange.key = None
        if self._existing:
            exchange.made().fallback_used = True
        exchange.send_when_ready()

    # the claim

    def _claim(self) -> None:
        exchange = self.exchange
        if not self._keys:
            missing = exchange.snapshot.idempotency.missing
            self._refuse_key(missing, "idempotency_key_missing", "this request needs an idempotency key")
            return
        try:
            wanted = self._writes.wanted(
                exchange.snapshot,
                self._endpoint,
                exchange.head,
                b"".join(exchange.held_body() or ()),
                self._keys,
                exchange.backend,
                exchange.services.request_id().decode(),
            )
        except Malformed as error:
            self._refuse_key(error.status, error.kind, error.detail)
            return
        self.token = wanted.token
        self._asked = elapsed()
        self.turn(states.CLAIMING)
        self._writes.under_way.add(self)
        self._writes.spawn(self._ask_store(wanted), self._on_fault)

    async def _ask_store(self, wanted: ClaimRequest) -> None:
        try:
            await self._writes.ready()
            verdict = await self._writes.claims().claim(wanted)
        except StoreUnavailable as error:
            if not self._is_over():
                self._on_no_store(error)
        else:
            if not self._is_over():
                self._on_verdict(verdict)
            elif isinstance(verdict, Proceed):  # nobody is left to send it
                self._writes.claims().owe(idempotency.withdraw(verdict.record, time.time()))

    def _on_no_store(self, why: StoreUnavailable) -> None:
        """The store does not answer, and nothing was sent."""
        self._count("unavailable")
        if self._records_only:
            self._let_go()
            return
        self._writes.refused(why)
        detail = "the store of idempotency keys does not answer; nothing was sent"
        self.exchange.answer_here(503, "proxy", "store_unavailable", detail, retry_after=RETRY_AFTER)

    def _on_verdict(self, verdict: Verdict) -> None:
        if isinstance(verdict, Proceed):
            self.record = verdict.record
            self._existing = verdict.existing
            self.turn(states.OWNED)
            if verdict.existing:
                self._follow(verdict.record.owner)
            self.exchange.attempt()
        elif isinstance(verdict, Refuse):
            self._on_refusal(verdict)
        else:
            self._on_replay(verdict)

    def _on_refusal(self, verdict: Refuse) -> None:
        self._count(verdict.kind.removeprefix("idempotency_"))
        if self._records_only:
            self._let_go()
            return
        self._follow(verdict.owner)
        members = {"outcome": "unknown"} if verdict.unknown else None
        self.exchange.answer_here(verdict.status, "client", verdict.kind, verdict.detail, members=members)

    def _on_replay(self, verdict: Replay) -> None:
        self._count("replayed")
        if self._records_only:
            self._let_go()
            return
        self._follow(verdict.owner)
        exchange, answer = self.exchange, verdict.answer
        if exchange.client is not None:
            exchange.relayed = True
            exchange.keep_alive = exchange.keep_alive and not exchange.services.draining
            minor = exchange.head.fields.minor
            exchange.client.send(exchange, replay(answer, exchange.keep_alive, minor))
        exchange.complete(answer.status)

    def _follow(self, owner: BackendName) -> None:
        """An earlier claim decides, whatever the weight says by now."""
        self.exchange.backend = owner
        self.exchange.reason = "owner"
        self.exchange.trial = None

    def _refuse_key(self, status: int, kind: str, detail: str) -> None:
        self._count(kind.removeprefix("idempotency_").removeprefix("key_"))
        if self._records_only:
            self._let_go()
        else:
            self.exchange.answer_here(status, "client", kind, detail)

    # the first byte

    def confirms(self, connection: UpstreamPort) -> bool:
        record = self.record
        if record is None or not is_old(self._asked):
            return False
        self._writes.spawn(self._confirm(record, connection), self._on_fault)
        return True

    async def _confirm(self, record: Record, connection: UpstreamPort) -> None:
        """This worker may have been stopped, and others have the key: not a byte before that is clear."""
        asked, held = await ask_whether_held(self._writes, record)
        if self.exchange.upstream is not connection:  # this has ended meanwhile, with a fault or without
            if self.record is not None:
                self.record = None
                self._writes.claims().owe(idempotency.withdraw(record, time.time()))
            return
        if held:
            self._asked = asked
            self._send_confirmed(connection)
        else:
            self.exchange.drop_upstream()
            self._on_claim_lost(record, known=held is not None)

    def _send_confirmed(self, connection: UpstreamPort) -> None:
        """On `connection`, unless that has ended meanwhile."""
        exchange = self.exchange
        if not connection.closed and connection.is_quiet():
            exchange.turn(states.WAITING)
            exchange.send_on(connection)
            return
        exchange.drop_upstream()
        exchange.made().died()
        exchange.attempt()

    def _on_claim_lost(self, record: Record, known: bool) -> None:
        """Nothing was sent. `known`: the store says that the key is in other hands; or it does not answer."""
        self.record = None
        self._writes.claims().owe(idempotency.withdraw(record, time.time()))
        if not known or self._records_only:
            self._on_no_store(StoreUnavailable("it did not say in time whether a claim still holds"))
            return
        self._count("claim_lost")
        detail = "this request waited so long that its key was given up; nothing was sent, so try again"
        self.exchange.answer_here(503, "proxy", "claim_lost", detail, retry_after=RETRY_AFTER)

    # the answer

    def holds(self, data: bytes, complete: bool, trailers: Pairs) -> bool:
        record, exchange = self.record, self.exchange
        if record is None:
            return False
        if complete:
            exchange.turn(states.SETTLING)
        if self._answer.add(record, data, complete, trailers):
            self.turn(states.STORING)
            if exchange.upstream is not None:
                exchange.upstream.pause()
            self._writes.spawn(self._store_answer(), self._on_fault)
        return True

    async def _store_answer(self) -> None:
        exchange = self.exchange
        record, response = self.record, exchange.answer
        assert record is not None and response is not None  # noqa: PT018
        room = self._writes.room(exchange.snapshot.idempotency.max_store)
        outcome = self._answer.outcome(record, response, room)
        if outcome.state == "unknown":
            exchange.services.counters.count_unknown(self._endpoint)
        await self._save(outcome)
        if self._is_over():
            return  # it had to give way meanwhile
        if not self._records_only and idempotency.in_use(record, response.status):
            self._answer.refuse_in_use()
        else:
            self._answer.relay(response)

    # failures

    def settles(self, status: int, kind: FailureKind, detail: str, unknown: bool, abort: bool) -> bool:
        record = self.record
        if record is None:
            return False
        self.exchange.turn(states.SETTLING)
        if self._answer.held.too_large:  # it goes on when the store has answered
            self.exchange.services.counters.count_error("upstream", kind)
        else:
            self.turn(states.STORING)
            work = self._store_failure(record, status, kind, detail, unknown, abort)
            self._writes.spawn(work, self._on_fault)
        return True

    async def _store_failure(
        self, record: Record, status: int, kind: FailureKind, detail: str, unknown: bool, abort: bool
    ) -> None:
        now = time.time()
        await self._save(idempotency.lose(record, now) if unknown else idempotency.withdraw(record, now))
        if self._is_over():
            return
        self.exchange.fail(status, kind, detail, unknown=unknown, abort=abort)

    def may_fall_back(self) -> bool:
        return not self._existing

    def moves(self, verdict: Again) -> bool:
        record = self.record
        if record is None or not verdict.on_fallback:
            return False
        self._writes.spawn(self._move(record, verdict), self._on_fault)
        return True

    async def _move(self, record: Record, verdict: Again) -> None:
        """Nothing was sent: the key changes its owner first, then the write goes there."""
        moved = idempotency.move(record, LEGACY if self.exchange.backend == ASYNC else ASYNC, time.time())
        why = StoreUnavailable("other workers changed the claim")
        try:
            held = await self._writes.claims().change(moved)
        except StoreUnavailable as error:
            held, why = False, error
        if self._is_over():
            self._writes.claims().owe(idempotency.withdraw(moved if held else record, time.time()))
        elif held:
            self.record = moved
            self.exchange.try_again(verdict)
        else:
            self._writes.claims().owe(idempotency.withdraw(record, time.time()))
            self.record = None
            self._on_no_store(why)

    def _on_fault(self) -> None:
        """A fault of our own, wherever it was: the client must not wait for ever, nor the key stay taken."""
        exchange = self.exchange
        record, self.record = self.record, None
        if record is not None:
            exchange.services.counters.count_unknown(self._endpoint)
            self._writes.claims().owe(idempotency.lose(record, time.time()))
        if exchange.state == states.ENDED:
            return
        exchange.drop_upstream()
        if exchange.relayed:
            exchange.abort_relay()
        else:
            exchange.answer_here(500, "proxy", "internal_error", "internal proxy error; see the proxy log")

    # the store

    async def _save(self, record: Record) -> None:
        """The outcome, durably. If that fails the client gets its answer all the same; the key is unknown."""
        sent = self.record
        assert sent is not None
        self._count("no_room" if self._answer.held.no_room else record.note or record.state)
        claims = self._writes.claims()
        try:
            stored = await claims.change(record)
        except StoreUnavailable:
            stored = False
            claims.owe(record if record.answer is None else idempotency.lose(sent, record.updated_at))
        if not stored:
            self._count("unstored")
        self.record = None
        if self.state == states.STORING:
            self.turn(states.RELAYING)

    def _count(self, result: str) -> None:
        if self._records_only and result not in _OUTCOMES:
            result = f"would_{result}"
        self.exchange.services.counters.count_keyed(self._endpoint, result)

    # the end

    def _is_over(self) -> bool:
        """Asked after each wait: then nothing goes on but what the store is to know."""
        return self.exchange.state == states.ENDED

    def on_refusal(self) -> None:
        """What is being stored by then is stored all the same."""
        record = self.record
        if record is not None and self.exchange.is_open() and not self._answer.held.too_large:
            self.record = None
            self._count("unknown")
            self._writes.claims().owe(idempotency.lose(record, time.time()))

    def on_end(self) -> None:
        self._writes.under_way.discard(self)
        if self.state != states.RELEASED:
            self.turn(states.RELEASED)
