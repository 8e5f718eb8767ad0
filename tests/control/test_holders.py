from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.control import holders
from proxy.control.listener import AddressTaken, listen

LISTEN = (
    "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); "
    "print(s.getsockname()[1], flush=True); sys.stdin.read()"
)


@pytest.fixture
def other() -> Iterator[tuple[int, int]]:
    """The pid of a process and the port that it listens on."""
    command = [sys.executable, "-c", LISTEN, "--password", "hunter2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
        process.kill()


def test_a_taken_address_names_the_process_and_how_to_end_it(other: tuple[int, int]) -> None:
    pid, port = other
    with pytest.raises(AddressTaken) as refused:
        listen("server.listen", f"127.0.0.1:{port}")
    assert f"127.0.0.1:{port} is in use by another process (pid {pid}, {sys.executable}" in str(refused.value)
    assert f"end it with `kill {pid}`, or choose another address" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_process_that_may_not_be_seen_is_looked_for_as_root(
    other: tuple[int, int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(holders, "PROC", tmp_path)
    assert (
        "which this user is not allowed to see (as root, `ss -ltnp 'sport = :80'` names it)"
        in holders.in_use(80)
    )


def test_we_are_not_told_to_end_ourselves() -> None:
    with socket.create_server(("127.0.0.1", 0)) as own:
        found = holders.holders(own.getsockname()[1])
    assert os.getpid() not in [each.pid for each in found]
