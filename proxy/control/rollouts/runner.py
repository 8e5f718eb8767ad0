"""The loop that runs the rollouts: once a second, whatever the database does.

Who leads reads, decides, stores, and only then lets a weight rise; a rollback is on disk, then in force, then
stored. Who does not lead follows what is stored. While the database is away nothing rises anywhere, and each
process may lower what its own workers have seen fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from proxy.control.log import log
from proxy.control.reload import InForce
from proxy.control.rollouts.about import about
from proxy.control.rollouts.board import Board, ended, is_known
from proxy.control.rollouts.database import Database
from proxy.control.rollouts.deciding import Decided, Decider
from proxy.control.rollouts.exchange import SHARE, SeenTrials, UnitExchange
from proxy.control.rollouts.figures import shown
from proxy.control.rollouts.force import Force
from proxy.control.rollouts.gathering import Gatherer
from proxy.control.rollouts.leadership import Leadership
from proxy.control.rollouts.steady import Steady
from proxy.control.rollouts.telling import Told, announce, record
from proxy.control.rollouts.webhook import Webhooks
from proxy.core.rollout.facts import RolloutChange
from proxy.core.rollout.position import watched
from proxy.core.routing.snapshot import Snapshot
from proxy.store import StoreUnavailable, lease, rollouts
from proxy.store.rollouts import RolloutRow

INTERVAL: Final = 1.0  # seconds between two looks
STORE: Final = 5.0  # seconds after which evidence is stored though nothing was decided
AWAY: Final = "the state database does not answer"


class Runner:
    """`clock` is Unix seconds that never jump; `board` is all that others read."""

    def __init__(
        self,
        in_force: InForce,
        board: Board,
        database: Database,
        leadership: Leadership,
        exchange: UnitExchange,
        gatherer: Gatherer,
        force: Force,
        webhooks: Webhooks,
        clock: Steady,
    ) -> None:
        self._in_force = in_force
        self._board = board
        self._database = database
        self._leadership = leadership
        self._exchange = exchange
        self._gatherer = gatherer
        self._force = force
        self._webhooks = webhooks
        self._clock = clock
        self._decider = Decider(board, gatherer)
        self._stored: dict[str, float] = {}  # when the evidence of an endpoint was
        self._exchanged = float("-inf")
        self._own: dict[str, SeenTrials] = {}
        self._away = False
        self._unrecorded: dict[str, list[Told]] = {}  # of `board.lowered`
        self.lock = asyncio.Lock()
        """Whoever changes the board after asking the database has it meanwhile."""

    async def begin(self) -> None:
        """Before any worker is told anything: where rollouts stand, as far as can be known now."""
        self._force.go_on_from(self._board.recall())
        self._in_force.place(self._board.adopt(self._snapshot))
        if self._concerned(self._snapshot):
            await self._follow()
            self._in_force.place(self._board.wire(self._snapshot))
        self._notice_time()

    async def run(self) -> None:
        """Until cancelled; then whoever is next need not wait for the lease."""
        try:
            while True:
                await self.tick()
                await asyncio.sleep(INTERVAL)
        finally:
            self._webhooks.close()
            if self._leadership.leads:
                await self._leave()
            await self._database.close()

    async def tick(self) -> None:
        """One look."""
        async with self.lock:
            if not self._concerned(self._snapshot):
                self._board.results.clear()
                self._board.leads, self._board.problem = False, ""
                self.place()
                return
            connected = await self._follow()
            self.place()
            if self._board.leads or not connected:
                await self._decide(connected)
            else:
                self._decider.forget()
                self._board.results.clear()

    def place(self) -> None:
        """Brings into force what the board says, kept on disk before."""
        positions = self._board.wire(self._snapshot)
        if self._force.is_new(positions):
            self._board.keep(self._force.generation + 1)
        self._force.place(positions)

    def tell(self) -> None:
        """Before workers get a configuration: where the rollouts of it stand, and those of the one before."""
        positions = self._force.also(self._board.wire(self._snapshot))
        if self._force.is_new(positions):
            self._board.keep(self._force.generation + 1)
        self._force.tell(positions)

    def now(self) -> float:
        return self._clock()

    @property
    def _snapshot(self) -> Snapshot:
        """Of the file in force, which may be another after each wait."""
        return self._in_force.loaded.snapshot

    def _concerned(self, snapshot: Snapshot) -> bool:
        planned = any(each.plan is not None for each in snapshot.endpoints)
        return planned or bool(self._over(snapshot)) or bool(self._board.lowered)

    def _over(self, snapshot: Snapshot) -> list[RolloutRow]:
        """Rollouts of which the file says a weight by now."""
        planned = {each.name for each in snapshot.endpoints if each.plan is not None}
        rows = self._board.rows.values()
        return [row for row in rows if row.endpoint not in planned and not about(row.about).ended]

    def _notice_time(self) -> None:
        for position in self._board.positions(self._snapshot).values():
            self._clock.not_before(max(position.since, position.stepped, position.epoch_began))

    # What is stored

    async def _follow(self) -> bool:
        """Takes over what the database says; whether it answered."""
        board = self._board
        labels = self._labels()
        self._own = self._exchange.own(labels)
        try:
            async with self._database.transaction() as connection:
                leads = await self._leadership.renew(connection)
            async with self._database.transaction(readonly=True) as connection:
                stored = await rollouts.rows(connection, evidence=False)
                freeze = await rollouts.freeze(connection)
            board.take_rows(stored, self._snapshot)
            await self._write_lowered(stored)
            if self._clock() - self._exchanged >= SHARE:
                await self._share(labels, leads)
            if leads:
                await self._recall()
        except StoreUnavailable as error:
            self._lose(str(error))
            return False
        if self._away:
            log.info("the state database answers again: the rollouts go on")
        self._away = False
        board.problem, board.freeze = "", freeze
        board.leads, board.leader = leads, self._leadership.holder
        self._notice_time()
        return True

    def _lose(self, why: str) -> None:
        """The database."""
        if not self._away:
            log.error("%s (%s): no rollout advances until it does", AWAY, why)
        self._away = True
        self._board.problem, self._board.leads = f"{AWAY}: {why}", False

    def _labels(self) -> dict[str, str]:
        positions = self._board.positions(self._snapshot)
        return {name: each.label for name, each in positions.items() if watched(each)}

    async def _share(self, labels: Mapping[str, str], leads: bool) -> None:
        async with self._database.transaction() as connection:
            news = await self._exchange.share(connection, self._own)
        self._exchange.shared(news)
        if leads:
            async with self._database.transaction(readonly=True) as connection:
                await self._exchange.hear(connection, labels)
        self._exchanged = self._clock()

    async def _recall(self) -> None:
        """Who has just begun to lead goes on with the evidence that is stored."""
        missing = [each for each in self._snapshot.endpoints if each.plan and each.name not in self._decider]
        if missing:
            async with self._database.transaction(readonly=True) as connection:
                for endpoint in missing:
                    text = await rollouts.evidence(connection, endpoint.name)
                    self._decider.recall(endpoint, text)

    async def _write_lowered(self, stored: Mapping[str, RolloutRow]) -> None:
        """Rollbacks that the database missed; any process may do that, and the lowest wins."""
        for name, lowered in list(self._board.lowered.items()):
            row = stored.get(name)
            if row is None or is_known(lowered, row.position):
                continue
            position = lowered._replace(generation=row.position.generation)
            change = RolloutChange("rolled_back", "late", lowered.reason, row.position.weight, lowered.weight)
            told = self._unrecorded.get(name) or [Told(self.now(), None, lowered, change)]
            async with self._database.transaction() as connection:
                newer = await rollouts.swap(connection, row._replace(position=position, evidence=None))
                if newer is not None:
                    await record(connection, told)
            if newer is not None:
                self._board.stored(newer)
                self._unrecorded.pop(name, None)

    # What is next

    async def _decide(self, connected: bool) -> None:
        board, now = self._board, self._clock()
        look = self._gatherer.look(
            now,
            self._snapshot,
            board.standing(),
            board.freeze,
            "" if connected else AWAY,
            self._exchange.units(self._own, self._labels()),
            {name: seen.report.version for name, seen in self._own.items()},
        )
        decided = self._decider.decide(look)
        board.results = {each.endpoint.name: each.next for each in decided}
        fallen = [each for each in decided if each.falls]
        if fallen:
            self._fall(fallen, now)
        if connected:
            await self._store(decided, now)
            return
        for each in decided:  # evidence goes on; nothing else does
            if not each.falls and each.next.position.label == each.row.position.label:
                self._decider.taken(each)

    def _fall(self, fallen: list[Decided], now: float) -> None:
        """On disk, then in force; the database hears of it afterwards."""
        for each in fallen:
            name = each.endpoint.name
            self._board.lowered[name] = each.next.position
            self._unrecorded[name] = self._told(each, now)
        self.place()
        self._announce(fallen, now)

    async def _store(self, decided: list[Decided], now: float) -> None:
        """All that was decided, in one transaction, if we still lead."""
        due, over = [], self._over(self._snapshot)
        for each in decided:
            if each.moved or self._is_due(each):
                due.append(each)
            else:
                self._decider.taken(each)
        if not due and not over:
            return
        try:
            async with self._database.transaction() as connection:
                if not await lease.holds(connection, self._leadership.me):
                    self._leadership.lost()
                    return
                kept = await self._swap(connection, due, now)
                gone = await self._end(connection, over, now)
        except StoreUnavailable as error:
            self._lose(str(error))
            return
        for one, row in kept:
            self._board.stored(row)
            self._decider.taken(one)
            self._stored[one.endpoint.name] = now
            self._unrecorded.pop(one.endpoint.name, None)
        for row in gone:
            self._board.stored(row)
        self.place()
        self._announce([one for one, _ in kept if not one.falls], now)

    def _is_due(self, decided: Decided) -> bool:
        """Evidence is stored now and then, so that another process can go on with it."""
        if decided.endpoint.name in self._board.drafts:
            return True
        return self._clock() - self._stored.get(decided.endpoint.name, 0.0) >= STORE

    async def _swap(
        self, connection: AsyncConnection, due: list[Decided], now: float
    ) -> list[tuple[Decided, RolloutRow]]:
        """Those that nobody else has changed since; the others are looked at again."""
        kept = []
        for each in due:
            position = each.next.position._replace(generation=each.row.position.generation)
            evidence = rollouts.as_text(each.next.evidence.as_json())
            told: dict[str, Any] = shown(each.next)
            row = RolloutRow(position, evidence, replace(each.about, shown=told).as_json())
            newer = await rollouts.swap(connection, row)
            if newer is None:
                continue
            kept.append((each, newer._replace(evidence=None)))
            await record(connection, self._told(each, now))
            if position.label != each.row.position.label:
                await rollouts.forget_units(connection, each.endpoint.name, position.label)
        return kept

    async def _end(self, connection: AsyncConnection, over: list[RolloutRow], now: float) -> list[RolloutRow]:
        """Rollouts in whose place the file says a weight."""
        text = "the file says a weight in place of the rollout"
        gone = []
        for row in over:
            newer = await rollouts.swap(connection, ended(row, text, now))
            if newer is None:
                continue
            gone.append(newer)
            weight = row.position.weight
            change = RolloutChange(row.position.state, "ended", text, weight, weight)
            await record(connection, [Told(now, None, newer.position, change)])
            await rollouts.forget_units(connection, row.endpoint, "")
            log.info("rollout of %s: ended: %s", row.endpoint, text)
        return gone

    def _told(self, decided: Decided, now: float) -> list[Told]:
        position = decided.next.position
        return [Told(now, decided.plan, position, change) for change in decided.next.changes]

    def _announce(self, decided: list[Decided], now: float) -> None:
        told = [each for one in decided for each in self._told(one, now)]
        announce(told, self._webhooks, self._board.changes)

    async def _leave(self) -> None:
        try:
            async with self._database.transaction() as connection:
                await self._leadership.release(connection)
        except StoreUnavailable:
            return  # it runs out by itself
