"""A short run of `make faults`, and one on a proxy without ownership: the checker must notice that."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.run import run


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not tmp_path: other runs of pytest tidy up there, and PostgreSQL needs its files."""
    with tempfile.TemporaryDirectory(prefix="faults") as name:
        yield Path(name)


def test_no_write_is_executed_twice_or_lost_whatever_breaks(folder: Path) -> None:
    result = asyncio.run(run(folder, writes=150, faults=12, seed=1, clients=8))
    assert result.problems == []
    assert result.never_fired == []
    assert result.outcomes["acknowledged"] > 75


def test_the_checker_finds_what_is_executed_twice_without_ownership(folder: Path) -> None:
    cuts = ("cut_after_request", "cut_in_response")
    result = asyncio.run(run(folder, writes=40, faults=8, seed=2, clients=4, kinds=cuts, broken=True))
    assert any("was executed 2 times" in problem for problem in result.problems)
