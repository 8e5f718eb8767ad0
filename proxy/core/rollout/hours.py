"""The hours at which a rollout may advance, such as "mon-fri 09:00-17:00 Europe/Berlin".

They go by the clock on the wall of their zone. On the day when clocks are set forward, what lies in the
skipped hour does not come; when they are set back, what lies in the repeated hour comes twice.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MAX_WINDOWS: Final = 20
_DAY: Final = 86_400.0
_AHEAD: Final = 21  # days; what the change of clocks takes away comes again a week later
_FORM: Final = '"mon-fri 09:00-17:00 Europe/Berlin"'
_WINDOW: Final = re.compile(
    r"([a-z]{3})(?:-([a-z]{3}))? ([0-9]{1,2}):([0-9]{2})-([0-9]{1,2}):([0-9]{2}) (\S{1,64})", re.IGNORECASE
).fullmatch


class OpenWindow(NamedTuple):
    """Days from Monday, 0, both included; minutes of the day, the last one not included."""

    first: int
    last: int
    start: int
    end: int
    zone: ZoneInfo

    def has(self, now: float) -> bool:
        wall = datetime.fromtimestamp(now, self.zone)
        minute = wall.hour * 60 + wall.minute
        return self.first <= wall.weekday() <= self.last and self.start <= minute < self.end

    def __str__(self) -> str:
        days = DAYS[self.first] if self.first == self.last else f"{DAYS[self.first]}-{DAYS[self.last]}"
        return f"{days} {_clock(self.start)}-{_clock(self.end)} {self.zone.key}"


@dataclass(frozen=True)
class Hours:
    """Times in Unix seconds. Without windows it is always open."""

    windows: tuple[OpenWindow, ...] = ()

    def is_open(self, now: float) -> bool:
        return not self.windows or any(window.has(now) for window in self.windows)

    def next_open(self, now: float) -> float | None:
        """`now` if it is open, else when it opens; None if that does not happen in three weeks."""
        if self.is_open(now):
            return now
        times = (time for window in self.windows for time in _beginnings(window, now))
        return min((time for time in times if time > now and self.is_open(time)), default=None)

    def __str__(self) -> str:
        return ", ".join(map(str, self.windows))


def parse_hours(text: str) -> Hours:
    """ "" is always. Raises ValueError with a phrase that follows the text: "is not ..."."""
    if not text.strip():
        return Hours()
    parts = text.split(",")
    if len(parts) > MAX_WINDOWS:
        raise ValueError(f"has more than {MAX_WINDOWS} parts: leave out some")
    return Hours(tuple(map(_parse, parts)))


def _parse(part: str) -> OpenWindow:
    found = _WINDOW(" ".join(part.split()))
    if found is None:
        raise ValueError(f"is not hours such as {_FORM}, several separated by commas")
    first, last = _days(found[1].lower(), (found[2] or found[1]).lower())
    start, end = _minute(found[3], found[4]), _minute(found[5], found[6])
    span = f"{_clock(start)}-{_clock(end)}"
    if start == end:
        raise ValueError(f"never comes: {span} ends when it begins; 00:00-24:00 is the whole day")
    if start > end:
        raise ValueError(
            f"goes over midnight ({span}): split it, into {_clock(start)}-24:00 and, a day later, "
            f"00:00-{_clock(end)}"
        )
    return OpenWindow(first, last, start, end, _zone(found[7]))


def _days(first: str, last: str) -> tuple[int, int]:
    for day in (first, last):
        if day not in DAYS:
            raise ValueError(f"has {day}, which is not a day: {', '.join(DAYS)}")
    if DAYS.index(first) > DAYS.index(last):
        before = "sun" if first == "sun" else f"{first}-sun"
        after = "mon" if last == "mon" else f"mon-{last}"
        raise ValueError(
            f"goes over the end of the week ({first}-{last}): split it into {before} and {after}"
        )
    return DAYS.index(first), DAYS.index(last)


def _minute(hour: str, minute: str) -> int:
    found = int(hour) * 60 + int(minute)
    if int(minute) > 59 or found > 24 * 60:
        raise ValueError(f"has {hour}:{minute}, which is not a time from 00:00 to 24:00")
    return found


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # also a folder of zones, such as Europe
        raise ValueError(f"has the unknown time zone {name}{_hint(name)}") from None


def _hint(name: str) -> str:
    known = {zone.lower(): zone for zone in sorted(available_timezones())}
    if not known:
        return ": this machine has no time zones; install its package tzdata"
    cities = {zone.rpartition("/")[2]: zone for zone in known}
    asked = name.lower()
    close = difflib.get_close_matches(asked, known, n=1)
    if not close and asked in cities:
        close = [cities[asked]]
    return f", did you mean {known[close[0]]}?" if close else "; zones are named as in Europe/Berlin or UTC"


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _beginnings(window: OpenWindow, now: float) -> Iterator[float]:
    """When the window may begin: at its time of each day, or when clocks are set while it goes on."""
    today = datetime.fromtimestamp(now, window.zone).date()
    for days in range(_AHEAD + 1):
        day = today + timedelta(days=days)
        for fold in (0, 1):
            wall = datetime(
                *(day.year, day.month, day.day, window.start // 60, window.start % 60),
                fold=fold,
                tzinfo=window.zone,
            )
            yield wall.timestamp()
        before = now + (days - 1) * _DAY
        if _offset(window.zone, before) != _offset(window.zone, before + _DAY):
            yield _change(window.zone, before, before + _DAY)


def _offset(zone: ZoneInfo, time: float) -> timedelta | None:
    return datetime.fromtimestamp(time, UTC).astimezone(zone).utcoffset()


def _change(zone: ZoneInfo, before: float, after: float) -> float:
    """The second at which clocks are set, somewhere between the two."""
    low, high = int(before), int(after) + 1
    was = _offset(zone, low)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(zone, middle) == was else (low, middle)
    return float(high)
