"""Decides which calls may use the store now, which wait, and which are refused at once because the store
cannot answer in time.

A slow store must not receive work for callers who give up before it is done. They would come again, what
they left behind would have to be cleaned up, and the store would never catch up, even when it is fast
again. So only as many calls are in progress as the store can work on at a time. What was begun is finished
before anything new begins: housekeeping first (leases, debts), then outcomes, then claims, and claims
never take every place.
"""

from __future__ import annotations

import asyncio
from collections import deque
from enum import IntEnum
from typing import Final

from proxy.store.places import StoreUnavailable

WAIT: Final = 0.7  # seconds that a claim waits for its turn; the rest of its time is for the store
FIRST: Final = 1.5  # the same before the first answer, while connections and tables are made
STALL: Final = 1.0  # seconds without any answer after which only a few more claims are tried
PROBES: Final = 4  # of them at a time


class Kind(IntEnum):
    """Of calls, in the order in which they get their turn."""

    HOUSE = 0
    OUTCOME = 1
    CLAIM = 2


class Overloaded(StoreUnavailable):
    """Too much is waiting; nothing was asked of the store."""

    explains = False  # what came before it does


class Gate:
    """`places` is how many calls the store works on at a time, `queue` how many of each kind may be here."""

    def __init__(self, places: int, queue: int) -> None:
        reserved = places // 8  # for each kind against the next
        self._places = (places, places - reserved, places - 2 * reserved)
        self._queue = queue
        self._loop = asyncio.get_running_loop()
        self._running = 0
        self._claims = 0  # of those that are running
        self._waiting: tuple[deque[tuple[float, asyncio.Future[None]]], ...] = (deque(), deque(), deque())
        self._answered = 0.0  # when the store last answered, or began to work after a rest
        self._stalled = False  # a call failed after a STALL, and none was answered since
        self._patience = FIRST
        self._sweep: asyncio.TimerHandle | None = None

    async def enter(self, kind: Kind) -> None:
        """Waits for a place; each that was given must be left. Raises Overloaded."""
        if kind is Kind.CLAIM:
            self._refuse_what_is_too_much()
        if self._running < self._places[kind] and not self._waiting[kind]:
            self._take(kind)
            return
        turn = self._loop.create_future()
        if len(self._waiting[kind]) >= self._queue:
            raise Overloaded("too many calls are in progress")
        self._waiting[kind].append((self._loop.time(), turn))
        if kind is Kind.CLAIM and self._sweep is None:
            self._sweep = self._loop.call_later(self._patience, self._refuse_the_late)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave(kind, answered=False)  # it was given in the same moment
            raise

    def leave(self, kind: Kind, *, answered: bool) -> None:
        self._running -= 1
        self._claims -= kind is Kind.CLAIM
        if answered and kind is not Kind.HOUSE:
            self._answered = self._loop.time()
            self._stalled = False
            self._patience = WAIT
        elif not answered:
            self._stalled = self._is_stalled()
        for next_ in Kind:
            self._admit(next_)

    def close(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()

    def _take(self, kind: Kind) -> None:
        if not self._running and not self._stalled:
            self._answered = self._loop.time()
        self._running += 1
        self._claims += kind is Kind.CLAIM

    def _admit(self, kind: Kind) -> None:
        waiting = self._waiting[kind]
        while waiting and self._running < self._places[kind]:
            since, turn = waiting.popleft()
            if turn.done():
                continue  # it has given up
            if kind is Kind.CLAIM and since + self._patience < self._loop.time():
                turn.set_exception(self._late())
                continue
            self._take(kind)
            turn.set_result(None)

    def _refuse_what_is_too_much(self) -> None:
        waiting = self._waiting[Kind.CLAIM]
        if self._claims + len(waiting) >= self._queue:
            raise Overloaded("too many calls are in progress")
        if self._claims >= PROBES and self._is_stalled():
            raise Overloaded(f"the store has answered nothing for {STALL:g} s")

    def _is_stalled(self) -> bool:
        return self._stalled or self._loop.time() - self._answered > STALL

    def _refuse_the_late(self) -> None:
        """Also when no place becomes free."""
        self._sweep = None
        waiting, now = self._waiting[Kind.CLAIM], self._loop.time()
        while waiting and (waiting[0][1].done() or waiting[0][0] + self._patience <= now):
            _, turn = waiting.popleft()
            if not turn.done():
                turn.set_exception(self._late())
        if waiting:
            self._sweep = self._loop.call_at(waiting[0][0] + self._patience, self._refuse_the_late)

    def _late(self) -> Overloaded:
        return Overloaded(f"no turn within {self._patience:g} s")
