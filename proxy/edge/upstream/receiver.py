"""Whom a connection to an upstream serves: an exchange, or the probe of a health check."""

from __future__ import annotations

from typing import Protocol

from proxy.core.http1.grammar import Pairs
from proxy.core.http1.response import ResponseHead
from proxy.core.resilience.retry import FailureKind
from proxy.core.settings import Backend


class Receiver(Protocol):
    """What an exchange offers to the connection that serves it."""

    method: str
    response_timeout: float | None  # seconds; None: the backend's own
    idle_timeout: float | None
    upgrade: bytes | None  # the protocol that the client asked to switch to

    def on_informational(self, response: ResponseHead) -> None: ...
    def on_upgrade(self, response: ResponseHead, rest: bytes) -> None: ...
    def on_response(self, response: ResponseHead, data: bytes, complete: bool) -> None: ...
    def on_data(self, data: bytes, complete: bool, trailers: Pairs) -> None: ...
    def on_failure(self, kind: FailureKind, detail: str) -> None: ...
    def on_upstream_writable(self, writable: bool) -> None: ...
    def give_way(self) -> None: ...


def response_timeout(receiver: Receiver, backend: Backend) -> float:
    """Seconds in which the answer must begin."""
    timeout = receiver.response_timeout
    return backend.timeouts.response if timeout is None else timeout
