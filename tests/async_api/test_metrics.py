from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from async_api.metrics import forget_the_dead


def test_gauges_of_a_worker_that_died_are_dropped_and_its_counters_stay(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for pid in (gone.pid, os.getpid()):
        for kind in ("gauge_livesum", "gauge_livemax", "counter", "histogram"):
            (tmp_path / f"{kind}_{pid}.db").touch()
    forget_the_dead(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    mine = {f"{kind}_{os.getpid()}.db" for kind in ("gauge_livesum", "gauge_livemax", "counter", "histogram")}
    assert left == mine | {f"counter_{gone.pid}.db", f"histogram_{gone.pid}.db"}
