"""The whole story, told by real processes; and that nothing of it is left behind."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from tests.e2e.telling import alive, mark, start
from tests.support.waiting import eventually

__all__ = ["mark"]


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
    assert "ok     QA finds async's fault at a weight of 10 % or less (GET /quotes at 10 %: differs" in output
    assert (
        "ok     after the repair, the verdict is likely equal (GET /quotes of async 2.1: likely equal on"
        in output
    )
    assert {path.name for path in (tmp_path / "demo/logs").iterdir()} == {
        "fx.log",
        "legacy.log",
        "async.log",
        "proxy.log",
    }
    eventually(lambda: not alive(tmp_path, mark), "everything has ended", 10)
