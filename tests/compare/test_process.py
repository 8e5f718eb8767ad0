"""What the comparer process takes from others: taps of its own workers, and its own key."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from pathlib import Path

import pytest

from proxy.compare.process import KEY_BYTES, KEY_NAME, _Taps, redaction_key
from proxy.core.wire.taps import Tap, encode_tap

TAP = Tap("GET /a", "GET", b"/a", b"h", b"", 1, b"127.0.0.1", False, "legacy", 200, b"", None, [])


@pytest.mark.parametrize("ours", [True, False])
def test_taps_are_taken_from_workers_of_the_same_user_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ours: bool
) -> None:
    taken: list[bytes] = []
    another = os.geteuid() + 1

    async def main() -> None:
        server = await asyncio.get_running_loop().create_unix_server(
            lambda: _Taps(taken.append), str(tmp_path / "s")
        )
        if not ours:
            monkeypatch.setattr(os, "geteuid", lambda: another)
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
            writer.write(encode_tap(TAP))
            if ours:
                writer.write_eof()
            with contextlib.suppress(ConnectionResetError):
                await reader.read()  # until it hangs up
        writer.close()
        server.close()

    asyncio.run(main())
    assert len(taken) == ours


@pytest.mark.parametrize("planted", ["link", "foreign", "second name"])
def test_a_key_that_somebody_else_has_put_there_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    known = b"k" * KEY_BYTES
    path, elsewhere = tmp_path / KEY_NAME, tmp_path / "elsewhere"
    elsewhere.write_bytes(known)
    match planted:
        case "link":
            path.symlink_to(elsewhere)
        case "second name":
            path.hardlink_to(elsewhere)
        case "foreign":
            path.write_bytes(known)
            another = os.geteuid() + 1
            monkeypatch.setattr(os, "geteuid", lambda: another)
    key = redaction_key(tmp_path)
    assert key != known
    assert path.read_bytes() == key
    assert not path.is_symlink()
    assert elsewhere.read_bytes() == known


def test_without_a_place_for_it_the_key_is_random_all_the_same(tmp_path: Path) -> None:
    (tmp_path / KEY_NAME).mkdir()
    assert len(redaction_key(tmp_path)) == KEY_BYTES
    assert redaction_key(tmp_path) != redaction_key(tmp_path)


def test_a_uvloop_socket_tells_who_is_there() -> None:
    """The comparer runs on uvloop, whose transports have sockets of their own kind."""
    import uvloop

    taken: list[bytes] = []
    ours, theirs = socket.socketpair()

    async def main() -> None:
        closed = asyncio.Event()

        class Watched(_Taps):
            def connection_lost(self, exc: Exception | None) -> None:
                closed.set()

        await asyncio.get_running_loop().connect_accepted_socket(lambda: Watched(taken.append), ours)
        theirs.sendall(encode_tap(TAP))
        theirs.close()
        async with asyncio.timeout(10):
            await closed.wait()

    uvloop.run(main())
    assert len(taken) == 1
