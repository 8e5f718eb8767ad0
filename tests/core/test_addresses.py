from __future__ import annotations

import pytest

from proxy.core.addresses import FAILURES, FORGOTTEN, down, is_failing, merge
from proxy.core.messages import AddressSeen

URL = "http://10.0.0.1:80"


def seen(
    failures: int = 0, failed: float = -1, answered: float = -1, *, healthy: bool = True, url: str = URL
) -> AddressSeen:
    return AddressSeen("async", url, failures, healthy, failed, answered)


@pytest.mark.parametrize(
    ("line", "failing"),
    [
        pytest.param(seen(), False, id="never asked"),
        pytest.param(seen(FAILURES, 1.0), True, id="failures in a row"),
        pytest.param(seen(FAILURES - 1, 1.0), False, id="one less"),
        pytest.param(seen(FAILURES, FORGOTTEN + 1), False, id="nobody has asked since"),
        pytest.param(seen(0, 1.0, healthy=False), True, id="its health check says no"),
    ],
)
def test_an_address_fails_by_what_was_seen_of_it(line: AddressSeen, failing: bool) -> None:
    assert is_failing(line) == failing
    [merged] = merge([line])
    assert is_failing(merged) == failing


def test_one_worker_is_enough_to_see_it_fail() -> None:
    [merged] = merge([seen(FAILURES, 2.0), seen()])
    assert is_failing(merged)


def test_an_answer_to_any_worker_is_newer_than_failures_before_it() -> None:
    [merged] = merge([seen(FAILURES, 5.0), seen(0, -1, 2.0)])
    assert not is_failing(merged)
    [merged] = merge([seen(FAILURES, 2.0), seen(0, -1, 5.0)])
    assert is_failing(merged)


def test_a_backend_is_down_when_every_address_fails() -> None:
    bad, other = seen(FAILURES, 1.0), seen(FAILURES, 1.0, url="http://10.0.0.2:80")
    assert down([bad, other]) == {"async": [bad, other]}
    assert down([bad, seen(url="http://10.0.0.2:80")]) == {}
    assert down([]) == {}
