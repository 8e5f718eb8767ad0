"""What is said of an address that cannot be reached."""

from __future__ import annotations

import pytest

from proxy.core.settings import Upstream
from proxy.edge.upstream.address import Address

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
