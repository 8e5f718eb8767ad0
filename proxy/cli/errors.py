"""How what is wrong with a routing.yaml is shown: the place, the reason, the line with a caret."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from proxy.config import ConfigErrors
from proxy.config.excerpt import excerpt

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


def fail(message: str, code: int = BAD_INPUT) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(code)


def warn(file: object, message: str) -> None:
    """Of something that was done all the same; nothing if the message is empty."""
    if message:
        click.echo(f"warning: {file}: {message}", err=True)
