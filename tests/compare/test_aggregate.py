from __future__ import annotations

from proxy.compare import aggregate as module
from proxy.compare.aggregate import FIRST, SPACING, Aggregate
from proxy.compare.judging import Finding
from proxy.core.comparison.comparisons import Count, PathCount, Sample, Scope, Shown, Side, Tally, Traffic
from proxy.core.comparison.differences import Difference
from proxy.core.comparison.marks import Mark
from proxy.core.comparison.noise import OTHER, Counts, Observed
from proxy.core.comparison.units import Asker

SCOPE = Scope("GET /a", "1", "2", "r")
ONE = Difference("a", "value", 1, 2, ("a",))
A = frozenset({Mark("a")})
SIDE = Side(200, {}, None, False, 0, 0.0)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def aggregate(clock: Clock | None = None, tally: Tally | None = None) -> Aggregate:
    made = Aggregate(clock or Clock())
    made.learn(SCOPE, tally)
    return made


def finding(**changes: object) -> Finding:
    plain = Finding(SCOPE, [], Observed(frozenset()), 200, {"a"}, {"ignore b": 2}, 0.001, None)
    return plain._replace(**changes)  # type: ignore[arg-type]


def sample(time: float, path: str = "a") -> Sample:
    return Sample("id", SCOPE, time, "GET", "/a", (), SIDE, SIDE, (Shown(path, "value", "1", "2"),))


def test_what_came_since_the_last_time_is_taken_once() -> None:
    clock = Clock()
    found = aggregate(clock)
    found.add(finding(differences=[ONE], observed=Observed(A, frozenset())))
    clock.now = 101.0
    found.add(finding(differences=[ONE], observed=Observed(A, looked=A, lasting=A), status=404))
    found.skip("GET /a", "over the rate", 3)
    found.live("GET /a", 200, "?b")
    ((tally,), traffic, samples) = found.take()
    assert (tally.scope, tally.n, tally.m, tally.first, tally.last) == (SCOPE, 2, 1, 100.0, 101.0)
    assert tally.paths == (PathCount(Mark("a"), Counts(2, 1, lasting=1, proven=1), 100.0, 101.0),)
    assert {Count("status", "200", 1), Count("status", "404", 1), Count("field", "a", 2)} <= set(tally.counts)
    assert Count("hidden", "ignore b", 4) in tally.counts
    assert [each.number for each in tally.counts if each.what == "legacy seconds"] == [2]
    assert not [each for each in tally.counts if each.what == "async seconds"]
    assert set(traffic) == {
        Traffic("GET /a", "skipped", "over the rate", 3, 101.0),
        Traffic("GET /a", "live", "200", 1, 101.0),
        Traffic("GET /a", "asked", "?b", 1, 101.0),
    }
    assert samples == []
    assert not found.take()


def test_results_are_totals() -> None:
    found = aggregate()
    found.add(finding())
    found.add(finding(differences=[ONE]))
    found.take()
    found.add(finding())
    found.skip("GET /a", "failed")
    assert found.results == {
        ("GET /a", "equal"): 2,
        ("GET /a", "different"): 1,
        ("GET /a", "skipped: failed"): 1,
    }


def test_what_the_store_knows_decides_but_is_not_added_again() -> None:
    path = PathCount(Mark("a"), Counts(9, 0, 4, 5), 1.0, 2.0)
    found = aggregate(tally=Tally(SCOPE, 50, 40, 1.0, 2.0, (path,), (Count("field", "x", 9),)))
    assert found.suspects(SCOPE, Observed(A)) == set()  # it is known for noise
    found.add(finding(differences=[ONE], observed=Observed(A)))
    assert (found.seen("GET /a").n, found.seen("GET /a").m) == (51, 40)
    assert found.take().tallies[0].n == 1


def test_versions_are_kept_apart_and_the_newest_counts() -> None:
    found = aggregate()
    later = SCOPE._replace(async_="3")
    found.learn(later, None)
    found.add(finding())
    found.add(finding(scope=later))
    found.add(finding(scope=later))
    assert found.seen("GET /a").n == 2
    assert {tally.scope.async_: tally.n for tally in found.take().tallies} == {"2": 1, "3": 2}


def test_fields_without_end_are_one() -> None:
    found = aggregate()
    found.add(finding(fields={f"f{number}" for number in range(600)}))
    labels = {each.label for each in found.take().tallies[0].counts if each.what == "field"}
    assert len(labels) == module.MAX_FIELDS + 1
    assert OTHER in labels


def test_of_a_path_that_always_differs_a_few_samples_are_kept_and_then_one_now_and_then() -> None:
    clock = Clock()
    found = aggregate(clock)
    kept = 0
    for _ in range(300):
        clock.now += 1.0
        if found.wants_sample(SCOPE, {"a"}):
            found.keep(sample(clock.now))
            kept += 1
    assert FIRST + 300 // SPACING - 1 <= kept <= FIRST + 300 // SPACING
    assert found.wants_sample(SCOPE, {"a", "new"})


def test_samples_and_scopes_are_bounded() -> None:
    found = aggregate()
    for number in range(module.MAX_SAMPLES):
        assert found.wants_sample(SCOPE, {f"p{number}"})
        found.keep(sample(1.0, f"p{number}"))
    assert not found.wants_sample(SCOPE, {"one more"})
    for number in range(module.MAX_SCOPES):
        found.learn(SCOPE._replace(async_=f"v{number}"), None)
    assert not found.knows(SCOPE)


def test_users_and_ids_are_told_apart_and_those_who_met_a_difference() -> None:
    found = aggregate()
    for user in (1, 1, 2, 3):
        found.add(finding(asker=Asker(user, 7, "?page")))
    found.add(finding(asker=Asker(2, 8, "?page"), observed=Observed(A, looked=A, once=A)))
    found.add(finding(asker=Asker(None, None, "no parameters")))
    (tally,) = found.take().tallies
    assert {each.what: each.number for each in tally.units} == {"users": 3, "users differing": 1, "ids": 2}
    assert {Count("outcome", "unkeyed", 1), Count("asked", "?page", 5)} <= set(tally.counts)


def test_an_answer_that_did_not_come_belongs_to_the_newest_version() -> None:
    found = aggregate()
    found.add(finding())
    silent = SCOPE._replace(async_="")
    assert found.newest(silent) == SCOPE
    assert found.newest(silent._replace(rules="others")) == silent._replace(rules="others")


def test_shapes_of_parameters_without_end_are_one() -> None:
    found = aggregate()
    for number in range(2 * module.MAX_SHAPES):
        found.live("GET /a", 200, f"?p{number}")
    labels = {each.label for each in found.take().traffic if each.what == "asked"}
    assert len(labels) == module.MAX_SHAPES + 1
    assert OTHER in labels
