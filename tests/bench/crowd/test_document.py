from __future__ import annotations

from pathlib import Path

import pytest

from bench.crowd.document import insert, marks, replaced


def test_only_what_is_between_the_marks_of_the_name_changes(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    parts = ["# Page", *marks("one"), "text", *marks("two"), "end"]
    path.write_text("\n".join(parts))
    insert(path, "two", "| 1 |")
    insert(path, "two", "| 2 |")
    expected = ["# Page", *marks("one"), "text", marks("two")[0], "| 2 |", marks("two")[1], "end"]
    assert path.read_text().splitlines() == expected


def test_marks_that_are_missing_are_named() -> None:
    with pytest.raises(ValueError, match="figures: make one"):
        replaced("nothing here", "one", "figures")
