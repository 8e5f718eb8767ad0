"""The figures of the API as the words and numbers that the status page shows."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from proxy.control.admin.sparkline import Sparkline, sparkline
from proxy.control.state import State
from proxy.core.settings import BACKENDS

DASH: Final = "–"
MARKS: Final = {"better": "▼", "worse": "▲", "noise": "≈", "too little data": "?"}
SIGNS: Final = {"differs": "≠", "likely equal": "=", "no evidence": "?"}
METRICS: Final = (
    ("error_rate", "errors"),
    ("p50_ms", "p50"),
    ("p95_ms", "p95"),
    ("p99_ms", "p99"),
)


class Verdict(NamedTuple):
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


class Row(NamedTuple):
    """One endpoint. `cells` are by backend: requests/s, errors, p50, p95, p99. `keys` is a sentence or "".

    `asked`: whether there was any request since the proxy counts.
    """

    name: str
    weight: float | str
    breaker: str
    fallbacks: int
    cells: dict[str, tuple[str, ...]]
    failing: dict[str, bool]
    verdicts: tuple[Verdict, ...]
    charts: tuple[Sparkline, ...]
    keys: str
    asked: bool
    answers: Answers | None = None


class Phase(NamedTuple):
    name: str
    done: int  # endpoints at 100
    rows: tuple[Row, ...]


def phases(state: State) -> list[Phase]:
    """Every endpoint by phase, in the order of the file; those without a phase last."""
    figures, history = state.endpoints(), state.history()["endpoints"]
    names: list[str | None] = [phase.name for phase in state.reloader.running.snapshot.phases]
    found = []
    for name in [*names, None]:
        listed = [each for each in figures["endpoints"] if each["phase"] == name]
        rows = tuple(_row(each, history.get(each["endpoint"], {})) for each in listed)
        if rows:
            found.append(Phase(name or "no phase", sum(each["weight"] == 100 for each in listed), rows))
    return found


def unlisted(state: State) -> Row:
    """What matches no endpoint; its weight is the policy."""
    figures = state.endpoints()["unlisted"]
    row = {"endpoint": "unlisted", "weight": figures["policy"], "breaker": "closed", "fallbacks": 0}
    return _row({**row, **figures, "difference": {}}, state.history()["endpoints"].get("unlisted", {}))


def _row(figures: dict[str, Any], hour: dict[str, Any]) -> Row:
    backends = figures["backends"]
    return Row(
        figures["endpoint"],
        figures["weight"],
        figures["breaker"],
        figures["fallbacks"],
        {name: _cells(backends[name]) for name in BACKENDS},
        {name: bool(backends[name]["error_rate"]) for name in BACKENDS},
        tuple(_verdict(figures["difference"].get(key), key) for key, _ in METRICS),
        _charts(hour),
        _keys(figures.get("keys"), figures["weight"]),
        any(backends[name]["requests"] for name in BACKENDS),
        _answers(figures.get("comparison")),
    )


def _answers(comparison: dict[str, Any] | None) -> Answers | None:
    if comparison is None:
        return None
    verdict = comparison["verdict"]
    compared = f"{comparison['n']:,} compared" if comparison["n"] else "nothing compared"
    return Answers(comparison["text"], SIGNS[verdict], verdict.replace(" ", "-"), compared)


def _keys(keys: dict[str, Any] | None, weight: float) -> str:
    """Whether a write may move as far as idempotency keys are concerned; nothing once it safely has."""
    if keys is None:
        return ""
    if not keys["seconds_left"]:
        return "" if weight else "Every idempotency key in use is known: this may move."
    when = f"in {duration(keys['seconds_left'])}, at {keys['known_at'][:16]}Z"
    if weight:
        return f"Every idempotency key in use is known {when}; a retry of an older key goes by weight."
    return f"Every idempotency key in use is known {when}: wait until then before this moves."


def duration(seconds: int) -> str:
    """`23 h 59 min`, `4 min`, `50 s`."""
    if seconds < 60:
        return f"{seconds} s"
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _cells(figures: dict[str, Any]) -> tuple[str, ...]:
    rate = figures["error_rate"]
    errors = DASH if rate is None else f"{rate * 100:.2f} %"
    times = (figures["p50_ms"], figures["p95_ms"], figures["p99_ms"])
    return (f"{figures['requests_per_second']:.1f}", errors, *map(_milliseconds, times))


def _verdict(difference: dict[str, Any] | None, key: str) -> Verdict:
    if difference is None or difference["estimate"] is None:
        return Verdict("", "", "too little data", MARKS["too little data"])
    show = _points if key == "error_rate" else _signed
    unit = "points" if key == "error_rate" else "ms"
    word = difference["verdict"]
    return Verdict(
        f"{show(difference['estimate'])} {unit}",
        f"from {show(difference['low'])} to {show(difference['high'])} {unit}",
        word,
        MARKS[word],
    )


def _charts(hour: dict[str, Any]) -> tuple[Sparkline, ...]:
    drawn = (
        sparkline("requests/min", "", _lines(hour, "requests")),
        sparkline("p95", " ms", _lines(hour, "p95_ms")),
        sparkline("errors/min", "", _lines(hour, "errors")),
    )
    return tuple(each for each in drawn if each is not None)


def _lines(hour: dict[str, Any], key: str) -> dict[str, list[float]]:
    return {backend: [minute[key] for minute in minutes] for backend, minutes in hour.items()}


def _milliseconds(value: float | None) -> str:
    return DASH if value is None else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _signed(value: float) -> str:
    return f"{value:+.1f}" if abs(value) < 100 else f"{value:+.0f}"


def _points(value: float) -> str:
    """A difference of rates in percentage points."""
    return f"{value * 100:+.2f}"
