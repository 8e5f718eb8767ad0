"""How far a rollout has come, in the words and shares that the page and the terminal show alike. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Final

PLENTY: Final = 1_000_000.0  # an e-value beyond this is not worth its digits
_STATES: Final = {"rolled_back": "rolled back", "approval": "waits for approval"}


def state_words(state: str) -> str:
    return _STATES.get(state, state)


def towards(value: float, needed: float) -> float:
    """How far an e-value has come to what it has to reach, or a bound to what it has to come down to: both
    are products, of which each user adds a factor."""
    if needed <= 0 or value <= 0:
        return 0.0
    if needed == 1:
        return 1.0
    return log(value) / log(needed)


def figures(name: str, value: float, need: float) -> str:
    """One thing that a step needs: a bound on a share of the users, or an e-value."""
    if name in ("failing", "parity"):
        if value >= 1:
            return f"nothing is shown yet; needed: under {100 * need:.3g} % of users"
        return f"shown: under {100 * value:.3g} % of users; needed: under {100 * need:.3g} %"
    shown = f"= {number(value)}" if value <= PLENTY else f"> {number(PLENTY)}"
    return f"E {shown}; needed: {need:g}"


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def estimate(seconds: float | None, missing: Sequence[str]) -> str:
    """When all is there that is missing; nothing if that is now."""
    if seconds is None:
        return "" if not missing else "how long it takes at this traffic cannot be told"
    return f"at this traffic: about {duration(seconds)}" if seconds else ""


def duration(seconds: float | None) -> str:
    """`3 d 4 h`, `2 h 5 min`, `4 min 3 s`, `50 s`; `never`."""
    if seconds is None:
        return "never"
    whole = round(seconds)
    for size, unit, smaller, name in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {name}" if rest else "")
    return f"{whole} s"
