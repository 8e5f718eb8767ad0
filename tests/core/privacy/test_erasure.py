from __future__ import annotations

import pytest

from proxy.core.comparison.comparisons import Sample, Scope, Shown, Side
from proxy.core.privacy.erasure import Covered, NameMatcher, PathMatcher, PathPattern
from proxy.core.privacy.redact import Redactor, digests_of

SCOPE = Scope("GET /a", "1", "2", "r")
SIDE = Side(200, {}, None, False, 0, 0.0)


def sample(target: str = "/a", **given: object) -> Sample:
    empty = Sample("s", SCOPE, 0.0, "GET", target, (), SIDE, SIDE, ())
    return empty._replace(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pattern", "target", "expected"),
    [
        ("/accounts/acc_1", "/accounts/acc_1", True),
        ("/accounts/acc_1", "/accounts/acc_1?limit=5", True),
        ("/accounts/acc_1", "/accounts/acc%5F1/", True),
        ("/accounts/acc%5F1", "/accounts/acc_1", True),
        ("/accounts/acc_1", "http://api/accounts/acc_1", True),
        ("/accounts/acc_1", "//accounts//acc_1", True),
        ("/accounts/acc_1", "/accounts/acc_12", False),
        ("/accounts/acc_1", "/accounts/acc_1/payments", False),
        ("/accounts/acc_1", "/accounts", False),
        ("/accounts/acc_1", "/a?x=/accounts/acc_1", False),
        ("/accounts/*", "/accounts/acc_1", True),
        ("/accounts/{id}/payments", "/accounts/acc_1/payments", True),
        ("/accounts/*", "/accounts/acc_1/payments", False),
        ("/accounts/acc_1/**", "/accounts/acc_1/payments/7", True),
        ("/accounts/acc_1/**", "/accounts/acc_1", True),
        ("/accounts/acc_1/**", "/accounts/acc_2", False),
        ("/**", "/", True),
        ("/", "/", True),
        ("/", "/a", False),
        ("/accounts/a*", "/x", None),
    ],
)
def test_a_pattern_and_a_target(pattern: str, target: str, expected: bool | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="whole segment"):
            PathPattern.parse(pattern)
        return
    assert PathPattern.parse(pattern).matches(target) == expected
    assert PathMatcher(PathPattern.parse(pattern)).matches(sample(target)) == expected


@pytest.mark.parametrize("pattern", ["", "accounts", "/a?b", "/a#b", "/**/a", "/a**", "/" + "a" * 5000])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|has) "):
        PathPattern.parse(pattern)


@pytest.mark.parametrize(
    ("pattern", "template", "expected"),
    [
        ("/payments", "/payments", "all"),
        ("/payments", "/refunds", "none"),
        ("/payments", "/payments/{id}", "none"),
        ("/payments/7", "/payments/{id}", "some"),
        ("/payments/*", "/payments/{id}", "all"),
        ("/payments/{x}", "/payments/{id}", "all"),
        ("/payments/**", "/payments/{id}/refunds", "all"),
        ("/payments/7/**", "/payments/{id}/refunds", "some"),
        ("/payments/7/**", "/payments", "none"),
        ("/a/7", "/a/{rest...}", "some"),
        ("/a/*", "/a/{rest...}", "some"),
        ("/a/**", "/a/{rest...}", "all"),
        ("/a", "/a/{rest...}", "none"),
        ("/**", "/a/{rest...}", "all"),
        ("/b/**", "/a/{rest...}", "none"),
    ],
)
def test_how_many_requests_of_an_endpoint_a_pattern_means(
    pattern: str, template: str, expected: Covered
) -> None:
    assert PathPattern.parse(pattern).covers(template) == expected


KEY = b"k" * 32


@pytest.mark.parametrize(
    "found",
    [
        sample("/users/ada"),
        sample("/users?id=%61da"),
        sample(headers=(("x-user-id", "ada"),)),
        sample(headers=(("cookie", "a=1; user=ada; b=2"),)),
        sample(headers=(("authorization", Redactor(KEY, ()).digest("Bearer ada")),)),
        sample(headers=(("x-api-key", Redactor(KEY, ()).digest("ada")),)),
        sample(legacy=SIDE._replace(body='{"user":"ada"}')),
        sample(async_=SIDE._replace(body='{"user":"ada"}')),
        sample(legacy=SIDE._replace(headers={"location": "/users/ada"})),
        sample(differences=(Shown("user", "value", '"ada"', '"x"'),)),
        sample(differences=(Shown("users.ada", "value", "1", "2"),)),
        sample(async_=SIDE._replace(body=f'{{"token":"{Redactor(KEY, ()).digest("ada")}"}}')),
    ],
)
def test_a_name_is_found_wherever_a_sample_shows_it(found: Sample) -> None:
    assert NameMatcher("ada", digests_of("ada", KEY)).matches(found)


@pytest.mark.parametrize("text", ["adam", "canada", "ada-2", "x_ada", "1ada", "Ada", ""])
def test_a_part_of_a_word_is_another_name(text: str) -> None:
    assert not NameMatcher("ada", digests_of("ada", KEY)).matches(sample(headers=(("x-user-id", text),)))


def test_the_second_place_counts_and_names_with_other_letters_are_found_in_json() -> None:
    assert NameMatcher("ada").matches(sample(legacy=SIDE._replace(body="adam, ada.")))
    for body in ('{"n":"J\\u00fcrgen \\"J\\""}', '{"n":"Jürgen \\"J\\""}'):
        assert NameMatcher('Jürgen "J"').matches(sample(legacy=SIDE._replace(body=body)))
