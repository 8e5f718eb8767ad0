"""Rules are added in place, and whatever is written, the rest of the file says what it said."""

from __future__ import annotations

import pytest

from proxy.config import ConfigErrors, add_rule, load_text
from proxy.config.edit_rules import NewRule, rule_text
from tests.config.texts import BACKENDS

NAME = "GET /a/{x}"
RULE: NewRule = {"ignore": "items[].id", "reason": "random: by design", "expires": "2030-01-31"}
LINE = '{ignore: "items[].id", reason: "random: by design", expires: 2030-01-31}'

EDITS = [
    (" {weight: 25}  # why\n", f" {{weight: 25, compare: {{rules: [{LINE}]}}}}  # why\n"),
    (" {}\n", f" {{compare: {{rules: [{LINE}]}}}}\n"),
    ("\n", f" {{compare: {{rules: [{LINE}]}}}}\n"),
    (" ~\n", f" {{compare: {{rules: [{LINE}]}}}}\n"),
    ("", f" {{compare: {{rules: [{LINE}]}}}}"),
    (
        " {weight: 25, compare: {sample: 5%}}\n",
        f" {{weight: 25, compare: {{sample: 5%, rules: [{LINE}]}}}}\n",
    ),
    (
        " {compare: {rules: [{ignore: a}]}}\n",
        f" {{compare: {{rules: [{{ignore: a}}, {LINE}]}}}}\n",
    ),
    (" {compare: {rules: []}, weight: 5}\n", f" {{compare: {{rules: [{LINE}]}}, weight: 5}}\n"),
    (
        "\n    weight: 25 # why\n\n  # next\n  GET /b: {}\n",
        f"\n    weight: 25 # why\n    compare:\n      rules:\n        - {LINE}\n\n  # next\n  GET /b: {{}}\n",
    ),
    (
        "\n    compare:\n      sample: 5% # some\n    weight: 5\n",
        f"\n    compare:\n      sample: 5% # some\n      rules:\n        - {LINE}\n    weight: 5\n",
    ),
    (
        "\n    compare:\n      rules:\n        - {ignore: a} # old\n    weight: 5\n",
        f"\n    compare:\n      rules:\n        - {{ignore: a}} # old\n        - {LINE}\n    weight: 5\n",
    ),
    (
        "\n    compare:\n      rules:\n      - ignore: a\n        owner: q\n    weight: 5\n",
        f"\n    compare:\n      rules:\n      - ignore: a\n        owner: q\n      - {LINE}\n    weight: 5\n",
    ),
    ("\n    compare:\n      rules:\n    weight: 5", f"\n    compare:\n      rules: [{LINE}]\n    weight: 5"),
    ("\n    weight: 25", f"\n    weight: 25\n    compare:\n      rules:\n        - {LINE}"),
    ("\r\n    weight: 25\r\n", f"\r\n    weight: 25\r\n    compare:\r\n      rules:\r\n        - {LINE}\r\n"),
    ("\n    compare: {sample: 5%}\n", f"\n    compare: {{sample: 5%, rules: [{LINE}]}}\n"),
]
"""What stands after the endpoint's colon, before and after."""


@pytest.mark.parametrize(("before", "after"), EDITS)
def test_the_rule_goes_behind_the_others_and_comments_stay(before: str, after: str) -> None:
    start = "# é😀\nendpoints:\n  GET /a/{x}:"
    assert add_rule(start + before, NAME, RULE) == start + after


@pytest.mark.parametrize("before", [before for before, _ in EDITS if "5%" not in before])
def test_the_edited_file_is_valid_and_has_the_rule(before: str) -> None:
    text = f"{BACKENDS}endpoints:\n  {NAME}:{before}"
    snapshot = load_text(add_rule(text, NAME, RULE), source="x", environ={}).snapshot
    (endpoint,) = [each for each in snapshot.endpoints if each.name == NAME]
    assert str(endpoint.compare.rules[-1]) == "ignore items[].id (random: by design, until 2030-01-31)"


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ({"tolerance": "total", "within": "0.01"}, "{tolerance: total, within: 0.01}"),
        ({"time": "a.b", "within": "2s"}, "{time: a.b, within: 2s}"),
        ({"equal": "x", "values": ["yes", 1, None, True]}, '{equal: x, values: ["yes", 1, null, true]}'),
        ({"ignore": "true"}, '{ignore: "true"}'),
        ({"ignore": "header:etag", "reason": 'say "ü"'}, '{ignore: "header:etag", reason: "say \\"ü\\""}'),
        ({"unordered": "$", "by": "currency"}, '{unordered: "$", by: currency}'),
    ],
)
def test_text_is_quoted_where_yaml_would_read_something_else(rule: NewRule, line: str) -> None:
    assert rule_text(rule) == line


@pytest.mark.parametrize(
    ("text", "rule", "message"),
    [
        ("endpoints:\n  GET /b: {}\n", RULE, "is not listed in routing.yaml; listed are: GET /b"),
        ("endpoints:\n  GET /a/{x}: 5\n", RULE, "5 is not a mapping"),
        ("endpoints:\n  GET /a/{x}: {compare: {rules: 5}}\n", RULE, "is not a list of rules"),
        ("endpoints:\n  GET /a/{x}: &a {}\n", RULE, "anchors are not supported"),
        ("endpoints:\n  GET /a/{x}: {}\n", {"ignore": "a", "reason": "${HOME}"}, "environment variable"),
        ("endpoints:\n  GET /a/{x}: {}\n", {"ignore": "a", "reason": "two\nlines"}, "a line of text"),
        ("endpoints:\n  GET /a/{x}:\n    force: |\n      why\n\n  GET /b: {}\n", RULE, "on one line"),
    ],
)
def test_what_has_no_place_for_a_rule_is_refused_with_the_reason(
    text: str, rule: NewRule, message: str
) -> None:
    with pytest.raises(ConfigErrors, match=message):
        add_rule(text, NAME, rule)
