"""How the answers of both backends are compared: for live traffic, for one request, and for a file.

All three use the same rules on the same day, count for the same versions, and remove secrets before
anything is kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from proxy.compare.client import Asked
from proxy.compare.samples import document_of, redacted, redactor_for, sample
from proxy.core.comparison.comparisons import Sample, Scope, fields_of, label, settings_hash
from proxy.core.comparison.differences import Answer, Difference, not_comparable
from proxy.core.comparison.judge import Judged, judge
from proxy.core.comparison.made import Made
from proxy.core.comparison.marks import Mark, distances, farther, marks_of
from proxy.core.comparison.noise import LOOKS, Following, Look, Observed
from proxy.core.comparison.units import NOBODY, Asker, shape_of_parameters, unit_of, unit_of_ids
from proxy.core.http1.names import VERSION
from proxy.core.http1.request import RequestHead
from proxy.core.privacy.redact import Redactor
from proxy.core.routing import paths
from proxy.core.routing.snapshot import Snapshot
from proxy.core.routing.table import parameters
from proxy.core.settings import ASYNC, BACKENDS, LEGACY, BackendName, Compare, Endpoint

AGAIN: Final = "again"

Answers = Mapping[str, Asked | None]
"""By side: legacy, async, and AGAIN. None: it was asked and gave no whole answer."""

AskRound = Callable[[Sequence[str]], Awaitable[Answers]]
"""Asks these sides, in this order."""


class NotJudged(Exception):
    """Why these answers must not be judged."""


class Finding(NamedTuple):
    """One comparison. `differences` are of async from legacy, redacted. `observed` says what counts of it.

    `status` is legacy's, `fields` are paths of values in its answer, `hidden` the differences by rule. Times
    in seconds; None: not measured. `slowest` of legacy, async and AGAIN, "" if not all three were asked.
    """

    scope: Scope
    differences: Collection[Difference]
    observed: Observed
    status: int
    fields: Collection[str]
    hidden: Mapping[str, int]
    legacy: float | None
    async_: float | None
    left_out: int = 0  # differences beyond those that are told apart
    asker: Asker = NOBODY
    slowest: str = ""
    unreadable: str = ""  # why the bodies could not be compared

    @property
    def paths(self) -> set[str]:
        return {each.path for each in self.differences}


def today() -> date:
    """The day by which rules expire: that of this machine, as where verdicts are looked up."""
    return date.today()


def endpoint_of(snapshot: Snapshot, head: RequestHead) -> Endpoint | None:
    """The endpoint whose settings judge the answers to this request; None if it is not listed."""
    segments = paths.split(head.target)
    return None if segments is None else snapshot.table.find(head.method, segments)


def judged(settings: Compare, legacy: Asked, async_: Asked, day: date) -> Judged:
    """As it came: nothing is redacted."""
    return judge(legacy.answer, async_.answer, settings.headers, settings.rules, day)


class AnswerContrast:
    """How one answer differs from another: as it came, and as marks under redacted paths.

    `names` are the redacted paths of earlier differences. A redacted path depends only on the path, and
    redacting the values again for each of many looks would cost more than comparing.
    """

    def __init__(
        self, found: Judged, answers: tuple[Answer, Answer], redactor: Redactor, names: dict[str, str]
    ) -> None:
        self._found = found
        self._answers = answers
        self._redactor = redactor
        self._names = names

    @property
    def differences(self) -> list[Difference]:
        """Redacted."""
        return redacted(self._found.differences, self._redactor)

    @property
    def hidden(self) -> dict[str, int]:
        """How many differences each rule hid."""
        hidden: dict[str, int] = {}
        for rule, number in self._found.hidden:
            hidden[str(rule)] = hidden.get(str(rule), 0) + number
        return hidden

    @property
    def left_out(self) -> int:
        return self._found.left_out

    @property
    def unreadable(self) -> str:
        """Why the bodies could not be compared; "" if they could."""
        return self._found.unreadable

    def by_nature(self, made: Made, request: bytes) -> frozenset[Mark]:
        """Values that each backend made up for itself, in any order, but of the same shape."""
        names = {name for name, _ in self._named(made.among(self._found.differences, request))}
        return frozenset(mark for mark in self.marks if mark.path in names and mark.kind != "shape")

    @property
    def marks(self) -> frozenset[Mark]:
        found = self._found.differences
        if not found:
            return frozenset()
        in_arrays = any(isinstance(step, int) for each in found for step in each.steps)
        documents = map(document_of, self._answers) if in_arrays else (None, None)
        return marks_of(self._named(found), *documents)

    @property
    def distances(self) -> dict[str, Decimal | None]:
        return distances(self._named(self._found.differences))

    def _named(self, found: Sequence[Difference]) -> Iterator[tuple[str, Difference]]:
        for each in found:
            name = self._names.get(each.path)
            if name is None:
                (shown,) = redacted([each], self._redactor)
                name = self._names[each.path] = shown.path
            yield name, each


class Judging(NamedTuple):
    """One request, and how its answers are judged. `name` is that under which the evidence is kept.

    `versions` are the configured ones, for answers that say none; `names` those of paths met so far.
    """

    name: str
    head: RequestHead
    settings: Compare
    versions: Mapping[BackendName, str]
    redactor: Redactor
    day: date
    names: dict[str, str]
    asker: Asker = NOBODY

    @classmethod
    def of(
        cls,
        snapshot: Snapshot,
        name: str,
        settings: Compare,
        head: RequestHead,
        key: bytes,
        day: date,
        asker: Asker = NOBODY,
    ) -> Judging:
        """`key` is for the hashes that replace secrets. Raises NotJudged."""
        redactor = redactor_for(key, settings, head)
        if redactor.overwhelmed:
            raise NotJudged("too many credentials")
        versions = {side: snapshot.backend(side).version for side in BACKENDS}
        return cls(name, head, settings, versions, redactor, day, {}, asker)

    def scope(self, answers: Answers) -> Scope:
        """Which comparisons these answers may be added to."""
        legacy, async_ = (
            label((given.answer.headers.get(VERSION) if given else "") or self.versions[side])
            for side, given in ((side, answers[side]) for side in BACKENDS)
        )
        return Scope(self.name, legacy, async_, settings_hash(self.settings, self.day))

    def finding(
        self, answers: Answers, baseline: BackendName = LEGACY, made: Made | None = None, body: bytes = b""
    ) -> Finding:
        """Of the first look. `baseline` is the side that was asked AGAIN, if any was. Legacy has answered.

        With `made`, neither was asked AGAIN, because asking changes something. Noise is then what differs by
        nature in the answers to a request with this `body`.
        """
        legacy, async_ = _given(answers[LEGACY]), answers[ASYNC]
        found = None if async_ is None else self.contrast(legacy, async_)
        observed = self._observed(answers, found, baseline)
        if made is not None and found is not None:
            observed = Observed(found.marks, found.by_nature(made, self.head.target + b"\n" + body))
        return Finding(
            scope=self.scope(answers),
            differences=() if found is None else found.differences,
            observed=observed,
            status=legacy.answer.status,
            fields=self._values(legacy),
            hidden={} if found is None else found.hidden,
            legacy=_seconds(legacy),
            async_=None if async_ is None else _seconds(async_),
            left_out=0 if found is None else found.left_out,
            asker=self.asker,
            slowest=_slowest(answers),
            unreadable="" if found is None else found.unreadable,
        )

    def contrast(self, one: Asked, other: Asked) -> AnswerContrast:
        """How the second answer differs from the first."""
        found = judged(self.settings, one, other, self.day)
        return AnswerContrast(found, (one.answer, other.answer), self.redactor, self.names)

    def look(self, first: Answers, later: Answers) -> Look | None:
        """What one more round of legacy, async, legacy shows; None if one did not answer completely."""
        legacy, async_, again = (later.get(side) for side in (LEGACY, ASYNC, AGAIN))
        if legacy is None or async_ is None or again is None:
            return None
        before = _given(first[LEGACY])
        if any(not_comparable(before.answer, each.answer) for each in (legacy, async_, again)):
            return None
        return Look(
            async_=self._marks(legacy, async_),
            again=self._marks(legacy, again),
            legacy_moved=self._marks(before, legacy),
            again_moved=self._marks(first.get(AGAIN) or before, again),
            async_moved=self._marks(_given(first[ASYNC]), async_),
        )

    async def follow(
        self, finding: Finding, suspects: frozenset[Mark], first: Answers, ask: AskRound
    ) -> Finding:
        """The finding, with what becomes of the suspects when both are asked up to LOOKS more times."""
        following, complete = Following(finding.observed, suspects), True
        for _ in range(LOOKS if suspects else 0):
            if not following.open:
                break
            look = self.look(first, await ask((LEGACY, ASYNC, AGAIN)))
            if look is None:
                complete = False
                break
            following.add(look)
        return finding._replace(observed=following.result(complete))

    def _observed(self, answers: Answers, found: AnswerContrast | None, baseline: BackendName) -> Observed:
        """With distances if legacy was asked twice. Not of dry runs, which come later than the real write."""
        ours = frozenset[Mark]() if found is None else found.marks
        one, again = answers[baseline], answers.get(AGAIN)
        if found is None or one is None or again is None:
            return Observed(ours, unanswered=found is None)
        own = self.contrast(one, again)
        if own.unreadable:
            return Observed(ours)
        if baseline != LEGACY:
            return Observed(ours, own.marks)
        async_, legacy = farther(found.distances, own.distances)
        return Observed(ours | async_, own.marks | legacy)

    def _marks(self, one: Asked, other: Asked) -> frozenset[Mark]:
        return self.contrast(one, other).marks

    def sample(self, id: str, time: float, answers: Answers, finding: Finding) -> Sample:
        """What may be kept of it; `time` in Unix seconds."""
        return sample(
            (id, finding.scope, time),
            self.head,
            {side: given for side, given in answers.items() if given is not None},
            tuple(finding.differences),
            finding.left_out,
            self.settings,
            self.redactor,
        )

    def _values(self, asked: Asked) -> set[str]:
        """Paths of the values in a JSON body."""
        document = document_of(asked.answer)
        if document is None:
            return set()
        shown = self.redactor.json(document) if self.redactor.hides_fields else document
        return set(map(self.redactor.text, fields_of(shown)))


def asker_of(snapshot: Snapshot, endpoint: Endpoint, head: RequestHead, peer: bytes) -> Asker:
    """Whose request this is, and what it asks for."""
    shape, segments = shape_of_parameters(head.target), paths.split(head.target)
    if segments is None:
        return Asker(shape=shape)
    sources = snapshot.assignments[endpoint.index].keys
    keys = (each.key(head.fields, segments, peer.decode("latin-1")) for _, each in sources)
    key = next((key for key in keys if key is not None), None)
    user = None if key is None else unit_of(snapshot.salt, endpoint.group, key)
    return Asker(user, unit_of_ids(parameters(endpoint.template, segments)), shape)


def _given(asked: Asked | None) -> Asked:
    if asked is None:
        raise ValueError("there is no answer to judge")
    return asked


def _slowest(answers: Answers) -> str:
    """Of three that were asked in turn; "" where less is known, or two took the same time."""
    times = {side: given.seconds for side, given in answers.items() if given is not None and given.upstream}
    if len(times) < 3:
        return ""
    return max(times, key=lambda side: times[side])


def _seconds(asked: Asked) -> float | None:
    """None of an answer that a client got: its latency was measured otherwise."""
    return asked.seconds if asked.upstream else None
