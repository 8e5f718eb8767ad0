"""How the stores are made to stall: nothing is lost on the way, and all is there again afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.faults.saturation.relay import StoreRelay
from tests.faults.saturation.stores import SqliteStore, family, stopped

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def relayed(folder: Path) -> AsyncIterator[tuple[StoreRelay, bytearray]]:
    """A relay to a server that repeats what it gets, and what that got."""
    got = bytearray()

    async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1024):
                got.extend(data)
                writer.write(data)
        writer.close()

    server = await asyncio.start_unix_server(repeat, folder / "s")
    relay = StoreRelay(str(folder / "s"))
    await relay.start()
    async with asyncio.timeout(20):
        yield relay, got
    relay.stop()
    server.close()


def run(folder: Path, scenario: Callable[[StoreRelay, bytearray], Awaitable[None]]) -> None:
    async def inside() -> None:
        async with relayed(folder) as (relay, got):
            await scenario(relay, got)

    asyncio.run(inside())


async def connect(relay: StoreRelay) -> Streams:
    return await asyncio.open_connection("127.0.0.1", relay.port)


def test_a_statement_that_is_delayed_arrives_although_its_client_is_gone(tmp_path: Path) -> None:
    async def scenario(relay: StoreRelay, got: bytearray) -> None:
        relay.delay_one(b"key", 0.3)
        late, other = await connect(relay), await connect(relay)
        late[1].write(b"the key;")
        while not relay.delivered_late:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        late[1].close()
        other[1].write(b"other;")
        assert await other[0].readexactly(6) == b"other;"
        assert bytes(got) == b"other;"
        while bytes(got) != b"other;the key;":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        other[1].close()

    run(tmp_path, scenario)


def test_what_is_held_back_comes_when_the_time_is_over(tmp_path: Path) -> None:
    async def scenario(relay: StoreRelay, got: bytearray) -> None:
        loop = asyncio.get_running_loop()
        for hold in (relay.hold_statements, relay.hold_answers):
            reader, writer = await connect(relay)
            begun = loop.time()
            hold(0.2)
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            assert loop.time() - begun >= 0.19
            writer.close()

    run(tmp_path, scenario)


def test_the_claims_file_is_away_for_a_while_and_is_the_same_afterwards(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    file = tmp_path / "state.claims.db"
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE kept (key)")
        before = [Path(f"{file}{end}").stat().st_ino for end in ("", "-wal", "-shm")]

        async def scenario() -> None:
            deleted = asyncio.create_task(store.delete(0.2))
            while file.exists():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await deleted

        asyncio.run(scenario())
        assert [Path(f"{file}{end}").stat().st_ino for end in ("", "-wal", "-shm")] == before
        connection.execute("INSERT INTO kept VALUES (1)")
        connection.commit()
        with contextlib.closing(sqlite3.connect(file)) as other:
            assert other.execute("SELECT key FROM kept").fetchall() == [(1,)]


def test_nobody_can_write_while_the_store_is_locked(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)

    async def scenario() -> None:
        locked = asyncio.create_task(store.lock(0.3))
        refused = 0
        while not locked.done():
            with contextlib.closing(sqlite3.connect(tmp_path / "state.claims.db", timeout=0)) as other:
                try:
                    other.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError:
                    refused += 1
            await asyncio.sleep(0.02)
        assert await locked
        assert refused > 0

    asyncio.run(scenario())


def test_a_process_is_stopped_for_a_while() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with stopped([process.pid]):
            while state(process.pid) != "T":
                pass
        while state(process.pid) == "T":
            pass
        assert family(process.pid) == [process.pid]
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
