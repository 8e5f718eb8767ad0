from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.rollouts.real.stack import RealBackend

Backends = tuple[RealBackend, RealBackend]


@pytest.fixture(scope="module")
def backends() -> Iterator[Backends]:
    """Legacy and async, which nobody but this module's tests tells what to do."""
    made: list[RealBackend] = []
    try:
        made += [RealBackend("legacy"), RealBackend("async")]
        yield made[0], made[1]
    finally:
        for each in made:
            each.kill()
