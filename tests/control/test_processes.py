from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from proxy import signals
from proxy.control import processes
from proxy.control.processes import Orphan

SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(SLEEP)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize(
    ("code", "how"),
    [("raise SystemExit(7)", "exit code 7"), ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL")],
)
def test_a_child_says_how_it_ended(code: str, how: str) -> None:
    async def main() -> str:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            child = await processes.start((sys.executable, "-c", code), fd=listener.fileno())
            return await child.wait()

    assert asyncio.run(main()) == how


def test_a_child_has_the_socket_under_the_same_number_and_a_session_of_its_own() -> None:
    code = "import os, socket, sys; s = socket.socket(fileno={0}); sys.exit(os.getsid(0) != os.getpid())"

    async def main() -> str:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            fd = listener.fileno()
            child = await processes.start((sys.executable, "-c", code.format(fd)), fd=fd)
            return await child.wait()

    assert asyncio.run(main()) == "exit code 0"


def test_a_child_is_born_with_signals_held_back_that_would_end_it_and_we_are_not() -> None:
    code = "import signal, sys; sys.exit(int(not {%s} <= signal.pthread_sigmask(signal.SIG_BLOCK, ())))"
    numbers = ", ".join(str(int(number)) for number in signals.KEPT)

    async def main() -> list[str]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            command = (sys.executable, "-c", code % numbers)
            children = await asyncio.gather(
                *(processes.start(command, fd=listener.fileno()) for _ in range(3))
            )
            return [await child.wait() for child in children]

    assert asyncio.run(main()) == 3 * ["exit code 0"]
    assert not signals.KEPT & signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.parametrize("pidfd", [True, False])
def test_an_orphan_can_be_signalled_and_waited_for(
    sleeper: subprocess.Popen[bytes], pidfd: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not pidfd:
        monkeypatch.delattr(os, "pidfd_open")

    async def main() -> None:
        orphan = Orphan(sleeper.pid)
        ended = asyncio.create_task(orphan.wait())
        await asyncio.sleep(0)
        assert not ended.done()
        orphan.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await ended == "ended"
        orphan.send_signal(signal.SIGTERM)

    asyncio.run(main())
    assert not os.path.exists(f"/proc/{sleeper.pid}")  # not even a zombie, although it is our child


def test_an_orphan_that_has_gone_already_has_ended(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    sleeper.wait()

    async def main() -> str:
        async with asyncio.timeout(10):
            return await Orphan(sleeper.pid).wait()

    assert asyncio.run(main()) == "ended"
