from __future__ import annotations

from bench import writes
from bench.markdown import between
from bench.pairs import Pair
from tests.bench.test_report import measured


def test_the_table_has_both_kinds_and_the_ratio_of_each_run() -> None:
    results: writes.Results = {("postgresql", 2, 32): [Pair(measured(100), measured(250))]}
    text = between("\n".join(writes.MARKERS), writes.render(results, 1, 3), *writes.MARKERS)
    lines = text.splitlines()
    assert "| PostgreSQL | 2 | 32 | without a key | 1.00 | 2.00 | 1,000 | 100 |" in lines
    assert "|  |  |  | with a key | 1.00 | 2.00 | 1,000 | 250 |" in lines
    assert lines[-2].endswith("| 2.50 (2.50-2.50) |")
    assert "Requests that failed: 2." in text
