"""`strangler serve`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from proxy import logs
from proxy.cli.errors import fail, render, text_of
from proxy.cli.target import config_option
from proxy.config import ConfigErrors
from proxy.control.errors import StartupError
from proxy.control.main import run

if TYPE_CHECKING:
    from proxy.core.comparison.one_off import OneOff
    from proxy.core.routing.snapshot import Snapshot


@click.command()
@config_option("routing.yaml to serve.")
@click.option(
    "--log-format",
    type=click.Choice(logs.FORMATS),
    default="console",
    show_default=True,
    envvar=logs.VARIABLE,
    help="Write lines for people, or one JSON object per line.",
)
@click.option(
    "--log-level",
    type=click.Choice(logs.LEVELS),
    default="info",
    show_default=True,
    envvar=logs.LEVEL_VARIABLE,
    help="debug also logs each state change of a connection, a request or an idempotency key.",
)
def serve(file: str, log_format: logs.Format, log_level: logs.Level) -> None:
    """Run the proxy and its admin port in the foreground; the log goes to standard error.

    A saved file takes effect at once; SIGHUP also reloads it. An invalid file is rejected and reported.
    SIGUSR2 replaces this process and all workers, one by one, as `strangler restart` does. SIGTERM and Ctrl-C
    finish requests in flight; send a second one to stop at once. Exits 0 then, and 2 if it cannot start.

    \b
    strangler serve --config routing.yaml
    strangler serve --config routing.yaml --log-format json
    """
    logs.choose(log_format, log_level)
    try:
        run(Path(file), one_off=one_off)
    except ConfigErrors as errors:
        fail(render(errors, text_of(file)))
    except StartupError as error:
        fail(f"strangler serve: {error}")


async def one_off(snapshot: Snapshot, method: str, target: str, headers: Mapping[str, str]) -> OneOff:
    """As `proxy.compare.one_off`, which is imported, with an HTTP client, when somebody compares."""
    from proxy.compare.one_off import one_off as compare

    return await compare(snapshot, method, target, headers)
