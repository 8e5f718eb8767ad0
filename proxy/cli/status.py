"""`strangler status`."""

from __future__ import annotations

import json
import time
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from proxy.cli import admin as admin_port
from proxy.cli.errors import NO
from proxy.cli.target import admin_option
from proxy.core.settings import BACKENDS

INTERVAL = 2.0  # seconds between two looks of --watch
_COLOURS = {"better": "green", "worse": "red", "noise": "dim", "too little data": "dim"}
_SHORT = {"too little data": "?", "noise": "≈"}


@click.command()
@admin_option
@click.option("--watch", is_flag=True, help="Refresh until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(admin: str, watch: bool, as_json: bool) -> None:
    """Show every endpoint with its weight, and the figures of both backends over the last minute.

    The lines below an endpoint show:

    \b
    - how async compares with legacy since the weight or a version changed: better or worse if the
      difference is real (99 % confidence, however often you look), ≈ if it is noise, ? if there is
      too little data, with the number of requests that are missing;
    - whether the answers differ, and in how many comparisons, or are likely equal, with the rate
      of differences that would have been found (95 % confidence), or how many more comparisons are needed;
    - for writes, the time until every idempotency key in use is known; do not move them before.

    A request counts for the backend that should have answered it: one that legacy answered instead of async
    is an error of async.

    Exits 1 if the proxy does not answer, a worker hangs or does not serve the newest configuration, the file
    was refused, every address of a backend fails, a breaker has been open for more than 10 s, a rollout was
    rolled back, or writes have an unknown outcome.

    \b
    strangler status
    strangler status --watch --admin http://127.0.0.1:9000
    """
    console = Console()
    if not watch:
        config, figures = _look(admin)
        console.print(
            json.dumps({**config, **figures}) if as_json else screen(config, figures), soft_wrap=as_json
        )
        raise SystemExit(0 if healthy(config) and not serious(figures) else NO)
    with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
        try:
            while True:
                live.update(screen(*_look(admin)), refresh=True)
                time.sleep(INTERVAL)
        except KeyboardInterrupt:
            return


def healthy(config: dict[str, Any]) -> bool:
    """Whether the configuration in use is the newest, and every worker serves it."""
    workers = config["workers"]
    return not config["last_error"] and bool(workers) and not behind(config) and not silent(config)


def silent(config: dict[str, Any]) -> list[str]:
    """Problems of workers that are alive but no longer report."""
    return [
        f"worker {worker['id']} (pid {worker['pid']}) hangs: nothing for {worker['last_seen_seconds']:.0f} s"
        for worker in config["workers"]
        if worker.get("silent")  # a proxy of an earlier version does not tell
    ]


def serious(figures: dict[str, Any]) -> list[str]:
    """Problems of the backends that need attention now."""
    return [alarm["text"] for alarm in _alarms(figures) if alarm["serious"]]


def _alarms(figures: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = figures.get("alarms", [])  # a proxy of an earlier version has none
    return found


def behind(config: dict[str, Any]) -> list[int]:
    """Numbers of the workers that do not serve the configuration in force."""
    return [worker["id"] for worker in config["workers"] if worker["hash"] != config["hash"]]


def screen(config: dict[str, Any], figures: dict[str, Any]) -> RenderableType:
    """What is shown: the configuration, what is wrong, the endpoints."""
    lines = [f"configuration {config['hash']} of {config['source']}, {len(config['workers'])} workers"]
    wrong = [f"workers {behind(config)} do not serve it"] if behind(config) else []
    wrong += silent(config)
    if config["last_error"]:
        wrong.append(f"the file was refused at {config['last_error']['time']}:")
        wrong += [
            f"  {error['line']}:{error['column']}: {error['key']}: {error['message']}"
            for error in config["last_error"]["errors"]
        ]
    wrong += [alarm["text"] for alarm in _alarms(figures)]
    return Group(
        Text("\n".join(lines)),
        *(Text(line, style="bold red") for line in wrong),
        *(Text(f"warning: {line}", style="yellow") for line in config["warnings"]),
        _table(figures),
    )


def _table(figures: dict[str, Any]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("endpoint", overflow="fold", min_width=18)
    table.add_column("weight", justify="right", no_wrap=True)
    for backend in BACKENDS:
        table.add_column(f"{backend}/s", justify="right", no_wrap=True)
        table.add_column("err", justify="right", no_wrap=True)
        table.add_column("p50/p99", justify="right", no_wrap=True)
    for row in figures["endpoints"]:
        table.add_row(_first(row), f"{row['weight']:g}", *_cells(row["backends"]))
    unlisted = figures["unlisted"]
    table.add_row("unlisted", unlisted["policy"], *_cells(unlisted["backends"]))
    return table


def _cells(backends: dict[str, Any]) -> list[str]:
    cells = []
    for backend in BACKENDS:
        seen = backends[backend]
        rate = seen["error_rate"]
        cells += [
            f"{seen['requests_per_second']:.1f}",
            "-" if rate is None else f"[red]{rate:.2%}[/red]" if rate else "0",
            f"{_figure(seen['p50_ms'])}/{_figure(seen['p99_ms'])}",
        ]
    return cells


def _first(row: dict[str, Any]) -> str:
    """The endpoint's name, with its results below each other, so that 80 columns are enough."""
    breaker = "" if row["breaker"] == "closed" else f" [red]{row['breaker']}[/red]"
    notes = (_rollout(row), _verdicts(row["difference"]), _answers(row), _keys(row))
    return "\n  ".join([escape(row["endpoint"]) + breaker, *filter(None, notes)])


def _rollout(row: dict[str, Any]) -> str:
    """Where a plan has brought it; nothing of a proxy of an earlier version."""
    found = row.get("rollout")
    if not found:
        return ""
    text = escape(f"rollout {found['plan']}: {found['state'].replace('_', ' ')}: {found['reason']}")
    return f"[red]{text}[/]" if found["state"] == "rolled_back" else text


def _verdicts(difference: dict[str, Any]) -> str:
    """How async compares; nothing while there is too little data for anything."""
    found = [
        (label, difference[key]["verdict"])
        for label, key in (("errors", "error_rate"), ("p50", "p50_ms"), ("p99", "p99_ms"))
    ]
    if all(verdict == "too little data" for _, verdict in found):
        return ""
    told = ", ".join(f"[{_COLOURS[word]}]{label} {_SHORT.get(word, word)}[/]" for label, word in found)
    return "; ".join(filter(None, [told, _waiting(difference)]))


def _waiting(difference: dict[str, Any]) -> str:
    """How many more requests the p99 needs, which needs most, and how long they take to come."""
    missing = difference["p99_ms"].get("missing")  # a proxy of an earlier version does not tell
    if missing is None:
        return ""
    seconds = difference["p99_ms"]["eta_seconds"]
    when = "never, at this rate" if seconds is None else f"about {-(-seconds // 60)} min"
    needs = ", ".join(f"{number:,} on {backend}" for backend, number in missing.items() if number)
    return f"[dim]p99 needs {needs}: {when}[/]"


def _answers(row: dict[str, Any]) -> str:
    """What comparisons of the two backends' answers say, if there were any."""
    found = row.get("comparison")  # a proxy of an earlier version has none
    if found is None or found["verdict"] == "no evidence":
        return ""
    if found["verdict"] == "differs":
        return f"[red]answers differ ({found['k']} of {found['n']})[/]"
    if found["verdict"] == "not yet known":
        missing = f", {found['missing']} more needed" if "missing" in found else ""
        return f"[yellow]answers not yet known ({found['n']} compared{missing})[/]"
    return f"[green]answers likely equal ({found['bound'] * 100:.2g} %)[/]"


def _keys(row: dict[str, Any]) -> str:
    """The time until every idempotency key in use is known; a write should not move before."""
    keys = row.get("keys")  # a proxy of an earlier version has none
    if keys is None or (row["weight"] and not keys["seconds_left"]):
        return ""
    hours, minutes = divmod(-(-keys["seconds_left"] // 60), 60)
    return f"[yellow]keys known in {hours}:{minutes:02}[/]" if keys["seconds_left"] else "[dim]keys known[/]"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}" if value < 10 else f"{value:.0f}"


def _look(admin: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return admin_port.get(admin, "/api/v1/config"), admin_port.get(admin, "/api/v1/endpoints")
