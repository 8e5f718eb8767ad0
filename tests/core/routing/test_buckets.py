from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.routing.buckets import BUCKETS, MAX_SALT, Buckets, bucket

KEYS = [b"user-1", b"user-2", b"", b"\xff\x00", b"k" * 500]


def test_buckets_are_the_documented_hash() -> None:
    """These numbers must never change: clients would change backends."""
    assert [bucket(b"default", "accounts", key) for key in (b"1", b"42", b"user-1")] == [1725, 4150, 1117]


@given(st.binary(max_size=64), st.text(max_size=20), st.binary(max_size=100))
def test_bucket_is_on_the_scale_and_prepared_function_agrees(salt: bytes, group: str, key: bytes) -> None:
    found = bucket(salt, group, key)
    assert 0 <= found < BUCKETS
    prepared = Buckets(salt, group).of
    assert prepared(key) == found == prepared(key)


@given(st.binary(max_size=30), st.floats(0, 100), st.floats(0, 100))
def test_raising_a_weight_never_moves_a_key_off_async(key: bytes, one: float, other: float) -> None:
    low, high = sorted((round(one * 100), round(other * 100)))
    found = bucket(b"default", "accounts", key)
    assert not (found < low) or found < high


@pytest.mark.parametrize("weight", [1, 100, 1000, 2500, 5000, 9000, 9999])
@pytest.mark.parametrize("group", ["accounts", "payments"])
def test_split_is_within_binomial_bounds(weight: int, group: str) -> None:
    """Six standard deviations: a fair hash fails one time in 500 million, and this input is fixed."""
    count, share = 20_000, weight / BUCKETS
    of = Buckets(b"default", group).of
    moved = sum(of(b"user-%d" % number) < weight for number in range(count))
    assert abs(moved - count * share) <= 6 * math.sqrt(count * share * (1 - share)) + 1


def test_groups_and_salts_split_independently() -> None:
    def chosen(salt: bytes, group: str) -> set[int]:
        of = Buckets(salt, group).of
        return {number for number in range(10_000) if of(b"%d" % number) < 5000}

    base = chosen(b"default", "accounts")
    for other in (chosen(b"default", "payments"), chosen(b"other", "accounts")):
        assert 2_200 < len(base & other) < 2_800


def test_group_and_key_do_not_run_into_each_other() -> None:
    assert bucket(b"s", "ab", b"c") != bucket(b"s", "a", b"bc")


@pytest.mark.parametrize("seed", ["0", "4242"])
def test_another_process_with_another_hash_seed_agrees(seed: str) -> None:
    script = f"from proxy.core.routing.buckets import bucket; print([bucket(b'x', 'g', k) for k in {KEYS!r}])"
    environ = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str([bucket(b"x", "g", key) for key in KEYS])


def test_too_long_salt_is_refused() -> None:
    with pytest.raises(ValueError):
        bucket(b"s" * (MAX_SALT + 1), "g", b"k")
