"""`strangler ledger`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import click

from proxy.cli import admin as admin_port
from proxy.config.discover import DiscoveredEndpoint
from proxy.config.draft import entries

OTHER = "other"


@click.command()
@admin_port.option
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def ledger(admin: str, as_json: bool) -> None:
    """Say how far the migration of each endpoint is, and list the paths that clients use and no line names.

    not started, moving; at 100: legacy still hit (by whom), waiting, or done: safe to delete from legacy
    after seven days without a request to it. Unlisted paths are printed as lines for routing.yaml.

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
        click.echo("\n# asked for by clients, but not listed; lines for endpoints:")
        for line in entries(DiscoveredEndpoint(path, "") for path in paths if path != OTHER):
            click.echo(line)
        if OTHER in paths:
            click.echo("  # and others that cannot be listed, or were too many")


def _words(row: dict[str, Any]) -> str:
    weight, days = f"{row['weight']:g}", f"{row['days']:.0f} days"
    if row["progress"] == "not started":
        return "not started"
    if row["progress"] == "moving":
        return f"moving, at {weight} for {days}"
    if row["progress"] == "legacy still hit":
        reasons = ", ".join(f"{count} by {reason}" for reason, count in row["legacy"].items())
        return f"at 100 for {days}, but legacy still hit: {reasons}; last {_time(row['last_hit']['legacy'])}"
    if row["progress"] == "waiting":
        return f"at 100 for {days}, legacy not hit; done after 7"
    return f"done: at 100 for {days}, safe to delete from legacy"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
