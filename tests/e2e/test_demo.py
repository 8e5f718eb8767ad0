"""The whole story, told by real processes; and that nothing of it is left behind, however it ends."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
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


def eventually(condition: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "condition did not come true"
        time.sleep(0.1)


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


def test_every_claim_of_the_story_holds(tmp_path: Path, mark: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = taken.getsockname()[1]
        demo = start(tmp_path / "demo", mark, "--once", "--pause", "1.5", "--port", str(wanted))
        output, _ = demo.communicate(timeout=500)
    assert demo.returncode == 0, output
    assert re.search(r"client-visible errors on reads: 0\n", output), output
    assert "ok     the ledger is exact" in output
    match = re.search(r"(\d+) of (\d+) claims held", output)
    assert match is not None
    assert match[1] == match[2]
    assert f"listen: 127.0.0.1:{wanted}\n" not in (tmp_path / "demo/routing.yaml").read_text()
    assert "ok     QA finds async's fault before 10 % are passed (GET /quotes at 10 %: differs" in output
    assert (
        "ok     repaired, it turns to likely equal (GET /quotes of async 2.1: likely equal (bound" in output
    )
    assert {path.name for path in (tmp_path / "demo/logs").iterdir()} == {
        "fx.log",
        "legacy.log",
        "async.log",
        "proxy.log",
    }
    eventually(lambda: not alive(tmp_path, mark), 10)


def test_ctrl_c_in_the_middle_leaves_no_process_behind(tmp_path: Path, mark: str) -> None:
    demo = start(tmp_path / "demo", mark, "--port", "0")
    assert demo.stdout is not None
    assert any("Reads move" in line for line in demo.stdout)
    assert (
        len(alive(tmp_path, mark)) > 8
    )  # demo, PostgreSQL, gunicorn and its workers, uvicorn, proxy, workers
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert alive(tmp_path, mark) == []


def test_a_signal_while_it_starts_leaves_no_process_behind(tmp_path: Path, mark: str) -> None:
    demo = start(tmp_path / "demo", mark, "--port", "0")
    eventually(lambda: (tmp_path / "demo/postgres/postmaster.pid").exists(), 60)
    demo.send_signal(signal.SIGTERM)
    demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert alive(tmp_path, mark) == []


def test_a_second_demo_in_the_same_directory_is_refused(tmp_path: Path, mark: str) -> None:
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        demo = start(tmp_path, mark, "--once")
        output, _ = demo.communicate(timeout=60)
    assert demo.returncode == 2
    assert "another demo runs in" in output
