from __future__ import annotations

import pytest

from proxy.core.timestamps import timestamp, to_the_second


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1714564800.25, "2024-05-01T12:00:00.250Z"),
        (1714564800.9996, "2024-05-01T12:00:00.999Z"),  # not yet the next second
    ],
)
def test_a_timestamp_is_in_utc_to_the_millisecond(seconds: float, shown: str) -> None:
    assert timestamp(seconds) == shown


def test_to_the_second_is_in_utc_too() -> None:
    assert to_the_second(1714564800.9) == "2024-05-01T12:00:00Z"
