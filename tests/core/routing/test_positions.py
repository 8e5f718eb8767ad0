"""Where rollouts stand, put into a snapshot: weights, `first` keys, and a table that shares the rest."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.http1.request import RequestHead
from proxy.core.routing.buckets import BUCKETS, UNITS, Buckets, bucket
from proxy.core.routing.decide import Context, Decision, decide
from proxy.core.routing.snapshot import SLICE, Snapshot
from proxy.core.routing.table import Table, TableRevision
from proxy.core.settings import RolloutPlan
from proxy.core.wire.messages import EndpointPosition
from tests.core.tables import CONTEXT, endpoint, snapshot

PLAN = RolloutPlan("careful", (0, 100, 10_000))
READ = "GET /accounts/{id}"


def table() -> Snapshot:
    return snapshot(
        [
            endpoint(READ, 0, plan=PLAN),
            endpoint("POST /accounts", 0),
            endpoint("GET /rest/{more...}", 0, plan=PLAN),
        ],
    )


def at(weight: int, *first: str, epoch: str = "1.1", name: str = READ) -> EndpointPosition:
    return EndpointPosition(name, weight, epoch, None, list(first))


def ask(table: Snapshot, user: str = "", target: str = "/accounts/1", method: str = "GET") -> Decision:
    return decide(table, RequestHead.of(method, target, {"x-user-id": user} if user else None), CONTEXT)


def went(decision: Decision) -> tuple[str | None, str]:
    return decision.backend, decision.reason


def test_a_named_endpoint_with_a_plan_has_the_weight_of_its_position() -> None:
    before = table()
    after = before.with_positions(
        [at(10_000), at(10_000, name="POST /accounts"), at(10_000, name="GET /gone")]
    )
    assert went(ask(after)) == ("async", "weight")
    assert went(ask(after, method="HEAD")) == ("async", "weight")
    assert went(ask(after, target="/accounts", method="POST")) == ("legacy", "weight")  # it has no plan
    assert went(ask(after, target="/rest/a/b")) == ("legacy", "weight")  # nobody names it
    assert (after.hash, after.endpoints[0].weight, list(after.positions)) == (before.hash, 10_000, [READ])
    assert went(ask(before)) == ("legacy", "weight")


def test_what_does_not_change_is_shared() -> None:
    before = table()
    after = before.with_positions([at(100)])
    assert after.endpoints[1:] == before.endpoints[1:]
    assert after.assignments[1:] == before.assignments[1:]
    assert after.assignments[0].buckets is before.assignments[0].buckets
    assert after.protected is before.protected
    same = before.with_positions([at(0)])
    assert same.endpoints == before.endpoints


def test_many_positions_are_put_in_slices() -> None:
    many = [endpoint(f"GET /many{number}/{{id}}", 0, plan=PLAN) for number in range(3 * SLICE)]
    before = snapshot(many)
    positions = [at(10_000, name=each.name) for each in many]
    *waits, after = before.positions_in_slices(positions)
    assert waits == [None] * 3
    assert after is not None
    assert {went(ask(after, target=f"/many{number}/1")) for number in range(3 * SLICE)} == {
        ("async", "weight")
    }


SEGMENTS = st.lists(st.sampled_from(["a", "b", "{x}"]), max_size=3)
TEMPLATES = st.lists(
    st.tuples(st.sampled_from(["GET", "HEAD", "POST"]), SEGMENTS, st.booleans()), min_size=1, max_size=12
)


@given(TEMPLATES, st.data())
def test_a_revised_table_is_one_that_was_built_anew(
    drawn: list[tuple[str, list[str], bool]], data: st.DataObject
) -> None:
    names = {
        f"{method} /{'/'.join(parts + (['{rest...}'] if rest else []))}" for method, parts, rest in drawn
    }
    endpoints = [endpoint(name, index=index) for index, name in enumerate(sorted(names))]
    chosen = data.draw(st.sets(st.sampled_from(endpoints)))
    replaced = {each: replace(each, weight=7) for each in chosen}
    old = Table.build(endpoints)
    revision = TableRevision(old)
    for one, other in replaced.items():
        revision.replace(one, other)
    revised, anew = revision.table(), Table.build([replaced.get(each, each) for each in endpoints])
    again = Table.build(endpoints)
    for method in ("GET", "HEAD", "POST"):
        for segments in (
            [],
            [""],
            ["a"],
            ["b", "a"],
            ["c"],
            ["a", "c"],
            ["a", "b", "c"],
            ["c", "c", "c", "c"],
        ):
            assert revised.find(method, segments) is anew.find(method, segments)
            assert old.find(method, segments) is again.find(method, segments)


@given(st.text(alphabet="abcdef0123456789", min_size=1, max_size=20), st.integers(0, BUCKETS))
def test_the_side_of_a_unit_is_where_its_request_went_at_any_weight(user: str, weight: int) -> None:
    decision = ask(table().with_positions([at(weight)]), user)
    assert decision.unit is not None
    assert 0 <= decision.unit < UNITS
    assert (decision.backend == "async") == (decision.unit % BUCKETS < weight)
    assert decision.bucket == bucket(b"default", "accounts", user.encode()) == decision.unit % BUCKETS
    assert decision.reason == "weight"


def test_units_are_dealt_to_all_eight_parts_of_a_bucket() -> None:
    units = {Buckets(b"s", "g").unit(b"%d" % number) for number in range(40_000)}
    assert {unit // BUCKETS for unit in units} == set(range(8))


@pytest.mark.parametrize("weight", [0, 1, 10_000])
def test_first_keys_are_on_async_at_any_weight(weight: int) -> None:
    placed = table().with_positions([at(weight, "ann", "jürgen", epoch="")])
    assert went(ask(placed, "ann")) == ("async", "override")
    other = next(f"u{number}" for number in range(100) if bucket(b"default", "accounts", b"u%d" % number) > 1)
    assert went(ask(placed, other)) == ("async" if weight == 10_000 else "legacy", "weight")
    head = RequestHead.of("GET", "/accounts/1", {"x-user-id": "jürgen".encode().decode("latin-1")})
    assert went(decide(placed, head, CONTEXT)) == ("async", "override")


def test_no_key_is_read_where_nothing_needs_it() -> None:
    for weight in (0, 10_000):
        assert ask(table().with_positions([at(weight, epoch="")]), "ann").unit is None
        assert ask(table().with_positions([at(weight)]), "ann").unit is not None
    assert ask(table(), "ann").unit is None


def test_requests_without_a_key_go_as_ever() -> None:
    half = table().with_positions([at(5000, "ann")])
    head = RequestHead.of("GET", "/accounts/1")
    assert went(decide(half, head, Context("", lambda: 0.49, False))) == ("async", "unkeyed")
    assert went(decide(half, head, Context("", lambda: 0.51, False))) == ("legacy", "unkeyed")
    for weight, backend in ((0, "legacy"), (10_000, "async")):
        decision = ask(table().with_positions([at(weight)]))
        assert (went(decision), decision.unit) == ((backend, "weight"), None)
