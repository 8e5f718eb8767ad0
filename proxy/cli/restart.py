"""`strangler restart`."""

from __future__ import annotations

import time
from typing import Any

import click
import httpx2

from proxy.cli import admin as admin_port
from proxy.cli.errors import NO, fail
from proxy.cli.target import admin_option

INTERVAL = 0.2  # seconds between two looks
TRIAL = 75.0  # seconds in which the proxy judges the file and tries the new code
SILENCE = 120.0  # seconds without news of the restart after which it is given up


@click.command()
@admin_option
def restart(admin: str) -> None:
    """Restart the proxy, worker by worker, without a failed request.

    Use this for new code, and for settings that only a restart changes (server.listen, server.workers, ...).
    The control process replaces itself, then replaces each worker. An old worker keeps serving until the new
    one is ready, and answers each connection once more before closing it. If the file is invalid or the new
    code does not start, nothing changes. SIGUSR2 does the same.

    Waits until all old workers have exited, at most server.timeouts.drain after the last new one is ready.
    Exits 1 if the restart was refused or stopped half-way; the proxy keeps serving in both cases.

    \b
    strangler restart
    strangler restart --admin http://127.0.0.1:9000
    """
    begun = _begin(admin)
    if begun["admin"]:
        admin = f"http://{begun['admin']}"
        click.echo(f"the admin port moves to {admin}")
    outcome = _wait(admin, begun["id"])
    click.echo(f"restart {outcome['state']}: {outcome['detail']}", err=outcome["state"] != "done")
    raise SystemExit(0 if outcome["state"] == "done" else NO)


def _wait(admin: str, number: str) -> dict[str, Any]:
    """The restart's state once it has one."""
    with httpx2.Client(timeout=10.0, trust_env=False) as client:  # one: to make it costs more than to ask
        return _follow(client, admin, number)


def _follow(client: httpx2.Client, admin: str, number: str) -> dict[str, Any]:
    heard, begun = time.monotonic(), False
    while True:
        config = _look(client, admin)
        state: dict[str, Any] = (config and config["restart"]) or {}
        if state.get("id") == number:
            heard, begun = time.monotonic(), True
            if state["state"] != "rolling":
                return state
        elif (begun and config is not None) or time.monotonic() - heard > SILENCE:
            who = (
                "nobody answers"
                if config is None
                else "another process answers and does not know of this restart"
            )
            fail(f"{admin}: the restart was interrupted: {who}; workers keep serving, see the log", 1)
        time.sleep(INTERVAL)


def _begin(admin: str) -> dict[str, Any]:
    """Starts the restart, and returns the answer of the admin port; exits 1 if it refuses."""
    content: dict[str, Any]
    status, content = admin_port.post(admin, "/api/v1/restart", TRIAL)
    if status != 202:
        errors = [f"{each['line']}:{each['column']}: {each['message']}" for each in content.get("errors", ())]
        fail("\n".join([f"{admin}: {content.get('detail')}", *errors]), NO)
    return content


def _look(client: httpx2.Client, admin: str) -> Any:
    """`GET /api/v1/config`, or None while nobody answers."""
    try:
        answer = client.get(f"{admin}/api/v1/config")
        return answer.raise_for_status().json()
    except (httpx2.HTTPError, ValueError):
        return None
