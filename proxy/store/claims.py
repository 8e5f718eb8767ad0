"""Claims on idempotency keys: one interface, and what its two implementations have in common.

Every call is bounded in time, and so is the number of calls under way; beyond that there is StoreUnavailable.
What could not be written is *owed*: tried again each second until it is, or until this worker ends and others
find that it left the key in `sent`, which makes it unknown. The same becomes of what is `sent` in the name of
a worker in which nothing holds it: a claim that came late into the store, or one for which too much was owed.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Final, NamedTuple, TypeVar

from proxy.core.idempotency import Record, Verdict, Wanted, send, withdraw
from proxy.core.idempotency import claim as first_use
from proxy.store.clock import Clock
from proxy.store.places import StoreUnavailable

log = logging.getLogger("strangler.store")

CLAIM_TIMEOUT: Final = 2.0  # seconds
CHANGE_TIMEOUT: Final = 5.0
IN_FLIGHT: Final = 1024  # calls under way
OWED: Final = 10_000  # records; beyond that nothing holds them any more
PAYMENT: Final = 100  # of them at a time
HOUSEKEEPING: Final = 1.0  # seconds between two attempts at what is owed
PRUNING: Final = 60.0  # seconds between two looks for what has expired
ROUND: Final = 1.0  # seconds for what is owed, and for what has expired: the lease is to be renewed in time

UNHELD: Final = 5.0  # seconds in `sent`, by the database's clock, before a claim that nothing holds is lost
PAGE: Final = 500  # claims that are compared at a time
OLD: Final = 3.0  # seconds since a claim was asked for after which it is confirmed; well below a lease

T = TypeVar("T")


class Sent(NamedTuple):
    """A claim that is `sent`."""

    token: str
    updated_at: float


class Overloaded(StoreUnavailable):
    """Too much is waiting; nothing was asked of the store."""


class Claims(abc.ABC):
    """The claims of one worker, on its event loop. `incarnation` is this process and no other.

    `held` gives the tokens of the writes that are under way in it; until it is set nothing is compared.
    """

    def __init__(self, incarnation: str) -> None:
        self.incarnation = incarnation
        self.held: Callable[[], Iterable[str]] | None = None
        self._owed: dict[tuple[str, str], Record] = {}
        self._overflowing = False
        self._vain: dict[str, Record] = {}  # by token: withdrawn, but the store did not have it (yet)
        self._busy: set[str] = set()  # tokens of claims and changes under way
        self._compared = 0.0  # up to which change claims have been compared with `held`
        self._clock = Clock()
        self._under_way = 0
        self._housekeeper = asyncio.get_running_loop().create_task(self._keep_house())

    async def claim(self, wanted: Wanted) -> Verdict:
        """Durable when it returns. Raises StoreUnavailable: then the request may not be sent."""
        wanted = replace(wanted, not_after=self._clock.latest())
        self._busy.add(wanted.token)
        try:
            return await self._bounded(self._claim(wanted), CLAIM_TIMEOUT)
        except Overloaded:
            raise
        except BaseException:
            # It may have been written all the same, or be written later: nothing was sent, so let it go.
            unsent = withdraw(send(first_use(wanted)), wanted.now)
            self.owe(unsent)
            if wanted.former_id:
                self.owe(replace(unsent, id=wanted.former_id))
            raise
        finally:
            self._busy.discard(wanted.token)

    async def confirm(self, record: Record) -> bool:
        """Whether `record` still is to be sent by this worker. Raises StoreUnavailable."""
        return await self._bounded(self._confirm(record), CLAIM_TIMEOUT)

    async def change(self, record: Record) -> bool:
        """Makes the claim `record`, durably; False: it is in other hands. Raises StoreUnavailable."""
        self._busy.add(record.token)
        try:
            return await self._bounded(self._change(record), CHANGE_TIMEOUT)
        finally:
            self._busy.discard(record.token)

    def owe(self, record: Record) -> None:
        """Makes the claim `record` some time, without an answer."""
        if len(self._owed) < OWED:
            self._owed[record.id, record.token] = record
            self._overflowing = self._overflowing and len(self._owed) > OWED // 2
        elif not self._overflowing:  # said once, until there is room again
            self._overflowing = True
            log.error("more than %d outcomes cannot be stored; the keys of others become unknown", OWED)

    async def close(self) -> None:
        """Writes what is owed if that is possible now, and lets go of the store."""
        self._housekeeper.cancel()
        await asyncio.gather(self._housekeeper, return_exceptions=True)
        with contextlib.suppress(StoreUnavailable):
            await self._pay(math.inf)
        await self._close()

    @abc.abstractmethod
    async def _claim(self, wanted: Wanted) -> Verdict: ...

    @abc.abstractmethod
    async def _change(self, record: Record) -> bool: ...

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

    async def _bounded(self, call: Awaitable[T], timeout: float) -> T:
        """Whatever goes wrong is StoreUnavailable: drivers raise more than they document."""
        if self._under_way >= IN_FLIGHT:
            if asyncio.iscoroutine(call):
                call.close()
            raise Overloaded("too many calls are under way")
        self._under_way += 1
        try:
            async with asyncio.timeout(timeout):
                return await call
        except TimeoutError as error:
            raise StoreUnavailable(f"no answer within {timeout:g} s") from error
        except StoreUnavailable:
            raise
        except Exception as error:
            raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
        finally:
            self._under_way -= 1

    async def _keep_house(self) -> None:
        pruning = time.monotonic() + PRUNING
        failing = False
        while True:
            try:
                lost = await self._bounded(self._keep_alive(), CHANGE_TIMEOUT)
                if lost:
                    log.warning("%d writes of a worker that is gone have an unknown outcome", lost)
                await self._pay(time.monotonic() + ROUND)
                await self._compare()
                if time.monotonic() >= pruning and await self._prune_some(time.monotonic() + ROUND):
                    pruning = time.monotonic() + PRUNING
                if failing:
                    log.info("the store of idempotency keys works again")
                failing = False
            except Exception as error:  # whatever it is, the house is kept
                if not failing:
                    log.error("the store of idempotency keys does not work; keyed writes get 503: %s", error)
                failing = True
            await asyncio.sleep(HOUSEKEEPING)

    async def _compare(self) -> None:
        """What is `sent` in this worker's name, and nothing in it holds, is lost."""
        if self.held is None:
            return
        page = await self._bounded(self._sent(), CHANGE_TIMEOUT)
        self._compared = page[-1].updated_at if len(page) == PAGE else 0.0
        held = self._busy | {token for _, token in self._owed} | set(self.held())
        late = [self._vain.pop(sent.token) for sent in page if sent.token in self._vain]
        for record in late:  # it came after all; nothing of it was sent
            self.owe(record)
        held |= {record.token for record in late}
        unheld = [sent.token for sent in page if sent.token not in held]
        if unheld and (lost := await self._bounded(self._lose(unheld), CHANGE_TIMEOUT)):
            log.warning("%d writes stored as sent, which nothing here holds, have an unknown outcome", lost)

    async def _prune_some(self, until: float) -> bool:
        """Whether nothing is left that has expired. The last batch begins before `until`."""
        while await self._bounded(self._prune(), CHANGE_TIMEOUT):
            if time.monotonic() >= until:
                return False
            await asyncio.sleep(0.05)  # between two batches others have their turn
        return True

    async def _pay(self, until: float) -> None:
        """The last batch begins before `until`."""
        while time.monotonic() < until and (owed := list(self._owed.items())[:PAYMENT]):
            stored = await asyncio.gather(*(self.change(record) for _, record in owed))
            for (key, record), done in zip(owed, stored, strict=True):
                self._owed.pop(key, None)
                if not done and record.state == "released":
                    self._vain[record.token] = record
                    if len(self._vain) > OWED:
                        del self._vain[next(iter(self._vain))]
