"""One worker and everything around it: each event that can happen is a method here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, Literal

from proxy.core.http1.request import RequestHead
from proxy.core.resilience.idempotency import Record
from proxy.edge.client.http1 import ClientConnection
from proxy.edge.deadlines import Timed
from proxy.edge.exchange.states import ANSWERED
from proxy.edge.outcome import Outcome
from proxy.edge.services import Services
from proxy.edge.worker import _close_idle
from tests.edge.model.backends import Shape, Upstream
from tests.edge.model.clients import Client
from tests.edge.model.invariants import KINDS, Invariants, Request
from tests.edge.model.loop import Dial, FakeLoop, Running
from tests.edge.model.replaced import Ordered, turned
from tests.edge.model.settings import Settings, snapshot
from tests.edge.model.store import Call, FakeClaims
from tests.edge.model.transports import FakeTransport

CLIENTS: Final = 3
KEYS: Final = 4  # that are tried again: the last ones
ROUNDS: Final = 120  # until everything must have come to an end


Method = Literal["GET", "UPGRADE", "POST", "PUT"]


class World:
    """In an eager one the loop runs after each event; else it runs when that is the event."""

    def __init__(
        self, settings: Settings, backwards: bool, eager: bool, watched: frozenset[str] = KINDS
    ) -> None:
        self.settings = settings
        self.eager = eager
        self.loop = FakeLoop()
        self.running = Running(self.loop)
        self.invariants = Invariants(settings.idempotent, lambda key: self.store.state_of(key), watched)
        self.clients: list[Client | None] = [None] * CLIENTS
        self.upstreams: list[Upstream] = []
        self._keys: list[tuple[str, str]] = []  # method, key
        self._number = 0
        turned.clear()
        with self.running:
            self.services = Services(self.loop, snapshot(settings), "this worker")
            self.services.upstreams.items = Ordered(backwards, self._early)
            self.services.clients.items = Ordered(backwards, self._early)
            self.store = FakeClaims(self.services.writes._tokens, self._outcome)
            self.services.writes._claims = self.store
            self.loop.run()
        self._observed: set[RequestHead] = set()
        self._observe = self.services.observers.observe
        self.services.observers.observe = self._observe_once  # type: ignore[method-assign]
        self._pools = list(self.services.pools.values())

    def happen(self, event: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        """One event; then nothing may be wrong."""
        with self.running:
            event(self, *arguments)
            if self.eager:
                self.loop.run()
        self.check()

    # what could happen now

    @property
    def connected(self) -> list[Client]:
        return [client for client in self.clients if client is not None and not client.lost]

    @property
    def hesitant(self) -> list[Client]:
        """Clients that have sent a part of a request."""
        return [client for client in self.connected if client.hesitates]

    @property
    def stalled(self) -> list[FakeTransport]:
        """Peers that do not read."""
        return [peer for peer in (*self.connected, *self.upstreams) if peer.blocked and not peer.lost]

    @property
    def busy(self) -> list[Upstream]:
        """Backends' connections with a request that is not answered whole."""
        return [upstream for upstream in self.upstreams if upstream.busy]

    @property
    def open(self) -> list[Upstream]:
        return [upstream for upstream in self.upstreams if not upstream.closing]

    @property
    def dials(self) -> list[Dial]:
        return [dial for dial in self.loop.dials if not dial.future.done()]

    @property
    def calls(self) -> list[Call]:
        return self.store.calls

    # clients

    def client_asks(self, slot: int, method: Method, key: int, cut: bool) -> None:
        """`key`: 0 none, 1 a new one, above that one of those used before."""
        client = self.clients[slot]
        if client is None or not client.is_open:
            client = self._connected(slot)
        elif not client.is_patient:
            client.go_on()
            return
        self._number += 1
        request = Request(f"n{self._number}", "GET" if method == "UPGRADE" else method)
        request.upgrade = method == "UPGRADE"
        used = [name for of, name in self._keys if of == method][-KEYS:]
        if key > 1 and used:
            request.key = used[-1 - (key - 2) % len(used)]
        elif key and request.is_write:
            request.key = f"k{self._number}"
            self._keys.append((method, request.key))
        client.ask(request, cut)

    def _connected(self, slot: int) -> Client:
        self._number += 1
        client = self.clients[slot] = Client(self.loop, self.invariants, f"client {self._number}")
        client.protocol = ClientConnection(self.services, "127.0.0.1")
        client.protocol.connection_made(client)
        return client

    # backends

    def dial_succeeds(self, dial: Dial) -> None:
        upstream = dial.transport = Upstream(self.loop, self.invariants, dial.port)
        upstream.protocol = upstream.connection = dial.factory()
        upstream.protocol.connection_made(upstream)
        self.upstreams = [*(other for other in self.upstreams if not other.lost), upstream]
        dial.future.set_result(None)

    def dial_fails(self, dial: Dial) -> None:
        dial.future.set_exception(ConnectionRefusedError())

    def upstream_answers(self, upstream: Upstream, status: int, shape: Shape) -> None:
        if upstream.pieces:
            upstream.go_on()
        else:
            upstream.answer(status, shape)

    # the store

    def store_carries_out(self, call: Call) -> None:
        """The answer is still under way."""
        call.carry_out()

    def store_answers(self, call: Call) -> None:
        self.calls.remove(call)
        call.answer()

    def store_fails(self, call: Call) -> None:
        self.calls.remove(call)
        call.fail()

    # the worker

    def reload(self, weight: int, pool_idle: int) -> None:
        """Another `pool_idle` makes new pools and retires the ones in use."""
        self.settings = replace(self.settings, weight=weight, pool_idle=pool_idle)
        self.services.apply(snapshot(self.settings))
        self._pools += [pool for pool in self.services.pools.values() if pool not in self._pools]

    def drain(self, patient: bool) -> None:
        """As Worker.drain."""
        self.services.draining = True
        self.services.patient = patient
        if not patient:
            _close_idle(self.services)

    # the end

    def check(self) -> None:
        for (what, _), count in self.services.counters.violations.items():
            self.invariants.wrong("caught", f"{what}, {count} times")
        self.services.counters.violations.clear()
        for error in self.loop.errors:
            self.invariants.wrong("raised", error)
        self.loop.errors.clear()
        for change in turned:
            self.invariants.wrong("no transition", change)
        turned.clear()
        assert not self.invariants.violations, "\n".join(self.invariants.violations)

    def settle(self) -> None:
        """Everything answers from now on, and time passes: then every request and every key has ended."""
        with self.running:
            self.loop.run()
            for peer in self.stalled:
                peer.unblock()
            for client in self.connected:
                client.go_on()
            for _ in range(ROUNDS):
                self._answer_all()
                self.loop.now += 0.25
                self.loop.run()
                self.check()
                if not self._unsettled():
                    break
        if left := self._unsettled():
            self.invariants.wrong("still waiting", f"{left}")
        self._check_rest()
        self.check()

    def _answer_all(self) -> None:
        for call in list(self.calls):
            self.store_answers(call)
        for dial in self.dials:
            self.dial_succeeds(dial)
        self.loop.run()
        for upstream in self.busy:
            while upstream.busy:
                self.upstream_answers(upstream, 201, "whole")
        self.loop.run()

    def _unsettled(self) -> list[str]:
        left = [f"{client.name} for {client.asked}" for client in self.clients if client and client.waits]
        left += ["the store is asked"] * bool(self.calls) + ["a dial"] * bool(self.dials)
        left += ["a backend works"] * bool(self.busy) + ["debts"] * bool(self.store._owed)
        left += [f"key {row.key}" for row in self.store.rows.values() if row.state == "sent"]
        return left + ["a keyed write is under way"] * bool(self.services.writes.under_way)

    def _check_rest(self) -> None:
        """Nothing is left over, and the pools have counted right."""
        wrong = self.invariants.wrong
        for pool in self._pools:
            mine = [upstream.connection for upstream in self.open if upstream.connection.pool is pool]
            tunnels = sum(connection.tunnel for connection in mine)
            if (pool.connections, pool.tunnels) != (len(mine) - tunnels, tunnels):
                wrong("miscounted", f"{pool.connections} and {pool.tunnels} tunnels; open are {mine}")
            if pool.stalled:
                wrong("miscounted", f"{len(pool.stalled)} connections are called stalled, and nothing stalls")
            if pool.waiting:
                wrong("still waiting", "for a connection that nobody will give")

    def _observe_once(self, outcome: Outcome) -> None:
        if outcome.head in self._observed:
            self.invariants.wrong("ended twice", repr(outcome))
        self._observed.add(outcome.head)
        self._observe(outcome)

    def _early(self, item: Timed) -> None:
        self.invariants.wrong("early deadline", f"of {item!r}")

    def _outcome(self, record: Record) -> None:
        """The store is told of an outcome."""
        for write in self.services.writes.under_way:
            held = write.record
            if held is not None and held.token == record.token and write.exchange.state < ANSWERED:
                self.invariants.wrong("unsettled", f"{write!r} is stored as {record.state}")

    def close(self) -> None:
        with self.running:
            self.loop.close()
