from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import markdown, report
from tests.bench.test_report import RESULTS

TEXT = f"# Title\n\n{markdown.BEGIN}\nold\n{markdown.END}\n\nafter\n"


@pytest.fixture
def document(tmp_path: Path) -> dict[str, object]:
    path = tmp_path / "run.json"
    settings = {"rounds": "3", "seconds": "4", "connections": "64"}
    report.write(path, settings, {"keys": RESULTS}, {"idle": {"nginx": [{"KiB": 1.5}, {"KiB": 2.5}]}})
    loaded: dict[str, object] = json.loads(path.read_text())
    return loaded


def test_figures_become_tables_and_a_chart(document: dict[str, object]) -> None:
    lines = markdown.render(document).splitlines()
    assert "| strangler | 1,000 | 1.00 | 2.00 | 60.0 | 55.0-75.0 | 50.0-90.0 | 3 | 2.00 | 1.50 |" in lines
    assert "| nginx | 2.00 |" in lines
    assert "  bar [60.0, 30.0, 40.0]" in lines
    header = next(line for line in lines if line.startswith("|  | req/s"))
    assert lines[lines.index(header) + 1].count("|") == header.count("|")


def test_only_what_is_between_the_markers_is_replaced() -> None:
    once = markdown.replace(TEXT, "new")
    assert once == TEXT.replace("old", "new")
    assert markdown.replace(once, "new") == once


def test_a_document_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the lines"):
        markdown.replace("# Title\n", "new")


def test_the_real_document_has_the_markers() -> None:
    path = Path(__file__).parent.parent.parent / "docs/results/performance.md"
    assert markdown.replace(path.read_text(), "new")


def test_one_round_has_no_spread(tmp_path: Path) -> None:
    path, text = tmp_path / "run.json", tmp_path / "page.md"
    text.write_text(TEXT)
    settings = {"rounds": "1", "seconds": "4", "connections": "64"}
    report.write(path, settings, {"keys": {"nginx": RESULTS["nginx"][:1]}}, {})
    markdown.update(text, path)
    assert "old" not in text.read_text()
    assert "| nginx | " in text.read_text()
