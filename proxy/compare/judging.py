"""How the answers of both backends are compared: for live traffic, for one request, and for a file.

All three use the same rules on the same day, count for the same versions, and remove secrets before
anything is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import Final, NamedTuple

from proxy.compare.client import Asked
from proxy.compare.samples import document_of, redacted, redactor_for, sample
from proxy.core.comparison.comparisons import Sample, Scope, fields_of, label, settings_hash
from proxy.core.comparison.differences import Difference, not_comparable
from proxy.core.comparison.judge import Judged, judge
from proxy.core.comparison.made import Made
from proxy.core.http1.names import VERSION
from proxy.core.http1.request import RequestHead
from proxy.core.privacy.redact import Redactor
from proxy.core.routing import paths
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import ASYNC, BACKENDS, LEGACY, BackendName, Compare, Endpoint

AGAIN: Final = "again"

Answers = Mapping[str, Asked]
"""By side: legacy, async, and AGAIN."""


class NotJudged(Exception):
    """Why these answers must not be judged."""


class Finding(NamedTuple):
    """One comparison. `differences` are of async from legacy, `again` of the baseline from itself, or None.

    Both are redacted. On the paths in `gone`, nothing was found that lasts. `status` is legacy's, `fields`
    are paths of values in its answer, `hidden` the differences by rule. Times in seconds; None: not measured.
    """

    scope: Scope
    differences: Collection[Difference]
    again: Collection[Difference] | None
    gone: Collection[str]
    status: int
    fields: Collection[str]
    hidden: Mapping[str, int]
    legacy: float | None
    async_: float | None
    left_out: int = 0  # differences beyond those that are told apart
    unreadable: str = ""  # why the bodies could not be compared

    @property
    def paths(self) -> set[str]:
        return {each.path for each in self.differences}


def today() -> date:
    """The day by which rules expire: that of this machine, as where verdicts are looked up."""
    return date.today()


def endpoint_of(snapshot: Snapshot, head: RequestHead) -> Endpoint | None:
    """By whose settings the answers to this request are judged; None if it is not listed."""
    segments = paths.split(head.target)
    return None if segments is None else snapshot.table.find(head.method, segments)


def judged(settings: Compare, legacy: Asked, async_: Asked, day: date) -> Judged:
    """As it came: nothing is redacted."""
    return judge(legacy.answer, async_.answer, settings.headers, settings.rules, day)


class Judging(NamedTuple):
    """One request, and how its answers are judged. `name` is that under which the evidence is kept.

    `versions` are the configured ones, for answers that say none.
    """

    name: str
    head: RequestHead
    settings: Compare
    versions: Mapping[BackendName, str]
    redactor: Redactor
    day: date

    @classmethod
    def of(
        cls, snapshot: Snapshot, name: str, settings: Compare, head: RequestHead, key: bytes, day: date
    ) -> Judging:
        """`key` is for the hashes that replace secrets. Raises NotJudged."""
        redactor = redactor_for(key, settings, head)
        if redactor.overwhelmed:
            raise NotJudged("too many credentials")
        versions = {side: snapshot.backend(side).version for side in BACKENDS}
        return cls(name, head, settings, versions, redactor, day)

    def scope(self, answers: Answers) -> Scope:
        """Which comparisons these answers may be added to."""
        legacy, async_ = (
            label(answers[side].answer.headers.get(VERSION) or self.versions[side]) for side in BACKENDS
        )
        return Scope(self.name, legacy, async_, settings_hash(self.settings, self.day))

    def finding(
        self, answers: Answers, baseline: BackendName = LEGACY, made: Made | None = None, body: bytes = b""
    ) -> Finding:
        """`baseline` is the side that was asked AGAIN, if any was.

        With `made` it was not, since asking changes something: noise is what differs by nature in the answers
        to one such request with this `body`.
        """
        legacy, async_ = answers[LEGACY], answers[ASYNC]
        found = judged(self.settings, legacy, async_, self.day)
        again = None
        if AGAIN in answers and not not_comparable(answers[baseline].answer, answers[AGAIN].answer):
            again = self.differences(answers[baseline], answers[AGAIN])
        if made is not None:
            again = redacted(made.among(found.differences, self.head.target + b"\n" + body), self.redactor)
        hidden: dict[str, int] = {}
        for rule, number in found.hidden:
            hidden[str(rule)] = hidden.get(str(rule), 0) + number
        return Finding(
            scope=self.scope(answers),
            differences=redacted(found.differences, self.redactor),
            again=again,
            gone=(),
            status=legacy.answer.status,
            fields=self._values(legacy),
            hidden=hidden,
            legacy=_seconds(legacy),
            async_=_seconds(async_),
            left_out=found.left_out,
            unreadable=found.unreadable,
        )

    def differences(self, one: Asked, other: Asked) -> list[Difference]:
        """Redacted."""
        return redacted(judged(self.settings, one, other, self.day).differences, self.redactor)

    def passing(self, suspects: set[str], answers: Answers, later: Answers) -> set[str]:
        """The suspects on which a backend later says something else, or both the same: nothing that lasts."""
        if not_comparable(later[LEGACY].answer, later[ASYNC].answer):
            return set()  # nobody knows
        still = self._paths(later[LEGACY], later[ASYNC])
        moved = self._paths(answers[LEGACY], later[LEGACY]) | self._paths(answers[ASYNC], later[ASYNC])
        return suspects - (still - moved)

    def sample(self, id: str, time: float, answers: Answers, finding: Finding) -> Sample:
        """What may be kept of it; `time` in Unix seconds."""
        return sample(
            (id, finding.scope, time),
            self.head,
            answers,
            tuple(finding.differences),
            finding.left_out,
            self.settings,
            self.redactor,
        )

    def _paths(self, one: Asked, other: Asked) -> set[str]:
        return {each.path for each in self.differences(one, other)}

    def _values(self, asked: Asked) -> set[str]:
        """Paths of the values in a JSON body."""
        document = document_of(asked.answer)
        if document is None:
            return set()
        shown = self.redactor.json(document) if self.redactor.hides_fields else document
        return set(map(self.redactor.text, fields_of(shown)))


def _seconds(asked: Asked) -> float | None:
    """None of an answer that a client got: its latency was measured otherwise."""
    return asked.seconds if asked.upstream else None
