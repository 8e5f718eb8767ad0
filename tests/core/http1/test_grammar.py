from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.http1.grammar import FieldBlock, Malformed, split_list

BLOCK = FieldBlock(b"Host: h\r\nX-A:  1 \t\r\nx-a:2,, 3\r\nHostile: x\r\nEmpty:\r\nA: Host: no\r\n")


def test_fields_are_found_by_lower_case_name_only_where_lines_begin() -> None:
    assert BLOCK.get(b"host") == b"h"
    assert BLOCK.get(b"x-a") == b"1"
    assert BLOCK.get(b"empty") == b""
    assert BLOCK.get(b"no") is None
    assert BLOCK.get(b"ost") is None
    assert b"hostile" in BLOCK
    assert b"hos" not in BLOCK


def test_all_values_come_in_order() -> None:
    assert BLOCK.values(b"x-a") == [b"1", b"2,, 3"]
    assert split_list(b",".join(BLOCK.values(b"x-a"))) == (b"1", b"2", b"3")
    assert BLOCK.values(b"no") == []


def test_lists_are_split_in_lower_case_without_empty_members() -> None:
    assert split_list(b" A,b ,,\tC D ,") == (b"a", b"b", b"c d")
    assert split_list(b"") == ()


def test_lines_are_cut_out_and_the_others_stay_byte_for_byte() -> None:
    assert BLOCK.without((b"x-a", b"host")) == b"Hostile: x\r\nEmpty:\r\nA: Host: no\r\n"
    assert BLOCK.without((b"no",)) == BLOCK.raw


@pytest.mark.parametrize(
    ("block", "says"),
    [
        (b"A: b\nC: d\r\n", "LF without CR"),
        (b" A: b\r\n", "folding"),
        (b"A: b\r\n\tc\r\n", "folding"),
        (b"abc\r\n", "no colon"),
        (b"A : b\r\n", "between a header's name and its colon"),
        (b": b\r\n", "empty"),
        (b"A(: b\r\n", "not allowed"),
        (b"A: \x00\r\n", "control character"),
        (b"A: b\rc\r\n", "control character"),
        (b"A: b", "malformed"),
    ],
)
def test_a_malformed_block_says_what_is_wrong_without_its_values(block: bytes, says: str) -> None:
    with pytest.raises(Malformed, match=says) as raised:
        FieldBlock(block)
    assert (raised.value.status, raised.value.kind) == (400, "bad_header")


tokens = st.text("!#$%&'*+-.^_`|~09AZaz", min_size=1, max_size=6).map(str.encode)
values = st.text("\t !azAZ~:;,\xe9\xff", max_size=8).map(lambda text: text.encode("latin-1"))


@given(st.lists(st.tuples(tokens, values), max_size=6), st.lists(tokens, max_size=3))
def test_finding_and_cutting_agree_with_taking_apart(
    pairs: list[tuple[bytes, bytes]], names: list[bytes]
) -> None:
    block = FieldBlock(b"".join([b"%b:%b\r\n" % pair for pair in pairs]))
    plain = [(name, value.strip(b" \t")) for name, value in pairs]
    assert block.pairs() == plain
    wanted = {name.lower() for name in [*names, *(name for name, _ in pairs[:2])]}
    for name in wanted:
        expected = [value for key, value in plain if key.lower() == name]
        assert block.values(name) == expected
        assert block.get(name) == (expected[0] if expected else None)
        assert (name in block) == bool(expected)
    kept = [pair for pair in pairs if pair[0].lower() not in wanted]
    assert block.without(tuple(wanted)) == b"".join([b"%b:%b\r\n" % pair for pair in kept])


@given(st.binary(max_size=60))
def test_any_bytes_are_a_block_or_malformed(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert FieldBlock(data).raw == data


_reference = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*").fullmatch


@given(
    st.lists(
        st.sampled_from(
            [
                b"A",
                b"x-b",
                b"a b",
                b"",
                b":",
                b": ",
                b"\t",
                b"\r\n",
                b"\r",
                b"\n",
                b"\x00",
                b"\x7f",
                b"\xff",
                b"1",
            ]
        ),
        max_size=12,
    ).map(b"".join)
)
def test_a_block_is_accepted_exactly_if_the_grammar_of_rfc_9112_has_it(block: bytes) -> None:
    accepted = True
    try:
        FieldBlock(block)
    except Malformed:
        accepted = False
    assert accepted == (_reference(block) is not None)
