"""What a run says at its end."""

from __future__ import annotations

from collections.abc import Iterator

from tests.faults.saturation.run import Result

SHOWN = 50  # problems, one by one


def lines(result: Result) -> Iterator[str]:
    seen = result.seen
    yield f"timeouts: {result.plan.timeouts}"
    for episode in result.plan.episodes:
        what = f"{episode.kind} {episode.target}".strip()
        yield (
            f"  {episode.at:7.1f} s: {episode.connections} connections, weight {episode.weight}, "
            f"{what} {episode.seconds:g} s"
        )
    for title, counts in (
        ("faults", result.fired),
        ("answers", result.statuses),
        ("writes", result.outcomes),
    ):
        yield f"{title}:"
        for name, count in sorted(counts.items()):
            yield f"  {count:7} {name}"
    yield f"{len(seen.writes)} keys, {result.reads} reads, {result.left} clients left"
    yield f"executed twice or more: {len(seen.twice)} of {len(seen.writes)} keys"
    yield f"foreign answers: {len(seen.foreign)} of {result.statuses.total()}"
    yield f"unknown, and listed: {len(seen.unknown)}"
    yield f"never answered: {len(seen.hung)}"
    yield f"invariants violated, as the proxy counts: {seen.violations}"
    for line in result.problems[:SHOWN]:
        yield f"PROBLEM: {line}"
    if len(result.problems) > SHOWN:
        yield f"PROBLEM: {len(result.problems) - SHOWN} more"
    for kind in result.never_fired:
        yield f"PROBLEM: the fault {kind} never happened"
    if failed(result):
        yield from (f"  proxy: {line}" for line in result.log)
    yield "failed" if failed(result) else "clean"


def failed(result: Result) -> bool:
    return bool(result.problems or result.never_fired)
