"""The client's eyes: an answer is whole or not, ours or another's, asked for or not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.faults.saturation.clients import Request, is_own, outcome_of
from tests.faults.saturation.connection import Answer, Connection, Lost, take_answer

OWN = b"HTTP/1.1 201 Created\r\nX-Nonce: mine\r\ncontent-length: 2\r\n\r\nok"
PROBLEM = (
    b"HTTP/1.1 503 Service Unavailable\r\nx-proxy-error: source=proxy; kind=no_connection\r\n"
    b"access-control-allow-origin: t1.test\r\ncontent-length: 2\r\n\r\n{}"
)
REQUEST = Request(b"", "mine", "t1.test", 1.0)


def answer(data: bytes) -> Answer:
    taken = take_answer(data)
    assert taken is not None
    return taken[0]


def test_an_answer_is_taken_when_it_is_whole() -> None:
    for end in range(len(OWN)):
        assert take_answer(OWN[:end]) is None
    assert take_answer(OWN + PROBLEM) == (answer(OWN), PROBLEM)
    assert (answer(OWN).status, answer(OWN).nonce, answer(OWN).body) == (201, "mine", b"ok")
    assert answer(PROBLEM).error == "no_connection"


@pytest.mark.parametrize(
    ("data", "own"),
    [
        (OWN, True),
        (OWN.replace(b"mine", b"hers"), False),
        (PROBLEM, True),
        (PROBLEM.replace(b"t1.test", b"t2.test"), False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", False),
    ],
)
def test_an_answer_is_ours_by_what_it_repeats(data: bytes, own: bool) -> None:
    assert is_own(answer(data), REQUEST) is own


@pytest.mark.parametrize(
    ("status", "kind", "body", "outcome"),
    [
        (201, b"", b"ok", "acknowledged"),
        (409, b"idempotency_settled", b"{}", "acknowledged"),
        (409, b"idempotency_in_flight", b"{}", "open"),
        (409, b"outcome_unknown", b'{"outcome": "unknown"}', "unknown"),
        (503, b"no_connection", b"{}", "open"),
        (504, b"timeout", b"{}", "open"),
        (422, b"idempotency_mismatch", b"{}", "refused"),
    ],
)
def test_a_client_goes_on_until_it_knows(status: int, kind: bytes, body: bytes, outcome: str) -> None:
    head = b"HTTP/1.1 %d X\r\nx-proxy-error: source=proxy; kind=%b\r\n" % (status, kind)
    assert outcome_of(Answer(status, head, body)) == outcome


class Wire(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data


def connected() -> Connection:
    connection = Connection()
    connection.connection_made(Wire())
    return connection


async def asked(connection: Connection, then: Callable[[], None]) -> Answer:
    task = asyncio.ensure_future(connection.ask(b"request"))
    await asyncio.sleep(0)
    then()
    return await task


def test_what_comes_unasked_is_noticed_and_is_the_next_answer() -> None:
    async def scenario() -> None:
        connection = connected()
        connection.data_received(OWN)
        assert connection.unasked
        assert await connection.ask(b"request") == answer(OWN)
        assert not connection.unasked

    asyncio.run(scenario())


def test_a_second_answer_behind_the_first_is_unasked() -> None:
    async def scenario() -> None:
        connection = connected()
        await asked(connection, lambda: connection.data_received(OWN + PROBLEM))
        assert connection.unasked

    asyncio.run(scenario())


def test_a_connection_that_ends_before_its_answer_is_lost() -> None:
    async def scenario() -> None:
        connection = connected()
        connection.data_received(b"")
        with pytest.raises(Lost):
            await asked(connection, lambda: connection.connection_lost(None))
        with pytest.raises(Lost):
            await connection.ask(b"request")

    asyncio.run(scenario())
