"""The backend of the saturation runs: what it says, what it counts, and how it stalls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from tests.faults.saturation.connection import Connection
from tests.faults.saturation.echo import Stall, take_request
from tests.faults.saturation.site import Backend

Scenario = Callable[[Backend], Coroutine[object, object, None]]


BOTH = {"a": 1, "b": 1}


def request(nonce: str) -> bytes:
    fields = f"X-Nonce: {nonce}\r\nidempotency-key: {nonce}\r\ncontent-length: 2"
    return f"POST /writes HTTP/1.1\r\n{fields}\r\n\r\n{{}}".encode()


def test_a_request_is_taken_with_its_body() -> None:
    whole = request("a")
    for end in range(len(whole)):
        assert take_request(whole[:end]) is None
    taken = take_request(whole + b"GET")
    assert taken is not None
    assert taken[1] == b"GET"


@pytest.fixture
def with_backend(tmp_path: Path) -> Callable[[Scenario], None]:
    async def run(scenario: Scenario) -> None:
        backend = Backend(tmp_path, "legacy")
        backend.program.start()
        try:
            async with asyncio.timeout(30):
                await backend.until_up()
                await scenario(backend)
        finally:
            backend.program.stop()

    return lambda scenario: asyncio.run(run(scenario))


async def connect(backend: Backend) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", backend.port)
    return connection


def test_it_repeats_the_nonce_and_counts_each_execution(with_backend: Callable[[Scenario], None]) -> None:
    async def scenario(backend: Backend) -> None:
        connection = await connect(backend)
        for nonce in ("a", "b", "a"):
            answer = await connection.ask(request(nonce))
            assert (answer.status, answer.nonce) == (201, nonce)
        assert await backend.executed() == {"a": 2, "b": 1}

    with_backend(scenario)


@pytest.mark.parametrize(("kind", "executed"), [("unread", {}), ("late", BOTH), ("half", BOTH)])
def test_it_answers_when_the_stall_is_over(
    with_backend: Callable[[Scenario], None], kind: Stall, executed: dict[str, int]
) -> None:
    async def scenario(backend: Backend) -> None:
        before = await connect(backend)
        await backend.stall(kind, 60)
        after = await connect(backend)
        answers = [
            asyncio.create_task(before.ask(request("a"))),
            asyncio.create_task(after.ask(request("b"))),
        ]
        while await backend.executed() != executed:
            pass
        assert not (await asyncio.wait(answers, timeout=0.1))[0]
        assert await backend.executed() == executed
        await backend.stall("late", 0)
        assert [answer.nonce for answer in await asyncio.gather(*answers)] == ["a", "b"]
        assert await backend.executed() == BOTH

    with_backend(scenario)
