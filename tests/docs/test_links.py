"""Every relative link in README.md, CHANGELOG.md and docs/ leads to a file and a heading that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
SCHEME = re.compile(r"[a-z]+:")


def links(page: Path) -> Iterator[str]:
    """Targets of all links outside code that are not addresses on the web."""
    # The text of a link may be code: only what code holds is left out, not the brackets around it.
    text = CODE.sub(lambda found: "" if found[0].startswith("```") else "code", page.read_text())
    yield from (target for target in LINK.findall(text) if not SCHEME.match(target))


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    names: set[str] = set()
    for heading in re.findall(r"^#+ +(.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).strip().replace(" ", "-")
        number = next(n for n in range(len(names) + 1) if (f"{slug}-{n}" if n else slug) not in names)
        names.add(f"{slug}-{number}" if number else slug)
    return names


def broken(page: Path) -> list[str]:
    found = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_links_and_pages_are_found() -> None:
    assert len(PAGES) > 20
    assert sum(1 for page in PAGES for _ in links(page)) > 100


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A title: `x.y`\n## Twice\n## Twice\n"
        "[a](#a-title-xy) [`b`](page.md#twice-1) ![c](page.md) [d](https://example.org/#no) `[e](none.md)`\n"
        "```\n[f](none.md)\n```\n"
    )
    assert broken(page) == []
    page.write_text("# Title\n[a](#tilte)\n[`b`](none.md)\n![c](none.png)\n[d](page.md#gone)\n")
    assert broken(page) == ["#tilte", "none.md", "none.png", "page.md#gone"]
