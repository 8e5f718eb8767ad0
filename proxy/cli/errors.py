"""How what is wrong with a routing.yaml is shown: the place, the reason, the line with a caret."""

from __future__ import annotations

import re
import sys
from typing import NoReturn

import click

from proxy.config import ConfigErrors

_SECRETS = re.compile(r"""(?<=token)(["']?\s*:\s*)("[^"]*"|'[^']*'|[^\s,}]+)|(//)([^\s"',}]+)(?=@)""")

BAD_INPUT = 2
MAX_WIDTH = 160


def render(errors: ConfigErrors, text: str) -> str:
    """`text` is the file that the errors are about."""
    lines = text.splitlines()
    shown = []
    for error, line in zip(errors.errors, errors.lines(), strict=True):
        shown.append(line)
        if 0 < error.line <= len(lines):
            shown += _excerpt(_masked(lines[error.line - 1]), error.column)
    count = len(errors.errors)
    shown.append(f"{count} error{'s' if count != 1 else ''}")
    return "\n".join(shown)


def fail(message: str, code: int = BAD_INPUT) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(code)


def _masked(line: str) -> str:
    """Without the secrets that the line holds; everything keeps its column."""
    return _SECRETS.sub(lambda m: (m[1] or m[3]) + "*" * len(m[2] or m[4]), line)


def _excerpt(line: str, column: int) -> list[str]:
    """The line, cut around the column if it is very long, and a caret below the column."""
    start = max(0, column - 1 - MAX_WIDTH // 2) if len(line) > MAX_WIDTH else 0
    before = "".join("\t" if char == "\t" else " " for char in line[start : column - 1])
    cut = "".join(
        char if char.isprintable() or char == "\t" else "?" for char in line[start : start + MAX_WIDTH]
    )
    return [f"    {cut}", f"    {before}^"]
