from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.rollout.hours import DAYS, MAX_WINDOWS, Hours, parse_hours

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = parse_hours("mon-fri 09:00-17:00 Europe/Berlin, sat 10:00-12:00 Europe/Berlin")


def at(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


@pytest.mark.parametrize(
    ("time", "is_open"),
    [
        ("2026-11-27 08:59:59", False),  # a Friday
        ("2026-11-27 09:00", True),
        ("2026-11-27 16:59:59", True),
        ("2026-11-27 17:00", False),
        ("2026-11-28 09:30", False),
        ("2026-11-28 11:59", True),
        ("2026-11-29 11:00", False),
    ],
)
def test_open_from_the_first_minute_to_before_the_last(time: str, is_open: bool) -> None:
    assert OFFICE.is_open(at(time)) is is_open


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-11-27 12:00:07", "2026-11-27 12:00:07"),
        ("2026-11-27 08:00", "2026-11-27 09:00"),
        ("2026-11-27 17:00", "2026-11-28 10:00"),
        ("2026-11-28 12:00", "2026-11-30 09:00"),
        ("2026-03-28 12:00", "2026-03-30 09:00"),  # over the night in which clocks are set forward
        ("2026-10-24 12:00", "2026-10-26 09:00"),  # and back
    ],
)
def test_next_time_that_it_is_open(now: str, opens: str) -> None:
    assert OFFICE.next_open(at(now)) == at(opens)


def test_without_hours_it_is_always_open() -> None:
    for text in ("", "  "):
        assert parse_hours(text).is_open(0.0)
        assert parse_hours(text).next_open(5.0) == 5.0


def test_each_part_has_its_own_zone() -> None:
    both = parse_hours("mon 09:00-10:00 Asia/Tokyo, mon 09:00-10:00 America/New_York")
    assert both.is_open(at("2026-11-30 09:30", ZoneInfo("Asia/Tokyo")))
    assert both.is_open(at("2026-11-30 09:30", ZoneInfo("America/New_York")))
    assert not both.is_open(at("2026-11-30 09:30"))


def test_the_whole_day() -> None:
    sunday = parse_hours("sun 00:00-24:00 UTC")
    assert sunday.is_open(at("2026-11-29 23:59:59", ZoneInfo("UTC")))
    assert not sunday.is_open(at("2026-11-30 00:00", ZoneInfo("UTC")))


def test_what_lies_in_the_skipped_hour_comes_a_week_later() -> None:
    """On 2026-03-29 clocks go from 02:00 to 03:00."""
    hours = parse_hours("sun 02:10-02:50 Europe/Berlin")
    assert hours.next_open(at("2026-03-28 12:00")) == at("2026-04-05 02:10")


def test_hours_that_begin_in_the_skipped_hour_open_after_it() -> None:
    hours = parse_hours("sun 02:30-05:00 Europe/Berlin")
    assert hours.next_open(at("2026-03-29 01:00")) == at("2026-03-29 03:00")


def test_what_lies_in_the_repeated_hour_comes_twice() -> None:
    """On 2026-10-25 clocks go from 03:00 back to 02:00."""
    hours = parse_hours("sun 02:10-02:50 Europe/Berlin")
    assert hours.next_open(at("2026-10-25 01:00")) == at("2026-10-25 02:10")
    assert hours.next_open(at("2026-10-25 02:55")) == at("2026-10-25 02:10", fold=1)
    assert hours.next_open(at("2026-10-25 02:55", fold=1)) == at("2026-11-01 02:10")


def test_hours_that_clocks_are_set_back_into_open_again() -> None:
    hours = parse_hours("sun 01:30-02:30 Europe/Berlin")
    assert hours.next_open(at("2026-10-25 02:45")) == at("2026-10-25 02:00", fold=1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("always", 'is not hours such as "mon-fri 09:00-17:00 Europe/Berlin"'),
        ("mon-fri 9-17 UTC", "is not hours such as"),
        ("mon-fri 09:00-17:00", "is not hours such as"),
        ("mon 09:00-17:00 UTC,", "is not hours such as"),
        ("mon-frx 09:00-17:00 UTC", "has frx, which is not a day: mon, tue, wed, thu, fri, sat, sun"),
        ("sat-mon 09:00-17:00 UTC", "goes over the end of the week (sat-mon): split it into sat-sun and mon"),
        ("sun-tue 09:00-17:00 UTC", "split it into sun and mon-tue"),
        ("mon 09:60-17:00 UTC", "has 09:60, which is not a time from 00:00 to 24:00"),
        ("mon 09:00-24:01 UTC", "has 24:01, which is not a time from 00:00 to 24:00"),
        ("mon 09:00-09:00 UTC", "never comes: 09:00-09:00 ends when it begins"),
        ("mon 24:00-24:00 UTC", "never comes"),
        (
            "mon 22:00-06:00 UTC",
            "goes over midnight (22:00-06:00): split it, into 22:00-24:00 and, a day later",
        ),
        (
            "mon 09:00-17:00 Europe/Berln",
            "has the unknown time zone Europe/Berln, did you mean Europe/Berlin?",
        ),
        ("mon 09:00-17:00 europe/berlin", "did you mean Europe/Berlin?"),
        ("mon 09:00-17:00 Berlin", "did you mean Europe/Berlin?"),
        ("mon 09:00-17:00 Europe", "has the unknown time zone Europe"),
        ("mon 09:00-17:00 ../../etc/passwd", "has the unknown time zone ../../etc/passwd"),
        ("mon 09:00-17:00 /etc/localtime", "has the unknown time zone /etc/localtime"),
        (", ".join(["mon 09:00-17:00 UTC"] * (MAX_WINDOWS + 1)), "has more than 20 parts"),
    ],
)
def test_hours_that_cannot_be_are_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_hours(text)
    assert reason in str(refused.value)


def test_machine_without_zones_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.core.rollout.hours.available_timezones", set)
    with pytest.raises(ValueError, match="this machine has no time zones; install its package tzdata"):
        parse_hours("mon 09:00-17:00 Nowhere/Atall")


ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Kathmandu",
)


@st.composite
def windows(draw: st.DrawFn) -> str:
    first, last = sorted((draw(st.integers(0, 6)), draw(st.integers(0, 6))))
    start = draw(st.integers(0, 24 * 60 - 1))
    end = draw(st.integers(start + 1, min(24 * 60, start + 300)))
    zone = draw(st.sampled_from(ZONES))
    return f"{DAYS[first]}-{DAYS[last]} {start // 60}:{start % 60:02}-{end // 60}:{end % 60:02} {zone}"


hours = st.lists(windows(), min_size=1, max_size=3).map(", ".join).map(parse_hours)
times = st.floats(1_600_000_000, 2_100_000_000) | st.sampled_from(
    [at("2026-03-28 20:00"), at("2026-10-24 20:00"), at("2026-10-25 02:55")]
)


def by_the_minute(hours: Hours, now: float) -> float | None:
    """The slow way: look at every minute of three weeks."""
    if hours.is_open(now):
        return now
    first = int(now // 60) * 60 + 60
    return next((float(t) for t in range(first, first + 21 * 86_400, 60) if hours.is_open(t)), None)


@settings(max_examples=60, deadline=None)
@given(hours, times)
def test_opens_at_the_first_minute_at_which_it_is_open(hours: Hours, now: float) -> None:
    assert hours.next_open(now) == by_the_minute(hours, now)


@given(hours)
def test_written_out_it_means_the_same(hours: Hours) -> None:
    assert parse_hours(str(hours)) == hours
