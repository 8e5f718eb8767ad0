"""docs/adr: each record is in the list and has the same three parts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ADR = Path(__file__).parents[2] / "docs" / "adr"
RECORDS = sorted(path for path in ADR.glob("*.md") if path.name != "index.md")


def test_every_record_is_listed_under_its_title_in_order() -> None:
    listed = re.findall(r"^(\d+)\. \[(.+)\]\((.+)\)$", (ADR / "index.md").read_text(), re.MULTILINE)
    assert [name for _, _, name in listed] == [record.name for record in RECORDS]
    for (number, title, name), record in zip(listed, RECORDS, strict=True):
        assert record.read_text().startswith(f"# {number}. {title}\n")
        assert name.startswith(f"{int(number):04}-")


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_record_has_context_decision_and_consequences(record: Path) -> None:
    text = record.read_text()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert len(text.splitlines()) <= 45
