"""`strangler history`, and the configurations of the past for `rollback`."""

from __future__ import annotations

import asyncio
import json

import click
from sqlalchemy.exc import SQLAlchemyError

from proxy.cli.check import state_of
from proxy.cli.errors import NO, fail
from proxy.cli.numbers import WholeNumber
from proxy.cli.target import config_option
from proxy.core.timestamps import to_the_second
from proxy.store import configs
from proxy.store.configs import AcceptedConfig
from proxy.store.migrations import TooNew


@click.command()
@config_option("routing.yaml that names the store.")
@click.option(
    "-n",
    "limit",
    default=20,
    show_default=True,
    type=WholeNumber(1, configs.KEPT),
    help="Maximum number of entries.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def history(file: str, limit: int, as_json: bool) -> None:
    """List the configurations that a running proxy accepted, newest first, with the changes in each.

    \b
    strangler history --config routing.yaml
    """
    found = accepted(state_of(file))[:limit]
    if as_json:
        keys = ("time", "hash", "author", "trigger", "difference")
        rows = [{key: getattr(each, key) for key in keys} for each in found]
        for row in rows:
            row["time"] = to_the_second(row["time"])
        click.echo(json.dumps({"configs": rows}, indent=2))
        return
    for each in found:
        by = f" by {each.author}" if each.author else ""
        click.echo(f"{to_the_second(each.time)} {each.hash}{by} ({each.trigger})")
        for line in each.difference:
            click.echo(f"    {line}")
    if not found:
        click.echo("nothing is stored yet")


def accepted(state: str) -> list[AcceptedConfig]:
    """Configurations in the store at `state` (server.state), newest first; exits 1 if it does not answer."""
    try:
        return asyncio.run(_read(state))
    except (SQLAlchemyError, OSError, TimeoutError, TooNew) as error:
        fail(f"the store does not answer: {getattr(error, 'orig', None) or error}", NO)


async def _read(state: str) -> list[AcceptedConfig]:
    async with asyncio.timeout(10), configs.opened(state) as engine, engine.connect() as connection:
        return await configs.newest(connection)
