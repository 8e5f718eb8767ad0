"""`strangler writes`: keyed writes as the store has them, and settling unknown outcomes."""

from __future__ import annotations

import asyncio
import json

import click

from proxy.cli.check import state_of
from proxy.cli.errors import NO, fail
from proxy.cli.numbers import WholeNumber
from proxy.control.admin.json.records import writes_json
from proxy.core.resilience.idempotency import Record, State
from proxy.core.timestamps import timestamp
from proxy.store import StoreUnavailable, audit
from proxy.store.writes import STATES, NotSettled, Page, page
from proxy.store.writes import settle as settle_write


@click.group(invoke_without_command=True)
@click.option("--unknown", is_flag=True, help="Only those that nobody knows the outcome of.")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@click.option("--config", "file", default="routing.yaml", show_default=True, help="Says where the store is.")
@click.option("--limit", default=100, show_default=True, type=WholeNumber(1, 10_000), help="How many.")
@click.option("--json", "machine", is_flag=True, help="As JSON.")
@click.pass_context
def writes(
    context: click.Context, unknown: bool, state: State | None, file: str, limit: int, machine: bool
) -> None:
    """List writes with an idempotency key, those that changed last first; or settle one.

    Exits 1 with --unknown if there are any.

    \b
    strangler writes --unknown
    strangler writes settle 5f0c... --as done --reason 'payment 81 is in the ledger'
    """
    if context.invoked_subcommand is not None:
        return
    if unknown and state not in (None, "unknown"):
        fail("--unknown and another --state exclude each other")
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
    "--as", "outcome", required=True, type=click.Choice(["done", "not-done"]), help="What you found."
)
@click.option("--reason", required=True, help="How you know; goes into the audit log.")
@click.option("--config", "file", default="routing.yaml", show_default=True, help="Says where the store is.")
def settle(id: str, outcome: str, reason: str, file: str) -> None:
    """Say what became of a write with an unknown outcome, after looking into its owner's data.

    done: a retry is told that it was executed. not-done: a retry is executed, by the same backend.
    """
    if not reason.strip():
        fail("--reason must say something")
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
