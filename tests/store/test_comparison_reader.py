from __future__ import annotations

from pathlib import Path

import pytest

from proxy.store import StoreUnavailable, comparison_reader, comparisons
from proxy.store.comparisons import StoredCounts
from tests.store.test_comparisons import SCOPE, sample, tally

pytestmark = pytest.mark.anyio


async def test_where_nothing_was_stored_nothing_is_found(url: str) -> None:
    nothing = StoredCounts([], [])
    assert await comparison_reader.everything(url) == nothing
    assert await comparison_reader.of_endpoint(url, "GET /a") == nothing
    assert await comparison_reader.samples(url, SCOPE.id, None, 10) == []


async def test_what_was_stored_is_found_by_endpoint_scope_and_path(url: str) -> None:
    other = SCOPE._replace(endpoint="GET /b")
    async with comparisons.opened(url) as engine, engine.begin() as connection:
        await comparisons.add(connection, [tally(), tally(other)], samples=[sample(1), sample(2, "b")])
    assert len((await comparison_reader.everything(url)).tallies) == 2
    found = await comparison_reader.of_endpoint(url, "GET /b")
    assert [each.scope for each in found.tallies] == [other]
    assert comparison_reader.of_scope(found, other.id) == found.tallies[0]
    assert comparison_reader.of_scope(found, SCOPE.id) is None
    assert await comparison_reader.samples(url, SCOPE.id, "b", 10) == [sample(2, "b")]


async def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "state.comparisons.db").write_text("this is no database")
    with pytest.raises(StoreUnavailable, match="not a database"):
        await comparison_reader.everything(f"sqlite:///{tmp_path}/state.db")
