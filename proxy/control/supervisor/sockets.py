"""The socket that clients connect to and, during a restart that moves it, the previous one."""

from __future__ import annotations

import socket


class Sockets:
    def __init__(self) -> None:
        self._current: socket.socket | None = None
        self._previous: socket.socket | None = None  # of the workers that a roll replaces, if it is another
        self.returned = False  # to the socket before, as no worker of a roll came up on the new one

    def take(self, current: socket.socket, previous: socket.socket | None = None) -> None:
        self._current, self._previous = current, previous

    def current(self) -> socket.socket | None:
        """None before the start."""
        return self._current

    def in_use(self) -> socket.socket:
        """The socket that clients connect to, once there is one."""
        assert self._current is not None
        return self._current

    def moved(self) -> None:
        """The new socket is served; nobody goes back to the old one."""
        if self._previous is not None:
            self._previous.close()
            self._previous = None

    def go_back(self) -> None:
        """No worker took the new socket: what is started from now on serves the old one."""
        if self._previous is not None and self._current is not None:
            self._current.close()
            self._current, self._previous = self._previous, None
            self.returned = True

    def close(self) -> None:
        for sock in (self._current, self._previous):
            if sock is not None:
                sock.close()
