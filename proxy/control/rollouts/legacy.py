"""Whether legacy is as it was when a step began, and whether it could still take everything back. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from proxy.control.rollouts.about import About
from proxy.core.settings import ASYNC, LEGACY
from proxy.core.traffic.totals import WINDOW, Figures, Series

ENOUGH: Final = 50  # requests in a minute that say anything
TIMES: Final = 2.0  # its own errors, or its 95th percentile, that are worse
POINTS: Final = 0.01  # at least so much more of its requests fail
SECONDS: Final = 0.01  # at least so much slower
GROWTH: Final = 1.5  # of what it has taken before, that it may be able to take


def measured(kept: About, stepped: float, minute: Figures) -> About:
    """With the baseline of this step, once there is traffic to take it from."""
    if kept.stepped != stepped:
        kept = replace(kept, stepped=stepped, errors=None, p95=None)
    if kept.errors is None and _says_anything(minute):
        kept = replace(kept, errors=minute.error_rate, p95=minute.p95)
    return kept


def worse(kept: About, minute: Figures) -> str:
    """In which respect, in words; "" if it is not, or nobody can tell."""
    if kept.errors is None or minute.error_rate is None or not _says_anything(minute):
        return ""
    if minute.error_rate > max(TIMES * kept.errors, kept.errors + POINTS):
        return (
            f"{_percent(minute.error_rate)} of its requests fail, {_percent(kept.errors)} when the step began"
        )
    if kept.p95 and minute.p95 and minute.p95 > max(TIMES * kept.p95, kept.p95 + SECONDS):
        now, then = _milliseconds(minute.p95), _milliseconds(kept.p95)
        return f"one request in twenty takes longer than {now}, {then} when the step began"
    return ""


def load(figures: Mapping[Series, Figures]) -> tuple[float, float]:
    """Requests per second of legacy and of async over all endpoints."""
    return _sum(figures, LEGACY), _sum(figures, ASYNC)


def capacity(proven: float, now: tuple[float, float], failing: Iterable[str]) -> str:
    """A doubt whether legacy could take all that async takes; "" for none. `proven` is what it has taken."""
    if LEGACY in failing:
        return "legacy does not answer, and could take nothing back"
    legacy, async_ = now
    if async_ <= 0 or legacy + async_ <= GROWTH * proven:
        return ""
    return (
        f"legacy would have to take {legacy + async_:.3g} requests per second if everything came back, and "
        f"was not seen to take more than {proven:.3g}"
    )


def _says_anything(minute: Figures) -> bool:
    return minute.requests_per_second * WINDOW >= ENOUGH


def _sum(figures: Mapping[Series, Figures], backend: str) -> float:
    return sum(each.requests_per_second for (_, of), each in figures.items() if of == backend)


def _percent(share: float) -> str:
    return f"{share * 100:.2g} %"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"
