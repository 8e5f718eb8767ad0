"""The two stores of claims, and how each is made to stall."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from proxy.cli.demo import postgres
from proxy.store import claims_file
from tests.faults.saturation.relay import StoreRelay
from tests.faults.saturation.schedule import Store


class SqliteStore:
    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder}/state.db"
        self._file = claims_file(self.url)

    async def lock(self, seconds: float) -> bool:
        """Nobody else can write for so long; False: it was locked all the time."""
        with contextlib.closing(sqlite3.connect(self._file, isolation_level=None, timeout=5)) as locker:
            try:
                locker.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            await asyncio.sleep(seconds)
            locker.execute("ROLLBACK")
        return True

    async def delete(self, seconds: float) -> None:
        """The file is away for so long; then the same one is back. Nobody may act as if it were empty."""
        files = [path for end in ("", "-wal", "-shm") if (path := Path(f"{self._file}{end}")).exists()]
        for file in files:
            os.link(file, f"{file}.kept")
        for file in files:
            file.unlink()
        await asyncio.sleep(seconds)
        for file in files:
            os.replace(f"{file}.kept", file)


class PostgresqlStore:
    def __init__(self, relay: StoreRelay, database: str, pid_file: Path) -> None:
        self.relay = relay
        self.url = f"postgresql://postgres@127.0.0.1:{relay.port}{urlsplit(database).path}?sslmode=disable"
        self._pid_file = pid_file

    async def freeze(self, seconds: float) -> None:
        with stopped(family(int(self._pid_file.read_text().splitlines()[0]))):
            await asyncio.sleep(seconds)


AnyStore = SqliteStore | PostgresqlStore


@asynccontextmanager
async def running(store: Store, folder: Path) -> AsyncIterator[AnyStore]:
    if store == "sqlite":
        yield SqliteStore(folder)
        return
    data = folder / "pg" / "data"
    with postgres.running(data, durable=False) as server:
        database = server.database("claims")
        socket_folder = parse_qs(urlsplit(database).query)["host"][0]
        relay = StoreRelay(f"{socket_folder}/.s.PGSQL.5432")
        await relay.start()
        try:
            yield PostgresqlStore(relay, database, data / "postmaster.pid")
        finally:
            relay.stop()


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """SIGSTOP, then SIGCONT."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def family(pid: int) -> list[int]:
    """A process and its children; itself alone when it has ended."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *map(int, children)]
