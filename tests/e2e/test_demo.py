"""The whole story, told by real processes; and that nothing of it is left behind."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from tests.e2e.telling import alive, mark, start
from tests.support.waiting import eventually

__all__ = ["mark"]

SAID = (
    r"client-visible errors on reads: [1-9]\d* by async 2\.0, 0 others\n",
    r"ok     the ledger is exact",
    r"ok     QA finds async's wrong answers before any user gets one \(GET /quotes at 0 %: differs",
    r"ok     async 2\.0, which fails users, is rolled back by itself \(GET /accounts/\S+ at 10 %, \d+\.\d s "
    r"after it came there: .* [1-9]\d* of \d+ users on async, 0 of \d+ on legacy; E = ",
    r"next   once async is repaired: strangler rollout retry",
    r"ok     after the repair, the verdict is likely equal \(GET /quotes of async 2\.1: likely equal on",
    r"ok     async 2\.1, repaired, goes to 100 % on evidence \(6 of 6 reads",
    r"ok     failing users per side: the bad build failed some, the repaired one nobody",
    r"\n  async 2\.0: rolled back from 10 %; [1-9]\d* of \d+ users failed on async, 0 of \d+ on legacy\n",
    r"\n  async 2\.1: went to 100 %; 0 of \d+ users failed on async, 0 of \d+ on legacy\n",
)
"""What it must have said, whatever the figures of the day."""


def test_every_claim_of_the_story_holds(tmp_path: Path, mark: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = taken.getsockname()[1]
        demo = start(tmp_path / "demo", mark, "--once", "--pause", "1.5", "--port", str(wanted))
        output, _ = demo.communicate(timeout=500)
    assert demo.returncode == 0, output
    for said in SAID:
        assert re.search(said, output), f"{said}\n{output}"
    match = re.search(r"(\d+) of (\d+) claims held", output)
    assert match is not None
    assert match[1] == match[2]
    assert f"listen: 127.0.0.1:{wanted}\n" not in (tmp_path / "demo/routing.yaml").read_text()
    assert {path.name for path in (tmp_path / "demo/logs").iterdir()} == {
        "fx.log",
        "legacy.log",
        "async.log",
        "async-repaired.log",
        "proxy.log",
    }
    eventually(lambda: not alive(tmp_path, mark), "everything has ended", 10)
