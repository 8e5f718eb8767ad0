"""A short run of `make faults FAULTS=--saturate`: full pools, a backend that stalls, open-loop clients."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from tests.faults.saturation.run import run
from tests.faults.saturation.schedule import Timeouts, stalls

SHORT = Timeouts(connect=0.6, response=1.0, idle=2.0)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not tmp_path: other runs of pytest tidy up there."""
    with tempfile.TemporaryDirectory(prefix="faults") as name:
        yield Path(name)


def test_stalls_behind_full_pools_execute_nothing_twice_and_mix_up_no_answers(folder: Path) -> None:
    plan = stalls(16, SHORT, [3.3] * 3, pause=0.5)
    result = uvloop.run(run(folder, plan, store="sqlite", writes=1150, rate=120, seed=1))
    assert result.problems == []
    assert result.never_fired == []
    assert result.outcomes["acknowledged"] > 600
    assert result.statuses["503 no_connection"] > 100  # the pools were full
    assert result.statuses["504 timeout"] > 20  # and what they had sent was given up
