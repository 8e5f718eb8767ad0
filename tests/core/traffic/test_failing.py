from __future__ import annotations

import pytest

from proxy.core.traffic.failing import LASTING, MANY, Failing, Tallied, failing, refuses

QUIET = Tallied()


def judged(short: Tallied, long: Tallied | None = None, lasting: float = 5.0, before: bool = False) -> bool:
    return failing(short, short if long is None else long, lasting, before) is not None


@pytest.mark.parametrize(
    ("tally", "bad"),
    [
        pytest.param(Tallied(60, 52), True, id="most fail"),
        pytest.param(Tallied(60, 30), True, id="half of them"),
        pytest.param(Tallied(60, 29), False, id="less than half"),
        pytest.param(Tallied(MANY, MANY), True, id="just enough to tell"),
        pytest.param(Tallied(MANY - 1, MANY - 1), False, id="too few to tell yet"),
        pytest.param(Tallied(60, 52, saved=52), True, id="saved by legacy: async fails all the same"),
        pytest.param(Tallied(60, 0, diverted=60), False, id="diverted: the breaker is the alarm"),
        pytest.param(Tallied(60, 5, diverted=55), False, id="too few that were asked"),
        pytest.param(Tallied(60, 5, early=50), False, id="many leave soon, others get answers"),
        pytest.param(Tallied(60, 0, early=60), True, id="all leave soon: nobody gets an answer"),
        pytest.param(Tallied(60, 10, diverted=20, early=30), True, id="nobody gets one, some are diverted"),
    ],
)
def test_it_is_told_when_most_of_many_requests_fail(tally: Tallied, bad: bool) -> None:
    assert judged(tally) == bad


def test_it_says_how_many_failed_and_how_many_legacy_saved() -> None:
    assert failing(Tallied(60, 52, saved=40), Tallied(400, 52, saved=40), 5.0, False) == Failing(
        52, 60, 40, 10
    )


@pytest.mark.parametrize(
    ("tally", "lasting", "bad"),
    [
        pytest.param(Tallied(3, 3), LASTING, True, id="all of them, for long"),
        pytest.param(Tallied(3, 3), LASTING - 1, False, id="not for long"),
        pytest.param(Tallied(2, 2), LASTING, False, id="too few"),
        pytest.param(Tallied(9, 8), LASTING, False, id="one was answered"),
        pytest.param(Tallied(24, 20), 1.0, True, id="most of many in the minute"),
        pytest.param(Tallied(9, 0, early=9), LASTING, False, id="a few clients that leave soon"),
        pytest.param(Tallied(9, 3, early=6), LASTING, True, id="besides some that waited"),
    ],
)
def test_with_little_traffic_a_minute_is_looked_at(tally: Tallied, lasting: float, bad: bool) -> None:
    assert judged(QUIET, tally, lasting) == bad


def test_what_went_wrong_before_does_not_outweigh_many_good_answers() -> None:
    assert not judged(Tallied(60, 1), Tallied(300, 200), before=True)


@pytest.mark.parametrize(
    ("short", "long", "bad"),
    [
        pytest.param(
            Tallied(60, 1, diverted=58), Tallied(60, 1, diverted=58), True, id="a breaker has opened"
        ),
        pytest.param(
            Tallied(60, 1, diverted=10), Tallied(60, 1, diverted=10), False, id="it lets most through"
        ),
        pytest.param(QUIET, Tallied(2, 2), True, id="the last few failed"),
        pytest.param(QUIET, Tallied(5, 2), False, id="most of the last few are answered"),
        pytest.param(QUIET, QUIET, False, id="nobody asks any more"),
    ],
)
def test_it_ends_when_requests_are_answered_or_nobody_asks(short: Tallied, long: Tallied, bad: bool) -> None:
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
