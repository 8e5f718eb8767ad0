"""`strangler reload`."""

from __future__ import annotations

import click

from proxy.cli import admin as admin_port
from proxy.cli.errors import BAD_INPUT, NO, fail
from proxy.cli.target import admin_option

TIMEOUT = 30.0  # seconds; the proxy answers when every worker serves it, or after five


@click.command()
@admin_option
@click.option("--force", is_flag=True, help="Accept `unlisted: 404` although clients use unlisted paths.")
def reload(admin: str, force: bool) -> None:
    """Validate and apply the configuration now, and show what changes.

    A running proxy notices a saved file by itself; this command also waits for the result. --force accepts
    `unlisted: 404` even if `strangler ledger` shows unlisted paths that clients used in the last day; the
    audit log records this. The token is taken from STRANGLER_ADMIN_TOKEN.

    Exits 1 if the proxy does not answer, 2 if the file is refused.

    \b
    strangler reload
    strangler reload --force --admin http://127.0.0.1:9000
    """
    params = {"force": "true"} if force else None
    status, content = admin_port.post(admin, "/api/v1/reload", TIMEOUT, params=params)
    if status == 422:
        found = [f"{each['line']}:{each['column']}: {each['message']}" for each in content["errors"]]
        fail("\n".join(["the file was refused; nothing was changed", *found]), BAD_INPUT)
    if status != 200:
        fail(f"{admin}: {admin_port.detail(content)}", NO)
    for line in content["difference"]:
        click.echo(line)
    click.echo(f"{content['hash']} is in force{'' if content['difference'] else ', as before'}")
