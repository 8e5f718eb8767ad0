"""Compares the requests that workers sample, within `compare.in_flight` and `compare.rate`.

Nothing is queued here: a sample for which there is no capacity is counted by its reason.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Final, TypeVar

from proxy.compare.aggregate import Aggregate
from proxy.compare.client import Asked, BackendRequest, Connections, Unanswered, Unreachable, ask
from proxy.compare.judging import AGAIN, Answers, AskRound, Judging, NotJudged, asker_of, today
from proxy.compare.shadow import answer_of, dry_run, read_back, same
from proxy.core.comparison.comparisons import DRY_RUN, READ_BACK, Scope, Tally
from proxy.core.comparison.noise import share_twice
from proxy.core.comparison.units import Asker, shape_of_parameters
from proxy.core.http1.grammar import Malformed
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import ASYNC, BACKENDS, LEGACY, Backend, BackendName, Compare, Endpoint
from proxy.core.wire.taps import Tap

log = logging.getLogger("strangler.comparer")

ANSWER: Final = 15.0  # seconds that one backend has for one answer

Lookup = Callable[[Scope], Awaitable[Tally | None]]
"""What the store has of a scope."""


_T = TypeVar("_T")

Work = Callable[[], Awaitable[None]]


class Skipped(Exception):
    """Why a sample was not compared."""


class Comparer:
    """`key` is for the hashes that replace secrets. Everything happens in the event loop's thread."""

    def __init__(self, aggregate: Aggregate, lookup: Lookup, key: bytes) -> None:
        self._aggregate = aggregate
        self._lookup = lookup
        self._key = key
        self._random = random.Random()  # which samples ask legacy twice
        self._snapshot: Snapshot | None = None
        self._endpoints: dict[str, Endpoint] = {}
        self._connections = Connections()
        self._unconfirmed: list[Backend] = []  # with dry runs that they do not confirm
        self._tasks: set[asyncio.Task[None]] = set()  # comparisons
        self._retiring: set[asyncio.Task[None]] = set()
        self._allowed = float("inf")  # comparisons that may begin now
        self._filled_at = time.monotonic()

    def apply(self, snapshot: Snapshot) -> None:
        """Compare by these settings from now on."""
        self._snapshot = snapshot
        self._endpoints = {endpoint.name: endpoint for endpoint in snapshot.endpoints}
        before, self._connections = self._connections, Connections()
        self._spawn(self._retire(before, list(self._tasks)), self._retiring)

    @property
    def busy(self) -> bool:
        """Whether a comparison is under way."""
        return bool(self._tasks)

    async def close(self) -> None:
        tasks = [*self._tasks, *self._retiring]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._connections.aclose()

    def offer(self, tap: Tap) -> None:
        """A sampled request, or several things to do after a sampled write."""
        for name, reason, number in tap.dropped:
            self._aggregate.skip(name, reason, number)
        snapshot, endpoint = self._snapshot, self._endpoints.get(tap.endpoint)
        if snapshot is None or endpoint is None:
            self._aggregate.skip(tap.endpoint, "endpoint gone")
            return
        self._aggregate.live(endpoint.name, tap.status, shape_of_parameters(tap.target))
        if endpoint.safe:
            self._begin(endpoint.name, snapshot, partial(self._same, snapshot, endpoint, tap))
            return
        if endpoint.compare.dry_run:
            self._begin(endpoint.name + DRY_RUN, snapshot, partial(self._dry_run, snapshot, endpoint, tap))
        shown = self._endpoints.get(endpoint.compare.read_back or "")
        if shown is not None and tap.status < 300:
            name = endpoint.name + READ_BACK
            self._begin(name, snapshot, partial(self._read_back, snapshot, endpoint, shown, tap))

    # limits

    def _begin(self, name: str, snapshot: Snapshot, work: Work) -> None:
        if len(self._tasks) >= snapshot.compare.in_flight:
            reason = "too many in flight"
        elif not self._within_rate(snapshot.compare.rate):
            reason = "over the rate"
        else:
            self._spawn(self._guarded(name, work), self._tasks)
            return
        self._aggregate.skip(name, reason)

    def _within_rate(self, rate: float) -> bool:
        """At most one second's worth may begin at once."""
        now = time.monotonic()
        most = max(1.0, rate) if rate else 0.0
        self._allowed = min(most, self._allowed + (now - self._filled_at) * rate)
        self._filled_at = now
        if self._allowed < 1:
            return False
        self._allowed -= 1
        return True

    async def _guarded(self, name: str, work: Work) -> None:
        try:
            await work()
        except (Skipped, NotJudged) as skipped:
            self._aggregate.skip(name, str(skipped))
        except Exception:  # of any kind: the next comparison may succeed
            log.exception("a comparison of %s failed", name)
            self._aggregate.skip(name, "failed")

    def _spawn(self, work: Coroutine[None, None, None], among: set[asyncio.Task[None]]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        among.add(task)
        task.add_done_callback(among.discard)

    async def _retire(self, connections: Connections, users: list[asyncio.Task[None]]) -> None:
        await asyncio.gather(*users, return_exceptions=True)
        await connections.aclose()

    # what is compared

    async def _same(self, snapshot: Snapshot, endpoint: Endpoint, tap: Tap) -> None:
        request = _readable(lambda: same(snapshot, tap))
        asker = asker_of(snapshot, endpoint, request.head, tap.peer)
        await self._both(snapshot, endpoint.name, endpoint.compare, request, asker)

    async def _read_back(self, snapshot: Snapshot, endpoint: Endpoint, shown: Endpoint, tap: Tap) -> None:
        request = _readable(lambda: read_back(snapshot, endpoint, shown, tap))
        if request is None:
            raise Skipped("no Location")
        asker = asker_of(snapshot, shown, request.head, tap.peer)
        await self._both(snapshot, endpoint.name + READ_BACK, shown.compare, request, asker)

    async def _both(
        self, snapshot: Snapshot, name: str, settings: Compare, request: BackendRequest, asker: Asker
    ) -> None:
        """Asks legacy, async and, on a share of samples, legacy again, one after the other.

        What changes by itself meanwhile then shows as a difference of legacy with itself. If something
        differs, both are asked more often: a single difference is a fault only if it lasts.
        """
        judging = Judging.of(snapshot, name, settings, request.head, self._key, today(), asker)
        sides = [*BACKENDS, AGAIN] if self._is_twice(name) else [*BACKENDS]
        request_id = uuid.uuid4().hex

        async def ask_round(sides: Sequence[str]) -> Answers:
            answers: dict[str, Asked | None] = {}
            for side in sides:
                backend = snapshot.async_ if side == ASYNC else snapshot.legacy
                answers[side] = await self._answer(backend, request, request_id, settings)
                if answers[LEGACY] is None:
                    raise Skipped("legacy did not answer")
            return answers

        await self._judge(judging, await ask_round(sides), ask_round)

    async def _dry_run(self, snapshot: Snapshot, endpoint: Endpoint, tap: Tap) -> None:
        """The would-be answer of the backend that did not write, with the real one of the one that did.

        Two dry runs differ by nature just as one and the real write do: the second one measures the noise.
        """
        other: BackendName = LEGACY if tap.backend == ASYNC else ASYNC
        backend = snapshot.backend(other)
        if not backend.dry_run or backend in self._unconfirmed:
            raise Skipped(f"{other} does not support dry runs")
        live = answer_of(tap)
        if live is None:
            raise Skipped("the answer was not kept")
        name, settings = endpoint.name + DRY_RUN, endpoint.compare
        first = _readable(lambda: dry_run(snapshot, tap, dict(backend.dry_run)))
        asker = asker_of(snapshot, endpoint, first.head, tap.peer)
        judging = Judging.of(snapshot, name, settings, first.head, self._key, today(), asker)
        answers: dict[str, Asked | None] = {tap.backend: Asked(live, 0.0, "", "")}
        for side in (other, AGAIN) if self._is_twice(name) else (other,):
            fresh = _readable(lambda: dry_run(snapshot, tap, dict(backend.dry_run)))
            answered = await self._answer(backend, fresh, uuid.uuid4().hex, settings)
            if answered is None:
                raise Skipped(f"{other} did not answer")
            answers[side] = answered
            self._check_dry_run(backend, endpoint, answered)
        await self._judge(judging, answers, baseline=other)

    def _is_twice(self, name: str) -> bool:
        return self._random.random() < share_twice(self._aggregate.seen(name))

    def _check_dry_run(self, backend: Backend, endpoint: Endpoint, asked: Asked) -> None:
        """Sends no more dry runs to a backend that did not confirm one: it may have executed the write."""
        answer = asked.answer
        confirmed = all(answer.headers.get(name) == value for name, value in backend.dry_run.items())
        if confirmed or answer.status >= 400:
            return
        self._unconfirmed.append(backend)
        log.critical(
            "%s answered a dry run of %s with %d and without the dry-run header: "
            "IT MAY HAVE EXECUTED THE WRITE; it receives no more dry runs until its settings change",
            backend.name,
            endpoint.name,
            answer.status,
        )
        raise Skipped("the dry run was not confirmed")

    async def _answer(
        self, backend: Backend, request: BackendRequest, request_id: str, settings: Compare
    ) -> Asked | None:
        """None if there is no whole answer, in time. Raises Skipped if the backend is down."""
        try:
            async with asyncio.timeout(ANSWER):
                return await ask(backend, request, request_id, settings.max_body, self._connections)
        except Unreachable:  # an alarm reports it; it says nothing about this request
            raise Skipped(f"{backend.name} cannot be reached") from None
        except (TimeoutError, Unanswered):
            return None

    async def _judge(
        self,
        judging: Judging,
        answers: Answers,
        ask_round: AskRound | None = None,
        baseline: BackendName = LEGACY,
    ) -> None:
        """Judges and adds up; `baseline` is the side that was asked AGAIN, if any was."""
        aggregate, finding = self._aggregate, judging.finding(answers, baseline)
        if finding.observed.unanswered:  # no answer, no version
            finding = finding._replace(scope=aggregate.newest(finding.scope))
        scope = finding.scope
        if finding.unreadable:
            reason = f"not comparable: {finding.unreadable}"
            if not finding.differences:
                raise Skipped(reason)
            aggregate.skip(scope.endpoint, reason)
        if not aggregate.knows(scope):
            aggregate.learn(scope, await self._lookup(scope))
        if ask_round is not None:
            suspects = aggregate.suspects(scope, finding.observed)
            finding = await judging.follow(finding, suspects, answers, partial(_look, ask_round))
        aggregate.add(finding)
        if finding.differences and aggregate.wants_sample(scope, finding.paths):
            aggregate.keep(judging.sample(uuid.uuid4().hex, time.time(), answers, finding))


async def _look(ask_round: AskRound, sides: Sequence[str]) -> Answers:
    """A later look that fails leaves undecided what was found; it does not undo the comparison."""
    try:
        return await ask_round(sides)
    except Skipped:
        return {}


def _readable(make: Callable[[], _T]) -> _T:
    try:
        return make()
    except Malformed:
        raise Skipped("unreadable") from None
