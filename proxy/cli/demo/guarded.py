"""Rollouts in the demo: what the proxy says of them, and what clients saw meanwhile. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from proxy.cli.demo.claims import FAULTY_VERSION, SOUND_VERSION, Claim
from proxy.cli.demo.routing import FIRST, READS, STEPS
from proxy.cli.demo.tally import StepTally
from proxy.core.settings import ASYNC, BACKENDS, LEGACY

HANDFUL = 30
"""Users that a bad build may fail before it is rolled back; at 10 % of 1,000 it could fail 40."""
SETTLE = 0.5
"""Seconds around a step in which a worker may not have heard of it yet."""

Change = Mapping[str, Any]
"""One object of `GET /api/v1/rollouts/history`."""


@dataclass(slots=True)
class BuildRollout:
    """One rollout of one build. `slices` are what clients saw, moment by moment; `changes` is what the proxy
    did, the oldest first."""

    version: str
    changes: Sequence[Change] = ()
    slices: Sequence[StepTally] = ()
    endpoints: Sequence[str] = field(default=READS)

    @property
    def seen(self) -> StepTally:
        """By clients, of what took part, all in all."""
        whole = StepTally()
        for part in self.slices:
            whole.add_reads(part, {_group(each) for each in self.endpoints})
        return whole

    @property
    def failed_reads(self) -> int:
        """By this async, as clients saw it."""
        return sum(each.failed_by[ASYNC] for each in self.slices)

    def counted(self, side: str) -> int:
        """Failing users, as the proxy counted them: of each endpoint, step by step."""
        return sum(_failing(each, side) for each in self.changes if each["before"] or each["weight"])

    def step(self, weight: int) -> StepTally:
        """What clients saw while this weight was in force, of each group in its own time."""
        whole = StepTally()
        for group in sorted({_group(each) for each in self.endpoints}):
            times = [each for each in self.changes if _group(each["endpoint"]) == group]
            if (window := _window(times, weight)) is not None:
                began, ended = window[0] + SETTLE, window[1] - SETTLE
                for part, after in zip(self.slices, self.slices[1:], strict=False):
                    if part.began >= began and after.began <= ended:
                        whole.add_reads(part, {group})
        return whole

    def line(self) -> str:
        """For the summary."""
        seen = self.seen
        on_async, on_legacy = (
            f"{len(seen.failing(side))} of {len(seen.users(side))}" for side in (ASYNC, LEGACY)
        )
        return (
            f"async {self.version}: {self.outcome}; {on_async} users failed on async, {on_legacy} on legacy"
        )

    @property
    def outcome(self) -> str:
        fell = [each for each in self.changes if each["state"] == "rolled_back"]
        if fell:
            return f"rolled back from {fell[0]['before']:g} %"
        reached = min((_last(self.changes, each) for each in self.endpoints), default=0)
        return f"went to {reached:g} %"


def rolled_back(attempt: BuildRollout) -> Claim:
    """The bad build came back by itself, for what it did to users, and from the first step."""
    fell = [each for each in attempt.changes if each["state"] == "rolled_back"]
    cause = next((each for each in fell if each["why"] == "failing"), None)
    text = f"async {attempt.version}, which fails users, is rolled back by itself"
    if cause is None:
        return Claim(text, False, "; ".join(each["reason"] for each in fell) or "it was not rolled back")
    evidence, since = cause["evidence"], _time(cause) - _began(attempt.changes, cause)
    failed = {side: _failing(cause, side) for side in BACKENDS}
    held = (
        {each["endpoint"] for each in fell} == set(FIRST)
        and all(each["weight"] == 0 and not each["author"] for each in fell)
        and cause["before"] == STEPS[1]
        and failed[ASYNC] > failed[LEGACY]
        and cause["version"] == FAULTY_VERSION
    )
    told = (
        f"{cause['endpoint']} at {cause['before']:g} %, {since:.1f} s after it came there: "
        f"{cause['reason'].partition(': ')[2]}; E = {evidence['e_values']['failing']:,.0f} "
        f"of {evidence['threshold']:,.0f}"
    )
    return Claim(text, held, told)


def few_noticed(attempt: BuildRollout) -> Claim:
    """Clients counted for themselves: few were failed, and none of those that stayed on legacy."""
    seen = attempt.seen
    failed = {side: len(seen.failing(side)) for side in ("", *BACKENDS)}
    held = 0 < failed[ASYNC] <= HANDFUL and not failed[LEGACY] and not failed[""]
    evidence = (
        f"as clients saw it: {failed[ASYNC]} of {len(seen.users(ASYNC))} users failed on async, "
        f"{failed[LEGACY]} of {len(seen.users(LEGACY))} on legacy"
    )
    return Claim(f"no more than {HANDFUL} users were failed until then", held, evidence)


def went_to_the_end(attempt: BuildRollout, rollouts: Sequence[Mapping[str, Any]]) -> Claim:
    """Every read is done, each step was taken on evidence, and nobody helped."""
    done = [each["endpoint"] for each in rollouts if each["state"] == "done" and each["weight"] == 100]
    steps = {name: _steps(attempt.changes, name) for name in attempt.endpoints}
    versions = {each["version"] for each in attempt.changes if each["weight"]}
    held = (
        set(done) == set(READS)
        and all(found == sorted(found) and found[-1:] == [100] for found in steps.values())
        and versions == {SOUND_VERSION}
        and not any(each["state"] == "rolled_back" for each in attempt.changes)
    )
    took = _time(attempt.changes[-1]) - _time(attempt.changes[0]) if attempt.changes else 0.0
    waiting = "".join(
        f"; {each['endpoint']} is {each['state']} at {each['weight']:g} %: {each['reason']}"
        for each in rollouts
        if each["endpoint"] not in done
    )
    path = " -> ".join(map(str, STEPS))
    evidence = f"{len(done)} of {len(READS)} reads went {path} % and are done after {took:.0f} s{waiting}"
    return Claim(f"async {attempt.version}, repaired, goes to 100 % on evidence", held, evidence)


def failing_users(attempts: Sequence[BuildRollout]) -> Claim:
    """Per side and rollout. Whomever the proxy counted is somebody whom clients saw fail, and the repaired
    build failed nobody."""
    text = "failing users per side: the bad build failed some, the repaired one nobody"
    evidence = "; ".join(
        f"{each.line()}, of whom the proxy counted {each.counted(ASYNC)} and {each.counted(LEGACY)}"
        for each in attempts
    )
    if len(attempts) != 2:
        return Claim(text, False, evidence or "nothing was rolled out")
    bad, good = (
        {side: (len(each.seen.failing(side)), each.counted(side)) for side in BACKENDS} for each in attempts
    )
    seen, counted = bad[ASYNC]
    held = 0 < counted <= seen and bad[LEGACY] == good[ASYNC] == good[LEGACY] == (0, 0)
    return Claim(text, held, evidence)


def _failing(change: Change, side: str) -> int:
    """Those of the step that ends with this change."""
    moved = change["before"] != change["weight"] or change["state"] == "done"
    found = change["evidence"].get("failed_in_step", {}).get("failing", {}) if moved else {}
    return int(found.get(side, 0))


def _steps(changes: Iterable[Change], endpoint: str) -> list[float]:
    """The weights that it went to on evidence alone."""
    return [
        each["weight"]
        for each in changes
        if each["endpoint"] == endpoint and each["why"] == "evidence" and not each["author"]
    ]


def _window(changes: Sequence[Change], weight: int) -> tuple[float, float] | None:
    """From the last of a group that came to this weight, to the first that left it."""
    came = [_time(each) for each in changes if each["weight"] == weight != each["before"]]
    left = [_time(each) for each in changes if each["before"] == weight != each["weight"]]
    return (max(came), min(left, default=float("inf"))) if came else None


def _began(changes: Sequence[Change], end: Change) -> float:
    """When the step began that ended so."""
    came = (
        _time(each)
        for each in changes
        if each["endpoint"] == end["endpoint"] and each["weight"] == end["before"] != each["before"]
    )
    return max(came, default=_time(end))


def _last(changes: Sequence[Change], endpoint: str) -> float:
    found = [each["weight"] for each in changes if each["endpoint"] == endpoint]
    return float(found[-1]) if found else 0.0


def _group(endpoint: str) -> str:
    return endpoint.split("/")[1]


def _time(change: Change) -> float:
    return datetime.fromisoformat(change["time"]).timestamp()
