from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.traffic.totals import EMPTY, merge, overlay
from proxy.core.traffic.trials import merge_units, union
from proxy.core.wire.messages import Stats
from tests.core.traffic.units import report, stats

SIZE = 40


def as_map(bits: set[int]) -> bytes:
    return sum(1 << bit for bit in bits).to_bytes(SIZE, "little") if bits else b""


BITS = st.sets(st.integers(0, SIZE * 8 - 1))


@given(BITS, BITS)
def test_maps_are_united(one: set[int], other: set[int]) -> None:
    assert union(as_map(one), as_map(other)) == as_map(one | other)


def test_reports_of_one_epoch_become_one_and_others_stay_apart() -> None:
    one = report(active=b"\x01", failing=b"", legacy=(3, 1, 0, 0), version="1")
    two = report(active=b"\x02", failing=b"\x02", legacy=(4, 0, 2, 1), version="")
    other = report(epoch="2", active=b"\x04")
    both = report(active=b"\x03", failing=b"\x02", legacy=(7, 1, 2, 1), version="1")
    assert merge_units([one, other, two]) == [both, other]
    assert merge([stats(one), stats(two, other)]).units == [both, other]


def test_a_partial_message_replaces_only_the_endpoints_that_it_names() -> None:
    known = stats(report("GET /a", active=b"\x01"), report("GET /b"))
    news: Any = stats(report("GET /a", epoch="2"), partial=True)
    assert overlay(known, news).units == [report("GET /a", epoch="2"), report("GET /b")]
    whole: Stats = stats(report("GET /c"))
    assert overlay(known, whole).units == [report("GET /c")]
    assert merge([EMPTY]).units == []
