from __future__ import annotations

import stat

import pytest

from proxy.core.comparison.comparisons import (
    Count,
    PathCount,
    Sample,
    Scope,
    Shown,
    Side,
    Tally,
    Traffic,
    report,
)
from proxy.core.comparison.marks import Mark
from proxy.core.comparison.noise import Counts
from proxy.core.comparison.units import as_map
from proxy.store import comparisons
from proxy.store.places import comparisons_file, is_sqlite

pytestmark = pytest.mark.anyio

SCOPE = Scope("GET /a", "1", "2", "r")
SIDE = Side(200, {"etag": "x"}, '{"a":1}', False, 7, 0.001)


def tally(scope: Scope = SCOPE, at: float = 10.0) -> Tally:
    path = PathCount(Mark("a"), Counts(3, 2, 1, 0), at, at)
    return Tally(scope, 5, 3, at, at, (path,), (Count("status", "200", 5),))


def sample(number: int, path: str = "a", scope: Scope = SCOPE) -> Sample:
    shown = Shown(path, "value", "1", "2", (path, 0))
    return Sample(f"id{number}", scope, float(number), "GET", "/a", (("host", "h"),), SIDE, SIDE, (shown,))


async def test_what_two_replicas_found_adds_up(url: str) -> None:
    for at in (10.0, 20.0):
        async with comparisons.opened(url) as engine, engine.begin() as connection:
            skipped = Traffic("GET /a", "skipped", "rate", 4, at)
            await comparisons.add(connection, [tally(at=at)], [skipped])
    async with comparisons.opened(url) as engine, engine.connect() as connection:
        found = await comparisons.found(connection)
        assert await comparisons.tally(connection, SCOPE.id) == found.tallies[0]
        assert await comparisons.tally(connection, "none") is None
    path = PathCount(Mark("a"), Counts(6, 4, 2, 0), 10.0, 20.0)
    assert found.tallies == [Tally(SCOPE, 10, 6, 10.0, 20.0, (path,), (Count("status", "200", 10),))]
    assert found.traffic == [Traffic("GET /a", "skipped", "rate", 8, 20.0)]


async def test_users_that_two_replicas_met_are_counted_once(url: str) -> None:
    maps = [as_map("users", 0b0111), as_map("users", 0b1100), as_map("users differing", 0b1000)]
    for units in (maps[:1], maps[1:]):
        async with comparisons.opened(url) as engine, engine.begin() as connection:
            await comparisons.add(connection, [tally()._replace(units=tuple(units))])
    async with comparisons.opened(url) as engine, engine.connect() as connection:
        ((found,), _) = await comparisons.found(connection)
    assert {each.what: each.number for each in found.units} == {"users": 4, "users differing": 1}


async def test_all_counts_of_a_place_come_back(url: str) -> None:
    path = PathCount(Mark("a[]", "multiset"), Counts(*range(1, 12)), 10.0, 10.0)
    async with comparisons.opened(url) as engine, engine.begin() as connection:
        await comparisons.add(connection, [tally()._replace(paths=(path,))])
        ((found,), _) = await comparisons.found(connection)
    assert found.paths == (path,)


async def test_scopes_are_kept_apart_and_the_newest_comes_first(url: str) -> None:
    later = SCOPE._replace(async_="3")
    other = SCOPE._replace(endpoint="GET /b")
    async with comparisons.opened(url) as engine, engine.begin() as connection:
        await comparisons.add(connection, [tally(), tally(later, 30.0), tally(other)])
        found = await comparisons.found(connection, "GET /a")
    assert [each.scope for each in found.tallies] == [later, SCOPE]
    assert [each.n for each in found.tallies] == [5, 5]


async def test_a_sample_comes_back_as_it_was_by_scope_path_and_id(url: str) -> None:
    async with comparisons.opened(url) as engine, engine.begin() as connection:
        await comparisons.add(connection, samples=[sample(1), sample(2, "b"), sample(3)])
        assert await comparisons.samples(connection, SCOPE.id) == [sample(3), sample(2, "b"), sample(1)]
        assert await comparisons.samples(connection, SCOPE.id, "b") == [sample(2, "b")]
        assert await comparisons.samples(connection, SCOPE.id, "a", 1) == [sample(3)]
        assert await comparisons.sample(connection, "id2") == sample(2, "b")
        assert await comparisons.sample(connection, "id4") is None


async def test_the_newest_samples_of_a_path_are_kept(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparisons, "PER_PATH", 2)
    async with comparisons.opened(url) as engine, engine.begin() as connection:
        await comparisons.add(connection, samples=[sample(0, "rare")])
        for number in range(1, 6):
            await comparisons.add(connection, samples=[sample(number)])
        kept = await comparisons.samples(connection, SCOPE.id)
    assert [each.id for each in kept] == ["id5", "id4", "id0"]


@pytest.mark.parametrize(("limit", "value"), [("PER_ENDPOINT", 3), ("ENDPOINT_BYTES", 600)])
async def test_an_endpoint_has_only_so_many_samples_and_bytes(
    url: str, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(comparisons, limit, value)
    async with comparisons.opened(url) as engine, engine.begin() as connection:
        for number in range(1, 8):
            await comparisons.add(connection, samples=[sample(number, f"path{number}")])
        kept = [each.id for each in await comparisons.samples(connection, SCOPE.id)]
    assert kept[:2] == ["id7", "id6"]
    assert len(kept) <= 3


async def test_what_is_old_is_forgotten(url: str) -> None:
    old = SCOPE._replace(legacy="0")
    async with comparisons.opened(url) as engine, engine.begin() as connection:
        traffic = [Traffic("GET /a", "live", "200", 1, 5.0), Traffic("GET /a", "live", "404", 1, 30.0)]
        await comparisons.add(connection, [tally(old, 5.0), tally(at=30.0)], traffic)
        await comparisons.add(connection, samples=[sample(5), sample(30)])
        await comparisons.forget(connection, 10.0)
        found = await comparisons.found(connection)
        assert [each.id for each in await comparisons.samples(connection, SCOPE.id)] == ["id30"]
    assert found.tallies == [tally(at=30.0)]
    assert [each.label for each in found.traffic] == ["404"]


async def test_the_file_is_for_its_owner_alone(url: str) -> None:
    async with comparisons.opened(url):
        assert not is_sqlite(url) or stat.S_IMODE(comparisons_file(url).stat().st_mode) == 0o600


async def test_what_only_the_sum_of_two_replicas_proves_is_a_fault_for_good(url: str) -> None:
    half = Counts(differed=6, b=6)

    def seen(counts: Counts, m: int) -> Tally:
        return Tally(SCOPE, m, m, 10.0, 10.0, (PathCount(Mark("a"), counts, 10.0, 10.0),))

    noisy = half._replace(moved=1)
    assert not noisy.is_fault(1, 100)
    async with comparisons.opened(url) as engine:
        for _ in range(2):
            async with engine.begin() as connection:
                await comparisons.add(connection, [seen(noisy, 100)])
        async with engine.begin() as connection:  # another replica saw legacy differ from itself alone
            await comparisons.add(connection, [seen(Counts(c=12), 100)])
        async with engine.begin() as connection:
            stored = await comparisons.found(connection)
    [path] = stored.tallies[0].paths
    assert path.counts.proven == 1
    assert not path.counts._replace(proven=0).is_fault(1, 300)
    assert report(stored.tallies[0]).parity.verdict == "differs"


async def test_one_replica_that_saw_a_difference_decides_for_all(url: str) -> None:
    clean = Tally(SCOPE, 5000, 5000, 10.0, 20.0, (), (Count("outcome", "unkeyed", 5000),))
    fault = PathCount(Mark("a"), Counts(differed=1, b=1, lasting=1, paired=1, proven=1), 11.0, 11.0)
    odd = PathCount(Mark("a"), Counts(c=1, legacy=1), 12.0, 12.0)
    bad = Tally(SCOPE, 1, 1, 11.0, 11.0, (fault,), (Count("outcome", "unkeyed", 1),))
    async with comparisons.opened(url) as engine:
        for tally_ in (clean, bad, clean._replace(paths=(odd,)), clean):
            async with engine.begin() as connection:
                await comparisons.add(connection, [tally_])
        async with engine.begin() as connection:
            stored = await comparisons.found(connection)
    assert report(stored.tallies[0]).parity.verdict == "differs"
