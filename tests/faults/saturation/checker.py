"""The verdict, from what clients saw, what backends executed, and what the store lists as unknown. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from tests.faults.saturation.clients import Write


@dataclass(frozen=True)
class Seen:
    """`executed`: how often each key was, by both backends together; `unknown`: the keys that are listed."""

    writes: Sequence[Write]
    executed: Counter[str]
    unknown: AbstractSet[str]
    foreign: Sequence[str] = ()
    hung: Sequence[str] = ()
    violations: int = 0

    @property
    def twice(self) -> list[str]:
        return [key for key, count in self.executed.items() if count > 1]


def check(seen: Seen) -> list[str]:
    """Every violation in words; empty: all is as it must be."""
    found = [f"{key} was executed {seen.executed[key]} times" for key in seen.twice]
    asked = {write.key for write in seen.writes}
    found += [f"{key} was executed and nobody asked for it" for key in seen.executed if key not in asked]
    for write in seen.writes:
        found += _check_write(write, seen.executed[write.key], write.key in seen.unknown)
    found += [f"a foreign answer: {what}" for what in seen.foreign]
    found += [f"{nonce} was never answered" for nonce in seen.hung]
    if seen.violations:
        found.append(f"the proxy counted {seen.violations} violations of its own invariants")
    return found


def _check_write(write: Write, times: int, listed: bool) -> Iterator[str]:
    match write.outcome:
        case "acknowledged":
            if not times:
                yield f"{write.key} was acknowledged and never executed"
        case "refused":
            yield f"{write.key} was refused: {write.answer}"
        case "unknown":
            if not listed:
                yield f"{write.key} is unknown to its client, and not listed as unknown"
        case "open":
            if not listed:
                yield f"{write.key} never came to an end ({write.answer}), and is not listed as unknown"
