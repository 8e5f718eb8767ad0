from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date, timedelta

import pytest

from proxy.compare.client import Asked
from proxy.compare.judging import AGAIN, Answers, Judging, NotJudged, asker_of
from proxy.config import load_text
from proxy.core.comparison.comparisons import MAX_LABEL
from proxy.core.comparison.differences import Answer, Body
from proxy.core.comparison.marks import Mark
from proxy.core.comparison.noise import LOOKS
from proxy.core.comparison.units import Asker
from proxy.core.http1.request import RequestHead
from proxy.core.privacy.redact import MAX_SECRETS

DAY = date(2030, 1, 31)
SNAPSHOT = load_text(
    """
backends: {legacy: {url: 'http://a', version: l1}, async: {url: 'http://b', version: a1}}
compare: {rules: [{ignore: at, expires: 2030-01-31}], redact: [iban]}
endpoints: {GET /a: {}}
""",
    source="x",
    environ={},
).snapshot


def answer(body: str, version: str = "", upstream: str = "http://a", seconds: float = 0.1) -> Asked:
    headers = {"content-type": "application/json", **({"x-version": version} if version else {})}
    return Asked(Answer(200, headers, Body.of(body.encode())), seconds, "OK", upstream)


def judging(day: date = DAY, **headers: str) -> Judging:
    head = RequestHead.of("GET", "/a", headers)
    return Judging.of(SNAPSHOT, "GET /a", SNAPSHOT.endpoints[0].compare, head, b"key", day)


def test_an_answer_is_of_the_version_that_it_names_else_of_the_configured_one() -> None:
    scope = judging().scope({"legacy": answer("1"), "async": answer("1", "a" * 1000)})
    assert (scope.endpoint, scope.legacy, len(scope.async_)) == ("GET /a", "l1", MAX_LABEL)


def test_rules_hold_to_the_end_of_their_last_day_and_a_later_day_is_evidence_of_its_own() -> None:
    answers = {"legacy": answer('{"at":1}'), "async": answer('{"at":2}')}
    held, expired = (judging(day).finding(answers) for day in (DAY, DAY + timedelta(1)))
    assert (held.paths, list(held.hidden.values())) == (set(), [1])
    assert (expired.paths, expired.hidden) == ({"at"}, {})
    assert held.scope.rules != expired.scope.rules


def test_what_is_found_is_redacted_and_a_clients_own_answer_has_no_latency() -> None:
    ours, theirs = answer('{"iban":"s3cret-1","e":"k3y-k3y"}', upstream=""), answer('{"iban":"s3cret-2"}')
    finding = judging(authorization="Bearer k3y-k3y").finding(
        {"legacy": ours, "async": theirs, AGAIN: theirs}
    )
    assert (finding.paths, finding.fields) == ({"iban", "e"}, {"iban", "e"})
    own = {each.path for each in finding.observed.again or ()}
    assert (finding.legacy, finding.async_, own) == (None, 0.1, finding.paths)
    assert "s3cret" not in str(finding)
    assert "k3y-k3y" not in str(finding)


@pytest.mark.parametrize(
    ("rounds", "lasting", "once", "undecided"),
    [
        ([("1", "2", "1")] * LOOKS, {"$"}, set(), set()),
        ([("1", "2", "1"), ("1", "1", "1")], set(), {"$"}, set()),
        ([("2", "2", "2")], set(), set(), set()),  # legacy now says so too
        ([("1", "2", "1"), ("1", None, "1")], set(), set(), {"$"}),
    ],
)
def test_both_are_asked_again_until_nothing_can_last(
    rounds: list[tuple[str, str | None, str]], lasting: set[str], once: set[str], undecided: set[str]
) -> None:
    asked = iter(rounds)

    async def ask(sides: Sequence[str]) -> Answers:
        return {side: each and answer(each) for side, each in zip(sides, next(asked), strict=True)}

    first = {"legacy": answer("1"), "async": answer("2")}
    found = judging().finding(first)
    found = asyncio.run(judging().follow(found, found.observed.async_, first, ask))
    seen = found.observed
    paths = [{mark.path for mark in each} for each in (seen.lasting, seen.once, seen.undecided)]
    assert paths == [lasting, once, undecided]
    assert list(asked) == []


def test_an_async_that_does_not_answer_is_an_outcome() -> None:
    found = judging().finding({"legacy": answer("1"), "async": None, AGAIN: answer("2")})
    assert (found.observed.unanswered, found.observed.again, found.differences) == (True, None, ())
    assert found.scope.async_ == "a1"


def test_times_of_dry_runs_are_not_compared_by_distance() -> None:
    """The real write was earlier than both dry runs, by nature."""
    real, one, other = (answer(f'{{"at":"2030-01-01T00:00:{second}Z"}}') for second in ("00", "40", "41"))
    answers = {"legacy": real, "async": one, AGAIN: other}
    later = judging(DAY + timedelta(1))  # the rule that ignores it has expired
    assert {mark.kind for mark in later.finding(answers, "async").observed.async_} == {"value"}
    near = {"legacy": real, "async": other, AGAIN: one}
    assert Mark("at", "distance") in later.finding(near).observed.async_


def test_the_slowest_of_three_is_told() -> None:
    answers = {"legacy": answer("1"), "async": answer("1", seconds=0.2), AGAIN: answer("1")}
    assert judging().finding(answers).slowest == "async"
    assert judging().finding({**answers, AGAIN: None}).slowest == ""


def test_users_ids_and_parameters_are_those_of_the_request() -> None:
    snapshot = load_text(
        """
backends: {legacy: {url: 'http://a'}, async: {url: 'http://b'}}
sticky: {key: [header:x-user]}
endpoints: {"GET /a/{id}": {}}
""",
        source="x",
        environ={},
    ).snapshot

    def asked(target: str, **headers: str) -> Asker:
        head = RequestHead.of("GET", target, headers)
        return asker_of(snapshot, snapshot.endpoints[0], head, b"127.0.0.1")

    one, other = asked("/a/1?limit=2", **{"x-user": "ada"}), asked("/a/2?limit=3", **{"x-user": "ada"})
    assert one.user == other.user != asked("/a/1", **{"x-user": "bob"}).user
    assert one.ids != other.ids == asked("/a/2").ids
    assert (one.shape, asked("/a/1").user) == ("?limit", None)


def test_more_credentials_than_can_be_hidden_are_not_judged() -> None:
    cookies = "; ".join(f"c{number}=secret-{number}" for number in range(MAX_SECRETS + 1))
    with pytest.raises(NotJudged, match="too many credentials"):
        judging(cookie=cookies)
