"""The snippets of docs/comparing.md are what a routing.yaml takes, and its tests exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.config import load_text

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "comparing.md").read_text()
SNIPPETS = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
BACKENDS = "backends: {legacy: {url: 'http://a'}, async: {url: 'http://b'}}\n"
READS = "  GET /payments/{payment_id}: {}\n"


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_snippets_are_accepted(snippet: str) -> None:
    if "backends:" in snippet:
        snippet = snippet.replace("url: ...", "url: 'http://b'").replace(
            "backends:\n", "backends:\n  legacy: {url: 'http://a'}\n"
        )
    else:
        snippet = BACKENDS + snippet
    snapshot = load_text(snippet + READS, source="x", environ={}).snapshot
    chosen = [each for each in snapshot.endpoints if each.compare.sample]
    assert chosen


def test_there_is_a_snippet_for_each_way_of_sampling() -> None:
    assert len(SNIPPETS) == 3


def test_the_tests_that_it_names_exist() -> None:
    named = re.findall(r"(tests/[a-z_/]+\.py)", TEXT)
    assert len(named) > 4
    assert [path for path in named if not (ROOT / path).exists()] == []
