"""The figures of the running instance as the words and numbers that the status page shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypedDict

from proxy.control.admin.sparkline import Sparkline, sparkline
from proxy.control.claimed import Keys
from proxy.control.figures import EndpointFigures, Hour, Overview, Served, UnlistedFigures, wait
from proxy.control.state import State
from proxy.core.comparison.parity import Parity
from proxy.core.evidence.significance import MeasuredDifference
from proxy.core.rollout.position import RolloutPosition
from proxy.core.rollout.progress import state_words
from proxy.core.routing.unlisted import UNLISTED
from proxy.core.settings import BACKENDS, FULL_WEIGHT, BackendName
from proxy.core.timestamps import timestamp
from proxy.core.traffic.history import Minute
from proxy.core.traffic.totals import Figures
from proxy.core.weights import percent

DASH: Final = "–"
MARKS: Final = {"better": "▼", "worse": "▲", "noise": "≈", "too little data": "?"}
SIGNS: Final = {"differs": "≠", "likely equal": "=", "not yet known": "…", "no evidence": "?"}
METRICS: Final = ("errors", "p50", "p95", "p99")


class DifferenceCell(NamedTuple):
    """One difference, such as "+3.1 ms", "from +2.0 to +4.2 ms", "worse", "▲"."""

    estimate: str
    interval: str
    word: str
    mark: str


class Answers(NamedTuple):
    """What comparisons say of the answers: words, a sign, a class of the style sheet, how many there were."""

    text: str
    sign: str
    kind: str
    compared: str


class _Numbers(TypedDict):
    """Of a row, by backend."""

    cells: dict[BackendName, tuple[str, ...]]
    failing: dict[BackendName, bool]
    asked: bool


class EndpointRow(NamedTuple):
    """One endpoint. `cells` are by backend: requests/s, errors, p50, p95, p99. `keys` is a sentence or "".

    `asked`: whether there was any request since the proxy counts.
    """

    name: str
    weight: str
    breaker: str
    fallbacks: int
    cells: dict[BackendName, tuple[str, ...]]
    failing: dict[BackendName, bool]
    verdicts: tuple[DifferenceCell, ...]
    charts: tuple[Sparkline, ...]
    keys: str
    asked: bool
    answers: Answers | None = None
    rollout: str = ""  # where it stands, in a sentence
    rolled_back: bool = False
    since: str = "async is"


class PhaseRow(NamedTuple):
    name: str
    done: int  # endpoints at 100
    rows: tuple[EndpointRow, ...]


def phases(state: State, found: Overview, hours: Mapping[str, Hour]) -> list[PhaseRow]:
    """Every endpoint by phase, in the order of the file; those without a phase last."""
    names: list[str | None] = [phase.name for phase in state.reloader.running.snapshot.phases]
    shown = []
    for name in [*names, None]:
        listed = [each for each in found.endpoints if each.endpoint.phase == name]
        rows = tuple(_row(each, hours.get(each.endpoint.name, {}), found.now) for each in listed)
        if rows:
            done = sum(each.endpoint.weight == FULL_WEIGHT for each in listed)
            shown.append(PhaseRow(name or "no phase", done, rows))
    return shown


def unlisted(found: UnlistedFigures, hours: Mapping[str, Hour]) -> EndpointRow:
    """What matches no endpoint; its weight is the policy."""
    return EndpointRow(
        UNLISTED,
        found.policy,
        "closed",
        0,
        **_numbers(found.backends),
        verdicts=(),
        charts=_charts(hours.get(UNLISTED, {})),
        keys="",
    )


def _row(found: EndpointFigures, hour: Hour, now: float) -> EndpointRow:
    endpoint = found.endpoint
    return EndpointRow(
        endpoint.name,
        percent(endpoint.weight),
        found.breaker,
        found.fallbacks,
        **_numbers(found.backends),
        verdicts=(
            _verdict(found.contrast.error_rate, found, _points, "points"),
            *(_verdict(each, found, _signed, "ms") for each in found.contrast[1:4]),
        ),
        rollout=_rollout(found.rollout),
        rolled_back=found.rollout is not None and found.rollout.state == "rolled_back",
        since=f"async is, for {duration(int(found.contrast.seconds))}",
        charts=_charts(hour),
        keys=_keys(found.keys, endpoint.weight, now),
        answers=_answers(found.parity),
    )


def _numbers(backends: Mapping[BackendName, Served]) -> _Numbers:
    return {
        "cells": {name: _cells(each.minute) for name, each in backends.items()},
        "failing": {name: bool(each.minute.error_rate) for name, each in backends.items()},
        "asked": any(each.requests for each in backends.values()),
    }


def _answers(found: Parity) -> Answers:
    compared = f"{found.n:,} compared" if found.n else "nothing compared"
    return Answers(str(found), SIGNS[found.verdict], found.verdict.replace(" ", "-"), compared)


def _keys(keys: Keys | None, weight: int, now: float) -> str:
    """Whether a write may move as far as idempotency keys are concerned; nothing once it safely has."""
    if keys is None:
        return ""
    left = keys.seconds_left(now)
    if not left:
        return "" if weight else "Every idempotency key in use is known: this may move."
    when = f"in {duration(left)}, at {timestamp(keys.known_at)[:16]}Z"
    if weight:
        return f"Every idempotency key in use is known {when}; a retry of an older key goes by weight."
    return f"Every idempotency key in use is known {when}: wait until then before this moves."


def _rollout(position: RolloutPosition | None) -> str:
    if position is None:
        return ""
    return f"Rollout {position.plan}: {state_words(position.state)}; {position.reason}"


def duration(seconds: int) -> str:
    """`23 h 59 min`, `4 min`, `50 s`."""
    if seconds < 60:
        return f"{seconds} s"
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _cells(minute: Figures) -> tuple[str, ...]:
    rate = minute.error_rate
    errors = DASH if rate is None else f"{rate * 100:.2f} %"
    return (
        f"{minute.requests_per_second:.1f}",
        errors,
        *map(_milliseconds, (minute.p50, minute.p95, minute.p99)),
    )


def _verdict(
    difference: MeasuredDifference, of: EndpointFigures, show: Callable[[float], str], unit: str
) -> DifferenceCell:
    word, interval = difference.verdict, difference.interval
    if interval is None:
        return DifferenceCell(*_missing(difference, of), word, MARKS[word])
    return DifferenceCell(
        f"{show(interval.estimate)} {unit}",
        f"from {show(interval.low)} to {show(interval.high)} {unit}",
        word,
        MARKS[word],
    )


def _missing(difference: MeasuredDifference, of: EndpointFigures) -> tuple[str, str]:
    """How many more requests are needed, and how long they take to come."""
    named = zip(BACKENDS, difference.missing, strict=True)
    needs = ", ".join(f"{number:,} on {backend}" for backend, number in named if number)
    seconds = wait(difference, of.backends)
    return f"needs {needs}", "at this rate never" if seconds is None else f"about {duration(int(seconds))}"


def _charts(hour: Hour) -> tuple[Sparkline, ...]:
    drawn = (
        sparkline("requests/min", "", _lines(hour, lambda minute: minute.requests)),
        sparkline("p95", " ms", _lines(hour, lambda minute: round(minute.p95 * 1000, 3))),
        sparkline("errors/min", "", _lines(hour, lambda minute: minute.errors)),
    )
    return tuple(each for each in drawn if each is not None)


def _lines(hour: Hour, number: Callable[[Minute], float]) -> dict[str, list[float]]:
    return {backend: [number(minute) for minute in minutes] for backend, minutes in hour.items()}


def _milliseconds(seconds: float | None) -> str:
    if seconds is None:
        return DASH
    value = seconds * 1000
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _signed(seconds: float) -> str:
    """A difference of times in milliseconds."""
    value = seconds * 1000
    return f"{value:+.1f}" if abs(value) < 100 else f"{value:+.0f}"


def _points(value: float) -> str:
    """A difference of rates in percentage points."""
    return f"{value * 100:+.2f}"
