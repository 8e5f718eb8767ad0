"""The comparer process: takes snapshots from the control process and taps from the workers, and stores
evidence.

It ends with its control process; the next control process starts another comparer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from proxy import owned
from proxy.compare.aggregate import Aggregate
from proxy.compare.comparer import Comparer
from proxy.compare.writer import AggregateWriter
from proxy.config import compile_in_slices, compile_values
from proxy.core.privacy.erasure import NameMatcher, PathMatcher, PathPattern
from proxy.core.privacy.redact import KEY_BYTES, KEY_NAME, digests_of
from proxy.core.routing.snapshot import Snapshot
from proxy.core.wire.framing import FrameReader, FrameTooLarge
from proxy.core.wire.messages import Apply, Forget, Labelled, decode_from_control, encode
from proxy.core.wire.taps import MAX_TAP, SOCKET_NAME, ComparerTotals, Forgot, decode_tap

log = logging.getLogger("strangler.comparer")

REPORT: Final = 1.0  # seconds between two messages to the control process


class ComparerRuntime:
    """`folder` is `server.runtime_dir`; `control` the socket that the control process handed down."""

    def __init__(self, folder: Path, control: socket.socket) -> None:
        self._folder = folder
        self._control = control
        self._aggregate = Aggregate(time.time)
        self._comparer: Comparer | None = None
        self._ttl = 0.0
        self._writer: AggregateWriter | None = None
        self._writing: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Until the control process is gone, or `stop`."""
        reader, writer = await asyncio.open_unix_connection(sock=self._control)
        path = self._folder / SOCKET_NAME
        path.unlink(missing_ok=True)  # left behind by a killed predecessor
        before = os.umask(0o177)
        try:
            server = await asyncio.get_running_loop().create_unix_server(
                lambda: _Taps(self._on_tap), str(path)
            )
        finally:
            os.umask(before)
        tasks = [
            asyncio.create_task(self._follow(reader, writer)),
            asyncio.create_task(self._report(writer)),
        ]
        try:
            await self._stopped.wait()
        finally:
            server.close()  # the path stays: a successor may have bound it already
            await self._end(tasks)

    def stop(self) -> None:
        self._stopped.set()

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        if self._comparer is not None:
            await self._comparer.close()
        for task in tasks:
            task.cancel()
        if self._writer is not None and self._writing is not None:
            self._writer.stop()
            tasks.append(self._writing)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _on_tap(self, body: bytes) -> None:
        if self._comparer is not None:
            self._comparer.offer(decode_tap(body))

    async def _follow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Applies what the control process says, until it hangs up."""
        frames = FrameReader()
        try:
            while data := await reader.read(256 * 1024):
                for body in frames.feed(data):
                    message = decode_from_control(body)
                    if isinstance(message, Apply):
                        await self._apply(message)
                    elif isinstance(message, Forget):
                        writer.write(encode(Forgot(message.number, await self._forget(message))))
        except (OSError, FrameTooLarge, msgspec.DecodeError) as error:
            log.error("closing the connection to the control process: %s", error)
        finally:
            self.stop()

    async def _apply(self, message: Apply) -> None:
        snapshot = _compiled(message)
        self._ttl = snapshot.compare.ttl
        if self._comparer is None:
            state = message.state or snapshot.server.state
            self._writer = AggregateWriter(state, self._aggregate, lambda: self._ttl)
            self._writing = asyncio.create_task(self._writer.run())
            self._comparer = Comparer(self._aggregate, self._writer.lookup, redaction_key(self._folder))
        self._comparer.apply(snapshot)

    async def _forget(self, message: Forget) -> int:
        if self._writer is None:
            return 0
        if message.path:
            return await self._writer.forget(PathMatcher(PathPattern.parse(message.path)))
        name = message.principal
        return await self._writer.forget(NameMatcher(name, digests_of(name, redaction_key(self._folder))))

    async def _report(self, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # `_follow` ends the process
            while True:
                await asyncio.sleep(REPORT)
                results = self._aggregate.results.items()
                writer.write(encode(ComparerTotals([Labelled(*key, number) for key, number in results])))
                await writer.drain()


def _compiled(message: Apply) -> Snapshot:
    """At once: no client waits for it."""
    slices = (
        compile_in_slices(message.config, message.hash)
        if message.values is None
        else compile_values(message.values, message.hash)
    )
    *_, snapshot = slices
    assert snapshot is not None
    return snapshot


class _Taps(asyncio.Protocol):
    """One worker's connection."""

    def __init__(self, on_tap: Callable[[bytes], None]) -> None:
        self._on_tap = on_tap
        self._frames = FrameReader(limit=MAX_TAP)
        self._transport: asyncio.BaseTransport | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accepts only workers: samples of anybody else would be sent to the backends, and be evidence."""
        self._transport = transport
        try:
            owned.check_peer(transport.get_extra_info("socket"), SOCKET_NAME)
        except OSError as error:
            log.error("refused a connection that is not from a worker of this proxy: %s", error.strerror)
            self._refused = True
            transport.close()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        try:
            for body in self._frames.feed(data):
                self._on_tap(body)
        except (FrameTooLarge, msgspec.DecodeError) as error:
            log.error("closing the connection to a worker that sent an invalid message: %s", error)
            if self._transport is not None:
                self._transport.close()


def redaction_key(folder: Path) -> bytes:
    """Random, made once, readable only by its owner, and never kept in the store.

    A key that another user has put there is not used: that user could reverse the hashes.
    """
    path = folder / KEY_NAME
    try:
        with os.fdopen(owned.open_own(path, os.O_RDONLY), "rb") as file:
            key = file.read(KEY_BYTES + 1)
        if len(key) == KEY_BYTES:
            return key
    except FileNotFoundError:
        """The first start."""
    except OSError as error:
        log.error("%s cannot be used and is replaced: %s", path, error.strerror)
    key = secrets.token_bytes(KEY_BYTES)
    try:
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(key)
    except OSError as error:
        log.error("%s cannot be written: %s; hashes differ after a restart", path, error.strerror)
    return key
