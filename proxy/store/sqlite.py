"""Claims in a SQLite file that the workers of one machine share.

One thread of each worker writes. What has gathered while it was busy goes into one transaction (group
commit), for a commit is a write to disk and costs as much for forty claims as for one.

An incarnation holds a lock (flock) on a file of its own for as long as it lives: the kernel drops it when the
process ends, however it ends. Whoever can take the lock of another incarnation knows that it is dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from proxy.core.idempotency import Record, Verdict, Wanted
from proxy.store import statements
from proxy.store.claims import Claims
from proxy.store.engines import sqlite_engine
from proxy.store.migrations import migrate
from proxy.store.places import StoreUnavailable, claims_file
from proxy.store.schema import incarnations

BATCH: Final = 256  # jobs per transaction

Work = Callable[[sa.Connection], Any]


class _Job(NamedTuple):
    work: Work
    result: asyncio.Future[Any]


class SqliteClaims(Claims):
    """Opens its file with the first call, and again after a failure."""

    def __init__(self, url: str, incarnation: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._file = claims_file(url)
        self._life = _Life(self._file.with_suffix(".incarnations"), incarnation)
        self._thread = threading.Thread(target=self._run, name="claims", daemon=True)
        self._thread.start()
        super().__init__(incarnation)

    async def _claim(self, wanted: Wanted) -> Verdict:
        verdict: Verdict = await self._submit(lambda connection: statements.claim(connection, wanted))
        return verdict

    async def _change(self, record: Record) -> bool:
        return bool(await self._submit(lambda connection: statements.change(connection, record)))

    async def _keep_alive(self) -> int:
        return int(await self._submit(self._life.bury_the_dead))

    async def _prune(self) -> int:
        now = time.time()
        return int(await self._submit(lambda connection: statements.prune(connection, now)))

    async def _close(self) -> None:
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _submit(self, work: Work) -> asyncio.Future[Any]:
        result: asyncio.Future[Any] = self._loop.create_future()
        self._jobs.put(_Job(work, result))
        return result

    # in the thread

    def _run(self) -> None:
        engine: sa.Engine | None = None
        while (batch := self._gather()) is not None:
            try:
                if engine is None:
                    engine = self._open()
                with engine.begin() as connection:
                    answers = [None if job.result.cancelled() else job.work(connection) for job in batch]
            except Exception as error:  # whatever it is, the thread goes on, with a new connection
                failure = StoreUnavailable(f"{self._file}: {getattr(error, 'orig', None) or error}")
                self._deliver(batch, [failure] * len(batch))
                if engine is not None:
                    engine.dispose()
                    engine = None
            else:
                self._deliver(batch, answers)
        if engine is not None:
            engine.dispose()
        self._life.end()

    def _gather(self) -> list[_Job] | None:
        """What waits, at least one job; None: it is over."""
        job = self._jobs.get()
        batch: list[_Job] = []
        while job is not None:
            batch.append(job)
            if len(batch) == BATCH:
                return batch
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return batch
        if batch:
            self._jobs.put(None)  # after these
        return batch or None

    def _deliver(self, batch: list[_Job], answers: list[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(_deliver, batch, answers)

    def _open(self) -> sa.Engine:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600))  # it holds clients' responses
        self._life.begin()
        engine = sqlite_engine(self._file)
        try:
            with engine.begin() as connection:
                migrate(connection, "claims")
                self._life.bury_the_dead(connection)
        except BaseException:
            engine.dispose()
            raise
        return engine


class _Life:
    """This incarnation's lock, and a look at those of the others."""

    def __init__(self, directory: Path, incarnation: str) -> None:
        self._directory = directory
        self._incarnation = incarnation
        self._lock: int | None = None

    def begin(self) -> None:
        """Takes the lock; only then is the incarnation registered, so nobody finds it without."""
        if self._lock is None:
            self._directory.mkdir(exist_ok=True)
            lock = os.open(self._directory / self._incarnation, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._lock = lock

    def bury_the_dead(self, connection: sa.Connection) -> int:
        """Returns how many claims have become unknown."""
        others = list(connection.scalars(sa.select(incarnations.c.id)))
        if self._incarnation not in others:
            connection.execute(incarnations.insert().values(id=self._incarnation, expires_at=0.0))
        dead = [each for each in others if each != self._incarnation and self._is_dead(each)]
        if not dead:
            return 0
        connection.execute(incarnations.delete().where(incarnations.c.id.in_(dead)))
        lost = statements.lose_orphans(connection, time.time())
        for each in dead:  # a row that comes back because this transaction fails has no file: dead as well
            (self._directory / each).unlink(missing_ok=True)
        return lost

    def end(self) -> None:
        if self._lock is not None:
            os.close(self._lock)

    def _is_dead(self, incarnation: str) -> bool:
        try:
            lock = os.open(self._directory / incarnation, os.O_RDWR)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
        return True


def _deliver(batch: list[_Job], answers: list[Any]) -> None:
    """In the event loop. A claim that nobody waits for any more is owed its release by who gave up."""
    for job, answer in zip(batch, answers, strict=True):
        if job.result.done():
            continue
        if isinstance(answer, Exception):
            job.result.set_exception(answer)
        else:
            job.result.set_result(answer)
