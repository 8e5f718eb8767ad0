"""Sends the recorded requests of a file to both backends, and collects how their answers differ.

Each request that only reads goes to legacy, then to async, and on a share of them to legacy once more, so
that what changes by itself is distinguished from faults. A write that comes in between then shows as legacy's
own difference. Where only one answer of legacy was planned and async's differs, a second one confirms it.

A request that changes something is executed once on each backend and never again, neither to learn what is
noise nor by a resumed replay: it is recorded on disk as done before it is sent.
"""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from proxy.compare.client import Asked, BackendRequest, Connections, Unanswered, ask
from proxy.compare.judging import AGAIN, Answers, Finding, Judging, NotJudged, asker_of, endpoint_of, today
from proxy.compare.replay.recorded import NO_BODY, BadInput, Recorded
from proxy.compare.replay.repeats import Repeats
from proxy.compare.replay.results import Replayed, ReplayResults
from proxy.compare.shadow import MARK
from proxy.core.http1.grammar import Malformed
from proxy.core.http1.request import RequestHead, parse_request
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import ASYNC, LEGACY, Backend, Endpoint, Limits

GIVE_UP: Final = 20  # requests in a row without an answer
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "DELETE"})


class Gone(Exception):
    """Nothing answers any longer; the message says which address and why."""


class Options(NamedTuple):
    """`headers` by lower-case name replace recorded ones. `hosts` and `endpoints`: none means all."""

    rate: float
    concurrency: int
    headers: Mapping[str, str] = {}
    hosts: frozenset[str] = frozenset()
    endpoints: frozenset[str] = frozenset()
    sandbox: bool = False


class Planned(NamedTuple):
    """`status` is what the client got when it was recorded, None if unknown."""

    endpoint: Endpoint
    request: BackendRequest
    status: int | None


class Skip(NamedTuple):
    """`endpoint` is "" if none is known."""

    endpoint: str
    reason: str


def plan(snapshot: Snapshot, options: Options, recorded: Recorded) -> Planned | Skip:
    """What to send for a recorded request, or why it is skipped. Pure."""
    if options.hosts and recorded.host not in options.hosts and recorded.host is not None:
        return Skip("", f"of another host than {', '.join(sorted(options.hosts))}")
    if recorded.skip is not None:
        return Skip("", recorded.skip)
    try:
        head = _head(snapshot, options, recorded)
    except (Malformed, UnicodeEncodeError):
        return Skip("", "not a request that the proxy accepts")
    endpoint = endpoint_of(snapshot, head)
    if endpoint is None:
        return Skip("", "not listed in routing.yaml")
    if options.endpoints and endpoint.name not in options.endpoints:
        return Skip(endpoint.name, "not asked for")
    if not endpoint.safe and not options.sandbox:
        return Skip(endpoint.name, "it may change something")
    if recorded.host is None and recorded.method not in _BODILESS:
        return Skip(endpoint.name, NO_BODY)
    request = BackendRequest(head, recorded.body, extra=(MARK,), protected=snapshot.protected)
    return Planned(endpoint, request, recorded.status)


def _head(snapshot: Snapshot, options: Options, recorded: Recorded) -> RequestHead:
    """With every recorded line, in their order. Raises Malformed or UnicodeEncodeError."""
    once = snapshot.idempotency.header.decode("latin-1").lower()  # a key is not used up by a copy
    given = {name: value.encode("latin-1") for name, value in options.headers.items()}
    given.setdefault("host", (recorded.host or "localhost").encode("latin-1"))
    if recorded.body or (recorded.host is not None and recorded.method in _WITH_BODY):
        given["content-length"] = b"%d" % len(recorded.body)
    kept = ((name, value) for name, value in recorded.headers if name != once and name not in given)
    lines = [(name.title().encode("latin-1"), value) for name, value in (*given.items(), *kept)]
    if any(b"\r" in value or b"\n" in value for _, value in lines):
        raise Malformed(400, "bad_header", "a line break in a value would begin another header")
    block = b"".join(name + b": " + value + b"\r\n" for name, value in lines)
    line = f"{recorded.method} {recorded.target} HTTP/1.1\r\n".encode("latin-1")
    return parse_request(line + block + b"\r\n", Limits())


class ReplayRun:
    """One run over a file. `checkpoint` is called after every request, `begin` before each write is sent."""

    def __init__(
        self,
        snapshot: Snapshot,
        options: Options,
        results: ReplayResults,
        checkpoint: Callable[[], None],
        begin: Callable[[], None] = lambda: None,
    ) -> None:
        self._snapshot = snapshot
        self._options = options
        self._results = results
        self._checkpoint = checkpoint
        self._begin = begin
        self._today = today()
        self._key = secrets.token_bytes(32)
        self._connections = Connections()
        self._slots = asyncio.Semaphore(options.concurrency)
        self._repeats: dict[str, Repeats] = {}  # by endpoint
        self._unanswered: list[tuple[int, str]] = []  # numbers and endpoints of those in a row

    async def run(self, recorded: Iterable[Recorded]) -> None:
        """Sends all requests that are not done yet. If it is cancelled, those in progress remain undone.

        Raises Gone, and what reading the file raises.
        """
        due = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                for number, each in self._left(recorded):
                    planned = plan(self._snapshot, self._options, each)
                    if isinstance(planned, Skip):
                        self._results.skipped[planned] += 1
                        self._done(number)
                        if number % 1000 == 0:
                            await asyncio.sleep(0)
                        continue
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                    due = max(due + 1 / self._options.rate, time.monotonic() - 1)
                    await self._start(group, number, planned)
        except ExceptionGroup as errors:
            # no `except*`: what is raised in one comes out as a group again
            expected, others = errors.split((Gone, BadInput, OSError))
            if expected is None or others is not None:
                raise
            raise expected.exceptions[0] from None
        finally:
            await self._connections.aclose()
        self._settle()

    def _left(self, recorded: Iterable[Recorded]) -> Iterator[tuple[int, Recorded]]:
        return ((n, each) for n, each in enumerate(recorded, 1) if not self._results.is_done(n))

    async def _start(self, group: asyncio.TaskGroup, number: int, planned: Planned) -> None:
        """A write waits for all before it, and all after it wait for the write: in the order of the file."""
        slots = 1 if planned.endpoint.safe else self._options.concurrency
        for _ in range(slots):
            await self._slots.acquire()
        task = group.create_task(self._one(number, planned))
        task.add_done_callback(lambda _: self._free(slots))

    def _free(self, slots: int) -> None:
        for _ in range(slots):
            self._slots.release()

    async def _one(self, number: int, planned: Planned) -> None:
        missing, name = self._results.missing, planned.endpoint.name
        if not planned.endpoint.safe:
            missing[name] += 1  # until both have answered
            self._results.done(number)
            self._begin()
        try:
            await self._compare(planned)
        except Unanswered as error:
            self._unanswered.append((number, name))
            if len(self._unanswered) >= GIVE_UP:  # what only reads is not done: the next run asks it again
                raise Gone(f"{GIVE_UP} requests in a row had no answer: {error}") from None
        else:
            self._settle()
            if not planned.endpoint.safe:
                missing.subtract([name])
            self._done(number)

    def _settle(self) -> None:
        """Backends answer, so earlier requests without an answer are counted as missing."""
        for number, endpoint in self._unanswered:
            if not self._results.is_done(number):
                self._results.missing[endpoint] += 1
                self._done(number)
        self._unanswered.clear()

    def _done(self, number: int) -> None:
        if not self._results.is_done(number):
            self._results.done(number)
        self._checkpoint()

    async def _compare(self, planned: Planned) -> None:
        name = planned.endpoint.name
        try:
            judging = self._judging(planned)
        except NotJudged as reason:
            self._results.skipped[name, str(reason)] += 1
            return
        legacy = await self._ask(self._snapshot.legacy, planned)
        unlike = planned.status not in (None, legacy.answer.status)
        if unlike and legacy.answer.status in (401, 403):
            self._results.skipped[name, f"legacy says {legacy.answer.status}: credentials?"] += 1
            return
        answers: dict[str, Asked | None] = {LEGACY: legacy}
        answers[ASYNC] = await self._ask(self._snapshot.async_, planned)
        finding, once = await self._found(planned, judging, answers)
        moved = frozenset(each.path for each in finding.observed.moved)
        target = judging.redactor.text(planned.request.head.target.decode("latin-1"))
        self._results.add(
            Replayed(finding, planned.request.head.method, target, planned.status, moved, unlike, once)
        )
        if self._results.wants_sample(name, finding.paths):  # for proposals of rules
            self._results.keep(judging.sample("", time.time(), answers, finding))

    def _judging(self, planned: Planned) -> Judging:
        """By the day on which the replay began, so that its end is judged as its beginning was."""
        endpoint, head = planned.endpoint, planned.request.head
        asker = asker_of(self._snapshot, endpoint, head, b"")._replace(user=None)  # one -H for all is no user
        return Judging.of(
            self._snapshot, endpoint.name, endpoint.compare, head, self._key, self._today, asker
        )

    async def _found(
        self, planned: Planned, judging: Judging, answers: dict[str, Asked | None]
    ) -> tuple[Finding, bool]:
        """The finding, with what lasts, and whether the request was executed only once on each backend."""
        legacy, repeats = answers[LEGACY], self._repeats.setdefault(planned.endpoint.name, Repeats())
        if planned.endpoint.safe and repeats.wanted():
            answers[AGAIN] = second = await self._ask(self._snapshot.legacy, planned)
            if legacy is not None:
                repeats.saw(legacy.answer.status, second.answer.status)
        if not planned.endpoint.safe or repeats.stateful:
            answers.pop(AGAIN, None)
            return judging.finding(answers, made=repeats.made, body=planned.request.body), True

        async def ask_round(sides: Sequence[str]) -> Answers:
            return {side: await self._answer(side, planned) for side in sides}

        finding = judging.finding(answers)
        suspects = self._results.suspects(finding.scope, finding.observed)
        return await judging.follow(finding, suspects, answers, ask_round), False

    async def _answer(self, side: str, planned: Planned) -> Asked | None:
        backend = self._snapshot.async_ if side == ASYNC else self._snapshot.legacy
        try:
            return await self._ask(backend, planned)
        except Unanswered:
            return None

    async def _ask(self, backend: Backend, planned: Planned) -> Asked:
        keep = planned.endpoint.compare.max_body
        return await ask(backend, planned.request, uuid.uuid4().hex, keep, self._connections)
