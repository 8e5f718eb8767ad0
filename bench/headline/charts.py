"""The headline's charts: P99 against users, and how many times the users against the wait."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.crowd.svg import Line, chart
from bench.headline.markdown import ratios

P99, RATIO = "scale-p99.svg", "scale-ratio.svg"


def write(document: Mapping[str, Any], directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / P99).write_text(p99(document))
    (directory / RATIO).write_text(ratio(document))


def p99(document: Mapping[str, Any]) -> str:
    """One line per target, at the smallest and at the largest wait."""
    waits = [result["wait_ms"] for result in document["capacities"]]
    shown = (min(waits), max(waits))
    lines = []
    for result in document["capacities"]:
        if result["wait_ms"] in shown:
            steps = sorted(result["steps"], key=lambda step: step["users"])
            points = [(step["users"], step["p99_ms"]) for step in steps if step["p99_ms"] > 0]
            missed = [(step["users"], step["p99_ms"]) for step in steps if not step["held"]]
            name = f"{result['target']}, {result['wait_ms']:g} ms"
            lines.append(Line(name, points, frozenset(missed), dashed=result["wait_ms"] != shown[0]))
    return chart("P99 against users; hollow: out of bounds", "users", "P99, ms", lines)


def ratio(document: Mapping[str, Any]) -> str:
    lines = []
    for target, found in ratios(document).items():
        points = [(wait, value) for wait, value in found.items() if value and wait]
        if points:
            lines.append(Line(target, points))
    if not lines:
        return chart("no ratio: legacy bears nobody", "wait, ms", "times", [Line("none", [(1, 1), (10, 1)])])
    return chart("How many times the users of legacy", "wait of each round trip, ms", "times", lines)
