from __future__ import annotations

import msgspec
import pytest

from proxy.core.forwarding.addresses import (
    FAILURES,
    FORGOTTEN,
    SILENCE,
    UNANSWERED,
    down,
    is_failing,
    merge,
    silent,
)
from proxy.core.wire.messages import AddressSeen

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
        pytest.param(msgspec.structs.replace(seen(0, -1, 50.0), left_out=True), True, id="it is left out"),
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


def quiet(waiting: int, heard: float, url: str = URL) -> AddressSeen:
    return AddressSeen("async", url, 0, True, -1, heard, waiting, heard)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        pytest.param(quiet(UNANSWERED, -1), True, id="nothing ever came"),
        pytest.param(quiet(UNANSWERED, SILENCE + 1), True, id="nothing came meanwhile"),
        pytest.param(quiet(UNANSWERED, SILENCE - 1), False, id="others are answered"),
        pytest.param(quiet(UNANSWERED - 1, SILENCE + 1), False, id="too few: one report that takes long"),
    ],
)
def test_an_address_is_silent_while_requests_wait_and_nothing_comes(line: AddressSeen, found: bool) -> None:
    assert silent([line]) == ({"async": [line]} if found else {})


def test_a_backend_is_not_silent_while_one_address_sends() -> None:
    assert silent([quiet(9, -1), quiet(0, 1.0, "http://10.0.0.2:80")]) == {}


def test_what_waits_at_all_workers_is_added_and_what_one_has_heard_counts_for_all() -> None:
    [merged] = merge([quiet(2, -1), quiet(1, SILENCE + 2), quiet(1, SILENCE + 1)])
    assert (merged.waiting, merged.heard) == (4, SILENCE + 1)
    assert silent(merge([quiet(9, -1), quiet(0, 0.5)])) == {}
