"""Requests that ask to switch protocols (RFC 9110 section 7.8), and the answers to them.

Tunnels do not count as connections of a backend, because they may last for hours; they have their own
limit.
"""

from __future__ import annotations

from proxy.core.forwarding.hop_by_hop import response_block
from proxy.core.http1.response import ResponseHead
from proxy.core.settings import BackendName


def asking(protocol: bytes) -> bytes:
    """The lines that ask a backend for it."""
    return b"connection: upgrade\r\nupgrade: %b\r\n" % protocol


def switching(response: ResponseHead, served_by: BackendName | None) -> bytes:
    """101, as the client gets it."""
    protocol = response.get(b"upgrade") or b""
    return response_block(response, served_by) + b"connection: upgrade\r\nupgrade: %b\r\n\r\n" % protocol


def no_room(backend: BackendName) -> str:
    """Why there is no tunnel."""
    return f"the limit of tunnels to the {backend} backend is reached"
