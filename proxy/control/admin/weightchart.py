"""The weight of one endpoint over time as a step line in SVG coordinates, with the reason of each change."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Final, NamedTuple

from proxy.core.rollout.progress import state_words
from proxy.core.timestamps import to_the_second
from proxy.store.rollouts import Past

LEFT: Final = 14.0  # percent of the width, which is that of the labels
RIGHT: Final = 98.0
TOP: Final = 8.0
BOTTOM: Final = 92.0
APART: Final = 9.0  # percent of the height between two labels
AFTER: Final = 3600.0  # seconds shown at least after the last change
GRID: Final = 200  # moments at which the end of the chart may lie: it does not move with every look


class Stroke(NamedTuple):
    x1: float
    y1: float
    x2: float
    y2: float


class Level(NamedTuple):
    """A line of the grid, with its label."""

    y: float
    label: str


class ChartedChange(NamedTuple):
    """A point with what it means. From `x` on `width` wide it is shown to whoever points there."""

    x: float
    y: float
    width: float
    state: str
    moved: bool
    time: str
    text: str


class WeightChart(NamedTuple):
    """Coordinates are percent of width and height. `label` says in words what is drawn."""

    lines: tuple[Stroke, ...]
    levels: tuple[Level, ...]
    changes: tuple[ChartedChange, ...]
    start: str
    end: str
    label: str


def weight_chart(past: Sequence[Past], steps: Sequence[float], now: float) -> WeightChart | None:
    """`past` with the oldest first, `steps` and weights in percent. None if nothing has changed yet."""
    if not past:
        return None
    times = _rising([each.time for each in past])
    end = _end(times[0], times[-1], now)
    places = [_x(time, times[0], end) for time in times]
    before = [_number(each, "before") for each in past]
    after = [_number(each, "weight") for each in past]
    lines: list[Stroke] = []
    changes = []
    for index, each in enumerate(past):
        x, until = places[index], (*places, RIGHT)[index + 1]
        if before[index] != after[index]:
            lines.append(Stroke(x, _y(before[index]), x, _y(after[index])))
        lines.append(Stroke(x, _y(after[index]), until, _y(after[index])))
        changes.append(_change(each, x, _y(after[index]), until))
    start_at, end_at = to_the_second(times[0]), to_the_second(end)
    label = f"weight from {start_at} to {end_at}: {_route(before[0], after)}"
    return WeightChart(tuple(lines), _levels(steps), tuple(changes), start_at, end_at, label)


def _rising(times: Sequence[float]) -> list[float]:
    """A clock that was set back draws no line backwards."""
    found: list[float] = []
    for time in times:
        found.append(max(time, found[-1]) if found else time)
    return found


def _end(first: float, last: float, now: float) -> float:
    """As long after the last change as the changes took: what ended long ago does not shrink to nothing."""
    latest = last + max(AFTER, last - first)
    if now >= latest:
        return latest
    grain = max(1.0, (now - first) // GRID)
    return max(last, now - (now - first) % grain) if now > first else last


def _x(time: float, first: float, end: float) -> float:
    share = (time - first) / (end - first) if end > first else 0.0
    return round(LEFT + share * (RIGHT - LEFT), 2)


def _y(weight: float) -> float:
    """By the root, so that the small steps at the beginning lie apart."""
    share = sqrt(min(100.0, max(0.0, weight)) / 100)
    return round(BOTTOM - share * (BOTTOM - TOP), 2)


def _levels(steps: Sequence[float]) -> tuple[Level, ...]:
    found: list[Level] = []
    for step in sorted({0.0, 100.0, *steps}, key=lambda each: (each not in (0.0, 100.0), each)):
        if all(abs(each.y - _y(step)) >= APART for each in found):
            found.append(Level(_y(step), f"{step:g} %"))
    return tuple(sorted(found))


def _change(past: Past, x: float, y: float, until: float) -> ChartedChange:
    before, after = _number(past, "before"), _number(past, "weight")
    moved = f"{before:g} → {after:g} %" if before != after else f"at {after:g} %"
    state = str(past.details.get("state", ""))
    text = f"{moved}, {state_words(state)}: {past.details.get('reason', '')}"
    width = round(max(0.0, until - x), 2)
    return ChartedChange(x, y, width, state, before != after, to_the_second(past.time), text)


def _route(first: float, weights: Sequence[float]) -> str:
    found = [first]
    for each in weights:
        if each != found[-1]:
            found.append(each)
    return ", ".join(f"{each:g}" for each in found) + " %"


def _number(past: Past, name: str) -> float:
    value = past.details.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
