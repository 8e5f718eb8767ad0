"""How what is wrong with a routing.yaml is shown: the place, the reason, the line with a caret."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from proxy.config import ConfigErrors

BAD_INPUT = 2
MAX_WIDTH = 160


def render(errors: ConfigErrors, text: str) -> str:
    """`text` is the file that the errors are about."""
    lines = text.splitlines()
    shown = []
    for error in errors.errors:
        shown.append(f"{errors.source}:{error}")
        if 0 < error.line <= len(lines):
            shown += _excerpt(lines[error.line - 1], error.column)
    count = len(errors.errors)
    shown.append(f"{count} error{'s' if count != 1 else ''}")
    return "\n".join(shown)


def fail(message: str, code: int = BAD_INPUT) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(code)


def _excerpt(line: str, column: int) -> list[str]:
    """The line, cut around the column if it is very long, and a caret below the column."""
    start = max(0, column - 1 - MAX_WIDTH // 2) if len(line) > MAX_WIDTH else 0
    before = "".join("\t" if char == "\t" else " " for char in line[start : column - 1])
    cut = "".join(
        char if char.isprintable() or char == "\t" else "?" for char in line[start : start + MAX_WIDTH]
    )
    return [f"    {cut}", f"    {before}^"]
