"""Which proxy a command is about: the same two options, with the same defaults, for every command.

`--config` is the file, ./routing.yaml if nothing is said. `--admin` is the address of the admin port, and by
default the one that this file names. So a command that is run beside the file needs neither.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from proxy.cli.errors import fail

VARIABLE: Final = "STRANGLER_CONFIG"
DEFAULT_FILE: Final = "routing.yaml"
DEFAULT_ADMIN: Final = "http://127.0.0.1:9000"
_FILE: Final = "proxy.cli.file"  # among the context's values

_Command = TypeVar("_Command", bound=Callable[..., Any])


def config_option(help: str, name: str = "file", *, exposed: bool = True) -> Callable[[_Command], _Command]:
    """`--config` for a command that reads or writes the file; its path is the parameter `name`."""
    return click.option(
        "--config",
        name,
        default=DEFAULT_FILE,
        show_default=True,
        envvar=VARIABLE,
        show_envvar=True,
        type=click.Path(),
        is_eager=True,
        expose_value=exposed,
        callback=_remember,
        help=help,
    )


def admin_option(command: _Command) -> _Command:
    """`--config` and `--admin` for a command that only asks the proxy; the parameter `admin` is a URL."""
    command = click.option(
        "--admin", metavar="URL", callback=_address, help="Address of the admin port [default: server.admin]."
    )(command)
    return config_option("routing.yaml that names the admin port.", "config", exposed=False)(command)


def admin_of(file: str | os.PathLike[str]) -> str:
    """Of the proxy that runs with this file; for a file that cannot be read, the usual one.

    Whether the rest of the file is valid does not matter: that is when this address is needed most.
    """
    return _url(_admin_in(Path(file)))


def _remember(context: click.Context, parameter: click.Parameter, value: str) -> str:
    given = context.get_parameter_source(parameter.name or "") != click.core.ParameterSource.DEFAULT
    context.meta[_FILE] = (value, given)
    return value


def _address(context: click.Context, _: click.Parameter, value: str | None) -> str:
    if value is not None or context.resilient_parsing:
        return value or DEFAULT_ADMIN
    file, given = context.meta[_FILE]
    if given and not os.path.exists(file):
        fail(f"{file} cannot be read: No such file or directory; check --config and {VARIABLE}")
    return admin_of(file)


def _admin_in(file: Path) -> str:
    # What reads YAML is imported here: with --admin nobody needs it.
    from proxy.config.graph import MAX_CHARACTERS, Problem, compose
    from proxy.config.urls import parse_listen
    from proxy.config.values import Values
    from proxy.config.variables import Variables

    try:
        with file.open("rb") as content:
            text = content.read(4 * MAX_CHARACTERS).decode()
        values = Values.read(compose(text), Variables(os.environ, file.parent))
        return parse_listen(values.data["server"]["admin"])
    except (OSError, Problem, ValueError, TypeError, KeyError):
        return ""


def _url(address: str) -> str:
    """Where a listening address is reached from this machine."""
    host, _, port = address.rpartition(":")
    if not port or port == "0":
        return DEFAULT_ADMIN
    reached = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
    return f"http://{reached.get(host, host)}:{port}"
