"""`strangler forget`."""

from __future__ import annotations

import json

import click

from proxy.cli import admin as admin_port
from proxy.cli.errors import BAD_INPUT, NO, fail
from proxy.cli.target import admin_option

TIMEOUT = 300.0  # seconds; all samples are read


@click.command()
@click.option("--principal", metavar="NAME", help="A user id, a token, or the hash of a principal.")
@click.option("--path", metavar="PATTERN", help="A path pattern, such as /accounts/acc_1/**.")
@click.option("--dry-run", is_flag=True, help="Count without erasing.")
@click.option("--json", "machine", is_flag=True, help="Print one JSON object.")
@admin_option
def forget(principal: str | None, path: str | None, dry_run: bool, machine: bool, admin: str) -> None:
    """Erase the stored answers and samples of a person, or of a path.

    NAME is the value that idempotency.principal finds in a request (a user id, a token), or the hash that
    `strangler writes --json` shows. Samples that contain the name are erased. Keys stay known without their
    answer: a retry is refused with 409 and never executed again. In PATTERN, * is one segment and ** is any
    number of segments.

    Needs an operator's token in STRANGLER_ADMIN_TOKEN. The audit log records the erasure without the name.
    With several replicas, run this on the admin port of each. Exits 1 if the proxy could not do it.

    \b
    strangler forget --principal ada --dry-run
    strangler forget --path '/accounts/acc_1/**'
    """
    if bool(principal) == bool(path):
        fail("give either --principal or --path", BAD_INPUT)
    body = {"principal": principal or "", "path": path or "", "dry_run": dry_run}
    status, content = admin_port.post(admin, "/api/v1/forget", TIMEOUT, json=body)
    if status != 200:
        code = BAD_INPUT if status == 422 else NO
        fail(f"{admin}: {admin_port.detail(content)}", code)
    if machine:
        click.echo(json.dumps(content, indent=2))
        return
    keys, samples = content["keys"], content["samples"]
    done = "would erase" if dry_run else "erased"
    click.echo(f"{done} the stored answers of {keys:,} keys, and {samples:,} samples")
    for line in content["left"]:
        click.echo(f"not erased: {line}")
