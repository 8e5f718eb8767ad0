from __future__ import annotations

import logging

import msgspec
import pytest

from proxy.control.admin.json.endpoints import alarm_json
from proxy.control.alarms import CROWDED, FULL, TOLERATED, Alarms
from proxy.core.traffic.failing import Tallied
from proxy.core.traffic.totals import EMPTY, UNEVENTFUL, Course, Keyed
from proxy.core.wire.messages import AddressSeen, OpenBreaker, Stats

DEAD = AddressSeen("async", "http://10.0.0.1:80", 9, True, 1.0, 30.0)
WELL = AddressSeen("async", "http://10.0.0.1:80", 0, True, 30.0, 1.0)


class World:
    """What the workers see, and the time."""

    def __init__(self) -> None:
        self.seen = EMPTY
        self.now = 1000.0
        self.fared = UNEVENTFUL
        self.alarms = Alarms(lambda: self.seen, lambda: self.now, lambda: self.fared)

    def sees(
        self,
        *,
        breakers: tuple[OpenBreaker, ...] = (),
        addresses: tuple[AddressSeen, ...] = (),
        full: float = -1.0,
    ) -> Stats:
        self.seen = msgspec.structs.replace(
            EMPTY, breakers=list(breakers), addresses=list(addresses), full=full
        )
        return self.seen


SILENT = AddressSeen("async", "http://10.0.0.1:80", 0, True, -1.0, 8.0, 4, 8.0)


@pytest.fixture
def world(caplog: pytest.LogCaptureFixture) -> World:
    caplog.set_level(logging.INFO)
    return World()


def test_a_backend_that_fails_is_one_line_until_it_answers_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    assert world.alarms.look() == []
    world.sees(addresses=(DEAD,))
    for _ in range(3):
        [alarm] = world.alarms.look()
        world.now += 1.0
    assert (alarm.kind, alarm.subject, alarm.serious, alarm.since) == ("backend", "async", True, 1000.0)
    assert alarm_json(alarm, 1005.0)["seconds"] == 5.0
    world.sees(addresses=(WELL,))
    assert world.alarms.look() == []
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "ERROR",
            "the async backend does not answer: its only address fails (http://10.0.0.1:80)",
        ),
        ("INFO", "the async backend answers again"),
    ]


def test_a_backend_that_hangs_is_one_line_from_its_silence_to_its_next_answer(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    waited = "4 requests are waiting, or their clients gave up, and it has sent nothing for more than 5 s"
    line = f"the async backend does not answer: {waited}"
    world.sees(addresses=(SILENT,))
    [alarm] = world.alarms.look()
    assert (alarm.kind, alarm.subject, alarm.text, alarm.serious) == ("backend", "async", line, False)
    world.now += TOLERATED + 1
    [alarm] = world.alarms.look()
    assert (alarm.since, alarm.serious) == (1000.0, True)
    world.sees(addresses=(DEAD,))  # its requests have timed out
    [alarm] = world.alarms.look()
    assert alarm.text == "the async backend does not answer: its only address fails (http://10.0.0.1:80)"
    world.sees(addresses=(WELL,))
    assert world.alarms.look() == []
    assert [record.getMessage() for record in caplog.records] == [line, "the async backend answers again"]


@pytest.mark.parametrize(
    ("name", "whose"), [("GET /a", "of GET /a"), ("async", "of the whole async backend")], ids=["one", "all"]
)
def test_a_breaker_is_serious_when_it_has_been_open_for_a_while(
    world: World, caplog: pytest.LogCaptureFixture, name: str, whose: str
) -> None:
    world.sees(breakers=(OpenBreaker(name, "open", 5),))
    [alarm] = world.alarms.look()
    assert not alarm.serious
    assert alarm.text == f"the breaker {whose} is open: legacy answers"
    world.now += TOLERATED + 1
    world.sees(breakers=(OpenBreaker(name, "ramping", 5),))
    [alarm] = world.alarms.look()
    assert alarm.serious
    world.sees()
    assert world.alarms.look() == []
    assert [record.getMessage() for record in caplog.records] == [
        f"the breaker {whose} has opened: async fails, and legacy answers reads instead",
        f"the breaker {whose} has closed: async answers again",
    ]


def test_a_silent_backend_whose_breaker_is_open_is_serious_at_once(world: World) -> None:
    world.sees(breakers=(OpenBreaker("async", "open", 5),), addresses=(SILENT,))
    assert [(alarm.kind, alarm.serious) for alarm in world.alarms.look()] == [
        ("backend", True),
        ("breaker", False),
    ]


def test_clients_that_find_no_room_are_one_line_until_nobody_has_come_in_vain_for_a_while(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        world.sees(full=0.5)
        [alarm] = world.alarms.look()
        assert (alarm.kind, alarm.subject, alarm.text, alarm.serious) == (
            "connections",
            "clients",
            FULL,
            False,
        )
    world.now += TOLERATED + 1
    [alarm] = world.alarms.look()
    assert alarm.serious
    world.sees(full=CROWDED + 1)
    assert world.alarms.look() == []
    assert [record.getMessage() for record in caplog.records] == [
        FULL,
        "client connections are below the limit again",
    ]


# what becomes of requests


def fares(world: World, short: Tallied, long: Tallied | None = None, lasting: float = 5.0) -> None:
    course = Course(short, short if long is None else long, lasting)
    world.fared = UNEVENTFUL._replace(courses={("GET /a", "async"): course})


def test_an_endpoint_most_of_whose_requests_fail_is_serious_at_once_and_one_line(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    fares(world, Tallied(60, 9))
    assert world.alarms.look() == []
    for failed in (52, 55):
        fares(world, Tallied(60, failed))
        [alarm] = world.alarms.look()
        assert world.alarms.failing == {("GET /a", "async")}
    text = "async fails GET /a: 55 of 60 in the last 10 s"
    assert alarm == ("endpoint", "GET /a", text, 1000.0, True)
    fares(world, Tallied(60, 9))
    assert world.alarms.look() == []
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "async fails GET /a: 52 of 60 in the last 10 s"),
        ("INFO", "async no longer fails GET /a"),
    ]


def test_a_breaker_that_opens_does_not_end_the_alarm_of_its_endpoint(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    fares(world, Tallied(60, 52, saved=40))
    [alarm] = world.alarms.look()
    assert alarm.text.endswith("52 of 60 in the last 10 s, 40 of which legacy answered instead")
    fares(world, Tallied(60, 1, diverted=59))
    [alarm] = world.alarms.look()
    assert alarm.text == "async fails GET /a: 60 of 60 in the last 10 s"
    world.fared = UNEVENTFUL
    assert world.alarms.look() == []
    assert len(caplog.records) == 2


def test_requests_that_no_endpoint_matches_are_named_as_such(world: World) -> None:
    course = Course(Tallied(40, 40), Tallied(40, 40), 5.0)
    world.fared = UNEVENTFUL._replace(courses={("unlisted", "legacy"): course})
    [alarm] = world.alarms.look()
    assert alarm.text == "legacy fails unlisted requests: 40 of 40 in the last 10 s"


def test_a_store_that_does_not_answer_is_serious_and_its_cause_is_named(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.seen = msgspec.structs.replace(EMPTY, store="database is locked")
    world.fared = UNEVENTFUL._replace(keyed=Keyed(1.0, 4.0, 34))
    [alarm] = world.alarms.look()
    what = "the store of idempotency keys does not answer (database is locked)"
    text = f"{what}: 34 keyed writes were refused with 503 in the last 10 s"
    assert alarm == ("store", "keys", text, 1000.0, True)
    world.seen = EMPTY
    world.fared = UNEVENTFUL._replace(keyed=Keyed(20.0, 24.0, 0))
    [alarm] = world.alarms.look()
    assert alarm.text == (
        "the store of idempotency keys does not answer: the last keyed write, 20 s ago, was refused with 503"
    )
    assert world.alarms.store_is_out
    world.fared = UNEVENTFUL._replace(keyed=Keyed(20.0, 1.0, 0))
    assert world.alarms.look() == []
    assert [record.getMessage() for record in caplog.records] == [
        text,
        "keyed writes are no longer refused for want of the store",
    ]
