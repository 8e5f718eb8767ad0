"""Claims in a SQLite file that the workers of one machine share.

One thread of each worker writes. What has gathered while it was busy goes into one transaction (group
commit), for a commit is a write to disk and costs as much for forty claims as for one.

After each commit the file must still be the one under its name (`life`): otherwise others do not see what was
written, nor do we see what they write.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from proxy.core.resilience.idempotency import ClaimRequest, Record, Verdict
from proxy.store import now, statements
from proxy.store.claims import UNHELD, Claims, Held, Sent
from proxy.store.engines import sqlite_engine
from proxy.store.life import Life, OpenFile
from proxy.store.migrations import migrate
from proxy.store.places import StoreUnavailable, claims_file, incarnations_of, private_folder

BATCH: Final = 256  # jobs per transaction
PLACES: Final = 2 * BATCH  # while one batch is written, the next one gathers

Work = Callable[[sa.Connection], Any]


class _Job(NamedTuple):
    work: Work
    result: asyncio.Future[Any]
    token: str = ""  # of a claim


class SqliteClaims(Claims):
    """Opens its file with the first call, and again after a failure."""

    def __init__(self, url: str, incarnation: str, held: Held | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._file = claims_file(url)
        self._open_file = OpenFile(self._file)
        self._life = Life(incarnations_of(url), incarnation)
        self._thread = threading.Thread(target=self._run, name="claims", daemon=True)
        super().__init__(incarnation, held, PLACES)
        self._thread.start()

    async def _claim(self, wanted: ClaimRequest) -> Verdict:
        self._unasked.add(wanted.token)
        work: Work = lambda connection: statements.claim(connection, wanted)  # noqa: E731
        verdict: Verdict = await self._submit(work, wanted.token)
        return verdict

    async def _change(self, record: Record) -> bool:
        return bool(await self._submit(lambda connection: statements.change(connection, record)))

    async def _change_all(self, records: Sequence[Record]) -> list[bool]:
        stored: list[bool] = await self._submit(lambda connection: statements.change_all(connection, records))
        return stored

    async def _confirm(self, record: Record) -> bool:
        return bool(await self._submit(lambda connection: statements.confirm(connection, record)))

    async def _sent(self) -> list[Sent]:
        me, after = self.incarnation, self._compared
        page: list[Sent] = await self._submit(
            lambda connection: statements.sent_by(connection, me, UNHELD, after)
        )
        return page

    async def _lose(self, tokens: list[str]) -> int:
        return int(
            await self._submit(lambda connection: statements.lose(connection, self.incarnation, tokens))
        )

    async def _keep_alive(self) -> int:
        def work(connection: sa.Connection) -> tuple[int, float, int]:
            lost = self._life.bury_the_dead(connection)
            self._life.count(connection)
            return lost, now.read(connection), statements.stored(connection)

        added = self._added
        lost, seen, stored = await self._submit(work)
        self._clock.see(seen)
        self._measure(stored, added)
        return int(lost)

    async def _prune(self) -> int:
        latest = self._clock.latest()
        return int(await self._submit(lambda connection: statements.prune(connection, latest)))

    async def _close(self) -> None:
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _submit(self, work: Work, token: str = "") -> asyncio.Future[Any]:
        result: asyncio.Future[Any] = self._loop.create_future()
        self._jobs.put(_Job(work, result, token))
        return result

    # in the thread

    def _run(self) -> None:
        engine: sa.Engine | None = None
        while (batch := self._gather()) is not None:
            try:
                if engine is None:
                    engine = self._open()
                with engine.begin() as connection:
                    answers = [self._perform(job, connection) for job in batch]
            except Exception as error:  # whatever it is, the thread goes on, with a new connection
                failure = StoreUnavailable(f"{self._file}: {getattr(error, 'orig', None) or error}")
                lost = None if engine is None else self._open_file.lost()
                self._deliver(batch, [lost or failure] * len(batch))
                if engine is not None and lost is None:
                    self._close_engine(engine)
                    engine = None
            else:
                lost = self._open_file.lost()  # what is open stays so: it may be put back
                self._deliver(batch, answers if lost is None else [lost] * len(batch))
        if engine is not None:
            self._close_engine(engine)
        self._open_file.close()
        self._life.end()

    def _perform(self, job: _Job, connection: sa.Connection) -> Any:
        """Nothing for those who have given up: they find that it was begun, or are found to be gone here."""
        self._unasked.discard(job.token)
        return None if job.result.cancelled() else job.work(connection)

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
        private_folder(self._file.parent)
        self._life.agree(self._open_file.found())  # before there is a file that others might take for theirs
        self._open_file.keep()
        self._life.begin()
        engine = sqlite_engine(self._file)
        try:
            with engine.begin() as connection:
                self._life.recognise(connection)
                migrate(connection, "claims")
            opened = self._open_file.opened()
            self._life.say(opened)
            self._life.agree(opened)
            self._life.remember(opened)
            with engine.begin() as connection:
                self._life.bury_the_dead(connection)
        except BaseException:
            self._close_engine(engine)
            raise
        return engine

    def _close_engine(self, engine: sa.Engine) -> None:
        """The last one to close it removes what SQLite keeps beside the file."""
        self._life.say(())
        engine.dispose()


def _deliver(batch: list[_Job], answers: list[Any]) -> None:
    """In the event loop. A claim that nobody waits for any more is owed its release by who gave up."""
    for job, answer in zip(batch, answers, strict=True):
        if job.result.done():
            continue
        if isinstance(answer, Exception):
            job.result.set_exception(answer)
        else:
            job.result.set_result(answer)
