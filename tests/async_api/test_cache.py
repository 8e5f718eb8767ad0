from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import pytest

from async_api import cache as module
from async_api import commands
from async_api.cache import Cache, Found
from async_api.config import Settings
from tests.async_api.valkey import Valkey
from tests.support.ports import free_port


@asynccontextmanager
async def opened(url: str, timeout: float = 1.0, **settings: object) -> AsyncIterator[Cache]:
    """`timeout` is long, since a busy machine is not the subject."""
    made = Cache(
        Settings(database_url="postgresql://nowhere/x", redis_url=url, cache_timeout=timeout, **settings)  # type: ignore[arg-type]
    )
    try:
        yield made
    finally:
        await made.close()


class Source:
    """Where values come from; each call gives the next number, after `gate` was opened."""

    def __init__(self, keep: float = 60.0) -> None:
        self.keep = keep
        self.calls = 0
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self) -> Found:
        self.calls += 1
        self.asked.set()
        number = self.calls
        await self.gate.wait()
        return Found(str(number).encode(), self.keep)


def run(scenario: Awaitable[None]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            await scenario

    asyncio.run(main())


@pytest.mark.parametrize("method", ["fetch", "fetch_if_kept"])
def test_what_is_kept_is_not_asked_for_again(method: str, valkey: Valkey) -> None:
    async def scenario() -> None:
        source = Source()
        async with opened(valkey.url) as one, opened(valkey.url) as other:
            assert await getattr(one, method)("x", "name", source) == b"1"
            assert await getattr(one, method)("x", "name", source) == b"1"
            assert await getattr(other, method)("x", "name", source) == b"1"
        assert valkey.client.keys() == [b"name"]

    run(scenario())


def test_what_may_not_be_kept_is_not(valkey: Valkey) -> None:
    async def scenario() -> None:
        source = Source(keep=0)
        async with opened(valkey.url) as cache:
            assert await cache.fetch_if_kept("x", "name", source) == b"1"
            assert await cache.fetch_if_kept("x", "name", source) == b"2"
        assert valkey.client.keys() == []

    run(scenario())


def test_a_value_ends_in_time_however_late_it_was_stored(valkey: Valkey) -> None:
    async def scenario() -> None:
        source = Source(keep=60)
        source.gate.clear()
        async with opened(valkey.url) as cache:
            began = time.time()
            reader = asyncio.create_task(cache.fetch_if_kept("x", "name", source))
            await source.asked.wait()
            late = time.time()
            source.gate.set()
            await reader
            end = int(valkey.client.pexpiretime("name")) / 1000  # type: ignore[arg-type]
            assert began + 60 * (1 - module.JITTER) - 0.01 <= end <= late + 60

    run(scenario())


def test_lifetimes_differ(valkey: Valkey) -> None:
    async def scenario() -> None:
        async with opened(valkey.url) as cache:
            for number in range(10):
                await cache.fetch("x", str(number), Source())
        assert len({valkey.client.pexpiretime(str(number)) // 100 for number in range(10)}) > 3  # type: ignore[operator]

    run(scenario())


def test_of_many_processes_that_miss_at_once_one_asks(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POLLS", 1000)

    async def scenario() -> None:
        source = Source()
        source.gate.clear()
        async with opened(valkey.url) as one, opened(valkey.url) as other:
            readers = [
                asyncio.create_task(cache.fetch("x", "n", source))
                for cache in (one, other)
                for _ in range(20)
            ]
            await source.asked.wait()
            source.gate.set()
            assert set(await asyncio.gather(*readers)) == {b"1"}

    run(scenario())


def test_nobody_waits_for_one_that_hangs_or_failed(valkey: Valkey) -> None:
    async def scenario() -> None:
        stuck, source = Source(), Source()
        stuck.gate.clear()

        async def fail() -> Found:
            raise ValueError

        async with opened(valkey.url) as cache:
            holder = asyncio.create_task(cache.fetch("x", "name", stuck))
            await stuck.asked.wait()
            assert await cache.fetch("x", "name", source) == b"1"
            stuck.gate.set()
            await holder
            with pytest.raises(ValueError):
                await cache.fetch("x", "other", fail)
            assert valkey.client.keys("*lock") == []

    run(scenario())


def test_a_tagged_value_ends_with_its_tag(valkey: Valkey) -> None:
    async def scenario() -> None:
        source = Source()
        async with opened(valkey.url) as one, opened(valkey.url) as other:
            for _ in range(3):
                assert await one.fetch_tagged("x", "name", "tag", source) == b"1"
            assert await other.forget(["tag", "another"])
            for _ in range(3):
                assert await one.fetch_tagged("x", "name", "tag", source) == b"2"

    run(scenario())


def test_what_was_read_before_the_change_is_not_kept_after_it(valkey: Valkey) -> None:
    async def scenario() -> None:
        source = Source()
        source.gate.clear()
        async with opened(valkey.url) as cache:
            slow = asyncio.create_task(cache.fetch_tagged("x", "name", "tag", source))
            await source.asked.wait()
            await cache.forget(["tag"])
            source.gate.set()
            assert await slow == b"1"  # it was asked for before
            assert await cache.fetch_tagged("x", "name", "tag", source) == b"2"

    run(scenario())


def test_a_lost_generation_ends_what_depended_on_it(valkey: Valkey) -> None:
    async def scenario() -> None:
        source = Source()
        async with opened(valkey.url) as cache:
            await cache.fetch_tagged("x", "name", "tag", source)
            valkey.client.delete("tag")  # as Redis does when it is full
            assert await cache.fetch_tagged("x", "name", "tag", source) == b"2"

    run(scenario())


METHODS = {
    "fetch": lambda cache, source: cache.fetch("x", "name", source),
    "fetch_if_kept": lambda cache, source: cache.fetch_if_kept("x", "name", source),
    "fetch_tagged": lambda cache, source: cache.fetch_tagged("x", "name", "tag", source),
}


@pytest.mark.parametrize("method", METHODS)
def test_a_dead_redis_costs_three_attempts_and_no_error(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "REST", 60)

    async def scenario() -> None:
        source, attempts = Source(), 0

        async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal attempts
            attempts += 1
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, opened(f"redis://127.0.0.1:{port}") as cache:
            for number in range(1, 51):
                assert await METHODS[method](cache, source) == str(number).encode()
            assert await cache.forget(["tag"]) is False
        assert attempts == commands.FAILURES

    run(scenario())


def test_a_port_where_nobody_listens_is_no_error_either() -> None:
    async def scenario() -> None:
        async with opened(f"redis://127.0.0.1:{free_port()}") as cache:
            assert await cache.fetch("x", "name", Source()) == b"1"

    run(scenario())


def test_a_hung_redis_is_left_alone_and_used_again_when_it_answers(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "REST", 0.05)

    async def scenario() -> None:
        source = Source()
        async with opened(valkey.url, timeout=0.05) as cache:
            with valkey.hung():
                answers = [await cache.fetch("x", f"name {n}", source) for n in range(5)]
                assert answers == [b"1", b"2", b"3", b"4", b"5"]
                assert cache.resting
            async with asyncio.timeout(10):
                while cache.resting:
                    await cache.fetch_if_kept("x", "again", source)
                    await asyncio.sleep(0.01)
            last = await cache.fetch("x", "again", source)
            assert await cache.fetch("x", "again", source) == last

    run(scenario())


def test_cancelled_readers_never_leave_their_reply_to_others(valkey: Valkey) -> None:
    async def scenario() -> None:
        async with opened(valkey.url) as cache:
            for number in range(10):
                valkey.client.set(str(number), f"value {number}")
            for _ in range(50):
                reader = asyncio.create_task(cache.fetch_if_kept("x", "0", Source()))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                reader.cancel()
                for number in range(1, 4):
                    answer = await cache.fetch_if_kept("x", str(number), Source())
                    assert answer in (f"value {number}".encode(), b"1")

    run(scenario())


def test_what_comes_at_the_same_time_travels_together(valkey: Valkey) -> None:
    async def scenario() -> None:
        async with opened(valkey.url) as cache:
            before = int(valkey.client.info("stats")["total_connections_received"])
            names = [str(number) for number in range(500)]
            sources = [Source() for _ in names]
            for _ in range(2):
                await asyncio.gather(*map(cache.fetch, names, names, sources))
            assert {source.calls for source in sources} == {1}
            assert int(valkey.client.info("stats")["total_connections_received"]) == before + 1

    run(scenario())


def test_a_command_that_redis_refuses_is_a_miss_for_its_caller_alone(valkey: Valkey) -> None:
    async def scenario() -> None:
        valkey.client.config_set("maxmemory", "1")
        try:
            async with opened(valkey.url) as cache:
                assert await cache.fetch("x", "name", Source()) == b"1"
                assert not cache.resting
        finally:
            valkey.client.config_set("maxmemory", "0")

    run(scenario())
