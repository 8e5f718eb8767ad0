"""The control process and a real comparer process."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

from proxy.config import load_text
from proxy.control.comparer import ComparerProcess
from proxy.core.wire.messages import Apply

TEXT = """
backends: {legacy: {url: "http://127.0.0.1:1"}, async: {url: "http://127.0.0.1:2"}}
endpoints: {"GET /a": {compare: {sample: 100%}}}
"""


def test_a_comparer_answers_when_it_is_to_forget_and_without_one_there_is_nothing(tmp_path: Path) -> None:
    loaded = load_text(TEXT, source="x", environ={})
    newest = Apply(loaded.snapshot.hash, 1, loaded.document, f"sqlite:///{tmp_path}/state.db")

    async def main() -> tuple[int | None, ...]:
        comparer = ComparerProcess((sys.executable, "-m", "proxy.compare"), tmp_path)
        before = await comparer.forget("ada", "")
        task = asyncio.create_task(comparer.run())
        comparer.publish(newest, loaded.snapshot)
        try:
            async with asyncio.timeout(60):
                while comparer._writer is None:  # noqa: ASYNC110 - there is no event to wait for
                    await asyncio.sleep(0.01)
                return before, await comparer.forget("ada", ""), await comparer.forget("", "/a/**")
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    tmp_path.chmod(0o700)
    assert asyncio.run(main()) == (0, 0, 0)
    assert (tmp_path / "redaction.key").exists()  # by which names were looked for


def test_a_comparer_that_does_not_answer_is_told_apart(tmp_path: Path) -> None:
    class Deaf:
        def write(self, data: bytes) -> None:
            """Nobody reads it."""

    async def main() -> int | None:
        comparer = ComparerProcess((), tmp_path)
        comparer._writer = Deaf()  # type: ignore[assignment]
        return await comparer.forget("ada", "")

    import proxy.control.comparer as module

    before, module.ANSWER = module.ANSWER, 0.01  # type: ignore[misc]
    try:
        assert asyncio.run(main()) is None
    finally:
        module.ANSWER = before  # type: ignore[misc]
