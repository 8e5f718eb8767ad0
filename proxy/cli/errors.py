"""Shows errors of a routing.yaml: the place, the reason, and the line with a caret."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import click

from proxy.config import ConfigErrors, read_text
from proxy.config.excerpt import excerpt

NO = 1  # the answer is no
BAD_INPUT = 2


def render(errors: ConfigErrors, text: str) -> str:
    """`text` is the file that the errors are about."""
    shown = []
    for error, line in zip(errors.errors, errors.lines(), strict=True):
        shown.append(line)
        shown += [f"    {each}" for each in excerpt(text, error.line, error.column)]
    count = len(errors.errors)
    shown.append(f"{count} error{'s' if count != 1 else ''}")
    return "\n".join(shown)


def text_of(file: str | Path) -> str:
    """The text in which errors are shown; "" if the file cannot be read (which the errors then report)."""
    try:
        return read_text(file)
    except ConfigErrors:
        return ""


def fail(message: str, code: int = BAD_INPUT) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(code)


def warn(file: object, message: str) -> None:
    """Prints a warning about something that was done anyway; nothing if the message is empty."""
    if message:
        click.echo(f"warning: {file}: {message}", err=True)
