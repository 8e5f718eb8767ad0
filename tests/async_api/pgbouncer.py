"""A real PgBouncer with the file that is deployed, scaled down and in front of the test's database."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg

from tests.contract.servers import ROOT
from tests.support.ports import free_port

INI = ROOT / "deploy/pgbouncer/pgbouncer.ini"


def version() -> tuple[int, ...]:
    shown = subprocess.run(["pgbouncer", "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, re.findall(r"\d+", shown.splitlines()[0])))


def config(database_url: str, port: int, **settings: object) -> configparser.ConfigParser:
    """The deployed file, with what differs between machines replaced. Access is by who may reach the port."""
    parts = urlsplit(database_url)
    host = parse_qs(parts.query).get("host", [parts.hostname or "127.0.0.1"])[0]
    made = configparser.ConfigParser(inline_comment_prefixes=None, interpolation=None)
    made.read(INI)
    login = f"user={parts.username or 'postgres'}"
    if parts.password:
        login += f" password={parts.password}"
    made["databases"] = {"*": f"host={host} port={parts.port or 5432} {login}"}
    here = {"listen_addr": "127.0.0.1", "listen_port": port, "auth_type": "any", "min_pool_size": 0}
    made["pgbouncer"].update({name: str(value) for name, value in (here | settings).items()})
    return made


@contextmanager
def running(database_url: str, **settings: object) -> Iterator[str]:
    """The URL of the same database through PgBouncer."""
    port = free_port()
    socket = Path(parse_qs(urlsplit(database_url).query).get("host", ["/"])[0])
    owner = socket.stat().st_uid if os.getuid() == 0 else None  # it refuses to run as root
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder, "pgbouncer.ini")
        with path.open("w") as file:
            config(database_url, port, **settings).write(file)
        process = subprocess.Popen(["pgbouncer", "--quiet", path], user=owner, stderr=subprocess.DEVNULL)
        url = f"postgresql://postgres@127.0.0.1:{port}{urlsplit(database_url).path}?sslmode=disable"
        try:
            _wait(url, process)
            yield url
        finally:
            process.terminate()
            process.wait(10)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 15
    while True:
        try:
            psycopg.connect(url, connect_timeout=3).close()
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"PgBouncer did not start: {error}") from error
            time.sleep(0.05)
        else:
            return
