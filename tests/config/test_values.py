from __future__ import annotations

from typing import Any

import pytest

from proxy.config.graph import compose
from proxy.config.values import Values, resolve, shown
from proxy.config.variables import Variables


def read(text: str, **environ: str) -> Values:
    return Values.read(compose(text), Variables(environ))


SCALARS: list[tuple[str, Any]] = [
    ("5", 5), ("-5", -5), ("010", 10), ("2.5", 2.5), ("5.", 5.0), ("true", True), ("FALSE", False),
    ("null", None), ("~", None), ("", None), ("off", "off"), ("on", "on"), ("yes", "yes"), ("1e3", "1e3"),
    (".inf", ".inf"), (".nan", ".nan"), ("0x10", "0x10"),
    ("12:30", "12:30"), ("2026-01-02", "2026-01-02"), ("1_000", "1_000"),
    ("9" * 30, "9" * 30), ("10s", "10s"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_plain_scalar_has_the_core_schemas_type(text: str, value: Any) -> None:
    found = resolve(text)
    assert (type(found), found) == (type(value), value)


def test_quoted_scalar_is_text() -> None:
    assert read("a: '5'\nb: \"true\"\nc: 'null'").data == {"a": "5", "b": "true", "c": "null"}


def test_an_unquoted_variable_is_text_first_and_what_it_would_be_in_the_file_second() -> None:
    values = read("a: ${A}\nb: ${B}\nc: ${C}\nd: x${A}\ne: '${A}'", A="007", B="true", C="")
    assert values.data == {"a": "007", "b": "true", "c": None, "d": "x007", "e": "007"}
    assert values.otherwise == {("a",): 7, ("b",): True}


def test_variables_in_keys_are_left_alone() -> None:
    assert read("'${A}': 1", A="x").data == {"${A}": 1}


def test_missing_variable_is_found_at_its_line() -> None:
    (found,) = read("a: 1\nb:\n  - ${NOT_SET}\n").findings
    assert (found.path, found.mark.line, found.mark.column) == (("b", 0), 2, 4)
    assert "NOT_SET" in found.message


def test_duplicate_keys_are_found_with_the_first_ones_line() -> None:
    values = read("a: 1\nb: {c: 1, c: 2}\na: 3\n")
    assert [(each.path, each.message) for each in values.findings] == [
        (("b", "c"), "is already given in line 2"),
        (("a",), "is already given in line 1"),
    ]
    assert values.data == {"a": 1, "b": {"c": 1}}


def test_same_key_quoted_or_not_is_a_duplicate() -> None:
    assert [each.path for each in read("a: 1\n'a': 2").findings] == [("a",)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1\nb: *x", "anchors are not supported"),
        ("<<: {a: 1}", "merge keys are not supported"),
        ("? [a, b]\n: 1", "a key must be text"),
        ("? {a: b}\n: 1", "a key must be text"),
        ("a: !!int '5'", "tags are not supported"),
    ],
)
def test_what_a_table_does_not_need_is_refused(text: str, message: str) -> None:
    assert message in read(text).findings[0].message


def test_long_and_unprintable_values_are_shortened_for_messages() -> None:
    root = compose('["%s", "a\\nb", "", ~, {}, "http://user:pw@host"]' % ("x" * 100))
    assert root is not None
    assert [shown(item) for item in root.items] == [
        "x" * 57 + "...",
        "a\\nb",
        '""',
        "~",
        "a mapping",
        "http://***@host",
    ]
