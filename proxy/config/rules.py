"""The entries of `compare.rules`: which keys belong together, and what they compile to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from proxy.config.errors import Path
from proxy.core.documents.fieldpaths import HEADER, STATUS
from proxy.core.settings import ComparisonRule, RuleKind

if TYPE_CHECKING:
    from proxy.config.model import CompareRuleSection

KINDS: Final[tuple[RuleKind, ...]] = ("ignore", "unordered", "tolerance", "time", "equal")
_DETAILS: Final[dict[str, frozenset[RuleKind]]] = {
    "by": frozenset({"unordered"}),
    "within": frozenset({"tolerance", "time"}),
    "values": frozenset({"equal"}),
}


class Named(NamedTuple):
    kind: RuleKind
    path: str


def check_rules(path: Path, rules: Sequence[CompareRuleSection]) -> Iterator[tuple[Path, str]]:
    """Paths of what is wrong, each with a phrase that follows the value."""
    for position, rule in enumerate(rules):
        yield from _check((*path, position), rule)


def compile_rule(rule: CompareRuleSection) -> ComparisonRule:
    """Of one that has passed the checks."""
    (named,) = _named(rule)
    within = (rule.within or "0").removesuffix("s")
    return ComparisonRule(
        named.kind,
        named.path,
        by=rule.by,
        within=Decimal(within),
        values=tuple(_value(value) for value in rule.values or ()),
        reason=rule.reason,
        owner=rule.owner,
        expires=date.fromisoformat(rule.expires) if rule.expires else None,
    )


def _check(path: Path, rule: CompareRuleSection) -> Iterator[tuple[Path, str]]:
    named = _named(rule)
    if len(named) != 1:
        yield path, f"must contain exactly one of {', '.join(KINDS)}"
        return
    kind, place = named[0]
    for detail, kinds in _DETAILS.items():
        if getattr(rule, detail) is not None and kind not in kinds:
            yield (*path, detail), f"does not belong to {kind}, only to {' and '.join(sorted(kinds))}"
    if kind == "unordered" and place.startswith((HEADER, STATUS)):
        yield (*path, kind), "is not a place in the body"
    if kind in _DETAILS["within"]:
        wanted = "a duration such as 2s" if kind == "time" else "a number such as 0.01"
        if rule.within is None:
            yield (*path, "within"), f"is required: {wanted}"
        elif rule.within.endswith("s") != (kind == "time"):
            yield (*path, "within"), f"is not {wanted}"
    if kind == "equal" and len(rule.values or ()) < 2:
        yield (*path, "values"), "is not a list of two or more equivalent values"


def _named(rule: CompareRuleSection) -> list[Named]:
    found = [(kind, getattr(rule, kind)) for kind in KINDS]
    return [Named(kind, place) for kind, place in found if place is not None]


def _value(value: Any) -> Any:
    return Decimal(str(value)) if isinstance(value, float) else value
