"""`strangler diff`."""

from __future__ import annotations

import sys

import click

from proxy.cli.check import load_or_exit
from proxy.config.difference import difference, takes_effect


@click.command()
@click.argument("old", metavar="A", type=click.Path())
@click.argument("new", metavar="B", type=click.Path())
def diff(old: str, new: str) -> None:
    """Show what a running proxy would do differently with B instead of A.

    Formatting and comments do not matter. Exits 0 if both files mean the same, 1 if not, 2 if one is invalid.

    \b
    strangler diff routing.yaml routing-new.yaml
    git show HEAD:routing.yaml > /tmp/was.yaml; strangler diff /tmp/was.yaml routing.yaml
    """
    found = difference(load_or_exit(old).snapshot, load_or_exit(new).snapshot)
    for line in found.lines:
        waits = f" (takes effect {takes_effect(line)})" if line in found.needs_restart else ""
        click.echo(f"{line}{waits}")
    sys.exit(1 if found.lines else 0)
