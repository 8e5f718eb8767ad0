"""`strangler check`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from proxy.cli.errors import BAD_INPUT, NO, fail, render, text_of
from proxy.cli.target import DEFAULT_FILE, VARIABLE
from proxy.config import ConfigErrors, Loaded, load_file
from proxy.control.running import running_state
from proxy.core.routing.phases import left_out
from proxy.core.settings import Endpoint
from proxy.store.places import claims_file, comparisons_file, is_sqlite, state_file


@click.command()
@click.argument("file", default=DEFAULT_FILE, envvar=VARIABLE, type=click.Path())
def check(file: str) -> None:
    """Validate a routing.yaml: report every error with its line, and endpoints that are ahead of their phase.

    FILE is STRANGLER_CONFIG or ./routing.yaml if not given. Variables such as ${NAME} are taken from the
    environment. Exits 0 if the file is valid, 2 if not.

    \b
    strangler check routing.yaml
    """
    loaded = load_or_exit(file)
    for warning in loaded.warnings:
        click.echo(f"{file}: warning: {warning}", err=True)
    for violation in loaded.violations:
        click.echo(f"{file}: {violation}", err=True)
    if loaded.violations:
        click.echo('raise the earlier phase first, or give the endpoint force: "the reason"', err=True)
        sys.exit(BAD_INPUT)
    snapshot = loaded.snapshot
    if waiting := left_out(snapshot):
        click.echo(f"{file}: note: {_note(waiting)}", err=True)
    click.echo(f"{file}: {len(snapshot.endpoints)} endpoints, no errors, config hash {snapshot.hash}")


def _note(waiting: Sequence[Endpoint]) -> str:
    """Endpoints in a rollout are the running proxy's."""
    more = f" and {len(waiting) - 1} more" if len(waiting) > 1 else ""
    return (
        f"{waiting[0].name}{more} in a rollout: only the running proxy knows the weight, and lets a rollout "
        "wait for its phase; the order of phases was checked for the others alone"
    )


def load_or_exit(file: str) -> Loaded:
    """The valid file; for an invalid one, prints its errors and exits 2."""
    try:
        return load_file(file)
    except ConfigErrors as errors:
        fail(render(errors, text_of(file)))


def state_of(file: str) -> str:
    """The state database of the instance that runs with this file; otherwise the one named in the file."""
    server = load_or_exit(file).snapshot.server
    return existing(running_state(Path(server.runtime_dir)) or server.state)


def existing(state: str) -> str:
    """The same; exits 1 if it is files that are not there, for what they do not hold says nothing."""
    files = (state_file, claims_file, comparisons_file)
    if is_sqlite(state) and not any(each(state).exists() for each in files):
        fail(f"there is no state database at {state_file(state)}: has a proxy run with this file?", NO)
    return state
