"""Starts processes of users, tells them what to do, and adds up what they saw."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.crowd import lines
from bench.processes import BenchError


@dataclass
class Window:
    """What users saw in `seconds` of measuring. Latencies in milliseconds, by kind of request."""

    seconds: float = 0.0
    latencies: dict[str, list[float]] = field(default_factory=dict)
    waiting: dict[str, list[float]] = field(default_factory=dict)  # without an answer for long, at its end
    errors: Counter[str] = field(default_factory=Counter)
    lag_ms: float = 0.0  # 99th percentile by which the users' own process was late
    received: int = 0
    users: int = 0
    lost: int = 0  # connections that ended by themselves

    @property
    def answered(self) -> int:
        return sum(map(len, self.latencies.values()))

    @property
    def failed(self) -> int:
        return self.errors.total()

    @property
    def error_rate(self) -> float:
        return self.failed / max(1, self.answered + self.failed)

    @property
    def per_second(self) -> float:
        return self.answered / self.seconds if self.seconds else 0.0

    def percentile(self, share: float, less: Callable[[str], float] = lambda kind: 0.0) -> float:
        """Milliseconds; `less` says what to take off each latency of a kind. NaN without samples."""
        all_ = sorted(
            one - less(kind)
            for some in (self.latencies, self.waiting)
            for kind, found in some.items()
            for one in found
        )
        return all_[math.ceil(share * len(all_)) - 1] if all_ else math.nan

    def after(self, later: Window) -> Window:
        """This window and the one right after it as one."""
        seconds = self.seconds + later.seconds
        return Window(seconds, **_sums(self, later), waiting=later.waiting, users=later.users)

    def beside(self, other: Window) -> Window:
        """This window and the same time's of another process as one."""
        waiting = _joined(self.waiting, other.waiting)
        seconds, users = max(self.seconds, other.seconds), self.users + other.users
        return Window(seconds, **_sums(self, other), waiting=waiting, users=users)


def _sums(one: Window, other: Window) -> dict[str, Any]:
    return {
        "latencies": _joined(one.latencies, other.latencies),
        "errors": one.errors + other.errors,
        "lag_ms": max(one.lag_ms, other.lag_ms),
        "received": one.received + other.received,
        "lost": one.lost + other.lost,
    }


def _joined(one: dict[str, list[float]], other: dict[str, list[float]]) -> dict[str, list[float]]:
    return {kind: one.get(kind, []) + other.get(kind, []) for kind in {*one, *other}}


class Crowd:
    """Users in `processes` processes, all asking the same port."""

    def __init__(self, port: int, processes: int, arguments: Sequence[str], directory: Path) -> None:
        self.children = [
            lines.start(
                f"crowd-{number}",
                ["bench.crowd", f"--port={port}", f"--process={number}", *arguments],
                directory,
            )
            for number in range(processes)
        ]

    @property
    def pids(self) -> list[int]:
        return [child.process.pid for child in self.children]

    def users(self, count: int, patience: float = 60.0) -> int:
        """Brings the number of users to `count`. Raises BenchError if not all of them could connect."""
        each, extra = divmod(count, len(self.children))
        commands = [{"do": "users", "count": each + (n < extra)} for n in range(len(self.children))]
        answers = self._ask(commands, patience)
        there: int = sum(answer["users"] for answer in answers)
        if there < count:
            raise BenchError(f"{count - there} of {count} users could not connect: {answers[0]['failed']}")
        return there

    def pace(self, think: float) -> None:
        self._ask([{"do": "pace", "think": think}] * len(self.children), 30)

    def ask(self, kind: str, times: int) -> None:
        """One user more, who asks so often without a pause. Raises BenchError if an answer is not a 2xx."""
        answer = self._ask([{"do": "ask", "kind": kind, "times": times}] * len(self.children), 60)[0]
        if set(answer["statuses"]) - {"200", "201"}:
            raise BenchError(f"{kind}: answered {answer['statuses']}")

    def measure(self, seconds: float) -> Window:
        answers = self._ask([{"do": "measure", "seconds": seconds}] * len(self.children), seconds + 60)
        total = Window()
        for answer in answers:
            total = total.beside(Window(**{**answer, "errors": Counter(answer["errors"])}))
        return total

    def stop(self) -> None:
        for child in self.children:
            child.stop()

    def _ask(self, commands: Sequence[dict[str, Any]], patience: float) -> list[dict[str, Any]]:
        """All at once, then all answers. Raises BenchError for one that ends or is late."""
        for child, command in zip(self.children, commands, strict=True):
            lines.tell(child, command)
        until = time.monotonic() + patience
        return [lines.hear(child, until) for child in self.children]
