"""CONTRIBUTING.md and the records of decisions name files and targets that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs" / "adr").glob("*.md"))]
FOLDERS = ("proxy", "tests", "docs", "bench", "legacy_flask", "async_api", "fx_provider", ".github", ".ci")


def places(page: Path) -> list[str]:
    """What stands in backticks and is below a folder of the project; in `core/x.py` that is `proxy`."""
    named = re.findall(r"`(?:\.venv/bin/pytest )?((?:[\w.]+/)+[\w.]*)(?: -x)?`", page.read_text())
    known = [
        f"proxy/{each}" if (ROOT / "proxy" / each.partition("/")[0]).is_dir() else each for each in named
    ]
    return [each for each in known if each.partition("/")[0] in FOLDERS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_that_are_named_exist(page: Path) -> None:
    assert [each for each in places(page) if not (ROOT / each).exists()] == []


def test_files_are_found() -> None:
    assert len(places(PAGES[0])) > 30
    assert sum(len(places(page)) for page in PAGES[1:]) > 5


def test_targets_that_are_named_exist() -> None:
    named = re.findall(
        r"\bmake ([a-z][a-z0-9 -]*[a-z0-9])(?=`| *(?:#|&&|$))", PAGES[0].read_text(), re.MULTILINE
    )
    targets = {target for each in named for target in each.split()}
    makefile = (ROOT / "Makefile").read_text()
    assert len(targets) > 8
    assert [each for each in targets if not re.search(rf"^{each}:", makefile, re.MULTILINE)] == []
