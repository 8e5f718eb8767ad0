"""Rules that name differences which are expected; `proxy.core.judge` applies them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from proxy.core.exactjson import Json, text_of
from proxy.core.fieldpaths import Pattern, parse_pattern

RuleKind = Literal["ignore", "unordered", "tolerance", "time", "equal"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of `compare.rules`. `path` is a pattern of `proxy.core.fieldpaths`; a rule that has expired
    hides nothing.

    ignore: whatever differs at `path` or below. unordered: the arrays at `path` are compared as sets, their
    elements told apart by the member `by`, or as a whole if that is None. tolerance: numbers, also those
    written as text, at most `within` apart. time: times at most `within` seconds apart. equal: all `values`
    mean the same.
    """

    kind: RuleKind
    path: str
    by: str | None = None
    within: Decimal = Decimal(0)
    values: tuple[Json, ...] = ()
    reason: str = ""
    owner: str = ""
    expires: date | None = None

    def __str__(self) -> str:
        """Such as `tolerance total within 0.01 (rounding, by qa, until 2030-01-31)`."""
        detail = {
            "unordered": f" by {self.by}" if self.by else "",
            "tolerance": f" within {self.within}",
            "time": f" within {self.within}s",
            "equal": f" {', '.join(map(text_of, self.values))}",
        }.get(self.kind, "")
        about = [self.reason, f"by {self.owner}" if self.owner else ""]
        about.append(f"until {self.expires}" if self.expires else "")
        notes = ", ".join(filter(None, about))
        return f"{self.kind} {self.path}{detail}" + (f" ({notes})" if notes else "")

    @property
    def pattern(self) -> Pattern:
        return parse_pattern(self.path)

    def expired(self, today: date) -> bool:
        """The last day still counts."""
        return self.expires is not None and self.expires < today
