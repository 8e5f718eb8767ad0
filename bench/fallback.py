"""`python -m bench.fallback`: reads at weight 100 while async breaks every request, 1 to 60 of them a second.

A real proxy with default settings but for async's timeouts, and both backends in this process on 127.0.0.1.
For each way of dying and each rate: how many reads failed (anything but legacy's 200) and how, and how many
async was asked. Takes a little over `--seconds` for each fault; the rates run at once, a proxy for each.

What it shows holds only on a machine that is not overloaded: legacy must be well, and it is in this process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import socket
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

RATES = (1, 5, 20, 60)
REQUEST = b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
UNLISTED = REQUEST.replace(b"/a", b"/up")  # legacy's, whatever async does
ERROR = b"HTTP/1.1 503 Oh\r\nContent-Length: 10\r\n\r\n"
STARTUP = 60.0  # seconds in which a proxy must serve

Act = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def fin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closes in good order."""


async def rst(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def timeout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()  # until the proxy gives up


async def head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(ERROR)
    await writer.drain()


async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(ERROR + b"half")
    await writer.drain()


FAULTS: dict[str, Act | None] = {
    "refused": None,
    "FIN": fin,
    "RST": rst,
    "timeout": timeout,
    "5xx head, FIN": head,
    "5xx and half its body, FIN": half,
}


class Backend:
    """Reads each request's head, then acts. `asked` counts them."""

    def __init__(self, act: Act | None) -> None:
        self.asked = 0
        self._act = act
        self.port = free_port()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Backend:
        if self._act is not None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=512)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            assert self._act is not None
            await self._act(reader, writer)
        writer.close()


async def well(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nlegacy")
    await writer.drain()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def routing(folder: Path, listen: int, legacy: int, async_: int) -> str:
    return f"""\
server: {{listen: 127.0.0.1:{listen}, admin: 127.0.0.1:{free_port()}, workers: 1, runtime_dir: {folder}/run,
         state: "sqlite:///{folder}/state.db"}}
backends:
  legacy: {{url: "http://127.0.0.1:{legacy}"}}
  async: {{url: "http://127.0.0.1:{async_}", timeouts: {{response: 1s}}}}
endpoints:
  GET /a: {{weight: 100}}
"""


@contextlib.asynccontextmanager
async def proxy(folder: Path, legacy: int, async_: int) -> AsyncIterator[int]:
    """Yields its port."""
    listen = free_port()
    config = folder / "routing.yaml"
    config.write_text(routing(folder, listen, legacy, async_))
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "proxy", "serve", "--config", str(config)]
        process = await asyncio.create_subprocess_exec(*command, stderr=log)
    try:
        async with asyncio.timeout(STARTUP):
            while await ask(listen, 0.0, UNLISTED):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        yield listen
    finally:
        with contextlib.suppress(ProcessLookupError):  # it did not come up, and says why in its log
            process.terminate()
        await process.wait()


async def ask(port: int, at: float, request: bytes = REQUEST) -> str:
    """What came in place of legacy's answer; "" if that came."""
    await asyncio.sleep(at - asyncio.get_running_loop().time())
    try:
        async with asyncio.timeout(40):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.closing(writer):
                writer.write(request)
                answer = await reader.read()
    except (OSError, TimeoutError) as error:
        return type(error).__name__
    if answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\nlegacy"):
        return ""
    kind = re.search(rb"x-proxy-error: ([^\r]*)", answer)
    return f"{answer[9:12].decode() or 'closed'} {kind[1].decode() if kind else ''}".strip()


async def cell(
    act: Act | None, rate: int, seconds: float, ready: asyncio.Barrier
) -> tuple[Counter[str], int, int]:
    """Failed reads by what came, all reads, requests that async got."""
    with tempfile.TemporaryDirectory(prefix="fallback") as folder:
        async with Backend(well) as legacy, Backend(act) as async_:
            async with proxy(Path(folder), legacy.port, async_.port) as port:
                await ready.wait()  # starting a proxy takes processor time that traffic must not lack
                begin = asyncio.get_running_loop().time()
                asked = [ask(port, begin + number / rate) for number in range(int(rate * seconds))]
                came = await asyncio.gather(*asked)
            return Counter(filter(None, came)), len(came), async_.asked


async def run(seconds: float) -> int:
    print("| async | " + " | ".join(f"{rate}/s" for rate in RATES) + " |")
    print("|---" * (len(RATES) + 1) + "|")
    failed = 0
    for name, act in FAULTS.items():
        ready = asyncio.Barrier(len(RATES))
        found = await asyncio.gather(*(cell(act, rate, seconds, ready) for rate in RATES))
        cells = [f"{bad.total()} of {all_} failed, async got {got}" for bad, all_, got in found]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
        bad = sum((bad for bad, _, _ in found), Counter())
        if bad:
            print(f"{name}: {dict(bad)}", file=sys.stderr, flush=True)
        failed += bad.total()
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.fallback", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of traffic for each cell")
    return 1 if asyncio.run(run(parser.parse_args().seconds)) else 0


if __name__ == "__main__":
    sys.exit(main())
