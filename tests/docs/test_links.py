"""Links of the pages beside docs/, which the site does not hold: README.md and the like."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = sorted(path.name for path in ROOT.glob("*.md"))


def slugs(page: Path) -> set[str]:
    """The anchors that code hosts give to its headings."""
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(page.read_text())
    headings = [tokens[at + 1] for at, each in enumerate(tokens) if each.type == "heading_open"]
    texts = ["".join(part.content for part in each.children or ()) for each in headings]
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts}


def links(page: Path) -> list[str]:
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(page.read_text())
    parts = [part for each in tokens for part in each.children or ()]
    found = [
        part.attrGet("href") or part.attrGet("src") for part in parts if part.type in ("link_open", "image")
    ]
    return [str(link) for link in found if not re.match(r"https?:", str(link))]


def broken(page: Path) -> list[str]:
    found = []
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in slugs(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    assert broken(ROOT / name) == []


def test_it_looks_at_the_pages_that_newcomers_read() -> None:
    assert {"README.md", "CHANGELOG.md"} <= set(PAGES)
    assert len(links(ROOT / "README.md")) > 10


def test_a_link_to_a_missing_file_or_heading_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# `GET /a`: what it *does*\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md#get-a-what-it-does) [b](gone.md) ![c](gone.png) [d](other.md#gone) [e](#gone)\n"
    )
    assert broken(page) == ["gone.md", "gone.png", "other.md#gone", "#gone"]
