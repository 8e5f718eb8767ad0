from __future__ import annotations

import pytest

from bench.headline.capacity import limit


@pytest.mark.parametrize(
    ("backend", "machine", "processes", "expected"),
    [
        (0.1, 0.3, 4, "waiting"),
        (1.0, 1.99, 4, "the machine's CPU"),
        (0.95, 1.4, 1, "the backend's CPU"),
        (0.95, 1.4, 2, "waiting"),
    ],
)
def test_what_there_is_no_more_of(backend: float, machine: float, processes: int, expected: str) -> None:
    assert limit({"backend": backend, "machine": machine, "cores": 2}, processes) == expected
