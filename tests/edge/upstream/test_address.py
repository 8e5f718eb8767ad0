"""What is said of an address that cannot be reached."""

from __future__ import annotations

import pytest

from proxy.core.settings import Upstream
from proxy.edge.upstream.address import FAILURES, Address

IPV6 = "[Errno 111] Connect call failed ('::1', 8000, 0, 0)"
IPV4 = "[Errno 111] Connect call failed ('127.0.0.1', 8000)"


def told(caplog: pytest.LogCaptureFixture, *troubles: str) -> list[str]:
    address = Address(Upstream(url="http://localhost:8000", scheme="http", host="localhost", port=8000))
    with caplog.at_level("WARNING", "strangler.worker"):
        for trouble in troubles:
            address.reached("async", trouble)
    assert address.trouble == troubles[-1]
    return [
        each.getMessage().removeprefix("async upstream http://localhost:8000 ") for each in caplog.records
    ]


def test_a_cause_is_told_once_whichever_numeric_address_of_a_name_it_was_seen_at(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert told(caplog, IPV6, IPV4, IPV6, IPV4, "") == [f"cannot be reached: {IPV6}", "can be reached again"]


def test_another_cause_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert told(caplog, IPV6, "timed out") == [f"cannot be reached: {IPV6}", "cannot be reached: timed out"]


# several numeric addresses behind one name


def named() -> Address:
    address = Address(Upstream(url="http://api:8000", scheme="http", host="api", port=8000))
    address.hosts = ("10.0.0.1", "10.0.0.2", "10.0.0.3")
    return address


def lame(address: Address, host: str, now: float) -> None:
    said = [address.in_vain("async", host, now) for _ in range(FAILURES)]
    assert said == [False] * (FAILURES - 1) + [True]


def test_a_numeric_address_that_lets_requests_wait_comes_last_until_it_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    address, order = named(), ["10.0.0.2", "10.0.0.1", "10.0.0.3"]
    assert address.in_order(order, 100.0) == order
    lame(address, "10.0.0.2", 100.0)
    assert address.in_order(order, 101.0) == ["10.0.0.1", "10.0.0.3", "10.0.0.2"]
    address.host_answers("async", "10.0.0.2")
    assert address.in_order(order, 102.0) == order
    assert [record.getMessage() for record in caplog.records] == [
        "async upstream http://api:8000: its address 10.0.0.2 does not answer:"
        " it gets one connection in 30 s until it does",
        "async upstream http://api:8000: its address 10.0.0.2 answers again",
    ]


def test_such_a_numeric_address_is_asked_again_with_one_connection_at_a_time() -> None:
    address, order = named(), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    lame(address, "10.0.0.2", 100.0)
    asked = [now for now in range(100, 200) if address.in_order(order, float(now))[0] == "10.0.0.2"]
    assert asked == [130, 160, 190]


def test_waits_with_answers_in_between_say_nothing_of_a_numeric_address() -> None:
    address = named()
    for _ in range(3):
        for _ in range(FAILURES - 1):
            assert not address.in_vain("async", "10.0.0.2", 100.0)
        address.host_answers("async", "10.0.0.2")
    assert address.lame == {}


def test_a_single_numeric_address_is_never_last() -> None:
    address = named()
    address.hosts = ("10.0.0.1",)
    assert not any(address.in_vain("async", "10.0.0.1", 100.0) for _ in range(3 * FAILURES))
