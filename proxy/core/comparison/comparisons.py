"""Results of comparing live traffic: the stored values, and what follows from them.

Counts are additive: the results of several replicas and runs for one scope are summed up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from math import log
from typing import Final, Literal, NamedTuple

from proxy.core.comparison import parity
from proxy.core.comparison.differences import Kind
from proxy.core.comparison.marks import Mark
from proxy.core.comparison.noise import OTHER, Counts
from proxy.core.comparison.parity import PARITY, Parity, judge
from proxy.core.comparison.units import UnitKind, UnitMap
from proxy.core.documents.exactjson import Json, text_of
from proxy.core.documents.fieldpaths import ROOT, Steps, member_path
from proxy.core.evidence.sequential import one_sided
from proxy.core.evidence.stats import BOUNDS, quantile
from proxy.core.settings import Compare

READ_BACK: Final = " (read-back)"
DRY_RUN: Final = " (dry run)"
"""Appended to a write's endpoint: the names under which evidence of read-backs and dry runs is kept."""

FEW: Final = 30  # comparisons in which a status or a field must have been seen, to say something about it

MAX_FIELDS: Final = 500  # distinguished in one body
MAX_LABEL: Final = 400  # characters of a path, rule or version

What = Literal["status", "field", "hidden", "legacy seconds", "async seconds", "outcome", "asked", "slowest"]
"""status: of legacy's answers. field: path of a value in legacy's JSON. hidden: differences, by rule.
seconds: of the answers, by index of the bucket in `stats.BOUNDS`. outcome: see `noise.Outcome`. asked: shapes
of parameters. slowest: which of legacy's first, async's and legacy's second answer took longest."""

Seen = Literal["live", "skipped", "asked"]
"""live: statuses of sampled live answers. skipped: samples that were not compared, by reason. asked: shapes
of parameters of what clients asked, compared or not."""


class Scope(NamedTuple):
    """Comparisons that may be added up: one endpoint, one version of each backend, the same settings.

    A version is "" if it is unknown; `rules` is a `settings_hash`.
    """

    endpoint: str
    legacy: str
    async_: str
    rules: str

    @property
    def id(self) -> str:
        """32 hex digits."""
        return hashlib.blake2b("\0".join(self).encode(), digest_size=16).hexdigest()


class PathCount(NamedTuple):
    """`first` and `last` seen, Unix seconds."""

    mark: Mark
    counts: Counts
    first: float
    last: float


class Count(NamedTuple):
    what: What
    label: str
    number: int


class Tally(NamedTuple):
    """What one scope gained in a second, or all that is known of it. Times in Unix seconds."""

    scope: Scope
    n: int
    m: int
    first: float
    last: float
    paths: tuple[PathCount, ...] = ()
    counts: tuple[Count, ...] = ()
    units: tuple[UnitMap, ...] = ()


class Traffic(NamedTuple):
    """What was counted of an endpoint's samples, whatever the versions. `last` in Unix seconds."""

    endpoint: str
    what: Seen
    label: str
    number: int
    last: float


class Side(NamedTuple):
    """One backend's answer, redacted. `body` is None if it is not kept: too large, binary, or withheld.

    `cut`: the body is longer than what is kept. `seconds` until the response head.
    """

    status: int
    headers: Mapping[str, str]
    body: str | None
    cut: bool
    size: int
    seconds: float


class Shown(NamedTuple):
    """One difference, redacted. Values are JSON text, so that 1 and 1.0 stay apart; None: there is none."""

    path: str
    kind: Kind
    legacy: str | None
    async_: str | None
    steps: Steps = ()


class Sample(NamedTuple):
    """One comparison in which something differed, redacted. `paths` are those of its differences."""

    id: str
    scope: Scope
    time: float
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    legacy: Side
    async_: Side
    differences: tuple[Shown, ...]
    left_out: int = 0

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.path for each in self.differences))


class LatencyQuantiles(NamedTuple):
    """Of shadow requests, in seconds; None if nothing was compared."""

    p50: float | None
    p95: float | None
    p99: float | None

    def in_ms(self) -> dict[str, float | None]:
        """By `p50_ms` and so on, as reports give them."""
        return {
            f"{name}_ms": None if value is None else round(value * 1000, 3)
            for name, value in self._asdict().items()
        }


Pace = Literal["slower", "faster", "noise"]
"""Of async, compared with legacy asked before and after it."""

PACE: Final = log(200.0)  # evidence for either direction: wrong in both together with a chance of 1 %
METHOD: Final = "2"  # of judging: evidence gathered by another does not count


class Report(NamedTuple):
    """The verdict of one scope with its evidence.

    `unseen_statuses` occurred in live traffic, but in fewer than FEW comparisons. `rare_fields` (path and
    number) occurred in fewer than FEW comparisons. `seen` is the first and last time of a difference, by its
    mark. `users` and `ids` count distinct ones that were compared. `asked` are the shapes of parameters that
    were compared; `unasked` occurred in live traffic, but in fewer than FEW comparisons.
    """

    scope: Scope
    parity: Parity
    first: float
    last: float
    seen: Mapping[Mark, tuple[float, float]]
    statuses: Mapping[str, int]
    unseen_statuses: tuple[str, ...]
    rare_fields: tuple[tuple[str, int], ...]
    hidden: Mapping[str, int]
    skipped: Mapping[str, int]
    legacy: LatencyQuantiles
    async_: LatencyQuantiles
    users: int = 0
    ids: int = 0
    asked: Mapping[str, int] = {}
    unasked: tuple[str, ...] = ()
    pace: Pace = "noise"


def settings_hash(settings: Compare, today: date) -> str:
    """16 hex digits: a hash of what decides whether answers are equal, without a rule's owner and reason."""
    valid = [rule for rule in settings.rules if not rule.expired(today)]
    rules = [
        (rule.kind, rule.path, rule.by or "", str(rule.within), *map(text_of, rule.values)) for rule in valid
    ]
    decisive = repr((METHOD, sorted(settings.headers), settings.max_body, rules))
    return hashlib.sha256(decisive.encode()).hexdigest()[:16]


def label(text: str) -> str:
    """As every database accepts it: without lone surrogates, and of limited length."""
    if len(text) > MAX_LABEL:
        text = f"{text[: MAX_LABEL - 1]}\u2026"
    return text.encode("utf-8", "replace").decode()


def fields_of(body: Json) -> set[str]:
    """The paths of all values in a JSON document, such as `items[].id`; the first MAX_FIELDS of them."""
    found: set[str] = set()
    waiting: list[tuple[str, Json]] = [("", body)]
    while waiting and len(found) < MAX_FIELDS:
        path, value = waiting.pop()
        if isinstance(value, dict) and value:
            waiting += [(member_path(path, name), item) for name, item in value.items()]
        elif isinstance(value, list) and value:
            waiting += [(f"{path}[]", item) for item in value]
        else:
            found.add(path or ROOT)
    return found


def latest(tallies: Iterable[Tally], endpoint: str, rules: str | None = None) -> Tally | None:
    """The newest of this endpoint, with these settings if given; None if there is none."""
    found = [
        each
        for each in tallies
        if each.scope.endpoint == endpoint and (rules is None or each.scope.rules == rules)
    ]
    return max(found, key=lambda each: each.last, default=None)


def report(tally: Tally, traffic: Sequence[Traffic] = (), limit: float = PARITY) -> Report:
    """What is known of one scope; `traffic` may hold other endpoints as well. `limit` is `compare.parity`."""
    mine = [each for each in traffic if each.endpoint == tally.scope.endpoint]
    statuses, asked = _labels(tally, "status"), _labels(tally, "asked")
    fields = _labels(tally, "field")
    return Report(
        scope=tally.scope,
        parity=judge(_seen(tally), limit),
        first=tally.first,
        last=tally.last,
        seen={each.mark: (each.first, each.last) for each in tally.paths},
        statuses=statuses,
        unseen_statuses=_unseen(mine, "live", statuses),
        rare_fields=tuple(
            sorted((each for each in fields.items() if each[1] < FEW), key=lambda each: each[1])
        ),
        hidden=_labels(tally, "hidden"),
        skipped={each.label: each.number for each in mine if each.what == "skipped"},
        legacy=_latency(_labels(tally, "legacy seconds")),
        async_=_latency(_labels(tally, "async seconds")),
        users=_units(tally, "users"),
        ids=_units(tally, "ids"),
        asked=asked,
        unasked=_unseen(mine, "asked", asked),
        pace=_pace(_labels(tally, "slowest")),
    )


def _seen(tally: Tally) -> parity.ParityCounts:
    """A request without a sticky key is a unit by itself."""
    outcomes = _labels(tally, "outcome")
    ordered = sorted(tally.paths, key=lambda each: (each.first, each.mark))
    return parity.ParityCounts(
        tally.n,
        tally.m,
        {each.mark: each.counts for each in ordered},
        units=_units(tally, "users") + outcomes.get("unkeyed", 0),
        bad=_units(tally, "users differing") + outcomes.get("unkeyed differs", 0),
        differs=outcomes.get("differs", 0),
        once=outcomes.get("once", 0),
        undecided=outcomes.get("undecided", 0),
        unanswered=outcomes.get("unanswered", 0),
        fields=len(_labels(tally, "field").keys() - {OTHER}),
    )


def _units(tally: Tally, what: UnitKind) -> int:
    return sum(each.number for each in tally.units if each.what == what)


def _unseen(traffic: Iterable[Traffic], what: Seen, compared: Mapping[str, int]) -> tuple[str, ...]:
    """What occurred in live traffic, but in hardly any comparison."""
    live = sorted({each.label for each in traffic if each.what == what})
    return tuple(each for each in live if compared.get(each, 0) < FEW)


def _pace(slowest: Mapping[str, int]) -> Pace:
    """Whether async, the second of three, is the slowest more often than legacy's first answer, which has the
    disadvantage of cold caches."""
    async_, legacy, again = (slowest.get(side, 0) for side in ("async", "legacy", "again"))
    if one_sided(async_, legacy) >= PACE:
        return "slower"
    return "faster" if one_sided(again, async_) >= PACE else "noise"


def _labels(tally: Tally, what: What) -> dict[str, int]:
    return {each.label: each.number for each in tally.counts if each.what == what}


def _latency(buckets: Mapping[str, int]) -> LatencyQuantiles:
    histogram = [buckets.get(str(index), 0) for index in range(len(BOUNDS) + 1)]
    return LatencyQuantiles(*(quantile(histogram, q) for q in (0.5, 0.95, 0.99)))
