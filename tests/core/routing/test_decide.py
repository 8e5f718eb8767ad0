from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.http1.request import RequestHead
from proxy.core.routing.buckets import bucket
from proxy.core.routing.decide import Context, Decision, decide, sticky_key
from proxy.core.settings import KeySource, Server
from tests.core.tables import CONTEXT, USER, endpoint, snapshot


def ask(
    request_line: str,
    headers: dict[str, str] | None = None,
    *,
    random: float = 0.0,
    weight: float = 50,
    **given: Any,
) -> Decision:
    """Decides over a small table whose every endpoint has the weight."""
    sticky = given.pop("sticky", (USER,))
    names = ("GET /accounts/{id}", "POST /accounts", "POST /payments", "GET /payments/{id}")
    table = snapshot([endpoint(name, weight, sticky=sticky) for name in names], **given)
    method, _, target = request_line.partition(" ")
    return decide(table, RequestHead.of(method, target, headers), Context("192.0.2.1", lambda: random, False))


def parts(decision: Decision) -> tuple[object, ...]:
    """ambiguous, backend, endpoint, reason, source, unit"""
    return tuple(getattr(decision, name) for name in Decision.__slots__)


def went(decision: Decision) -> tuple[str | None, str]:
    return decision.backend, decision.reason


def user_in(*, below: int) -> str:
    return next(str(n) for n in range(10_000) if bucket(b"default", "accounts", b"%d" % n) < below)


def user_at_or_above(limit: int) -> str:
    return next(str(n) for n in range(10_000) if bucket(b"default", "accounts", b"%d" % n) >= limit)


@given(st.text(alphabet="abcdef0123456789", min_size=1, max_size=20), st.integers(1, 9999))
def test_sticky_key_is_on_async_exactly_if_its_bucket_is_below_the_weight(user: str, weight: int) -> None:
    decision = ask("GET /accounts/1", {"x-user-id": user}, weight=weight / 100)
    expected = bucket(b"default", "accounts", user.encode())
    assert decision.bucket == expected
    assert (decision.backend == "async") == (expected < weight)
    assert (decision.reason, decision.source) == ("weight", USER)
    assert decision.endpoint is not None
    assert decision.endpoint.name == "GET /accounts/{id}"


@given(
    st.text(alphabet="abcdef", min_size=1, max_size=9),
    st.lists(st.integers(0, 10_000), min_size=2, max_size=6),
)
def test_raising_the_weight_never_moves_a_client_back(user: str, weights: list[int]) -> None:
    backends = [
        ask("GET /accounts/1", {"x-user-id": user}, weight=each / 100).backend for each in sorted(weights)
    ]
    assert backends == sorted(backends, key=lambda backend: backend == "async")


def test_a_bucket_moves_at_the_first_weight_above_it() -> None:
    user = {"x-user-id": "42"}
    place = bucket(b"default", "accounts", b"42")
    assert ask("GET /accounts/1", user, weight=place / 100).backend == "legacy"
    assert ask("GET /accounts/1", user, weight=(place + 1) / 100).backend == "async"


def test_endpoints_of_one_group_keep_a_client_on_one_backend() -> None:
    for user in range(50):
        headers = {"x-user-id": str(user)}
        assert ask("GET /accounts/1", headers).backend == ask("POST /accounts", headers).backend


@pytest.mark.parametrize("headers", [{}, {"x-user-id": "1"}])
@pytest.mark.parametrize("request_line", ["GET /accounts/1", "POST /accounts"])
def test_weights_0_and_100_apply_with_or_without_a_key(request_line: str, headers: dict[str, str]) -> None:
    assert went(ask(request_line, headers, weight=0)) == ("legacy", "weight")
    assert went(ask(request_line, headers, weight=100, random=0.999)) == ("async", "weight")


def test_without_a_key_chance_decides_for_safe_requests() -> None:
    assert went(ask("GET /accounts/1", random=0.2499, weight=25)) == ("async", "unkeyed")
    assert went(ask("GET /accounts/1", random=0.25, weight=25)) == ("legacy", "unkeyed")


def test_without_a_key_writes_stay_on_legacy() -> None:
    assert went(ask("POST /accounts", random=0.0, weight=99.99)) == ("legacy", "unkeyed")


def test_without_a_key_everything_stays_on_legacy_if_configured() -> None:
    assert went(ask("GET /accounts/1", random=0.0, weight=99, unkeyed="legacy")) == ("legacy", "unkeyed")


def test_first_key_present_wins() -> None:
    sticky = (USER, KeySource("bearer"), KeySource("client-ip"))
    both = {"x-user-id": "7", "authorization": "Bearer t"}
    assert ask("GET /accounts/1", both, sticky=sticky).source == USER
    assert ask("GET /accounts/1", {"authorization": "Bearer t"}, sticky=sticky).source == KeySource("bearer")
    assert ask("GET /accounts/1", sticky=sticky).source == KeySource("client-ip")


@pytest.mark.parametrize(("unlisted", "backend"), [("legacy", "legacy"), ("async", "async"), ("404", None)])
@pytest.mark.parametrize(
    "request_line", ["GET /other", "DELETE /accounts/1", "OPTIONS *", "GET /accounts/1/"]
)
def test_unlisted_requests_follow_the_setting(request_line: str, unlisted: str, backend: str | None) -> None:
    decision = ask(request_line, unlisted=unlisted)
    assert parts(decision) == (False, backend, None, "unlisted", None, None)


@pytest.mark.parametrize("unlisted", ["legacy", "async", "404"])
@pytest.mark.parametrize("target", ["/accounts/%2e%2e", "/accounts//1", "/accounts/a%2Fb", "/accounts/%00"])
def test_ambiguous_paths_go_to_legacy_whatever_else_is_set(target: str, unlisted: str) -> None:
    decision = ask(f"GET {target}", {"x-user-id": "1"}, weight=100, unlisted=unlisted)
    assert parts(decision) == (True, "legacy", None, "unlisted", None, None)


def test_ambiguous_paths_are_rejected_if_configured() -> None:
    decision = ask("GET /accounts//1", server=Server(ambiguous_paths="reject"))
    assert parts(decision) == (True, None, None, "unlisted", None, None)


PREFLIGHT = {"origin": "https://shop.example", "access-control-request-method": "POST"}


@pytest.mark.parametrize(("weight", "backend"), [(0, "legacy"), (99.99, "legacy"), (100, "async")])
def test_preflight_follows_the_endpoint_it_asks_for(weight: float, backend: str) -> None:
    decision = ask("OPTIONS /accounts", {**PREFLIGHT, "x-user-id": user_in(below=5000)}, weight=weight)
    assert decision.endpoint is not None
    assert parts(decision) == (False, backend, decision.endpoint, "preflight", None, None)
    assert decision.endpoint.name == "POST /accounts"


@pytest.mark.parametrize("missing", ["origin", "access-control-request-method"])
def test_options_that_are_no_preflight_are_unlisted(missing: str) -> None:
    headers = {name: value for name, value in PREFLIGHT.items() if name != missing}
    assert ask("OPTIONS /accounts", headers, weight=100).reason == "unlisted"


def test_preflight_for_an_unlisted_method_is_unlisted() -> None:
    assert (
        ask("OPTIONS /accounts", {**PREFLIGHT, "access-control-request-method": "PUT"}).reason == "unlisted"
    )


@pytest.mark.parametrize("wanted", ["async", "legacy", "ASYNC"])
def test_override_is_obeyed_with_its_token(wanted: str) -> None:
    headers = {"x-backend": wanted, "x-backend-token": "s3cret", "x-user-id": "1"}
    decision = ask("POST /payments", headers, weight=0, override_token="s3cret")
    assert went(decision) == (wanted.lower(), "override")


@pytest.mark.parametrize(
    ("configured", "headers"),
    [
        ("s3cret", {"x-backend": "async"}),
        ("s3cret", {"x-backend": "async", "x-backend-token": ""}),
        ("s3cret", {"x-backend": "async", "x-backend-token": "S3cret"}),
        ("s3cret", {"x-backend": "other", "x-backend-token": "s3cret"}),
        ("s3cret", {"x-backend-token": "s3cret"}),
        ("", {"x-backend": "async", "x-backend-token": ""}),
        ("", {"x-backend": "async"}),
    ],
)
def test_override_without_its_token_is_as_if_not_there(configured: str, headers: dict[str, str]) -> None:
    assert went(ask("GET /accounts/1", headers, weight=0, override_token=configured)) == ("legacy", "weight")


def test_unlisted_requests_are_not_overridden() -> None:
    headers = {"x-backend": "async", "x-backend-token": "s3cret"}
    assert went(ask("GET /other", headers, override_token="s3cret")) == ("legacy", "unlisted")


def test_head_is_decided_as_get() -> None:
    user = {"x-user-id": user_in(below=5000)}
    head, get = ask("HEAD /accounts/1", user), ask("GET /accounts/1", user)
    assert (went(head), head.source, head.bucket) == (went(get), get.source, get.bucket)


def test_sticky_key_is_known_also_where_the_weight_needs_none() -> None:
    table = snapshot([endpoint("GET /accounts/{id}", 0)])
    head = RequestHead.of("GET", "/accounts/1", {"x-user-id": "7"})
    assert decide(table, head, CONTEXT).bucket is None
    assert sticky_key(table, table.endpoints[0], head, "") == (USER, bucket(b"default", "accounts", b"7"))
    bare = RequestHead.of("GET", "/accounts/1")
    assert sticky_key(table, table.endpoints[0], bare, "") is None


def test_salt_decides_who_moves_first() -> None:
    user = user_at_or_above(5000)
    backends = {ask("GET /accounts/1", {"x-user-id": user}, salt=b"%d" % salt).backend for salt in range(20)}
    assert backends == {"legacy", "async"}
