from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from proxy.edge.resolver import TTL, Resolver


class Loop:
    """A clock that is set by hand and a name service that answers as told."""

    def __init__(self) -> None:
        self.now = 100.0
        self.asked: list[str] = []
        self.answer: list[str] | None = ["192.0.2.1"]

    def time(self) -> float:
        return self.now

    async def getaddrinfo(self, host: str, port: None, *, type: int) -> list[Any]:
        self.asked.append(host)
        if self.answer is None:
            raise socket.gaierror("no such host")
        return [(socket.AF_INET, type, 6, "", (address, 0)) for address in self.answer]


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def resolve(loop: Loop) -> Callable[[str], list[str]]:
    resolver = Resolver(loop)  # type: ignore[arg-type]

    def run(host: str) -> list[str]:
        coroutine: Coroutine[Any, Any, list[str]] = resolver.resolve(host)
        return asyncio.run(coroutine)

    return run


Resolve = Callable[[str], list[str]]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_addresses_are_not_looked_up(loop: Loop, resolve: Resolve, address: str) -> None:
    assert resolve(address) == [address]
    assert loop.asked == []


def test_an_answer_is_remembered_for_a_few_seconds(loop: Loop, resolve: Resolve) -> None:
    assert resolve("a.example") == ["192.0.2.1"]
    loop.now += TTL - 0.1
    assert resolve("a.example") == ["192.0.2.1"]
    assert loop.asked == ["a.example"]
    loop.answer = ["192.0.2.2"]
    loop.now += 0.2
    assert resolve("a.example") == ["192.0.2.2"]


def test_several_addresses_all_come_without_repetitions(loop: Loop, resolve: Resolve) -> None:
    loop.answer = ["192.0.2.1", "192.0.2.2", "192.0.2.1"]
    assert sorted(resolve("a.example")) == ["192.0.2.1", "192.0.2.2"]


def test_a_failed_lookup_answers_with_the_last_good_one(loop: Loop, resolve: Resolve) -> None:
    resolve("a.example")
    loop.answer = None
    loop.now += TTL + 1
    assert resolve("a.example") == ["192.0.2.1"]
    resolve("a.example")
    assert len(loop.asked) == 2  # and is not asked again for every request


def test_a_name_that_was_never_resolved_is_an_error(loop: Loop, resolve: Resolve) -> None:
    loop.answer = None
    with pytest.raises(socket.gaierror):
        resolve("a.example")
    loop.answer = ["192.0.2.9"]
    assert resolve("a.example") == ["192.0.2.9"]
