from __future__ import annotations

import random
import time

import pytest

from proxy.core.evidence.units import (
    BUCKETS,
    NONE,
    SIZE,
    UNITS,
    Units,
    UnitTally,
    dealt,
    grown,
    read,
    reported,
    share,
    sides,
    write,
)


def of(*units: int) -> int:
    return sum(1 << unit for unit in set(units))


@pytest.mark.parametrize("weight", [0, 1, 100, 2500, 9999, 10_000])
def test_a_unit_is_on_async_if_its_bucket_is_below_the_weight(weight: int) -> None:
    chance = random.Random(weight)
    for unit in [0, 9_999, 10_000, 79_999, *(chance.randrange(UNITS) for _ in range(300))]:
        assert bool(share(weight) >> unit & 1) == (unit % BUCKETS < weight)
    assert share(weight).bit_count() == 8 * weight


def test_what_a_step_moves_is_the_difference_of_its_shares() -> None:
    assert dealt(100, 500) == share(500) & ~share(100)
    assert dealt(500, 500) == dealt(500, 100) == 0


def test_maps_are_sent_with_the_first_unit_in_the_lowest_bit() -> None:
    assert read(b"\x01\x80") == of(0, 15)
    assert write(of(0, 15)) == b"\x01\x80"
    assert write(0) == b""
    units = of(3, 40_000, 79_999)
    assert read(write(units)) == units


def test_a_reporter_cannot_make_a_map_grow() -> None:
    assert read(b"\xff" * (SIZE + 5)).bit_length() == UNITS


def test_who_failed_was_active() -> None:
    seen = reported("1", b"\x01", (b"\x02", b"\x04", b"\x08"), NONE, NONE)
    assert (seen.active, seen.failing, seen.refused, seen.slower) == (15, 2, 4, 8)


def test_reporters_are_merged_by_or_and_their_counts_by_sum() -> None:
    one = Units("e", of(1, 2), of(1), 0, 0, (5, 1, 0, 0), (1, 0, 0, 0))
    other = Units("e", of(2, 3), 0, of(3), 0, (7, 0, 0, 2), (2, 1, 0, 0))
    both = one.merged(other)
    assert both == Units("e", of(1, 2, 3), of(1), of(3), 0, (12, 1, 0, 2), (3, 1, 0, 0))
    assert both == other.merged(one)


def test_only_units_that_had_not_failed_are_at_risk() -> None:
    """Async has the buckets below 100. Unit 5 failed before, 7 and 300 do now, 8 and 301 are well."""
    before = UnitTally(Units("e", of(5, 7), of(5)), 100)
    after = before.with_(Units("e", of(5, 7, 8, 300, 301), of(5, 7, 300)))
    seen = after.event(before, "failing")
    assert seen is not None
    assert (seen.legacy, seen.async_, seen.failed_legacy, seen.failed_async) == (2, 2, 1, 1)
    assert after.event(before, "slower") is None
    assert after.event(after, "failing") is None


def test_a_tally_counts_what_a_count_of_its_maps_would() -> None:
    chance = random.Random(1)
    tally, units = UnitTally(Units("e"), 2500), Units("e")
    for _ in range(20):
        failing, slower = (of(*(chance.randrange(UNITS) for _ in range(30))) for _ in range(2))
        seen = Units("e", failing | slower, failing, 0, slower, (1, 0, 0, 0), (2, 1, 0, 0))
        tally, units = tally.with_(seen), units | seen
        assert tally.units == units
        assert tally.counts == UnitTally(units, 2500).counts


def test_totals_that_went_back_are_no_news() -> None:
    assert grown((5, 1, 0, 0), (8, 1, 2, 0)) == (3, 0, 2, 0)
    assert grown((5, 1, 0, 0), (2, 3, 0, 0)) == NONE


def test_a_look_at_full_maps_is_cheap() -> None:
    """A thousand counts of both sides of 80,000 units take far less than a second of processor time."""
    units, began = random.Random(1).getrandbits(UNITS), time.process_time()
    for _ in range(1000):
        assert sum(sides(units, 500)) == units.bit_count()
    assert time.process_time() - began < 2
