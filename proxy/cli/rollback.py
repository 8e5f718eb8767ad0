"""`strangler rollback`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from proxy.cli.admin import announce
from proxy.cli.check import existing
from proxy.cli.errors import NO, fail, render, warn
from proxy.cli.history import accepted
from proxy.cli.set import confirm
from proxy.cli.standing import proxy_with, standing_of
from proxy.cli.target import config_option
from proxy.config import ConfigErrors, Loaded, load_text
from proxy.config.difference import difference
from proxy.config.files import Changed, replace
from proxy.control.running import running_state
from proxy.core.routing.phases import refused
from proxy.core.settings import Server
from proxy.store.configs import AcceptedConfig


@click.command()
@config_option("routing.yaml to restore.")
@click.option(
    "--to", "wanted", metavar="HASH", help="Restore this configuration of `strangler history` instead."
)
@click.option("--state", metavar="URL", help="server.state, if the file cannot be parsed.")
@click.option("--admin", metavar="URL", help="Wait until every worker of this proxy uses it; see above.")
@click.option("--timeout", default=10.0, show_default=True, help="Seconds to wait for the workers.")
def rollback(file: str, wanted: str | None, state: str | None, admin: str | None, timeout: float) -> None:
    """Restore the previous accepted file, including its comments.

    If the file is invalid, the configuration in use is restored. A second rollback undoes the first. If a
    proxy at the file's server.admin (or at --admin) runs with this file, waits until every worker uses it.
    Exits 1 if there is no earlier configuration or a worker does not use it in time, 2 if it would be
    refused.

    \b
    strangler rollback
    strangler rollback --config routing.yaml --to bd90cb2b66d2b1c1
    """
    path = Path(file)
    try:
        content = path.read_bytes()
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")
    now = _loaded(content.decode("utf-8", "replace"), file)
    server = now.snapshot.server if now else Server()
    store = existing(state or running_state(Path(server.runtime_dir)) or server.state)
    target = _target(accepted(store), now, wanted)
    try:
        after = load_text(target.text, source=file, environ=os.environ)
    except ConfigErrors as errors:
        fail(f"{render(errors, target.text)}\n{target.hash} is no longer valid; nothing was changed")
    standing = standing_of(now.snapshot, file, admin) if now else None
    for violation in refused(now.snapshot if now else None, after.snapshot, standing):
        fail(f"{violation}\nnothing was changed")
    running = proxy_with(file, admin)
    if running is not None:
        announce(running, after.snapshot.hash)
    _write(path, content, target.text.encode())
    for line in difference(now.snapshot, after.snapshot).lines if now else ():
        click.echo(line)
    click.echo(f"{file} is back at {after.snapshot.hash}")
    confirm(running, file, after.snapshot.hash, timeout)


def _loaded(text: str, source: str) -> Loaded | None:
    try:
        return load_text(text, source=source, environ=os.environ)
    except ConfigErrors:
        return None  # that is a reason to go back


def _target(known: list[AcceptedConfig], now: Loaded | None, wanted: str | None) -> AcceptedConfig:
    if wanted is not None:
        found = [each for each in known if each.hash.startswith(wanted)]
        if not found or not wanted:
            fail(f"{wanted} is not among the {len(known)} configurations of `strangler history`", NO)
        return found[0]
    others = [each for each in known if now is None or each.hash != now.snapshot.hash]
    if not others:
        fail("there is no earlier configuration to restore", NO)
    return others[0]


def _write(file: Path, before: bytes, after: bytes) -> None:
    try:
        warn(file, replace(file, before, after))
    except Changed:
        fail(f"{file} was changed by somebody else in the meantime; check it and try again")
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}")
