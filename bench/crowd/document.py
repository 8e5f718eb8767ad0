"""Figures between marks in a Markdown document; the text around them is people's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def marks(name: str) -> tuple[str, str]:
    return f"<!-- figures: make {name} -->", f"<!-- end: make {name} -->"


def replaced(text: str, name: str, figures: str) -> str:
    """Raises ValueError if the text has no marks of this name."""
    begin, end = marks(name)
    before, found, rest = text.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"the document needs the lines {begin!r} and {end!r}")
    return f"{before}{begin}\n{figures}\n{end}{after}"


def insert(path: Path, name: str, figures: str) -> None:
    path.write_text(replaced(path.read_text(), name, figures))


def table(rows: Sequence[Sequence[str]]) -> str:
    """The first row is the header; all columns but the first are numbers."""
    header, *body = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([header, "|---" + "|--:" * (len(rows[0]) - 1) + "|", *body])
