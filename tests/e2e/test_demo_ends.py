"""However the demo ends, nothing of it is left behind. In a file of its own, to run beside the story."""

from __future__ import annotations

import fcntl
import signal
from pathlib import Path

from tests.e2e.telling import alive, mark, start
from tests.support.waiting import eventually

__all__ = ["mark"]


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
    eventually(lambda: (tmp_path / "demo/postgres/postmaster.pid").exists(), "PostgreSQL runs")
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
