"""Serves the admin app inside the control process's event loop."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import uvicorn

from proxy.control.admin.app import build
from proxy.control.admin.door import AdminConnection, Door
from proxy.control.admin.pages import Pages
from proxy.control.state import State


class _Server(uvicorn.Server):
    """uvicorn with a door of ours in place of asyncio's servers, of which it has none then."""

    def __init__(self, config: uvicorn.Config, cap: int) -> None:
        super().__init__(config)
        self.servers = []
        self._cap = cap
        self._door: Door | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the control process."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        assert sockets is not None
        [sock] = sockets

        def connection(door: Door, asked: bool) -> AdminConnection:
            return AdminConnection(door, self.config, self.server_state, asked)

        self._door = Door(sock, self._cap, connection)
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._door is not None:
            self._door.close()
        await super().shutdown(sockets)


class AdminServer:
    """The admin app on an already listening socket, with at most `cap` connections."""

    def __init__(self, state: State, sock: socket.socket, cap: int) -> None:
        self._socket = sock
        self._pages = Pages(state)
        self._server = _Server(
            uvicorn.Config(
                build(state, self._pages, busy=max(4, cap // 2)),
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=1,
            ),
            cap,
        )

    async def run(self) -> None:
        """Until `stop`."""
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        self._pages.feed.close()
        self._server.should_exit = True
