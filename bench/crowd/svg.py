"""A line chart on logarithmic axes as SVG, readable on light and dark pages. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 170, 44, 48
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # told apart by colour-blind too
STEPS = [factor * 10**power for power in range(-2, 8) for factor in (1, 2, 5)]
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#333}.grid{stroke:#8884}.axis{stroke:#888}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}}"
)


@dataclass(frozen=True)
class Line:
    """`missed` are points drawn hollow: measured, but outside what was asked for."""

    name: str
    points: Sequence[tuple[float, float]]
    missed: frozenset[tuple[float, float]] = frozenset()
    dashed: bool = False


@dataclass(frozen=True)
class Axis:
    """Logarithmic, from a step under the smallest value to one over the largest."""

    low: float
    high: float
    start: float  # pixels
    length: float  # pixels; negative upwards

    @classmethod
    def of(cls, values: Sequence[float], start: float, length: float) -> Axis:
        low = max((step for step in STEPS if step <= min(values)), default=STEPS[0])
        high = min((step for step in STEPS if step >= max(values) and step > low), default=STEPS[-1])
        return cls(low, high, start, length)

    def at(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return round(self.start + self.length * share, 1)

    def ticks(self) -> list[float]:
        return [step for step in STEPS if self.low <= step <= self.high]


def chart(title: str, across: str, up: str, lines: Sequence[Line]) -> str:
    """Raises ValueError if there is nothing to draw."""
    points = [point for line in lines for point in line.points]
    x = Axis.of([px for px, _ in points], LEFT, WIDTH - LEFT - RIGHT)
    y = Axis.of([py for _, py in points], HEIGHT - BOTTOM, -(HEIGHT - TOP - BOTTOM))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<text x="{LEFT}" y="22" font-weight="bold">{escape(title)}</text>',
        *_grid(x, y),
        f'<text x="{LEFT}" y="{HEIGHT - 10}">{escape(across)}</text>',
        f'<text x="8" y="{TOP - 8}">{escape(up)}</text>',
    ]
    for number, line in enumerate(lines):
        parts += _line(line, COLOURS[number % len(COLOURS)], number, x, y)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _grid(x: Axis, y: Axis) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    found = [f'<path class="axis" fill="none" d="M{LEFT} {TOP}V{bottom}H{right}"/>']
    for tick in x.ticks():
        at = x.at(tick)
        found.append(f'<path class="grid" d="M{at} {TOP}V{bottom}"/>')
        found.append(f'<text x="{at}" y="{bottom + 16}" text-anchor="middle">{tick:,g}</text>')
    for tick in y.ticks():
        at = y.at(tick)
        found.append(f'<path class="grid" d="M{LEFT} {at}H{right}"/>')
        found.append(f'<text x="{LEFT - 6}" y="{at + 4}" text-anchor="end">{tick:,g}</text>')
    return found


def _line(line: Line, colour: str, number: int, x: Axis, y: Axis) -> list[str]:
    places = [(x.at(px), y.at(py)) for px, py in line.points]
    dash = ' stroke-dasharray="6 4"' if line.dashed else ""
    path = "L".join(f"{px} {py}" for px, py in places)
    found = [f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>']
    for place, point in zip(places, line.points, strict=True):
        fill = "none" if point in line.missed else colour
        found.append(f'<circle cx="{place[0]}" cy="{place[1]}" r="3.5" fill="{fill}" stroke="{colour}"/>')
    left, top = WIDTH - RIGHT + 14, TOP + 8 + 20 * number
    found.append(f'<path d="M{left} {top}h22" stroke="{colour}" stroke-width="2"{dash}/>')
    found.append(f'<text x="{left + 28}" y="{top + 4}">{escape(line.name)}</text>')
    return found
