"""`strangler ledger`."""

from __future__ import annotations

import json
from typing import Any

import click

from proxy.cli import admin as admin_port
from proxy.cli.target import admin_option
from proxy.config.discover import DiscoveredEndpoint
from proxy.config.draft import entries
from proxy.core.routing.unlisted import OTHER
from proxy.core.timestamps import to_the_second


@click.command()
@admin_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def ledger(admin: str, as_json: bool) -> None:
    """Show the migration progress of each endpoint, and requested paths missing from routing.yaml.

    An endpoint is "not started" or "moving"; at 100 it is "legacy still hit" (with the reasons), "waiting",
    or, after seven days without a request to legacy, "done": safe to delete from legacy. Missing paths are
    printed as lines that you can paste into routing.yaml.

    \b
    strangler ledger --admin http://127.0.0.1:9000
    """
    answer = admin_port.get(admin, "/api/v1/ledger")
    if as_json:
        click.echo(json.dumps(answer))
        return
    for row in answer["endpoints"]:
        click.echo(f"{row['endpoint']}: {_words(row)}")
    paths = [each["path"] for each in answer["unlisted"]]
    if paths:
        click.echo("\n# requested paths missing from routing.yaml; lines for endpoints:")
        for line in entries(DiscoveredEndpoint(path, "") for path in paths if path != OTHER):
            click.echo(line)
        if OTHER in paths:
            click.echo("  # and others that cannot be listed, or that exceed the limit")


def _words(row: dict[str, Any]) -> str:
    weight, days = f"{row['weight']:g}", f"{row['days']:.0f} days"
    if row["progress"] == "not started":
        return "not started"
    if row["progress"] == "moving":
        return f"moving, at {weight} for {days}"
    if row["progress"] == "legacy still hit":
        reasons = ", ".join(f"{count} by {reason}" for reason, count in row["legacy"].items())
        last = to_the_second(row["last_hit"]["legacy"])
        return f"at 100 for {days}, but legacy still hit: {reasons}; last {last}"
    if row["progress"] == "waiting":
        return f"at 100 for {days}, legacy not hit; done after 7"
    return f"done: at 100 for {days}, safe to delete from legacy"
