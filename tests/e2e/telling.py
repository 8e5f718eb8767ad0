"""The demo as a process of its own, and what is left of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

MARK = "STRANGLER_TEST_MARK"


def alive(directory: Path, mark: str) -> list[int]:
    """Running processes that inherited this test's mark, or have its directory on their command line.

    PostgreSQL overwrites its environment; its first process is known by its data directory.
    """
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
            command = (entry / "cmdline").read_bytes()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        ours = f"{MARK}={mark}".encode() in environment or str(directory).encode() in command
        if ours and state != "Z":
            found.append(int(entry.name))
    return found


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    mark = uuid.uuid4().hex
    yield mark
    for pid in alive(tmp_path, mark):  # only if the test failed
        os.kill(pid, signal.SIGKILL)


def start(directory: Path, mark: str, *options: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return subprocess.Popen(
        [sys.executable, "-m", "proxy", "demo", "--directory", str(directory), *options],
        env={**environment, MARK: mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
