"""One worker of the proxy gets a wrong clock, and only one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.saturation.faults import find_libfaketime
from tests.faults.saturation.site import clock_environment

DAY = 24 * 3600
TELL = """
import threading, time
lock = threading.Lock()
lock.acquire()
assert not lock.acquire(timeout=0.01)
print(time.time(), time.monotonic())
"""


def clocks(environment: dict[str, str], name: str) -> tuple[float, float]:
    """By how much a process that was started with that argument is ahead of this one."""
    command = [sys.executable, "-c", TELL, name]
    told = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=True
    ).stdout.split()
    return float(told[0]) - time.time(), float(told[1]) - time.monotonic()


@pytest.mark.faketime
def test_the_next_worker_has_a_clock_that_is_off_and_the_one_after_it_has_not(tmp_path: Path) -> None:
    file, library = tmp_path / "clock", find_libfaketime()
    assert library is not None
    environment = clock_environment(file, library)
    file.write_text(f"{DAY:+g}")
    assert abs(clocks(environment, "proxy.compare")[0]) < 60  # not a worker
    wall, monotonic = clocks(environment, "proxy.edge")
    assert abs(wall - DAY) < 60
    assert abs(monotonic) < 60
    assert not file.exists()
    assert abs(clocks(environment, "proxy.edge")[0]) < 60
