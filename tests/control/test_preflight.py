"""Trials that hang; those that end are in test_roll.py and tests/cli/test_restart.py."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from proxy.control.preflight import Bound, preflight
from tests.control.site import alive

BOUND = Bound("", "", "")


def test_new_code_that_hangs_tells_where_and_how_much_it_has_done(tmp_path: Path) -> None:
    code = tmp_path / "hangs.py"
    code.write_text("import time\n\ntime.sleep(60)\n")

    async def main() -> str:
        return await preflight((sys.executable, "-S", str(code)), BOUND, timeout=2.0)

    problem = asyncio.run(main())
    assert "the new code did not load within 2 s; it used 0." in problem
    assert f'File "{code}", line 3' in problem


def test_a_trial_that_is_given_up_is_ended(tmp_path: Path) -> None:
    sign = tmp_path / "pid"
    code = (
        f"import os, pathlib, time; p = pathlib.Path({str(sign)!r}); "
        "p.with_suffix('.new').write_text(str(os.getpid())); p.with_suffix('.new').rename(p); time.sleep(60)"
    )

    async def main() -> None:
        trial = asyncio.create_task(preflight((sys.executable, "-c", code), BOUND))
        while not sign.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        trial.cancel()
        await asyncio.wait((trial,))
        async with asyncio.timeout(20):
            while alive(int(sign.read_text())):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    asyncio.run(main())
