"""How many users a target bears within its bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from bench.crowd.driver import Window
from bench.crowd.mix import SHARES
from bench.crowd.usage import Meter, memory
from bench.headline.parts import Parts, Target
from bench.headline.search import most

ERRORS = 0.001  # share of requests that may fail
CEILING = 17_000  # users: the connections that one process of users can have
FIRST, COUNTED = 40, 10  # requests: after the first ones each process has its connection and statements
RUSH, RUSH_THINK = 400, 0.2  # users who open connections, and their pause in seconds
NEARLY = 4.0  # times the bound; what is beyond that is not tried again
HOPELESS = 0.75  # a step ends early when this share of latencies is needed to be within the bound


@dataclass(frozen=True)
class Plan:
    """Seconds, and the pause that users make."""

    think: float
    settle: float  # before each measurement
    seconds: float  # of each measurement
    samples: int  # requests that a measurement should have; it may take twice as long for them
    precision: float


@dataclass(frozen=True)
class Step:
    """One number of users, tried."""

    users: int
    held: bool
    p50_ms: float
    p99_ms: float
    judged_ms: float  # the P99 that the bound is for
    per_second: float
    error_rate: float
    errors: dict[str, int]
    lag_ms: float
    received: float  # bytes per request
    trips: float  # round trips to the database and the FX provider per request
    cpu: dict[str, float]  # cores
    limit: str


def waits(parts: Parts) -> dict[str, int]:
    """Round trips of a request of each kind, counted by the relay for a lone user of the current target."""
    parts.relay.wait(0)
    counted = {}
    for kind in SHARES:
        parts.crowd.ask(kind, FIRST)
        before = parts.relay.trips()
        parts.crowd.ask(kind, COUNTED)
        counted[kind] = round((parts.relay.trips() - before) / COUNTED)
    return counted


def capacity(
    parts: Parts, target: Target, wait: float, trips: dict[str, int], plan: Plan, guess: int
) -> dict[str, Any]:
    """The most users, each step on the way, and what the processes held in memory at the last one."""
    parts.route(target)
    parts.relay.wait(wait)
    _warm(parts, target, plan)
    steps: list[Step] = []
    # Each kind is more than one request in a hundred: P99 is at least what the slowest waits.
    plus = target.plus_waits or wait * max(trips.values()) > target.bound

    def holds(users: int) -> bool:
        steps.append(_step(parts, target, users, plan, _less(trips, wait, plus)))
        _tell(target, wait, steps[-1])
        if not steps[-1].held:
            parts.crowd.users(0)  # the next number starts from rest
        return steps[-1].held

    best = most(holds, guess, CEILING, plan.precision)
    if not best and not plus:  # not even one user, with what a request takes beside its waits
        plus = True
        best = most(holds, guess, CEILING, plan.precision)
    result = {
        "target": target.name,
        "processes": target.processes,
        "wait_ms": wait,
        "users": best,
        "plus_waits": plus,
        "bound_ms": target.bound,
        "trips": trips,
        "steps": [asdict(step) for step in steps],
        "memory": memory(target.pids),
        "proxy_memory": memory(parts.kinds["proxy"]),
        "database_connections": parts.database_connections(),
    }
    parts.crowd.users(0)
    return result


def _warm(parts: Parts, target: Target, plan: Plan) -> None:
    """Connections are opened and statements prepared, as they are in a service that has run for a while.

    Opening one takes four round trips, and the first use of a statement on it one more: a crowd that hardly
    thinks opens as many as will be needed.
    """
    parts.crowd.users(RUSH if target.backend == "async" else target.processes)
    parts.crowd.pace(RUSH_THINK)
    parts.crowd.measure(2 * plan.settle)
    parts.crowd.pace(plan.think)
    parts.crowd.users(0)


def _less(trips: dict[str, int], wait: float, plus: bool) -> Callable[[str], float]:
    """What to take off the latency of each kind: its own waits, or nothing."""
    return lambda kind: trips.get(kind, 0) * wait if plus else 0.0


def _step(parts: Parts, target: Target, users: int, plan: Plan, less: Callable[[str], float]) -> Step:
    """Tried a second time if it did not hold but nearly: connections may have been cold, neighbours loud."""
    parts.crowd.users(users)
    parts.crowd.measure(plan.settle)
    step = _watch(parts, target, plan, less)
    if not step.held and step.judged_ms < NEARLY * target.bound:
        step = _watch(parts, target, plan, less)
    return step


def _watch(parts: Parts, target: Target, plan: Plan, less: Callable[[str], float]) -> Step:
    trips, meter = parts.relay.trips(), Meter({"backend": target.pids, **parts.kinds})
    window, bound = Window(), target.bound
    while window.seconds < plan.seconds or (
        window.answered < plan.samples and window.seconds < 2 * plan.seconds
    ):
        window = window.after(parts.crowd.measure(plan.seconds / 3))
        if window.percentile(HOPELESS, less) > bound or window.error_rate > 50 * ERRORS:
            break
    cpu = meter.read()
    judged = window.percentile(0.99, less)
    return Step(
        users=window.users,
        held=judged <= bound and window.error_rate < ERRORS,
        p50_ms=window.percentile(0.5),
        p99_ms=window.percentile(0.99),
        judged_ms=judged,
        per_second=window.per_second,
        error_rate=window.error_rate,
        errors=dict(window.errors),
        lag_ms=window.lag_ms,
        received=window.received / max(1, window.answered),
        trips=(parts.relay.trips() - trips) / max(1, window.answered),
        cpu=cpu,
        limit=limit(cpu, target.processes),
    )


def limit(cpu: dict[str, float], processes: int) -> str:
    """What there is no more of, judged from CPU time: the machine's, the backend's, or neither."""
    if cpu["machine"] >= 0.93 * cpu["cores"]:
        return "the machine's CPU"
    if cpu["backend"] >= 0.85 * min(processes, cpu["cores"]):
        return "the backend's CPU"
    return "waiting"


def _tell(target: Target, wait: float, step: Step) -> None:
    verdict = "holds" if step.held else "does not hold"
    print(
        f"{target.name:14} wait {wait:3g} ms {step.users:6} users: p99 {step.p99_ms:8.1f} ms, judged "
        f"{step.judged_ms:8.1f}, {step.per_second:7.1f}/s, errors {100 * step.error_rate:.2f} %, backend "
        f"{step.cpu['backend']:.2f}, others {step.cpu['others']:.2f} and machine {step.cpu['machine']:.2f} "
        f"cores: {verdict} ({step.limit})",
        flush=True,
    )
