from __future__ import annotations

import pytest

from proxy.core.comparison.units import (
    PER_BUCKET,
    UNITS,
    as_map,
    merged,
    number_in,
    shape_of_parameters,
    unit_of,
    unit_of_ids,
)
from proxy.core.routing.buckets import bucket


def test_a_unit_belongs_to_its_users_bucket() -> None:
    units = {unit_of(b"salt", "accounts", f"u{n}".encode()) for n in range(2000)}
    assert len(units) > 1900
    for n in range(50):
        key = f"u{n}".encode()
        assert unit_of(b"salt", "accounts", key) // PER_BUCKET == bucket(b"salt", "accounts", key)


def test_ids_are_those_of_the_path() -> None:
    assert unit_of_ids({}) is None
    assert unit_of_ids({"id": "1"}) != unit_of_ids({"id": "2"})
    assert unit_of_ids({"a": "1", "b": "2"}) == unit_of_ids({"b": "2", "a": "1"})


@pytest.mark.parametrize(
    ("target", "shape"),
    [
        (b"/a", "no parameters"),
        (b"/a?", "no parameters"),
        (b"/a?b=1&a=2&b=3", "?a&b"),
        (b"/a?f%69lter=x&flag", "?filter&flag"),
        (b"/a?\xff=1", "?\xff"),
    ],
)
def test_shapes_of_parameters(target: bytes, shape: str) -> None:
    assert shape_of_parameters(target) == shape


def test_a_shape_is_bounded() -> None:
    target = b"/a?" + b"&".join(b"%dx%s=1" % (n, b"y" * 500) for n in range(500))
    assert len(shape_of_parameters(target)) < 1000


def test_maps_of_several_replicas_are_brought_together() -> None:
    one, other = as_map("users", 1 << 5 | 1 << 9), as_map("users", 1 << 9 | 1 << UNITS - 1)
    both = merged(one.map, other.map)
    assert (one.number, number_in(both), len(both)) == (2, 3, UNITS // 8)
    assert number_in(merged(b"", one.map)) == 2
