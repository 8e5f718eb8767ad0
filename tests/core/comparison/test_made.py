from __future__ import annotations

import pytest

from proxy.core.comparison.differences import Difference
from proxy.core.comparison.made import MAX_PLACES, MAX_VALUES, Made
from proxy.core.documents.exactjson import Json


def differs(path: str, legacy: Json, async_: Json) -> Difference:
    return Difference(path, "value", legacy, async_, () if ":" in path else tuple(path.split(".")))


def is_made(path: str, legacy: Json, async_: Json, request: bytes = b"/a {}") -> bool:
    return bool(Made().among([differs(path, legacy, async_)], request))


@pytest.mark.parametrize(
    ("path", "legacy", "async_"),
    [
        ("id", 1001, 7),
        ("payment_id", "pay_8f31", "pay_77ab"),
        ("userId", "a1", "b2"),
        ("ref", "0b7f6c1e-8a52-4a0f-9d0e-3f6c8f2b7a11", "1b7f6c1e-8a52-4a0f-9d0e-3f6c8f2b7a12"),
        ("token", "a1b2c3d4e5f6a7b8", "b1b2c3d4e5f6a7b9"),
        ("created_at", "2026-01-01T00:00:00Z", "2026-01-01T00:00:03.5Z"),
        ("header:location", "/users/1001", "/users/7"),
        ("header:location", "http://h/a/u_1/b", "http://h/a/u_2/b"),
    ],
)
def test_ids_tokens_and_times_of_the_write_itself_differ_by_nature(
    path: str, legacy: Json, async_: Json
) -> None:
    assert is_made(path, legacy, async_)


@pytest.mark.parametrize(
    ("path", "legacy", "async_"),
    [
        (":status", 200, 201),
        ("amount", 1001, 1002),
        ("paid", True, False),
        ("id", 7, "7"),
        ("id", "pay_8f31", "PAYMENT-77"),
        ("state", "pending", "settled"),
        ("created_at", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"),
        ("created_at", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00"),
        ("token", "a1b2c3d4e5f6a7b8", "a1b2"),
        ("ref", "0b7f6c1e-8a52-4a0f-9d0e-3f6c8f2b7a11", ""),
        ("header:location", "/users/1001", "/people/7"),
        ("header:location", "http://one/users/1", "http://two/users/2"),
        ("header:etag", '"a"', '"b"'),
    ],
)
def test_everything_else_counts(path: str, legacy: Json, async_: Json) -> None:
    assert not is_made(path, legacy, async_)


def test_what_the_request_says_is_echoed_and_not_made() -> None:
    ids = "0b7f6c1e-8a52-4a0f-9d0e-3f6c8f2b7a11", "1b7f6c1e-8a52-4a0f-9d0e-3f6c8f2b7a12"
    assert is_made("ref", *ids)
    assert not is_made("ref", *ids, request=b'/a {"ref": "%b"}' % ids[0].encode())


@pytest.mark.parametrize("fixed", [0, 1])
def test_a_value_that_comes_again_on_either_side_was_not_made_for_this_write(fixed: int) -> None:
    made = Made()
    found = []
    for number in range(5):
        values = [100 + number, 200 + number]
        values[fixed] = 7
        found.append(len(made.among([differs("id", *values)], b"")))
    assert found == [1, 0, 0, 0, 0]


def test_an_entity_tag_differs_by_nature_where_nothing_else_does_but_what_was_made() -> None:
    tag, ids, amount = differs("header:etag", '"a"', '"b"'), differs("id", 1, 2), differs("amount", 1, 2)
    assert Made().among([tag, ids], b"") == [ids, tag]
    assert Made().among([tag, ids, amount], b"") == [ids]
    assert Made().among([tag._replace(legacy='W/"a"'), ids], b"") == [ids]


def test_its_memory_is_bounded() -> None:
    made = Made()
    assert all(made.among([differs("id", n, n)], b"") for n in range(MAX_VALUES))
    assert not made.among([differs("id", MAX_VALUES, -1)], b"")
    found = [len(made.among([differs(f"x{n}.id", n, n)], b"")) for n in range(MAX_PLACES + 5)]
    assert sum(found) == MAX_PLACES - 1
