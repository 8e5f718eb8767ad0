"""Claims on idempotency keys: one interface, and what its two implementations have in common.

Every call is bounded in time, and so is the number of calls under way (`gate`); beyond that there is
StoreUnavailable. What could not be written is *owed*: tried again until it is, or until this worker ends and
others find that it left the key in `sent`, which makes it unknown. The same becomes of what is `sent` in the
name of a worker in which nothing holds it: a claim that came late into the store, or one for which too much
was owed. Nothing is owed for a claim that never reached the store: debts would keep a slow store slow.

Three tasks keep house, so none waits for another: the lease is renewed, debts are paid, the rest is tidied.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple, TypeVar

from proxy.core.resilience.idempotency import ClaimRequest, Record, Verdict, send, withdraw
from proxy.core.resilience.idempotency import claim as first_use
from proxy.store.clock import Clock
from proxy.store.gate import Gate, Kind
from proxy.store.places import StoreUnavailable

log = logging.getLogger("strangler.store")

CLAIM_TIMEOUT: Final = 2.0  # seconds
CHANGE_TIMEOUT: Final = 5.0
IN_FLIGHT: Final = 1024  # calls of each kind that are under way or wait
OWED: Final = 10_000  # records; beyond that nothing holds them any more
PAYMENT: Final = 500  # of them at a time, at most
HOUSEKEEPING: Final = 1.0  # seconds between two rounds
SOON: Final = 0.05  # seconds until what could not be paid is tried again; twice as long each time
PRUNING: Final = 60.0  # seconds between two looks for what has expired
ROUND: Final = 1.0  # seconds for what has expired, until the rest has its turn

UNHELD: Final = 5.0  # seconds in `sent`, by the database's clock, before a claim that nothing holds is lost
PAGE: Final = 500  # claims that are compared at a time
OLD: Final = 3.0  # seconds since a claim was asked for after which it is confirmed; well below a lease

T = TypeVar("T")


class Sent(NamedTuple):
    """A claim that is `sent`."""

    token: str
    updated_at: float


Held = Callable[[], Iterable[str]]


class Claims(abc.ABC):
    """The claims of one worker, on its event loop. `incarnation` is this process and no other.

    `held` gives the tokens of the writes that are under way in it; without it nothing is compared.
    """

    def __init__(self, incarnation: str, held: Held | None = None, places: int = IN_FLIGHT) -> None:
        self.incarnation = incarnation
        self._held = held
        self._owed: dict[tuple[str, str], Record] = {}
        self._debts = asyncio.Event()  # something is owed
        self._payment = PAYMENT
        self._overflowing = False
        self._vain: dict[str, Record] = {}  # by token: withdrawn, but the store did not have it (yet)
        self._busy: set[str] = set()  # tokens of claims and changes under way
        self._unasked: set[str] = set()  # of claims under way: those of which the store knows nothing
        self._compared = 0.0  # up to which change claims have been compared with `held`
        self._clock = Clock()
        self._gate = Gate(places, IN_FLIGHT)
        self._failing: set[str] = set()  # the tasks of the house that do not work at the moment
        self._pruning = time.monotonic() + PRUNING  # when it is due
        self._measured = 0  # bytes of answers in the store, of all workers, when it was last asked
        self._added = 0  # by this worker since
        self._housekeeper = asyncio.get_running_loop().create_task(self._keep_house())

    async def claim(self, wanted: ClaimRequest) -> Verdict:
        """Durable when it returns. Raises StoreUnavailable: then the request may not be sent."""
        wanted = replace(wanted, not_after=self._clock.latest())
        token = wanted.token
        self._busy.add(token)
        self._unasked.add(token)
        try:
            return await self._bounded(Kind.CLAIM, lambda: self._begin(wanted), CLAIM_TIMEOUT)
        except BaseException:
            if token not in self._unasked:
                # It may have been written all the same, or be written later: nothing was sent, so let it go.
                unsent = withdraw(send(first_use(wanted)), wanted.now)
                self.owe(unsent)
                if wanted.former_id:
                    self.owe(replace(unsent, id=wanted.former_id))
            raise
        finally:
            self._busy.discard(token)
            self._unasked.discard(token)

    async def _begin(self, wanted: ClaimRequest) -> Verdict:
        self._unasked.discard(wanted.token)  # unless `_claim` knows better
        return await self._claim(wanted)

    async def confirm(self, record: Record) -> bool:
        """Whether `record` still is to be sent by this worker. Raises StoreUnavailable."""
        return await self._bounded(Kind.OUTCOME, lambda: self._confirm(record), CLAIM_TIMEOUT)

    async def change(self, record: Record) -> bool:
        """Makes the claim `record`, durably; False: it is in other hands. Raises StoreUnavailable."""
        self._busy.add(record.token)
        try:
            changed = await self._bounded(Kind.OUTCOME, lambda: self._change(record), CHANGE_TIMEOUT)
            if changed and record.answer is not None:
                self._added += record.answer.size
            return changed
        finally:
            self._busy.discard(record.token)

    def owe(self, record: Record) -> None:
        """Makes the claim `record` some time, without an answer."""
        if len(self._owed) < OWED:
            self._owed[record.id, record.token] = record
            self._debts.set()
            self._overflowing = self._overflowing and len(self._owed) > OWED // 2
        elif not self._overflowing:  # said once, until there is room again
            self._overflowing = True
            log.error("more than %d outcomes cannot be stored; the keys of others become unknown", OWED)

    def stored(self) -> int:
        """Bytes of all answers in the store. What other workers have added is known within a second."""
        return self._measured + self._added

    def _measure(self, stored: int, added: int) -> None:
        """`added` is what `_added` was before `stored` was read."""
        self._measured = stored
        self._added -= added

    async def close(self) -> None:
        """Writes what is owed if that is possible now, and lets go of the store."""
        self._housekeeper.cancel()
        await asyncio.gather(self._housekeeper, return_exceptions=True)
        with contextlib.suppress(StoreUnavailable):
            while self._owed:
                await self._pay()
        self._gate.close()
        await self._close()

    @abc.abstractmethod
    async def _claim(self, wanted: ClaimRequest) -> Verdict:
        """Its token is in `_unasked` again as long as nothing of it can have reached the store."""

    @abc.abstractmethod
    async def _change(self, record: Record) -> bool: ...

    async def _change_all(self, records: Sequence[Record]) -> list[bool]:
        """As `_change` of each; they are all to be in one state."""
        return [await self._change(record) for record in records]

    @abc.abstractmethod
    async def _confirm(self, record: Record) -> bool: ...

    @abc.abstractmethod
    async def _sent(self) -> list[Sent]:
        """What this incarnation has `sent` for UNHELD seconds: a page of it, changed after `_compared`."""

    @abc.abstractmethod
    async def _lose(self, tokens: list[str]) -> int: ...

    @abc.abstractmethod
    async def _keep_alive(self) -> int:
        """Registers this incarnation and makes the open claims of dead ones unknown; returns how many."""

    @abc.abstractmethod
    async def _prune(self) -> int: ...

    @abc.abstractmethod
    async def _close(self) -> None: ...

    async def _bounded(self, kind: Kind, call: Callable[[], Awaitable[T]], timeout: float) -> T:
        """Whatever goes wrong is StoreUnavailable: drivers raise more than they document."""
        try:
            async with asyncio.timeout(timeout):
                await self._gate.enter(kind)
                answered = False
                try:
                    result = await call()
                    answered = True
                    return result
                finally:
                    self._gate.leave(kind, answered=answered)
        except TimeoutError as error:
            raise StoreUnavailable(f"no answer within {timeout:g} s") from error
        except StoreUnavailable:
            raise
        except Exception as error:
            raise StoreUnavailable(f"{type(error).__name__}: {error}") from error

    async def _for_house(self, call: Callable[[], Awaitable[T]]) -> T:
        """The answer to a call of housekeeping."""
        return await self._bounded(Kind.HOUSE, call, CHANGE_TIMEOUT)

    async def _keep_house(self) -> None:
        await asyncio.gather(
            self._each_second(self._live), self._each_second(self._tidy), self._keep_paying()
        )

    async def _each_second(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._attempt(work)
            await asyncio.sleep(HOUSEKEEPING)

    async def _attempt(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Whatever it raises, the house is kept. What does not work is said once, whoever finds it."""
        name = work.__name__
        try:
            await work()
        except Exception as error:
            if not self._failing:
                log.error("the store of idempotency keys does not work; keyed writes get 503: %s", error)
            self._failing.add(name)
            return False
        if name in self._failing:
            self._failing.discard(name)
            if not self._failing:
                log.info("the store of idempotency keys works again")
        return True

    async def _live(self) -> None:
        if lost := await self._for_house(self._keep_alive):
            log.warning("%d writes of a worker that is gone have an unknown outcome", lost)

    async def _tidy(self) -> None:
        await self._compare()
        if time.monotonic() >= self._pruning and await self._prune_some(time.monotonic() + ROUND):
            self._pruning = time.monotonic() + PRUNING

    async def _keep_paying(self) -> None:
        pause = SOON
        while True:
            await self._debts.wait()
            if await self._attempt(self._pay):
                pause = SOON
            else:
                await asyncio.sleep(pause)
                pause = min(2 * pause, HOUSEKEEPING)

    async def _compare(self) -> None:
        """What is `sent` in this worker's name, and nothing in it holds, is lost."""
        if self._held is None:
            return
        page = await self._for_house(self._sent)
        self._compared = page[-1].updated_at if len(page) == PAGE else 0.0
        held = self._busy | {token for _, token in self._owed} | set(self._held())
        late = [self._vain.pop(sent.token) for sent in page if sent.token in self._vain]
        for record in late:  # it came after all; nothing of it was sent
            self.owe(record)
        held |= {record.token for record in late}
        unheld = [sent.token for sent in page if sent.token not in held]
        if unheld and (lost := await self._for_house(lambda: self._lose(unheld))):
            log.warning("%d writes stored as sent, which nothing here holds, have an unknown outcome", lost)

    async def _prune_some(self, until: float) -> bool:
        """Whether nothing is left that has expired. The last batch begins before `until`."""
        while await self._for_house(self._prune):
            if time.monotonic() >= until:
                return False
            await asyncio.sleep(0.05)  # between two batches others have their turn
        return True

    async def _pay(self) -> None:
        """Some of what is owed: one call for many. A call that fails is made smaller, down to one record."""
        due = list(itertools.islice(self._owed.items(), self._payment))
        due = [(key, record) for key, record in due if record.state == due[0][1].state]
        if due:
            try:
                stored = await self._for_house(lambda: self._change_all([record for _, record in due]))
            except StoreUnavailable:
                if self._payment == 1:  # another one has its turn
                    self._owed[due[0][0]] = self._owed.pop(due[0][0])
                self._payment = max(1, self._payment // 2)
                raise
            self._payment = min(2 * self._payment, PAYMENT)
            for (key, record), done in zip(due, stored, strict=True):
                self._note_paid(key, record, done)
        if not self._owed:
            self._debts.clear()

    def _note_paid(self, key: tuple[str, str], record: Record, done: bool) -> None:
        if self._owed.get(key) is record:  # another one may be owed by now
            del self._owed[key]
        if not done and record.state == "released":
            self._vain[record.token] = record
            if len(self._vain) > OWED:
                del self._vain[next(iter(self._vain))]
