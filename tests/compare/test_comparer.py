from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import date, timedelta
from typing import Any

import msgspec
import pytest

from proxy.compare import comparer as module
from proxy.compare.aggregate import Aggregate
from proxy.compare.client import Asked, Unanswered, Unreachable, ask
from proxy.compare.comparer import Comparer
from proxy.config import load_text
from proxy.core.comparison.comparisons import Scope, Tally, report, settings_hash
from proxy.core.comparison.marks import Mark
from proxy.core.comparison.noise import LASTING, LOOKS, Counts
from proxy.core.routing.snapshot import Snapshot
from proxy.core.wire.taps import Tap, Write
from tests.compare.backends import Backend, Reply

JSON = {"content-type": "application/json"}


async def nothing(scope: Scope) -> Tally | None:
    return None


class Side:
    """A backend whose answers are given one after the other; the last is repeated."""

    def __init__(self, *bodies: object) -> None:
        self._bodies = list(bodies)
        self.backend = Backend({"/a": self._reply})

    def _reply(self) -> Reply:
        body = self._bodies.pop(0) if len(self._bodies) > 1 else self._bodies[0]
        return body if isinstance(body, Reply) else Reply(json.dumps(body).encode(), 200, JSON)


@pytest.fixture
def sides() -> Iterator[Callable[..., Side]]:
    made: list[Side] = []

    def make(*bodies: object) -> Side:
        made.append(Side(*bodies))
        return made[-1]

    yield make
    for side in made:
        side.backend.close()


def snapshot(legacy: Side, async_: Side, compare: str = "") -> Snapshot:
    text = f"""
backends: {{legacy: {{url: '{legacy.backend.url}'}}, async: {{url: '{async_.backend.url}', version: v9}}}}
compare: {{sample: 100%{compare}}}
endpoints: {{GET /a: {{}}}}
"""
    return load_text(text, source="x", environ={}).snapshot


TAP = Tap("GET /a", "GET", b"/a", b"h", b"Host: h\r\n", 1, b"127.0.0.1", False, "legacy", 200, b"", None, [])


def compared(
    snapshot: Snapshot, taps: list[Tap], then: Callable[[Comparer], Awaitable[None]] | None = None
) -> Aggregate:
    """One tap after the other, each once the one before is done."""

    async def run() -> Aggregate:
        aggregate = Aggregate(lambda: 1.0)
        comparer = Comparer(aggregate, nothing, b"key")
        comparer.apply(snapshot)
        for tap in taps:
            comparer.offer(tap)
            while comparer.busy and then is None:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        if then is not None:
            await then(comparer)
        await comparer.close()
        return aggregate

    return asyncio.run(run())


def counts(aggregate: Aggregate) -> dict[Mark, Counts]:
    (tally,) = aggregate.take().tallies
    return {path.mark: path.counts for path in tally.paths}


def test_a_difference_that_lasts_is_asked_for_until_it_is_known(sides: Callable[..., Side]) -> None:
    legacy, async_ = sides({"n": 1}), sides({"n": 2})
    found = compared(snapshot(legacy, async_), [TAP] * 6)
    (tally,) = found.take().tallies
    assert (tally.scope.legacy, tally.scope.async_) == ("", "v9")
    (path,) = (each for each in tally.paths if each.mark.kind == "value")
    assert (path.counts.differed, path.counts.lasting, path.counts.once) == (6, LASTING, 0)
    assert len(async_.backend.requests) == 6 + LASTING * LOOKS
    assert report(tally).scope.endpoint == "GET /a"


@pytest.mark.parametrize("zone", ["XXX-14", "XXX+12"])  # at any time, one of them has another date than UTC
def test_rules_expire_with_the_day_by_which_verdicts_are_looked_up(
    sides: Callable[..., Side], monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        today = date.today()
        days = {today, today - timedelta(1), today + timedelta(1)}
        rules = ", ".join(f"{{ignore: f{day:%d}, expires: {day}}}" for day in days)
        judged = snapshot(sides({}), sides({}), f", rules: [{rules}]")
        (tally,) = compared(judged, [TAP]).take().tallies
        assert tally.scope.rules == settings_hash(judged.endpoints[0].compare, today)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_difference_that_is_gone_when_asked_once_more_is_told_apart(
    sides: Callable[..., Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "share_twice", lambda _: 0.0)
    found = compared(snapshot(sides({"n": 1}, {"n": 2}), sides({"n": 2})), [TAP])  # legacy was behind
    assert counts(found)[Mark("n")] == Counts(differed=1, moved=1)


def test_a_later_look_that_fails_leaves_a_difference_undecided(
    sides: Callable[..., Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "share_twice", lambda _: 0.0)
    real, asked = module.ask, []

    async def once(backend: object, *arguments: Any) -> Asked:
        asked.append(backend)
        if len(asked) > 2:
            raise Unreachable("down")
        return await real(backend, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "ask", once)
    found = compared(snapshot(sides({"n": 1}), sides({"n": 2})), [TAP])
    assert counts(found)[Mark("n")] == Counts(differed=1, undecided=1)


def test_a_backend_that_is_down_is_a_reason_to_skip_and_one_that_breaks_off_an_outcome(
    sides: Callable[..., Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, result in ((Unreachable, "skipped: async cannot be reached"), (Unanswered, "unanswered")):

        async def failing(backend: Any, *arguments: Any, error: type[Unanswered] = error) -> Asked:
            if backend.name == "async":
                raise error("no")
            return await ask(backend, *arguments)

        monkeypatch.setattr(module, "ask", failing)
        found = compared(snapshot(sides({}), sides({})), [TAP])
        assert found.results == {("GET /a", result): 1}


def test_legacys_own_differences_are_counted_where_it_is_asked_twice(
    sides: Callable[..., Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "share_twice", lambda _: 1.0)
    found = compared(snapshot(sides({"n": 1}, {"n": 2}), sides({"n": 1}, {"n": 2})), [TAP])
    (noisy,) = (each for mark, each in counts(found).items() if mark == Mark("n"))
    assert noisy.c + noisy.both == 1


def test_what_can_not_be_decoded_whole_is_skipped_and_named(sides: Callable[..., Side]) -> None:
    packed = Reply(gzip.compress(b"[1]")[:-3], 200, {**JSON, "content-encoding": "gzip"})
    found = compared(snapshot(sides([1]), sides(packed)), [TAP] * 3)
    why = "skipped: not comparable: async's body: gzip is not whole"
    assert {name: count for name, count in found.results.items() if count} == {("GET /a", why): 3}
    assert found.take().tallies == []


def test_samples_beyond_what_may_be_in_flight_or_begun_are_skipped_and_counted(
    sides: Callable[..., Side],
) -> None:
    legacy, async_ = sides({}), sides({})

    async def leave(comparer: Comparer) -> None:
        pass

    found = compared(snapshot(legacy, async_, ", in_flight: 2"), [TAP] * 5, leave)
    assert found.results["GET /a", "skipped: too many in flight"] == 3
    found = compared(snapshot(legacy, async_, ", rate: 2"), [TAP] * 5)
    assert 1 <= found.results["GET /a", "skipped: over the rate"] <= 3
    assert sum(found.results.values()) == 5


def test_a_backend_that_does_not_answer_in_time_is_a_reason_to_skip(
    sides: Callable[..., Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER", 0.0)
    found = compared(snapshot(sides({}), sides({})), [TAP])
    ((endpoint, result),) = found.results
    assert (endpoint, result) == ("GET /a", "skipped: legacy did not answer")


def test_what_the_worker_dropped_and_what_came_of_live_requests_is_added_up(
    sides: Callable[..., Side],
) -> None:
    dropped = [("GET /a", "comparer busy", 4)]
    unknown = msgspec.structs.replace(TAP, endpoint="GET /x")
    tap = msgspec.structs.replace(TAP, dropped=dropped)
    found = compared(snapshot(sides({}), sides({})), [tap, unknown])
    traffic = {(each.endpoint, each.what, each.label): each.number for each in found.take().traffic}
    assert traffic == {
        ("GET /a", "skipped", "comparer busy"): 4,
        ("GET /a", "live", "200"): 1,
        ("GET /a", "asked", "no parameters"): 1,
        ("GET /x", "skipped", "endpoint gone"): 1,
    }


@pytest.mark.parametrize(("confirms", "sent"), [(True, 3), (False, 1)])
def test_a_backend_that_does_not_confirm_a_dry_run_gets_no_second_one(
    sides: Callable[..., Side], monkeypatch: pytest.MonkeyPatch, confirms: bool, sent: int
) -> None:
    monkeypatch.setattr(module, "share_twice", lambda _: 0.0)
    headers = {**JSON, "x-dry-run": "1"} if confirms else JSON
    async_ = Backend({"/a": Reply(b'{"id":2}', 201, headers)})
    text = f"""
backends:
  legacy: {{url: 'http://127.0.0.1:1'}}
  async: {{url: '{async_.url}', dry_run: {{header: 'x-dry-run: 1'}}}}
endpoints: {{POST /a: {{compare: {{dry_run: true}}}}}}
"""
    write = Write(b"", b"Content-Type: application/json\r\n", b'{"id":1}')
    tap = msgspec.structs.replace(TAP, endpoint="POST /a", method="POST", status=201, write=write)
    found = compared(load_text(text, source="x", environ={}).snapshot, [tap] * 3)
    async_.close()
    assert len(async_.requests) == sent
    if confirms:
        assert found.results == {("POST /a (dry run)", "different"): 3}
    else:
        assert found.results["POST /a (dry run)", "skipped: the dry run was not confirmed"] == 1
        assert found.results["POST /a (dry run)", "skipped: async does not support dry runs"] == 2
