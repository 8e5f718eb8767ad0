from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config import ConfigErrors, load_text, set_weight
from tests.config.texts import BACKENDS

NAME = "GET /a/{x}"

EDITS = [
    (" {weight: 25}  # why\n", " {weight: 50}  # why\n"),
    ("\n    weight: 25 # why\n    group: g\n", "\n    weight: 50 # why\n    group: g\n"),
    (" {}\n", " {weight: 50}\n"),
    (" { }  # why\n", " {weight: 50 }  # why\n"),
    ("\n", " {weight: 50}\n"),
    ("", " {weight: 50}"),
    ("   # why\n  GET /b:\n", " {weight: 50}   # why\n  GET /b:\n"),
    (" ~\n", " {weight: 50}\n"),
    (" null # why", " {weight: 50} # why"),
    (" {group: g}\n", " {weight: 50, group: g}\n"),
    ("\n    # why\n    group: g\n", "\n    # why\n    weight: 50\n    group: g\n"),
    (" {weight: }\n", " {weight: 50}\n"),
    ("\n    weight:\n", "\n    weight: 50\n"),
    (" {weight: '25'}\n", " {weight: 50}\n"),
    (" {weight: 25,\n    group: g}\n", " {weight: 50,\n    group: g}\n"),
]
ROLLOUTS = [
    (" {rollout: careful}  # why\n", " {weight: 50}  # why\n"),
    (" {group: g, rollout: 'careful', phase: p}\n", " {group: g, weight: 50, phase: p}\n"),
    ("\n    rollout: careful  # why\n    group: g\n", "\n    weight: 50  # why\n    group: g\n"),
    (
        "\n    # why\n    rollout:\n      careful\n    group: g\n",
        "\n    # why\n    weight: 50\n    group: g\n",
    ),
    ("\n    rollout: >-\n      careful\n    group: g\n", "\n    weight: 50\n    group: g\n"),
    ("\n    rollout: |\n      careful\n", "\n    weight: 50\n"),
    ("\n    rollout:\n    group: g\n", "\n    weight: 50\n    group: g\n"),
    ("\n    rollout: careful", "\n    weight: 50"),
    (' {"rollout":"careful"}\n', " {weight: 50}\n"),
    (" {rollout: '${PLAN}'}\n", " {weight: 50}\n"),
    (" {rollout: ~, weight: 25}\n", " {rollout: ~, weight: 50}\n"),
]
"""What stands after the endpoint's colon, before and after."""

OTHER_STYLES = [
    (
        "endpoints: {'GET /a/{x}': {group: g, weight: 25}}",
        "endpoints: {'GET /a/{x}': {group: g, weight: 50}}",
    ),
    (
        "endpoints:\r\n  GET /a/{x}:\r\n    group: g\r\n",
        "endpoints:\r\n  GET /a/{x}:\r\n    weight: 50\r\n    group: g\r\n",
    ),
    (
        "# é😀\nendpoints:\n  GET /a/{x}: {force: 'ü', weight: 0.5}\n",
        "# é😀\nendpoints:\n  GET /a/{x}: {force: 'ü', weight: 50}\n",
    ),
    (
        '"endpoints":\n  "GET /a/{x}": {"weight": 25}',
        '"endpoints":\n  "GET /a/{x}": {"weight": 50}',
    ),
]


@pytest.mark.parametrize(("before", "after"), EDITS)
def test_only_the_number_changes(before: str, after: str) -> None:
    start = "endpoints:\n  GET /a/{x}:"
    assert set_weight(start + before, NAME, 50) == start + after


@pytest.mark.parametrize(("before", "after"), ROLLOUTS)
def test_the_weight_takes_the_place_of_a_rollout(before: str, after: str) -> None:
    start = "endpoints:\n  GET /b: {rollout: careful}\n  GET /a/{x}:"
    assert set_weight(start + before, NAME, 50) == start + after


def test_an_endpoint_with_both_is_refused_with_the_place_of_the_rollout() -> None:
    with pytest.raises(ConfigErrors) as refused:
        set_weight("endpoints:\n  GET /a/{x}: {weight: 5, rollout: careful}\n", NAME, 50)
    (error,) = refused.value.errors
    assert (error.line, error.column) == (2, 27)
    assert "has a weight and a rollout: remove one of them first" in error.message


@pytest.mark.parametrize(("before", "after"), OTHER_STYLES)
def test_only_the_number_changes_whatever_the_style(before: str, after: str) -> None:
    assert set_weight(before, NAME, 50) == after


@pytest.mark.parametrize(
    "first", ["\ufeff", "\ufeff# é\n", "# \u2028 \x85# \U0001f600\n", "\r\n\r\n", "\r# mac\r"]
)
def test_only_the_number_changes_after_odd_characters(first: str) -> None:
    text = f"{first}endpoints:\n  GET /a/{{x}}: {{weight: 25}}\n"
    assert set_weight(text, NAME, 50) == text.replace("25", "50")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the file has no endpoints"),
        ("endpoints:", "is not listed in routing.yaml; listed are: none"),
        ("endpoints: {GET /b: {weight: 5}}", "is not listed in routing.yaml; listed are: GET /b"),
        ("endpoints: [1]", "is not listed"),
        ("endpoints:\n  GET /a/{x}: 25", "25 is not a mapping"),
        ("endpoints:\n  GET /a/{x}: &w {weight: 25}", "anchors are not supported"),
        ("x: &w {weight: 25}\nendpoints:\n  GET /a/{x}: *w", "aliases are not supported"),
        ("endpoints:\n  GET /a/{x}: {weight: &w 25}", "anchors are not supported"),
        ("endpoints:\n  GET /a/{x}: {weight: !!int 25}", "tags are not supported"),
        ("endpoints:\n  GET /a/{x}: {weight: [25]}", "the weight is not a number"),
        ("endpoints:\n  GET /a/{x}: {weight: '${W:-5}'}", "comes from the environment"),
        ("endpoints:\n  GET /a/{x}: {weight: 1, weight: 2}", "weight is given twice"),
        ("endpoints:\n  GET /a/{x}: {}\n  GET /a/{x}: {}", "is given twice"),
        ("endpoints:\n  GET /a/{x}: {weight: 1", "this is not YAML"),
        ("endpoints:\n  GET /a/{x}:\n    ? group\n    : g\n", "write the endpoint on one line"),
    ],
)
def test_what_can_not_be_changed_in_one_place_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        set_weight(text, NAME, 50)
    (found,) = caught.value.errors
    assert reason in found.message
    assert found.line >= 1


@pytest.mark.parametrize("weight", [-1, 100.01, 0.001, float("nan"), float("inf")])
def test_weight_out_of_range_is_refused(weight: float) -> None:
    with pytest.raises(ConfigErrors, match="weight"):
        set_weight("endpoints:\n  GET /a/{x}:", NAME, weight)


COMMENTS = st.text(alphabet="abc é😀#:{}[]'\"-", max_size=12).map(lambda text: f"# {text}")
VALUES = st.sampled_from(
    ["", "{}", "{weight: 7}", "{group: g, weight: 0.25}", "{weight: 3, group: 'x y'}", "\n    group: g",
     "\n    weight: 9\n    group: g", "\n    group: g\n    weight:   12.5"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(COMMENTS, VALUES), min_size=1, max_size=5), st.data(), st.integers(0, 10_000))
def test_everything_else_stays_as_it_is(
    entries: list[tuple[str, str]], data: st.DataObject, weight: int
) -> None:
    lines = [f"  {comment}\n  GET /e{number}: {value}\n" for number, (comment, value) in enumerate(entries)]
    text = f"{BACKENDS}endpoints:\n{''.join(lines)}# the end\n"
    chosen = data.draw(st.integers(0, len(entries) - 1))
    edited = set_weight(text, f"GET /e{chosen}", weight / 100)

    before = load_text(text, source="x", environ={}).snapshot.endpoints
    after = load_text(edited, source="x", environ={}).snapshot.endpoints
    assert [each.weight for each in after] == [
        weight if number == chosen else each.weight for number, each in enumerate(before)
    ]
    assert [each.group for each in after] == [each.group for each in before]
    start = text.index(lines[chosen])
    rest = len(text) - start - len(lines[chosen])
    assert edited[:start] == text[:start]
    assert edited[len(edited) - rest :] == text[len(text) - rest :]
    assert entries[chosen][0] in edited
    assert set_weight(edited, f"GET /e{chosen}", weight / 100) == edited
