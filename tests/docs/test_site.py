"""`make docs` builds, fetches nothing, and fails for what leads nowhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def build(source: Path, to: Path) -> subprocess.CompletedProcess[str]:
    """As the Makefile does it."""
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-n",
        "-W",
        "--keep-going",
        "-d",
        str(to / "trees"),
        "-b",
        "html",
    ]
    return subprocess.run(
        [*command, str(source), str(to / "site")], capture_output=True, text=True, timeout=120
    )


def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    built = build(DOCS, tmp_path)
    assert built.returncode == 0, built.stderr
    pages = {
        page.relative_to(tmp_path / "site").with_suffix("") for page in (tmp_path / "site").rglob("*.html")
    }
    assert {page.relative_to(DOCS).with_suffix("") for page in DOCS.rglob("*.md")} <= pages
    loaded = r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"(?:https?:)?//"
    texts = [page.read_text() for page in (tmp_path / "site").rglob("*.html")]
    assert [found for text in texts for found in re.findall(loaded, text)] == []
    styles = [style.read_text() for style in (tmp_path / "site").rglob("*.css")]
    assert styles
    assert [
        found for style in styles for found in re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", style)
    ] == []


WRONG = ("[a](gone-1.md)", "[a](other.md#gone-2)", "[a](#gone-3)", "![a](gone-4.png)")


def test_what_leads_nowhere_and_what_is_in_no_list_fails(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    shutil.copy(DOCS / "conf.py", source)
    (source / "other.md").write_text("# Other\n")
    (source / "alone-5.md").write_text("# In no list\n")
    text = "\n\n".join(["# Index", *WRONG, "```{toctree}\nother\n```\n"])
    (source / "index.md").write_text(text)
    built = build(source, tmp_path)
    assert built.returncode != 0
    for name in ("gone-1", "gone-2", "gone-3", "gone-4", "alone-5"):
        assert name in built.stderr
