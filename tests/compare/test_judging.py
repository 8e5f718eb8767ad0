from __future__ import annotations

from datetime import date, timedelta

import pytest

from proxy.compare.client import Asked
from proxy.compare.judging import AGAIN, Judging, NotJudged
from proxy.config import load_text
from proxy.core.comparison.comparisons import MAX_LABEL
from proxy.core.comparison.differences import Answer, Body
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
    assert finding.again is not None
    assert (finding.legacy, finding.async_, {each.path for each in finding.again}) == (
        None,
        0.1,
        finding.paths,
    )
    assert "s3cret" not in str(finding)
    assert "k3y-k3y" not in str(finding)


@pytest.mark.parametrize(
    ("later", "passing"),
    [
        (("1", "2"), set()),  # it lasts
        (("2", "2"), {"$"}),  # both say the same
        (("1", "3"), {"$"}),  # async says something else each time
    ],
)
def test_a_difference_that_is_not_there_any_more_or_moves_is_passing(
    later: tuple[str, str], passing: set[str]
) -> None:
    first = {"legacy": answer("1"), "async": answer("2")}
    then = {"legacy": answer(later[0]), "async": answer(later[1])}
    assert judging().passing({"$"}, first, then) == passing


def test_more_credentials_than_can_be_hidden_are_not_judged() -> None:
    cookies = "; ".join(f"c{number}=secret-{number}" for number in range(MAX_SECRETS + 1))
    with pytest.raises(NotJudged, match="too many credentials"):
        judging(cookie=cookies)
