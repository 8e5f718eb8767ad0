"""Wordings that confused readers do not come back."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUFFIXES = {".py", ".md", ".html", ".js", ".yml", ".yaml"}
FOLDERS = ("proxy", "docs", "bench", "deploy", "legacy_flask", "async_api", "fx_provider")
FILES = [
    *ROOT.glob("*.md"),
    ROOT / "Makefile",
    *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES),
]
TEXTS = {path: path.read_text() for path in FILES}


@pytest.mark.parametrize(
    "words",
    [
        "can not",
        "Not supported yet",
        "Ask both backends the same",
        "judge its file now",
        "text and all",
        "too broken to say",
        "no line names",
        "names no valid",
        "must say something",
        "knock every",
        "asked to see whether",
        "hides a fault as gladly",
        "the proxy failed at this",
    ],
)
def test_the_words_are_gone(words: str) -> None:
    assert [path for path, text in TEXTS.items() if words in text] == []


def test_there_is_something_to_search() -> None:
    assert len(TEXTS) > 300
    assert sum("cannot" in text for text in TEXTS.values()) > 50
