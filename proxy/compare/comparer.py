"""Compares what the workers sample, within `compare.in_flight` and `compare.rate`.

Nothing waits here: a sample that finds no place is counted by its reason.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import UTC, date, datetime
from functools import partial
from typing import Final, TypeVar

from proxy.compare import kept
from proxy.compare.ask import Asked, Connections, Unanswered, ask
from proxy.compare.gather import Finding, Gathering
from proxy.compare.kept import View
from proxy.compare.requests import Wanted, answer_of, dry_run, read_back, same
from proxy.core.comparison.comparisons import DRY_RUN, READ_BACK, Scope, Tally, label, settings_hash
from proxy.core.comparison.noise import share_twice
from proxy.core.http1.grammar import Malformed
from proxy.core.routing.snapshot import Snapshot
from proxy.core.settings import ASYNC, BACKENDS, LEGACY, Backend, BackendName, Compare, Endpoint
from proxy.core.wire.taps import Tap

log = logging.getLogger("strangler.comparer")

ANSWER: Final = 15.0  # seconds that one backend has for one answer
VERSION: Final = "x-version"
AGAIN: Final = "again"

Lookup = Callable[[Scope], Awaitable[Tally | None]]
"""What the store has of a scope."""


_T = TypeVar("_T")


Answers = Mapping[str, Asked]
"""By side: legacy, async, and AGAIN."""

Work = Callable[[], Awaitable[None]]
AskAll = Callable[[list[str]], Awaitable[Answers]]


class Skipped(Exception):
    """Why a sample was not compared."""


class Comparer:
    """`key` is for the hashes in place of secrets. Everything happens in the event loop's thread."""

    def __init__(self, gathering: Gathering, lookup: Lookup, key: bytes) -> None:
        self._gathering = gathering
        self._lookup = lookup
        self._key = key
        self._random = random.Random()
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
            self._gathering.skip(name, reason, number)
        snapshot, endpoint = self._snapshot, self._endpoints.get(tap.endpoint)
        if snapshot is None or endpoint is None:
            self._gathering.skip(tap.endpoint, "endpoint gone")
            return
        self._gathering.live(endpoint.name, tap.status)
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
        self._gathering.skip(name, reason)

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
        except Skipped as skipped:
            self._gathering.skip(name, str(skipped))
        except Exception:  # whatever it is, the next comparison may go well
            log.exception("a comparison of %s failed", name)
            self._gathering.skip(name, "failed")

    def _spawn(self, work: Coroutine[None, None, None], among: set[asyncio.Task[None]]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        among.add(task)
        task.add_done_callback(among.discard)

    async def _retire(self, connections: Connections, users: list[asyncio.Task[None]]) -> None:
        await asyncio.gather(*users, return_exceptions=True)
        await connections.aclose()

    # what is compared

    async def _same(self, snapshot: Snapshot, endpoint: Endpoint, tap: Tap) -> None:
        await self._both(snapshot, endpoint.name, endpoint.compare, _readable(lambda: same(snapshot, tap)))

    async def _read_back(self, snapshot: Snapshot, endpoint: Endpoint, shown: Endpoint, tap: Tap) -> None:
        wanted = _readable(lambda: read_back(snapshot, endpoint, shown, tap))
        if wanted is None:
            raise Skipped("no Location")
        await self._both(snapshot, endpoint.name + READ_BACK, shown.compare, wanted)

    async def _both(self, snapshot: Snapshot, name: str, settings: Compare, wanted: Wanted) -> None:
        """Asks both backends, one after the other in random order, and legacy twice on a share of samples.

        What moves meanwhile meets either side alike. Where async alone differs on a path that was quiet so
        far, both are asked once more: a difference that does not last is told apart.
        """
        sides: list[str] = [*BACKENDS]
        if self._random.random() < share_twice(self._gathering.seen(name)):
            sides.append(AGAIN)
        request_id = uuid.uuid4().hex

        async def ask_all(sides: list[str]) -> dict[str, Asked]:
            asked: dict[str, Asked] = {}
            for side in self._random.sample(sides, len(sides)):
                backend = snapshot.async_ if side == ASYNC else snapshot.legacy
                asked[side] = await self._ask(backend, wanted, request_id, settings)
            return asked

        await self._found(snapshot, name, settings, wanted, await ask_all(sides), ask_all)

    async def _dry_run(self, snapshot: Snapshot, endpoint: Endpoint, tap: Tap) -> None:
        """The would-be answer of the backend that did not write, with the real one of the one that did.

        Two dry runs differ by nature just as one and the real write do: the second one measures the noise.
        """
        other: BackendName = LEGACY if tap.backend == ASYNC else ASYNC
        backend = snapshot.backend(other)
        if not backend.dry_run or backend in self._unconfirmed:
            raise Skipped(f"{other} offers no dry run")
        live = answer_of(tap)
        if live is None:
            raise Skipped("the answer was not kept")
        name, settings = endpoint.name + DRY_RUN, endpoint.compare
        wanted = _readable(lambda: dry_run(snapshot, tap, dict(backend.dry_run)))
        twice = self._random.random() < share_twice(self._gathering.seen(name))
        asked = {tap.backend: Asked(live, 0.0, "", "")}
        for side in (other, AGAIN) if twice else (other,):
            fresh = _readable(lambda: dry_run(snapshot, tap, dict(backend.dry_run)))
            asked[side] = await self._ask(backend, fresh, uuid.uuid4().hex, settings)
            self._check_dry_run(backend, endpoint, asked[side])
        await self._found(snapshot, name, settings, wanted, asked, baseline=other)

    def _check_dry_run(self, backend: Backend, endpoint: Endpoint, asked: Asked) -> None:
        """One write that was executed after all is one too many: no second one follows."""
        answer = asked.answer
        confirmed = all(answer.headers.get(name) == value for name, value in backend.dry_run.items())
        if confirmed or answer.status >= 400:
            return
        self._unconfirmed.append(backend)
        log.critical(
            "%s answered a dry run of %s with %d and without the header that says so: "
            "IT MAY HAVE EXECUTED THE WRITE; it gets no more of them until its settings change",
            backend.name,
            endpoint.name,
            answer.status,
        )
        raise Skipped("the dry run was not confirmed")

    async def _ask(self, backend: Backend, wanted: Wanted, request_id: str, settings: Compare) -> Asked:
        try:
            async with asyncio.timeout(ANSWER):
                return await ask(
                    backend,
                    wanted.head,
                    request_id,
                    settings.max_body,
                    wanted.body,
                    hop=wanted.hop,
                    extra=wanted.extra,
                    protected=wanted.protected,
                    connections=self._connections,
                )
        except TimeoutError:
            raise Skipped(f"{backend.name} did not answer in time") from None
        except Unanswered:
            raise Skipped(f"{backend.name} did not answer") from None

    async def _found(
        self,
        snapshot: Snapshot,
        name: str,
        settings: Compare,
        wanted: Wanted,
        asked: Answers,
        once_more: AskAll | None = None,
        baseline: BackendName = LEGACY,
    ) -> None:
        """Judges and adds up; `baseline` is the side that was asked AGAIN, if any was."""
        redactor = kept.redactor_for(self._key, settings, wanted.head)
        if redactor.overwhelmed:
            raise Skipped("too many credentials")
        today = datetime.now(UTC).date()
        scope = _scope(snapshot, name, settings, asked, today)
        if not self._gathering.knows(scope):
            self._gathering.learn(scope, await self._lookup(scope))
        view = View(settings, redactor, today)
        judged = view.judged(asked[LEGACY], asked[ASYNC])
        differences = kept.redacted(judged.differences, view.redactor)
        suspects = self._gathering.suspects(scope, differences)
        gone = await _gone(suspects, asked, once_more, view) if suspects and once_more else set()
        finding = Finding(
            scope=scope,
            differences=differences,
            again=view.differences(asked[baseline], asked[AGAIN]) if AGAIN in asked else None,
            gone=gone,
            status=asked[LEGACY].answer.status,
            fields=view.fields(asked[LEGACY]),
            hidden={str(rule): number for rule, number in judged.hidden},
            legacy=_seconds(asked[LEGACY]),
            async_=_seconds(asked[ASYNC]),
        )
        self._gathering.add(finding)
        if differences and self._gathering.wants_sample(scope, {each.path for each in differences}):
            place = kept.Place(uuid.uuid4().hex, scope, time.time())
            self._gathering.keep(
                kept.sample(place, wanted.head, asked, differences, judged.left_out, settings, view.redactor)
            )


async def _gone(suspects: set[str], asked: Answers, once_more: AskAll, view: View) -> set[str]:
    """The suspects on which a backend now says something else, or both the same: no difference that lasts."""
    try:
        later = await once_more([*BACKENDS])
    except Skipped:
        return set()
    still = view.paths(later[LEGACY], later[ASYNC])
    moved = view.paths(asked[LEGACY], later[LEGACY]) | view.paths(asked[ASYNC], later[ASYNC])
    return suspects - (still - moved)


def _seconds(asked: Asked) -> float | None:
    """None of an answer that a client got: its latency was measured otherwise."""
    return asked.seconds if asked.upstream else None


def _scope(snapshot: Snapshot, name: str, settings: Compare, asked: Answers, today: date) -> Scope:
    legacy, async_ = (
        label(asked[side].answer.headers.get(VERSION) or snapshot.backend(side).version) for side in BACKENDS
    )
    return Scope(name, legacy, async_, settings_hash(settings, today))


def _readable(make: Callable[[], _T]) -> _T:
    try:
        return make()
    except Malformed:
        raise Skipped("unreadable") from None
