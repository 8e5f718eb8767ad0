"""Claims in memory, by the pure rules. When a call is answered, and how, is the machine's choice.

A call is carried out when it is answered, or earlier, or when nobody waits for it any more, or never: all of
that happens to a statement on its way to a database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from proxy.core.resilience.idempotency import (
    TRANSITIONS,
    ClaimRequest,
    Record,
    Replay,
    Verdict,
    lose,
    resolve,
)
from proxy.store.claims import UNHELD, Claims, Sent
from proxy.store.places import StoreUnavailable


class Call:
    """One call that waits for its answer. `abandoned`: its caller has lost patience."""

    def __init__(self, future: asyncio.Future[Any], work: Callable[[], Any]) -> None:
        self.future = future
        self.abandoned = False
        self._work = work
        self._result: Any = None
        self._done = False

    def carry_out(self) -> None:
        if not self._done:
            self._done = True
            self._result = self._work()

    def answer(self) -> None:
        self.carry_out()
        if not self.future.done():
            self.future.set_result(self._result)

    def fail(self) -> None:
        if not self.future.done():
            self.future.set_exception(StoreUnavailable("the machine says so"))


class FakeClaims(Claims):
    """The real bounds and debts of `Claims`; what is asked of the store waits in `calls`."""

    def __init__(self, held: Callable[[], Iterable[str]], on_outcome: Callable[[Record], None]) -> None:
        super().__init__("this worker", held)
        self._on_outcome = on_outcome
        self.rows: dict[str, Record] = {}
        self.calls: list[Call] = []

    def state_of(self, key: str) -> str:
        """Every key is of one endpoint only, here."""
        return next((row.state for row in self.rows.values() if row.key == key), "unknown to the store")

    async def _claim(self, wanted: ClaimRequest) -> Verdict:
        verdict: Verdict = await self._ask(lambda: self._claim_now(wanted))
        return verdict

    async def _change(self, record: Record) -> bool:
        if record.state != "sent":
            self._on_outcome(record)
        changed: bool = await self._ask(lambda: self._change_now(record))
        return changed

    async def _confirm(self, record: Record) -> bool:
        confirmed: bool = await self._ask(lambda: self._confirm_now(record))
        return confirmed

    async def _sent(self) -> list[Sent]:
        until = self._now() - UNHELD
        rows = [row for row in self.rows.values() if row.state == "sent" and row.updated_at < until]
        return [Sent(row.token, row.updated_at) for row in rows]

    async def _lose(self, tokens: list[str]) -> int:
        lost = [row for row in self.rows.values() if row.state == "sent" and row.token in tokens]
        for row in lost:
            self.rows[row.id] = lose(row, self._now())
        return len(lost)

    async def _keep_alive(self) -> int:
        return 0

    async def _prune(self) -> int:
        return 0

    async def _close(self) -> None:
        """Nothing is open."""

    async def _ask(self, work: Callable[[], Any]) -> Any:
        call = Call(asyncio.get_running_loop().create_future(), work)
        self.calls.append(call)
        try:
            return await call.future
        except asyncio.CancelledError:
            call.abandoned = True  # it may reach the store all the same
            raise

    def _claim_now(self, wanted: ClaimRequest) -> Verdict:
        verdict = resolve(self.rows.get(wanted.id), replace(wanted, now=self._now()))
        changed = None if isinstance(verdict, Replay) else verdict.record
        if changed is not None:
            self.rows[wanted.id] = changed
        return verdict

    def _confirm_now(self, record: Record) -> bool:
        row = self.rows.get(record.id)
        if row is None or row.token != record.token or row.state != "sent":
            return False
        self.rows[record.id] = replace(row, updated_at=self._now())
        return True

    def _change_now(self, record: Record) -> bool:
        """As proxy.store.statements.change."""
        row = self.rows.get(record.id)
        if row is None or row.token != record.token or record.state not in TRANSITIONS[row.state]:
            return False
        self.rows[record.id] = replace(
            record,
            state="unknown" if record.state == "released" and row.doubtful else record.state,
            owner=record.owner if record.state == "sent" else row.owner,
            doubtful=row.doubtful,
            unsent=row.unsent if record.unsent is not None and row.unsent == row.token else None,
            failed=row.failed or record.failed,
            updated_at=self._now(),
        )
        return True

    def _now(self) -> float:
        """The store's own clock."""
        return asyncio.get_running_loop().time()
