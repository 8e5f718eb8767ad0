"""`strangler set`."""

from __future__ import annotations

import os
import time
from typing import Any

import click

from proxy.cli.admin import announce
from proxy.cli.check import load_or_exit
from proxy.cli.errors import NO, fail, render, warn
from proxy.cli.numbers import Percent
from proxy.cli.standing import proxy_with, standing_of
from proxy.cli.target import admin_of, config_option
from proxy.config import ConfigErrors, Loaded, load_text, read_text, set_weight
from proxy.config.files import Changed, replace
from proxy.config.plan_words import position_text
from proxy.core.routing.phases import refused
from proxy.core.settings import Endpoint

POLL = 0.1  # seconds between two looks at the admin port


@click.command("set")
@click.argument("endpoint", metavar="'METHOD /path'")
@click.argument("weight", type=Percent())
@config_option("routing.yaml to edit.")
@click.option("--admin", metavar="URL", help="Wait until every worker of this proxy uses it; see above.")
@click.option("--timeout", default=10.0, show_default=True, help="Seconds to wait for the workers.")
def set_command(endpoint: str, weight: float, file: str, admin: str | None, timeout: float) -> None:
    """Change the weight of one endpoint: the percentage of its clients that async answers, 0 to 100.

    Validates the result, then changes only this number in the file; a running proxy notices the change by
    itself. If a proxy at the file's server.admin (or at --admin) runs with this file, waits until every
    worker uses the new weight. For an endpoint in a rollout, the weight replaces the rollout and is in force
    at once. Exits 1 if a worker does not use it in time, 2 if the file would not be accepted.

    \b
    strangler set 'GET /accounts/{account_id}' 25
    strangler set 'POST /payments' 0 --config routing.yaml --admin http://127.0.0.1:9000
    """
    before = load_or_exit(file)
    text = read_text(file)
    after, edited = _edit(file, text, endpoint, weight)
    standing = standing_of(before.snapshot, file, admin)
    for violation in refused(before.snapshot, after.snapshot, standing):
        fail(f"{violation}\nnothing was changed")
    for violation in after.violations:
        click.echo(f"warning: {violation}", err=True)
    running = proxy_with(file, admin)
    if running is not None:
        announce(running, after.snapshot.hash)
    _write(file, text, edited)
    click.echo(f"{endpoint}: {_change(_find(before, endpoint), _find(after, endpoint))}")
    confirm(running, file, after.snapshot.hash, timeout)


def _edit(file: str, text: str, endpoint: str, weight: float) -> tuple[Loaded, str]:
    edited = text
    try:
        edited = set_weight(text, endpoint, weight, source=file)
        return load_text(edited, source=file, environ=os.environ), edited
    except ConfigErrors as errors:
        fail(f"{render(errors, edited)}\nnothing was changed")


def _write(file: str, text: str, edited: str) -> None:
    if edited == text:
        return
    try:
        warn(file, replace(file, text.encode(), edited.encode()))
    except Changed:
        fail(f"{file} was changed by somebody else in the meantime; check it and try again")
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}")


def _find(loaded: Loaded, name: str) -> Endpoint:
    found = loaded.snapshot.endpoint(name)
    assert found is not None  # its weight was changed
    return found


def _change(before: Endpoint, after: Endpoint) -> str:
    was, now = position_text(before), position_text(after)
    if before.plan is not None:
        return f"{was} -> {now}; the rollout ends, this weight is in force at once"
    number = now.partition(" ")[2]
    return f"{was} -> {number}" if was != now else f"weight is {number} already"


def confirm(admin: str | None, file: str, wanted: str, timeout: float) -> None:
    """Waits for the proxy at `admin`; says so if there is none to wait for. Exits 1 as `wait` does."""
    if admin is not None:
        wait(admin, wanted, timeout)
    else:
        click.echo(f"not confirmed: no proxy at {admin_of(file)} says that it runs with this file", err=True)


def wait(admin: str, wanted: str, timeout: float) -> None:
    """Waits until every worker reports the wanted hash; exits 1 if that does not happen in time."""
    import httpx2  # only this needs it

    deadline = time.monotonic() + timeout
    state = "the proxy did not answer"
    # Never through a proxy of the environment: the admin port is on this machine or network.
    with httpx2.Client(base_url=admin, timeout=2.0, trust_env=False) as client:
        while True:
            try:
                answer = client.get("/api/v1/config")
                state = _state(answer.raise_for_status().json(), wanted)
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                state = f"{admin}: {error}"
            except (ValueError, TypeError, KeyError):
                state = f"{admin} is not the admin port of a proxy; check --admin"
            if not state:
                click.echo(f"every worker serves {wanted}")
                return
            if time.monotonic() >= deadline:
                fail(f"the file is written, but after {timeout:g} s {state}", NO)
            time.sleep(POLL)


def _state(answer: Any, wanted: str) -> str:
    """ "" if every worker serves the wanted hash, else what they do instead."""
    workers = {worker["id"]: worker["hash"] for worker in answer["workers"]}
    behind = [worker for worker, serves in workers.items() if serves != wanted]
    if workers and not behind:
        return ""
    error = answer.get("last_error")
    reason = f"; last error: {error}" if error else ""
    if answer["hash"] != wanted:
        return f"the proxy serves {answer['hash']} of {answer['source']}, not {wanted}{reason}"
    return f"workers {behind} do not serve {wanted} yet{reason}" if workers else "the proxy has no workers"
