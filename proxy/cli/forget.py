"""`strangler forget`."""

from __future__ import annotations

import json

import click

from proxy.cli import admin as admin_port
from proxy.cli.errors import BAD_INPUT, NO, fail

TIMEOUT = 300.0  # seconds; all samples are read


@click.command()
@click.option("--principal", metavar="NAME", help="Whose: a user id or token, or a principal's hash.")
@click.option("--path", metavar="PATTERN", help="Of which path, such as /accounts/acc_1/**.")
@click.option("--dry-run", is_flag=True, help="Count, and erase nothing.")
@click.option("--json", "machine", is_flag=True, help="As JSON.")
@admin_port.option
def forget(principal: str | None, path: str | None, dry_run: bool, machine: bool, admin: str) -> None:
    """Erase the stored answers and samples of one person, or of one path.

    NAME is the value that idempotency.principal finds in a request (a user id, a token), or the hash that
    `strangler writes --json` shows. Keys stay known without their answer: a retry is refused with 409, and is
    never executed again. Samples go in which the name occurs. In PATTERN * is one segment, ** any number.
    Needs the token of an operator, from STRANGLER_ADMIN_TOKEN, and is in the audit log, without the name.
    With several replicas, run it at the admin port of each. Exits 1 if the proxy does not do it.

    \b
    strangler forget --principal ada --dry-run
    strangler forget --path '/accounts/acc_1/**'
    """
    if bool(principal) == bool(path):
        fail("give one of --principal and --path", BAD_INPUT)
    body = {"principal": principal or "", "path": path or "", "dry_run": dry_run}
    status, content = admin_port.post(admin, "/api/v1/forget", TIMEOUT, json=body)
    if status != 200:
        code = BAD_INPUT if status == 422 else NO
        fail(f"{admin}: {content.get('detail', content)}", code)
    if machine:
        click.echo(json.dumps(content, indent=2))
        return
    keys, samples = content["keys"], content["samples"]
    done = "would erase" if dry_run else "erased"
    click.echo(f"{done} the stored answers of {keys:,} keys, and {samples:,} samples")
    for line in content["left"]:
        click.echo(f"not erased: {line}")
