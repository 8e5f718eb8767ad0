from __future__ import annotations

import json
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.comparison.differences import walk
from proxy.core.comparison.judge import pairing
from proxy.core.comparison.sidebyside import MAX_ROWS, MAX_WIDTH, Row, bodies, lines, rows
from proxy.core.documents.exactjson import Json, parse
from proxy.core.settings import ComparisonRule

LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=15,
)


def shown(legacy: str, async_: str) -> tuple[Row, ...]:
    found = [each.steps for each in walk(parse(legacy.encode()), parse(async_.encode()))]
    return bodies(legacy, async_, found).rows


def test_lines_stand_beside_each_other_with_the_difference_marked() -> None:
    assert shown('{"id": 1, "total": "1.10"}', '{"id": 1, "total": "1.1"}') == (
        Row("{", "{", "same"),
        Row('  "id": 1', '  "id": 1', "same"),
        Row('  "total": "1.10"', '  "total": "1.1"', "differs"),
        Row("}", "}", "same"),
    )


def test_a_member_of_one_side_faces_nothing() -> None:
    assert Row('  "b": [', None, "differs") in shown('{"a": 1, "b": [2]}', '{"a": 1}')
    assert Row(None, '  "b": null', "differs") in shown('{"a": 1}', '{"a": 1, "b": null}')
    assert Row(None, "  2", "differs") in shown("[1]", "[1, 2]")


def test_what_a_rule_hides_is_marked_otherwise() -> None:
    found = bodies('{"at": 1, "x": 1}', '{"at": 2, "x": 2}', [("x",)]).rows
    assert [row.mark for row in found] == ["same", "expected", "differs", "same"]


def test_equal_lines_far_from_a_difference_are_one_gap() -> None:
    legacy = {"items": list(range(50)), "last": 1}
    found = shown(json.dumps(legacy), json.dumps({**legacy, "last": 2}))
    assert [row.mark for row in found] == ["gap", "same", "same", "differs", "same"]
    assert found[0] == Row("51 equal lines", None, "gap")


def test_elements_stand_beside_those_that_they_are_paired_with() -> None:
    legacy, async_ = '[{"id":1,"x":1},{"id":2,"x":2}]', '[{"id":2,"x":2},{"id":1,"x":3}]'
    pairs = pairing([ComparisonRule("unordered", "$", by="id")], date(2026, 1, 1))
    found = bodies(legacy, async_, [(0, "x")], pairs).rows
    assert [row for row in found if row.mark not in ("same", "gap")] == [
        Row('    "x": 1', '    "x": 3', "differs")
    ]


def test_a_value_of_another_type_is_shown_whole() -> None:
    found = shown('{"a": {"b": 1}}', '{"a": "b"}')
    assert [(row.legacy, row.async_) for row in found[1:4]] == [
        ('  "a": {', '  "a": "b"'),
        ('    "b": 1', None),
        ("  }", None),
    ]


def test_text_is_a_unified_diff() -> None:
    assert bodies("a\nb\n", "a\nc\n", []).diff == ("@@ -1,2 +1,2 @@", " a", "-b", "+c")


def test_nothing_grows_without_bound() -> None:
    many = bodies(json.dumps([0] * 5000), json.dumps([1] * 5000), [])
    assert len(many.rows) == MAX_ROWS
    assert many.left_out > 4000
    (_, line, _) = shown(json.dumps(["x" * 5000]), json.dumps(["y"]))
    assert line.legacy is not None
    assert len(line.legacy) < MAX_WIDTH + 30


def test_a_body_that_is_not_kept_has_no_lines() -> None:
    assert bodies(None, "x", []) == bodies("x", "x", []) == bodies(None, None, [])


def joined(document: Json) -> str:
    return "".join(line.strip() for line in lines(document))


@given(DOCUMENTS, DOCUMENTS)
def test_each_side_is_the_whole_document_and_every_difference_is_marked(
    legacy: object, async_: object
) -> None:
    ours, theirs = (parse(json.dumps(each).encode()) for each in (legacy, async_))
    differing = {each.steps for each in walk(ours, theirs)}
    found = list(rows(ours, theirs, differing))
    assert "".join(row.legacy.strip() for row in found if row.legacy is not None) == joined(ours)
    assert sorted("".join(row.async_.strip() for row in found if row.async_ is not None)) == sorted(
        joined(theirs)
    )
    assert any(row.mark == "differs" for row in found) == bool(differing)
    assert all(row.mark != "expected" for row in found)
