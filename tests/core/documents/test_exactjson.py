from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.documents.exactjson import Json, kind_of, parse, text_of
from proxy.core.documents.fieldpaths import member_path

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9).filter(
        lambda each: "." in str(each) or "E" in str(each)  # others are integers in JSON
    )
    | st.text(max_size=8)
)
DOCUMENTS: st.SearchStrategy[Json] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(DOCUMENTS)
def test_a_written_value_is_read_back_exactly(value: Json) -> None:
    again = parse(text_of(value).encode("utf-8", "surrogatepass"))
    assert (again, kind_of(again)) == (value, kind_of(value))


def test_numbers_keep_what_was_written() -> None:
    value = parse(b"[1, 1.0, 0.1, 12345678901234567890.12345678901234567890]")
    assert value == [1, Decimal("1.0"), Decimal("0.1"), Decimal("12345678901234567890.12345678901234567890")]
    assert isinstance(value, list)
    assert [kind_of(each) for each in value] == ["integer", "decimal", "decimal", "decimal"]
    assert text_of(value) == "[1,1.0,0.1,12345678901234567890.12345678901234567890]"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"NaN",
        b"[Infinity]",
        b'{"a": 1, "a": 2}',
        b"[" * 101 + b"1" + b"]" * 101,
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b"1" * 5000,
        b"1e999999999",
        b"1e99999999999999999999",
        b"0." + b"1" * 2000,
        b'"\xff"',
    ],
    ids=lambda data: repr(data[:12]),
)
def test_what_has_more_than_one_reading_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse(data)


def test_nesting_is_accepted_up_to_the_limit() -> None:
    data = b"[" * 100 + b"1" + b"]" * 100
    assert text_of(parse(data)).encode() == data == json.dumps(json.loads(data)).encode()


def test_lone_surrogates_stay_escaped_so_that_they_can_be_stored_and_printed() -> None:
    text = text_of(parse(b'{"\\ud800":"x\\udfff"}'))
    assert text == '{"\\ud800":"x\\udfff"}'
    assert text.encode()
    assert member_path("", "\ud800") == '["\\ud800"]'
