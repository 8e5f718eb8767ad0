"""What each threshold of a plan costs in time, by traffic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from bench.markdown import table
from bench.rollouts.runs import CAREFUL
from proxy.core.rollout.forecast import StepForecast, forecast
from proxy.core.settings import Advance, RolloutPlan
from proxy.core.weights import percent

RATES: Final = (1.0, 10.0, 100.0, 1000.0)
FAILING: Final = 0.002
NAMES: Final = {"failing": "failing: 1%", "no_worse": "no_worse: 1.5", "slower": "slower: 1.2"}


def costs() -> str:
    """Two tables: what each condition takes at each step, and how long a whole rollout takes."""
    return (
        "Time at each step until one condition alone is met, at so many users per second, each counted once, "
        f"if async is as good as legacy and {FAILING * 100:g} % of the users fail on both sides:\n\n"
        f"{table(_steps())}\n\nThe whole plan from 0 to `done`:\n\n{table(_plans())}"
    )


def _steps() -> list[list[str]]:
    rows = [["from", "to", "condition", *(f"{rate:,.0f}/s" for rate in RATES)]]
    found = [forecast(CAREFUL, rate, FAILING) for rate in RATES]
    for place, weight in enumerate(CAREFUL.steps[:-1]):
        for name, text in NAMES.items():
            if weight:
                cells = [_span(each[place].conditions.get(name)) for each in found]
                rows.append(
                    [f"{percent(weight)} %", f"{percent(CAREFUL.steps[place + 1])} %", f"`{text}`", *cells]
                )
    return rows


def _plans() -> list[list[str]]:
    plans = {
        "the default": CAREFUL,
        "`slower: off`": _asking(slower=None),
        "`failing: 5%`": _asking(failing=0.05),
        "`failing: 0.1%`, `slower: off`": _asking(failing=0.001, slower=None),
        "`slower: 1.5`": _asking(slower=1.5),
    }
    rows = [["`advance`, without parity", *(f"{rate:,.0f}/s" for rate in RATES)]]
    for name, plan in plans.items():
        rows.append([name, *(_span(_whole(forecast(plan, rate, FAILING))) for rate in RATES)])
    return rows


def _asking(
    failing: float | None = 0.01, no_worse: float | None = 1.5, slower: float | None = 1.2
) -> RolloutPlan:
    return replace(CAREFUL, advance=Advance(failing, no_worse, slower, None))


def _whole(steps: Sequence[StepForecast]) -> float | None:
    total = 0.0
    for each in steps:
        if each.seconds is None:
            return None
        total += each.seconds
    return total


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    for unit, name in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.2g} s"
