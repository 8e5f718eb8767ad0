"""Keeps the comparer process running while anything is sampled, and adds up its reports."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from proxy.control import processes
from proxy.control.backoff import Backoff
from proxy.control.log import log
from proxy.control.pulse import Pulse
from proxy.core.resilience.liveness import life
from proxy.core.routing.snapshot import Snapshot
from proxy.core.wire.framing import FrameReader, FrameTooLarge
from proxy.core.wire.messages import Apply, Forget, Labelled, encode, fitting
from proxy.core.wire.taps import ComparerTotals, Forgot, decode_from_comparer

LOOK: Final = 1.0  # seconds between two looks at whether it hangs
PATIENCE: Final = 4  # times as long as with a worker: it gives way to everything on a busy machine
ANSWER: Final = 15.0  # seconds for an answer: it may be writing to the store
END: Final = 5.0  # seconds that it has to write what it knows, before it is killed


class ComparerProcess:
    """`command` starts it; `--folder FOLDER --fd FD` is appended. Clients never depend on it."""

    def __init__(self, command: Sequence[str], folder: Path, pulse: Pulse) -> None:
        self._pulse = pulse
        self._heard = 0.0
        self._command = tuple(command)
        self.folder = folder
        self._newest: Apply | None = None
        self._wanted = False
        self._changed = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None
        self._before: Counter[tuple[str, str]] = Counter()  # of comparers that have ended
        self._now: Counter[tuple[str, str]] = Counter()
        self._number = 0
        self._asked: dict[int, asyncio.Future[int]] = {}
        self.pid: int | None = None

    def publish(self, newest: Apply, snapshot: Snapshot) -> None:
        """Sends the snapshot, and starts or stops the process accordingly."""
        self._newest = newest
        self._wanted = any(endpoint.compare.sample > 0 for endpoint in snapshot.endpoints)
        if self._wanted:
            self._send()
        self._changed.set()

    async def forget(self, principal: str, path: str) -> int | None:
        """Makes it drop the samples of this person or path; returns how many it had not stored yet.

        None: it did not answer, so it may still store some.
        """
        if self._writer is None:
            return 0
        self._number += 1
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._asked[self._number] = answer
        try:
            self._writer.write(encode(Forget(self._number, principal, path)))
            async with asyncio.timeout(ANSWER):
                return await answer
        except TimeoutError:
            return None
        finally:
            self._asked = {number: each for number, each in self._asked.items() if each is not answer}

    def results(self) -> list[Labelled]:
        """Totals by endpoint and result; they never decrease."""
        return [Labelled(*key, number) for key, number in (self._before + self._now).items()]

    async def run(self) -> None:
        """Until cancelled."""
        backoff = Backoff()
        while True:
            while not self._wanted:
                await self._change()
            started = time.monotonic()
            try:
                ended = await self._live()
            except (OSError, RuntimeError) as error:  # no descriptor, process or thread left
                ended = f"cannot be started: {error}"
            if self._wanted:
                delay = backoff.after(time.monotonic() - started)
                log.error("the comparer %s; starting it again in %.1f s", ended, delay)
                await asyncio.sleep(delay)

    async def _live(self) -> str:
        """One process, until it ends or is not wanted any more. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                command = (*self._command, "--folder", str(self.folder), "--fd", str(theirs.fileno()))
                child = await processes.start(command, fd=theirs.fileno())
            except BaseException:
                ours.close()
                raise
        self.pid = child.pid
        self._heard = self._pulse.now()
        waiting = asyncio.create_task(child.wait())
        reading: asyncio.Task[None] | None = None
        try:
            reader, self._writer = await asyncio.open_unix_connection(sock=ours)
            self._send()
            reading = asyncio.create_task(self._read(reader))
            while self._wanted and not waiting.done() and not self._hangs():
                change = asyncio.create_task(self._change())
                await asyncio.wait((waiting, change), timeout=LOOK, return_when=asyncio.FIRST_COMPLETED)
                change.cancel()
        finally:
            await self._end(child, waiting)
            if reading is not None:
                await asyncio.wait((reading,), timeout=END)
                reading.cancel()
            self._before, self._now, self.pid = self._before + self._now, Counter(), None
        return waiting.result()

    def _hangs(self) -> bool:
        silence = self._pulse.now() - self._heard
        if life(silence, PATIENCE * self._pulse.bound) != "hung":
            return False
        log.error(
            "the comparer (pid %s) hangs: it has sent nothing for %.0f s; replacing it", self.pid, silence
        )
        return True

    async def _end(self, child: processes.Child, waiting: asyncio.Task[str]) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        child.send_signal(signal.SIGTERM)
        await asyncio.wait((waiting,), timeout=END)
        if not waiting.done():
            child.send_signal(signal.SIGKILL)
            await asyncio.wait((waiting,), timeout=END)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        frames = FrameReader()
        with contextlib.suppress(OSError):
            while data := await reader.read(64 * 1024):
                self._heard = self._pulse.now()
                try:
                    for body in frames.feed(data):
                        self._hear(decode_from_comparer(body))
                except (FrameTooLarge, msgspec.DecodeError) as error:
                    log.error("the comparer sent an invalid report: %s", error)
                    return

    def _hear(self, message: ComparerTotals | Forgot) -> None:
        if isinstance(message, ComparerTotals):
            self._now = Counter({(each.first, each.second): each.count for each in message.results})
        elif (asked := self._asked.get(message.number)) is not None and not asked.done():
            asked.set_result(message.samples)

    def _send(self) -> None:
        if self._writer is not None and self._newest is not None:
            self._writer.write(encode(fitting(self._newest, takes_values=True)))

    async def _change(self) -> None:
        await self._changed.wait()
        self._changed.clear()
