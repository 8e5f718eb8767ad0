"""Ports of this machine that nobody uses."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A port that can be listened on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def dead_port() -> str:
    """A URL that refuses connections."""
    return f"http://127.0.0.1:{free_port()}"
