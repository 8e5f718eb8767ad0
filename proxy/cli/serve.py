"""`strangler serve`: runs the proxy."""

from __future__ import annotations

from pathlib import Path

import click

EPILOG = """\b
Examples:
  strangler serve --config routing.yaml
  kill -HUP PID     reads the file again (saving it is enough)
  kill PID          finishes what is in flight, then stops; twice stops at once
"""


@click.command(epilog=EPILOG)
@click.option(
    "--config",
    "config",
    required=True,
    type=click.Path(path_type=Path),
    help="The routing.yaml to serve. Changes to it take effect as soon as it is saved.",
)
def serve(config: Path) -> None:
    """Serve clients and the admin port in the foreground; log to standard error.

    Exit code 0 after a signal, 2 if the configuration is wrong or an address is taken.
    """
    from proxy.config import ConfigErrors
    from proxy.control.errors import StartupError
    from proxy.control.main import run

    try:
        run(config)
    except (ConfigErrors, StartupError) as error:
        click.echo(f"strangler serve: {error}", err=True)
        raise SystemExit(2) from None
