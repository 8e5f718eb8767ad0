"""`strangler freeze` and `strangler unfreeze`."""

from __future__ import annotations

import click

from proxy.cli import admin as admin_port
from proxy.cli.errors import BAD_INPUT, NO, fail
from proxy.cli.target import admin_option

TIMEOUT = 30.0  # seconds

_REASON = click.option("--reason", required=True, help="Why; shown until it is over, and recorded.")


@click.command()
@_REASON
@admin_option
def freeze(reason: str, admin: str) -> None:
    """Let no rollout advance, anywhere, until `strangler unfreeze`. Rollbacks and lowering still work.

    \b
    strangler freeze --reason 'end of the quarter'
    """
    _ask("freeze", reason, admin)
    click.echo("frozen: no rollout advances until `strangler unfreeze`")


@click.command()
@_REASON
@admin_option
def unfreeze(reason: str, admin: str) -> None:
    """Let rollouts advance again."""
    _ask("unfreeze", reason, admin)
    click.echo("rollouts may advance again")


def _ask(action: str, reason: str, admin: str) -> None:
    if not reason.strip():
        fail("--reason must not be empty")
    path = f"/api/v1/rollouts/{action}"
    status, answer = admin_port.post(admin, path, TIMEOUT, json={"reason": reason})
    if status >= 400:
        fail(admin_port.detail(answer), BAD_INPUT if status == 400 else NO)
