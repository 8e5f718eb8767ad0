from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.processes import BenchError, cpu_of, descendants, free_port, spawn, wait_for_port
from tests.support.waiting import eventually

HERE = frozenset(os.sched_getaffinity(0))
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
print(child.pid, flush=True)
time.sleep(60)
"""
BURN = "import time\nend = time.process_time() + 0.1\nwhile time.process_time() < end: pass\ntime.sleep(60)"


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_stop_ends_what_the_child_had_started(tmp_path: Path) -> None:
    child = spawn("parent", [sys.executable, "-c", PARENT], tmp_path, HERE)
    eventually(lambda: child.log.read_text().endswith("\n"))
    grandchild = int(child.log.read_text())
    assert grandchild in descendants(child.process.pid)
    child.stop()
    eventually(lambda: not is_running(grandchild))
    assert child.process.poll() is not None


def test_processor_time_is_read_for_the_whole_family(tmp_path: Path) -> None:
    source = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}])"
    child = spawn("burner", [sys.executable, "-c", source], tmp_path, HERE)
    try:
        eventually(lambda: sum(cpu_of(child.process.pid)) >= 0.09)
    finally:
        child.stop()


def test_a_child_that_exits_is_reported_with_its_output(tmp_path: Path) -> None:
    child = spawn("broken", [sys.executable, "-c", "raise SystemExit('no such option')"], tmp_path, HERE)
    with pytest.raises(BenchError, match=r"broken did not start:\n  no such option"):
        wait_for_port(child, free_port())


def test_a_missing_program_names_its_package(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "bench", "--seconds", "1"],
        env={**os.environ, "PATH": str(tmp_path)},
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert "apt-get install wrk nginx-light haproxy caddy;" in result.stderr
