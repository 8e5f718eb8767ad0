from __future__ import annotations

import pytest

from proxy.core.traffic.failing import LASTING, MANY, Failing, Tally, failing, refuses

QUIET = Tally()


def judged(short: Tally, long: Tally | None = None, lasting: float = 5.0, before: bool = False) -> bool:
    return failing(short, short if long is None else long, lasting, before) is not None


@pytest.mark.parametrize(
    ("tally", "bad"),
    [
        pytest.param(Tally(60, 52), True, id="most fail"),
        pytest.param(Tally(60, 30), True, id="half of them"),
        pytest.param(Tally(60, 29), False, id="less than half"),
        pytest.param(Tally(MANY, MANY), True, id="just enough to tell"),
        pytest.param(Tally(MANY - 1, MANY - 1), False, id="too few to tell yet"),
        pytest.param(Tally(60, 52, saved=52), True, id="saved by legacy: async fails all the same"),
        pytest.param(Tally(60, 0, diverted=60), False, id="diverted: the breaker is the alarm"),
        pytest.param(Tally(60, 5, diverted=55), False, id="too few that were asked"),
        pytest.param(Tally(60, 5, early=50), False, id="many leave soon, others get answers"),
        pytest.param(Tally(60, 0, early=60), True, id="all leave soon: nobody gets an answer"),
        pytest.param(Tally(60, 10, diverted=20, early=30), True, id="nobody gets one, some are diverted"),
    ],
)
def test_it_is_told_when_most_of_many_requests_fail(tally: Tally, bad: bool) -> None:
    assert judged(tally) == bad


def test_it_says_how_many_failed_and_how_many_legacy_saved() -> None:
    assert failing(Tally(60, 52, saved=40), Tally(400, 52, saved=40), 5.0, False) == Failing(52, 60, 40, 10)


@pytest.mark.parametrize(
    ("tally", "lasting", "bad"),
    [
        pytest.param(Tally(3, 3), LASTING, True, id="all of them, for long"),
        pytest.param(Tally(3, 3), LASTING - 1, False, id="not for long"),
        pytest.param(Tally(2, 2), LASTING, False, id="too few"),
        pytest.param(Tally(9, 8), LASTING, False, id="one was answered"),
        pytest.param(Tally(24, 20), 1.0, True, id="most of many in the minute"),
        pytest.param(Tally(9, 0, early=9), LASTING, False, id="a few clients that leave soon"),
        pytest.param(Tally(9, 3, early=6), LASTING, True, id="besides some that waited"),
    ],
)
def test_with_little_traffic_a_minute_is_looked_at(tally: Tally, lasting: float, bad: bool) -> None:
    assert judged(QUIET, tally, lasting) == bad


def test_what_went_wrong_before_does_not_outweigh_many_good_answers() -> None:
    assert not judged(Tally(60, 1), Tally(300, 200), before=True)


@pytest.mark.parametrize(
    ("short", "long", "bad"),
    [
        pytest.param(Tally(60, 1, diverted=58), Tally(60, 1, diverted=58), True, id="a breaker has opened"),
        pytest.param(Tally(60, 1, diverted=10), Tally(60, 1, diverted=10), False, id="it lets most through"),
        pytest.param(QUIET, Tally(2, 2), True, id="the last few failed"),
        pytest.param(QUIET, Tally(5, 2), False, id="most of the last few are answered"),
        pytest.param(QUIET, QUIET, False, id="nobody asks any more"),
    ],
)
def test_it_ends_when_requests_are_answered_or_nobody_asks(short: Tally, long: Tally, bad: bool) -> None:
    assert judged(short, long, before=True) == bad


@pytest.mark.parametrize(
    ("refused", "served", "out"),
    [
        pytest.param(None, 1.0, False, id="none was refused"),
        pytest.param(3.0, 1.0, True, id="just now"),
        pytest.param(11.0, 1.0, False, id="others were served since"),
        pytest.param(11.0, 11.0, True, id="in the same second as the last one"),
        pytest.param(45.0, None, True, id="nobody has tried since"),
        pytest.param(45.0, 50.0, True, id="none was served since"),
    ],
)
def test_the_store_is_out_of_order_until_a_write_is_served(
    refused: float | None, served: float | None, out: bool
) -> None:
    assert refuses(refused, served) == out
