"""`strangler writes`: list the stored writes with an idempotency key, and settle unknown outcomes."""

from __future__ import annotations

import asyncio
import json

import click

from proxy.cli.check import state_of
from proxy.cli.errors import NO, fail
from proxy.cli.numbers import WholeNumber
from proxy.cli.target import config_option
from proxy.control.admin.json.records import writes_json
from proxy.core.resilience.idempotency import Record, State
from proxy.core.timestamps import timestamp
from proxy.store import StoreUnavailable, audit
from proxy.store.writes import STATES, NotSettled, Page, page
from proxy.store.writes import settle as settle_write


@click.group(invoke_without_command=True)
@click.option("--unknown", is_flag=True, help="List only writes with an unknown outcome.")
@click.option("--state", type=click.Choice(STATES), help="List only writes in this state.")
@config_option("routing.yaml that names the store.")
@click.option(
    "--limit", default=100, show_default=True, type=WholeNumber(1, 10_000), help="Maximum number of entries."
)
@click.option("--json", "machine", is_flag=True, help="Print JSON.")
@click.pass_context
def writes(
    context: click.Context, unknown: bool, state: State | None, file: str, limit: int, machine: bool
) -> None:
    """List writes with an idempotency key, most recently changed first, or settle one.

    With --unknown, exits 1 if there are any.

    \b
    strangler writes --unknown
    strangler writes settle 5f0c... --as done --reason 'payment 81 is in the ledger'
    """
    if context.invoked_subcommand is not None:
        return
    if unknown and state not in (None, "unknown"):
        fail("--unknown and --state cannot be combined")
    try:
        found = asyncio.run(page(state_of(file), "unknown" if unknown else state, limit))
    except (StoreUnavailable, TimeoutError) as error:
        fail(f"the store does not answer: {error}", NO)
    if machine:
        click.echo(json.dumps(writes_json(found), indent=2))
    else:
        _show(found, unknown)
    if unknown and found.records:
        context.exit(NO)


@writes.command()
@click.argument("id")
@click.option(
    "--as", "outcome", required=True, type=click.Choice(["done", "not-done"]), help="Whether it was executed."
)
@click.option("--reason", required=True, help="How you know; recorded in the audit log.")
@config_option("routing.yaml that names the store.")
def settle(id: str, outcome: str, reason: str, file: str) -> None:
    """Record the outcome of a write after looking for it in its owner's data.

    done: a retry is told that the write was executed. not-done: a retry is executed by the same backend.
    """
    if not reason.strip():
        fail("--reason must not be empty")
    state = state_of(file)
    work = settle_write(state, id, done=outcome == "done", reason=reason, author=audit.author())
    try:
        record = asyncio.run(work)
    except NotSettled as error:
        fail(str(error), NO)
    except (StoreUnavailable, TimeoutError) as error:
        fail(f"the store does not answer: {error}", NO)
    click.echo(f"{record.id}: {record.state}")


def _show(found: Page, unknown: bool) -> None:
    for record in found.records:
        click.echo(_line(record))
    if found.total is not None and found.total > len(found.records):
        click.echo(f"{len(found.records):,} of {found.total:,}; --limit shows more")
    if not found.records:
        click.echo("no write has an unknown outcome" if unknown else "nothing is stored")


def _line(record: Record) -> str:
    note = f" ({record.note})" if record.note else ""
    since = timestamp(record.created_at)
    return (
        f"{record.id}  {record.state}{note}  {record.owner}  {record.endpoint}  key {record.key}  "
        f"principal {record.principal[:12]}  {since}"
    )
