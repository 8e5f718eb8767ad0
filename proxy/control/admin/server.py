"""Serves the admin app inside the control process's event loop."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import uvicorn

from proxy.control.admin.app import build
from proxy.control.admin.pages import Pages
from proxy.control.state import State


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the control process."""
        yield


class AdminServer:
    """The admin app on an already listening socket."""

    def __init__(self, state: State, sock: socket.socket) -> None:
        self._socket = sock
        self._pages = Pages(state)
        self._server = _Server(
            uvicorn.Config(
                build(state, self._pages),
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=256,
                timeout_graceful_shutdown=1,
            )
        )

    async def run(self) -> None:
        """Until `stop`."""
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        self._pages.feed.close()
        self._server.should_exit = True
